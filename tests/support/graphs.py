"""Small ONNX files as people bring them, one of each kind."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from streamclf.types import F32

RATE, WINDOW, CLASSES = 16_000, 16_000, 5
Nodes = list[tuple[str, list[str], list[str], dict[str, Any]]]


def save(
    path: Path,
    inputs: dict[str, list[Any]],
    outputs: dict[str, list[Any]],
    nodes: Nodes,
    weights: dict[str, Any],
    *,
    kinds: dict[str, int] | None = None,
    opset: int = 18,
    ir: int = 9,
) -> Path:
    kinds = kinds or {}
    ends = [
        [helper.make_tensor_value_info(name, kinds.get(name, TensorProto.FLOAT), dims) for name, dims in side.items()]
        for side in (inputs, outputs)
    ]
    made = helper.make_graph(
        [helper.make_node(kind, given, made, **more) for kind, given, made, more in nodes],
        "g",
        ends[0],
        ends[1],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir)
    onnx.save(model, path)
    return path


def dense(size: int, seed: int = 0) -> F32:
    made: F32 = (np.random.default_rng(seed).standard_normal((size, CLASSES)) / size**0.5).astype(np.float32)
    return made


def wave(path: Path, dims: list[Any], out: list[Any], *nodes: Any, **more: Any) -> Path:
    """A waveform of `dims` to scores: flattened, first and second half weighed."""
    flat: Nodes = [
        ("Reshape", ["wave", "two"], ["halves"], {}),
        ("ReduceL2", ["halves", "last"], ["loud"], {"keepdims": 0}),
        ("Add", ["loud", "little"], ["some"], {}),
        ("Log", ["some"], ["level"], {}),
        ("MatMul", ["level", "w"], ["raw"], {}),
    ]
    weights = {"little": np.float32(1e-3), "two": np.array([-1, 2, WINDOW // 2]), "last": np.array([2]), "w": dense(2)}
    tail: Nodes = list(nodes) or [("Identity", ["raw"], ["scores"], {})]
    return save(path, {"wave": dims}, {"scores": out}, [*flat, *tail], weights | more.pop("weights", {}), **more)


def framed(path: Path, frames: int, *, turned: bool = False) -> Path:
    """A row for each of `frames` parts of a window."""
    part = WINDOW // frames
    nodes: Nodes = [
        ("Slice", ["wave", "zero", "end", "axis"], ["cut"], {}),
        ("Reshape", ["cut", "parts"], ["grid"], {}),
        ("ReduceL2", ["grid", "last"], ["loud"], {"keepdims": 1}),
        ("MatMul", ["loud", "w"], ["raw"], {}),
        ("Transpose", ["raw"], ["scores"], {"perm": [0, 2, 1] if turned else [0, 1, 2]}),
    ]
    weights = {"zero": np.array([0]), "end": np.array([part * frames]), "axis": np.array([1]),
               "parts": np.array([-1, frames, part]), "last": np.array([2]), "w": dense(1) * 4}  # fmt: skip
    dims = ["n", CLASSES, frames] if turned else ["n", frames, CLASSES]
    return save(path, {"wave": ["n", WINDOW]}, {"scores": dims}, nodes, weights)


def recurrent(path: Path, *, batch: Any = "n", names: tuple[str, str] = ("h", "hn")) -> Path:
    """320 samples a run and a state of (2, B, 4), as silero-vad has it."""
    step = 320
    nodes: Nodes = [
        ("ReduceL2", ["audio", "one"], ["loud"], {"keepdims": 1}),
        ("MatMul", ["loud", "w4"], ["own"], {}),
        ("Unsqueeze", ["own", "zero"], ["wide"], {}),
        ("Mul", [names[0], "half"], ["faded"], {}),
        ("Add", ["faded", "wide"], [names[1]], {}),
        ("ReduceMean", [names[1], "zero"], ["mean"], {"keepdims": 0}),
        ("MatMul", ["mean", "w"], ["scores"], {}),
    ]
    weights = {"one": np.array([1]), "zero": np.array([0]), "half": np.float32(0.5),
               "w4": np.ones((1, 4), np.float32), "w": dense(4)}  # fmt: skip
    return save(
        path,
        {"audio": [batch, step], names[0]: [2, batch, 4], "sr": []},
        {"scores": [batch, CLASSES], names[1]: [2, batch, 4]},
        nodes,
        weights,
        kinds={"sr": TensorProto.INT64},
    )


def picture(path: Path, dims: list[Any], *, classes: int = CLASSES) -> Path:
    size = int(np.prod([dim for dim in dims[1:] if isinstance(dim, int)]))
    nodes: Nodes = [("Flatten", ["pixels"], ["flat"], {}), ("MatMul", ["flat", "w"], ["scores"], {})]
    return save(path, {"pixels": dims}, {"scores": ["n", classes]}, nodes, {"w": dense(size)})
