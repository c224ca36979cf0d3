"""A pack that hears the power of 24 tones, and says so as its embedding; and sounds for it."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamclf.model.pack import Manifest, Segmentation, Waveform
from streamclf.model.packwriter import write_pack
from streamclf.types import F32, Label, Shape

RATE, HOP = 16_000, 320
WINDOW = 10 * HOP
TONES = 24


def tone_pack(folder: Path, *, name: str = "tones", embedding: str = "tones", gain: float = 1.0) -> Path:
    """A window of 200 ms, whose row belongs to its last frame. Its one label, `any`, is loudness.

    gain: another one makes another version, whose numbers are not those of the first.
    """
    time = np.arange(WINDOW) / RATE
    hz = np.geomspace(200, 6000, TONES)
    angles = 2 * np.pi * np.outer(time, hz)
    weights = {
        "cos": np.cos(angles) * 2 * gain / WINDOW,
        "sin": np.sin(angles) * 2 * gain / WINDOW,
        "slope": np.array(100.0),
        "offset": np.array(0.03),
    }
    nodes = [
        helper.make_node("MatMul", ["audio", "cos"], ["c"]),
        helper.make_node("MatMul", ["audio", "sin"], ["s"]),
        helper.make_node("Mul", ["c", "c"], ["cc"]),
        helper.make_node("Mul", ["s", "s"], ["ss"]),
        helper.make_node("Add", ["cc", "ss"], ["tones"]),
        helper.make_node("Abs", ["audio"], ["size"]),
        helper.make_node("ReduceMean", ["size"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["mean", "offset"], ["over"]),
        helper.make_node("Mul", ["over", "slope"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["scores"]),
    ]
    given = [helper.make_tensor_value_info("audio", TensorProto.FLOAT, ["batch", WINDOW])]
    gives = [
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 1]),
        helper.make_tensor_value_info("tones", TensorProto.FLOAT, ["batch", TONES]),
    ]
    tensors = [numpy_helper.from_array(value.astype(np.float32), key) for key, value in weights.items()]
    graph = helper.make_graph(nodes, "tones", given, gives, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    manifest = Manifest(
        format=1,
        name=name,
        version=f"{gain:g}",
        title="Tones",
        licence="MIT",
        source="cosines",
        rate=RATE,
        shape=Shape.WINDOW_ROW,
        window=WINDOW,
        look_ahead=0,
        features=Waveform(),
        input="audio",
        output="scores",
        activation="none",
        files={},
        embedding=embedding,
        row_at=WINDOW - HOP,
        segmentation=Segmentation(min_on_ms=40, min_off_ms=100),
    )
    return write_pack(folder, manifest, model=model.SerializeToString(), labels=[Label("any", "Any")], card="tones")


def tone(hz: float, seconds: float, *, level: float = 0.3) -> F32:
    """A tone with its third partial."""
    time = np.arange(int(seconds * RATE)) / RATE
    wave = np.sin(2 * np.pi * hz * time) + 0.4 * np.sin(6 * np.pi * hz * time)
    return (level * wave).astype(np.float32)


def hiss(seconds: float, *, level: float = 0.01, seed: int = 0) -> F32:
    """Noise."""
    noise = np.random.default_rng(seed).standard_normal(int(seconds * RATE)) * level
    return noise.astype(np.float32)
