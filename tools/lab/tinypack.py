"""Builds tiny packs with fixed random weights, one of each shape; batch axis free, no download, a few KB each.

Class 0 is always `loud`: near 0 in silence, near 1 for a signal of amplitude 0.3, so that a test can make a known
event. The others are random functions of everything the model sees, recurrent state included, so that a wrong sample,
a wrong window or a mixed-up state changes them.
"""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from streamclf.model.fused import write_fused_pack
from streamclf.model.pack import (
    Encoded,
    Fbank,
    Features,
    Image,
    LevelControl,
    LogMel,
    Manifest,
    Member,
    Segmentation,
    StateTensor,
    Waveform,
)
from streamclf.model.packwriter import write_pack
from streamclf.model.terms import Term
from streamclf.types import Label, Shape

RATE = 16_000
HOP = 320
BANDS = 8
LOGMEL = LogMel(
    frame_length=400,
    frame_shift=160,
    fft_size=512,
    bands=BANDS,
    low_hz=125.0,
    high_hz=7500.0,
    mel_scale="htk",
    spectrum="magnitude",
    log_offset=0.001,
)
IMAGE = Image(
    frame_length=400,
    frame_shift=331,  # the window of 20 ms is no multiple of it
    fft_size=512,
    bands=BANDS,
    low_hz=125.0,
    high_hz=7500.0,
    mel_scale="htk",
    spectrum="magnitude",
    log_offset=0.001,
    samples="mean",
    padding="zeros",
    pixels=(12, 10),
    channels=3,
)
FBANK = Fbank(frame_length=400, frame_shift=160, bands=BANDS, mean=-4.0, scale=4.0)


def stateful_pack(
    folder: Path,
    *,
    name: str = "tiny-stateful",
    step: int = HOP,
    window: int | None = None,
    classes: int = 3,
    look_ahead: int = 0,
    batch_axis: int = 1,
    seed: int = 1,
    **changes: Any,
) -> Path:
    """Recurrent, on the waveform: (B, window) and a state of (2, B, 6) (batch_axis 1) or (B, 2, 6) (batch_axis 0)."""
    window = step + 64 if window is None else window
    graph = _Graph(seed)
    audio = graph.input("audio", ["batch", window])
    state_shape: list[str | int] = ["batch", 2, 6] if batch_axis == 0 else [2, "batch", 6]
    state = graph.input("state_in", state_shape)
    layer_axis = 1 - batch_axis
    layers = [graph.add("Gather", state, graph.constant(np.int64(i)), axis=layer_axis) for i in range(2)]
    energy = graph.loudness(audio, axis=1)
    low = graph.add("Tanh", graph.add("Add", graph.dense(audio, window, 6), graph.dense(layers[0], 6, 6)))
    high = graph.add("Tanh", graph.add("Add", graph.dense(low, 6, 6), graph.dense(layers[1], 6, 6)))
    scores = graph.add("Sigmoid", graph.dense(high, 6, classes - 1))
    graph.output("scores", graph.add("Concat", energy, scores, axis=1), ["batch", classes])
    axis = graph.constant(np.array([layer_axis], np.int64))
    stacked = [graph.add("Unsqueeze", layer, axis) for layer in (low, high)]
    graph.output("state_out", graph.add("Concat", *stacked, axis=layer_axis), state_shape)
    zero_at_batch = (0, 2, 6) if batch_axis == 0 else (2, 0, 6)
    manifest = _manifest(
        name,
        Shape.STATEFUL,
        window=window,
        features=Waveform(),
        step=step,
        look_ahead=look_ahead,
        input="audio",
        state=(StateTensor(input="state_in", output="state_out", shape=zero_at_batch),),
        changes=changes,
    )
    return _write(folder, manifest, graph, classes)


def chunk_pack(folder: Path, *, name: str = "tiny-chunk", rows: int = 5, seed: int = 6, **changes: Any) -> Path:
    """Recurrent over chunks of `rows` frames: a run yields a row for each frame of its chunk."""
    step = rows * HOP
    graph = _Graph(seed)
    audio = graph.input("audio", ["batch", step])
    state = graph.input("state_in", ["batch", 6])
    grid = graph.add("Reshape", audio, graph.constant(np.array([0, rows, HOP], np.int64)))
    own = graph.dense(grid, HOP, 6)
    past = graph.add("Unsqueeze", graph.dense(state, 6, 6), graph.constant(np.array([1], np.int64)))
    hidden = graph.add("Tanh", graph.add("Add", own, past))
    scores = graph.add("Sigmoid", graph.dense(hidden, 6, 2))
    graph.output("scores", graph.add("Concat", graph.loudness(grid, axis=2), scores, axis=2), ["batch", rows, 3])
    graph.output("state_out", graph.add("ReduceMean", hidden, axes=[1], keepdims=0), ["batch", 6])
    manifest = _manifest(
        name,
        Shape.STATEFUL,
        window=step,
        features=Waveform(),
        step=step,
        look_ahead=(rows - 1) * HOP,
        rows_per_window=rows,
        input="audio",
        state=(StateTensor(input="state_in", output="state_out", shape=(0, 6)),),
        changes=changes,
    )
    return _write(folder, manifest, graph, 3)


def window_row_pack(
    folder: Path,
    *,
    name: str = "tiny-window-row",
    window: int = 10 * HOP,
    row_frame: int = 9,
    classes: int = 3,
    features: str = "waveform",
    seed: int = 2,
    embedded: bool = False,
    **changes: Any,
) -> Path:
    """One row a window: (B, window) or, with features="logmel" or "fbank", (B, feature frames, 8), or with
    "image" (B, 3, 12, 10) -> (B, classes).

    row_frame: the frame of the window, from 0, that the row belongs to (the last one: no look-ahead). embedded: it
    gives the six numbers before its random classes, too.
    """
    spec, graph, source, size = _windowed(window, features, seed)
    flat = graph.add("Reshape", source, graph.constant(np.array([0, size], np.int64)))
    hidden = graph.add("Tanh", graph.dense(flat, size, 6))
    scores = graph.add("Sigmoid", graph.dense(hidden, 6, classes - 1))
    energy = graph.loudness(flat, axis=1, logmel=features != "waveform")
    graph.output("scores", graph.add("Concat", energy, scores, axis=1), ["batch", classes])
    if embedded:
        graph.output("hidden", hidden, ["batch", 6])
        changes = {"embedding": "hidden", **changes}
    manifest = _manifest(
        name,
        Shape.WINDOW_ROW,
        window=window,
        features=spec,
        row_at=row_frame * HOP,
        look_ahead=window - (row_frame + 1) * HOP,
        input="features",
        input_layout={"waveform": "flat", "image": "channel-bands-time"}.get(features, "time-bands"),
        changes=changes,
    )
    return _write(folder, manifest, graph, classes)


def window_frames_pack(
    folder: Path,
    *,
    name: str = "tiny-window-frames",
    window: int = 10 * HOP,
    classes: int = 3,
    features: str = "waveform",
    look_ahead: int = 0,
    held: int = 0,
    seed: int = 3,
    **changes: Any,
) -> Path:
    """F rows a window, each a function of its own 20 ms and, more weakly, of the whole window (so revisions differ).

    held: frames of the window's beginning that get a row; 0 for all.
    """
    spec, graph, source, size = _windowed(window, features, seed)
    rows = window // HOP if features == "waveform" else (size // BANDS) // 2
    each = HOP if features == "waveform" else 2 * BANDS
    if size != rows * each:
        raise ValueError(f"a window of {window} samples does not divide into rows of 20 ms of {features}")
    grid = graph.add("Reshape", source, graph.constant(np.array([0, rows, each], np.int64)))
    own = graph.dense(grid, each, 6)
    whole = graph.add("ReduceMean", own, axes=[1], keepdims=1)
    hidden = graph.add("Tanh", graph.add("Add", own, whole))
    scores = graph.add("Sigmoid", graph.dense(hidden, 6, classes - 1))
    energy = graph.loudness(grid, axis=2, logmel=features == "logmel")
    all_rows = graph.add("Concat", energy, scores, axis=2)
    held = held or rows
    first = graph.add("Slice", all_rows, *(graph.constant(np.array([i], np.int64)) for i in (0, held, 1)))
    graph.output("scores", first if held < rows else all_rows, ["batch", held, classes])
    manifest = _manifest(
        name,
        Shape.WINDOW_FRAMES,
        window=window,
        features=spec,
        look_ahead=look_ahead,
        rows_per_window=held,
        input="features",
        input_layout="flat" if features == "waveform" else "time-bands",
        changes=changes,
    )
    return _write(folder, manifest, graph, classes)


def encoded_pack(folder: Path, *, name: str = "tiny-encoded", rows: int = 10, seed: int = 4, **changes: Any) -> Path:
    """As `window_frames_pack`, but in two graphs: frames of 400 samples every 320 are encoded once and kept."""
    encoder = _Graph(seed)
    frame = encoder.input("frames", ["batch", 400])
    parts = [encoder.add("Tanh", encoder.dense(frame, 400, 6)), encoder.loudness(frame, axis=1)]
    encoder.output("rows", encoder.add("Concat", *parts, axis=1), ["batch", 7])
    graph = _Graph(seed + 1)
    source = graph.input("features", ["batch", rows, 7])
    whole = graph.add("ReduceMean", source, axes=[1], keepdims=1)
    hidden = graph.add("Tanh", graph.add("Add", graph.dense(source, 7, 6), graph.dense(whole, 7, 6)))
    loud = graph.add("Slice", source, *(graph.constant(np.array([i], np.int64)) for i in (6, 7, 2)))
    scores = graph.add("Concat", loud, graph.add("Sigmoid", graph.dense(hidden, 6, 2)), axis=2)
    graph.output("scores", scores, ["batch", rows, 3])
    manifest = _manifest(
        name,
        Shape.WINDOW_FRAMES,
        window=(rows - 1) * HOP + 400,
        features=Encoded(frame_length=400, frame_shift=HOP, bands=7, input="frames", output="rows"),
        look_ahead=400 - HOP,
        rows_per_window=rows,
        input="features",
        input_layout="time-bands",
        changes=changes,
    )
    return _write(folder, manifest, graph, 3, extra={"encoder.onnx": encoder.model()})


def fused_pack(
    folder: Path,
    *,
    name: str = "tiny-fused",
    members: Mapping[str, Path] | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    terms: Sequence[Term] | None = None,
    when: str = "",
    extra: Mapping[str, bytes] | None = None,
    **changes: Any,
) -> Path:
    """Made of the packs in these folders; else of a stateful pack and of one with log-mel windows every 100 ms.

    settings: fields of `Member`, by its name. terms: else of each label the same label of every member, with unlike
    weights, and a bias. extra: files beside, such as heads.npz.
    """
    if members is None:
        quick = stateful_pack(folder.parent / f"{folder.name}-quick")
        slow = window_row_pack(folder.parent / f"{folder.name}-slow", features="logmel", row_frame=6)
        members = {"quick": quick, "slow": slow}
        settings = settings or {"slow": {"hop_ms": 100, "level": LevelControl(target_db=20.0, up_db=30.0)}}
    labels = [Label("loud", "Loud", "level")] + [Label(f"c{i}", f"Class {i}", "random") for i in range(1, 3)]
    if terms is None:
        terms = [Term(label.id, member, (label.id,), 0.5 + at) for at, member in enumerate(members) for label in labels]
        terms += [
            Term("c1", next(iter(members)), ("loud", "c2"), -0.25),
            *(Term(one.id, "", (), 0.1) for one in labels),
        ]
    manifest = _manifest(
        name,
        Shape.FUSED,
        rate=0,
        window=0,
        look_ahead=0,
        features=Waveform(),
        input="",
        output="",
        members=tuple(Member(member, "", **(settings or {}).get(member, {})) for member in members),
        when=when,
        changes=changes,
    )
    card = "# Tiny test pack\n"
    return write_fused_pack(folder, manifest, members=members, labels=labels, terms=terms, card=card, extra=extra)


class _Graph:
    """A graph under construction with named values and random weights of one seed."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: list[str | int]) -> str:
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        return name

    def output(self, name: str, value: str, shape: list[str | int]) -> None:
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def constant(self, value: Any) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"v{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, list(inputs), [name], **attributes))
        return name

    def dense(self, value: str, size: int, units: int) -> str:
        weights: NDArray[np.float64] = self._random.normal(size=(size, units)) * (2.0 / size**0.5)
        return self.add("MatMul", value, self.constant(weights.astype(np.float32)))

    def loudness(self, value: str, *, axis: int, logmel: bool = False) -> str:
        """sigmoid(100 * (mean |x| - 0.06)) of samples, sigmoid(2 * (mean + 2.5)) of log-mel values: (..., 1)."""
        gain, offset = (2.0, -2.5) if logmel else (100.0, 0.06)
        size = value if logmel else self.add("Abs", value)
        mean = self.add("ReduceMean", size, axes=[axis], keepdims=1)
        above = self.add("Sub", mean, self.constant(np.float32(offset)))
        return self.add("Sigmoid", self.add("Mul", above, self.constant(np.float32(gain))))

    def model(self) -> bytes:
        graph = helper.make_graph(self._nodes, "tiny", self._inputs, self._outputs, self._weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
        onnx.checker.check_model(model)
        content: bytes = model.SerializeToString(deterministic=True)
        return content


def _windowed(window: int, features: str, seed: int) -> tuple[Features, _Graph, str, int]:
    """Features, a graph with its input, the input's name and its values a row."""
    graph = _Graph(seed)
    if features == "waveform":
        return Waveform(), graph, graph.input("features", ["batch", window]), window
    if features == "image":
        return IMAGE, graph, graph.input("features", ["batch", 3, 12, 10]), 360
    frames = (window - LOGMEL.frame_length) // LOGMEL.frame_shift + 1
    spec = LOGMEL if features == "logmel" else FBANK
    return spec, graph, graph.input("features", ["batch", frames, BANDS]), frames * BANDS


def _manifest(name: str, shape: Shape, *, changes: dict[str, Any], **own: Any) -> Manifest:
    given: dict[str, Any] = {
        "format": 1,
        "name": name,
        "version": "1",
        "title": "Tiny test pack",
        "licence": "MIT",
        "source": "fixed random weights",
        "rate": RATE,
        "output": "scores",
        "activation": "none",
        "segmentation": Segmentation(enter=0.6, leave=0.4, min_on_ms=60, min_off_ms=100),
        "files": {},
    }
    return Manifest(**{**given, "shape": shape, **own, **changes})


def _write(
    folder: Path, manifest: Manifest, graph: _Graph, classes: int, extra: dict[str, bytes] | None = None
) -> Path:
    labels = [Label("loud", "Loud", "level")] + [Label(f"c{i}", f"Class {i}", "random") for i in range(1, classes)]
    return write_pack(folder, manifest, model=graph.model(), labels=labels, card="# Tiny test pack\n", extra=extra)


def put_file(folder: Path, name: str, content: bytes) -> None:
    """Replace a file of a pack, and its hash in pack.toml."""
    text = (folder / "pack.toml").read_text()
    old, new = (hashlib.sha256(data).hexdigest() for data in ((folder / name).read_bytes(), content))
    assert old in text
    (folder / "pack.toml").write_text(text.replace(old, new))
    (folder / name).write_bytes(content)
