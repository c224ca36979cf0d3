"""Graphs of every kind that people bring become packs; each is checked against the graph itself, run by hand."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper

from streamclf.commands.onnxfile import KEYS, Taken, take
from streamclf.engine.verify import hears_out
from streamclf.errors import PackError, StreamclfError, UsageError
from streamclf.features.frontend import make_frontend
from streamclf.features.image import drawer
from streamclf.features.spec import Image
from streamclf.model.fusedsession import open_session
from streamclf.model.loader import load_pack
from streamclf.model.pack import Pack
from streamclf.types import F32, Provider, Shape
from tests.support.graphs import CLASSES, RATE, WINDOW, Nodes, framed, picture, recurrent, wave


def add(tmp_path: Path, graph: Path, *, labels: int = CLASSES, **said: Any) -> Taken:
    names = tmp_path / "labels.txt"
    names.write_text("".join(f"kind {number}\n" for number in range(labels)), "utf-8")
    given = dict.fromkeys(KEYS) | {"labels": names, "rate": RATE, "licence": "MIT"} | said
    folder = tmp_path / "made"
    folder.mkdir(exist_ok=True)
    return take(folder, graph, {k: v for k, v in given.items() if v is not None}, prove=heard)


def heard(pack: Pack) -> None:
    """In place of the trial's own process."""
    from streamclf.engine.probe import check_probabilities

    hears_out(pack, open_session(pack, provider=Provider.CPU))
    check_probabilities(pack)


def rows(pack: Pack, audio: F32) -> F32:
    """Probabilities of the first window of `audio`: (F, classes)."""
    session = open_session(pack, provider=Provider.CPU)
    (own,) = session.members
    frontend = make_frontend(pack.manifest.features, pack.manifest.rate, history=len(audio) + pack.manifest.window)
    frontend.push(audio)
    frontend.window(0, pack.manifest.window, own.input_rows(1)[0])
    found: F32 = own.run([0])[0]
    return found


def sigmoid(raw: Any) -> Any:
    return 1 / (1 + np.exp(-raw))


def by_hand(graph: Path, feeds: dict[str, Any]) -> Any:
    return ort.InferenceSession(str(graph), providers=["CPUExecutionProvider"]).run(None, feeds)[0]


def audio(samples: int = 2 * WINDOW) -> F32:
    return (0.1 * np.random.default_rng(3).standard_normal(samples)).astype(np.float32)


@pytest.mark.parametrize(
    ("dims", "said", "batch"),
    [
        (["n", WINDOW], {}, True),
        ([1, WINDOW], {}, False),
        (["n", "t"], {"window_ms": 1000.0}, True),
        (["n", 1, WINDOW], {}, True),
        (["n", WINDOW, 1], {}, True),
        ([1, 1, "t"], {"window_ms": 1000.0}, False),
        ([WINDOW], {}, False),
    ],
)
def test_a_waveform_of_any_layout(tmp_path: Path, dims: list[Any], said: dict[str, Any], batch: bool) -> None:
    graph = wave(tmp_path / "m.onnx", dims, ["n", CLASSES])
    pack = add(tmp_path, graph, **said).pack
    sound = audio()
    raw = by_hand(
        graph,
        {"wave": sound[:WINDOW].reshape([1, *[d if d == 1 else -1 for d in dims[1:]]] if len(dims) > 1 else [-1])},
    )
    assert np.abs(rows(pack, sound) - sigmoid(raw)).max() < 1e-5
    assert (pack.manifest.window, pack.manifest.batch, pack.manifest.shape) == (WINDOW, batch, Shape.WINDOW_ROW)


@pytest.mark.parametrize(
    ("setting", "as_made"),
    [
        ("normalise=mean", lambda x: x - x.mean()),
        ("normalise=peak", lambda x: x / np.abs(x).max()),
        ("normalise=mean-peak", lambda x: (x - x.mean()) / np.abs(x - x.mean()).max()),
        ("normalise=window", lambda x: (x - x.mean()) / np.sqrt(x.var() + 1e-7)),
        ("gain=32768", lambda x: x * 32768),
    ],
)
def test_what_is_done_to_a_waveform_first(tmp_path: Path, setting: str, as_made: Callable[[Any], Any]) -> None:
    graph = wave(tmp_path / "m.onnx", ["n", WINDOW], ["n", CLASSES])
    pack = add(tmp_path, graph, waveform=(setting,)).pack
    sound = audio() + np.float32(0.05)
    raw = by_hand(graph, {"wave": as_made(sound[:WINDOW].astype(np.float64)).astype(np.float32)[None]})
    assert np.abs(rows(pack, sound) - sigmoid(raw)).max() < 1e-4


def test_whole_and_half_numbers_at_the_ends(tmp_path: Path) -> None:
    graph = wave(tmp_path / "m.onnx", ["n", WINDOW], ["n", CLASSES])
    model = onnx.load(graph)
    model.graph.input[0].name = "whole"
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT16
    model.graph.node.insert(0, helper.make_node("Cast", ["whole"], ["wave"], to=TensorProto.FLOAT))
    half = helper.make_node("Cast", ["raw"], ["scores"], to=TensorProto.FLOAT16)
    model.graph.node[-1].CopyFrom(half)
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    onnx.save(model, graph)
    pack = add(tmp_path, graph).pack
    sound = audio()
    whole = (sound[:WINDOW] * 32767).astype(np.int16)
    scaled = by_hand(graph, {"whole": whole[None]}).astype(np.float32)
    assert np.abs(rows(pack, sound) - sigmoid(scaled)).max() < 1e-2


def test_an_axis_of_one_between_and_classes_behind_it(tmp_path: Path) -> None:
    tails: list[tuple[Any, list[Any]]] = [
        (("Unsqueeze", ["raw", "one"], ["scores"], {}), ["n", 1, CLASSES]),
        (("Reshape", ["raw", "four"], ["scores"], {}), ["n", CLASSES, 1, 1]),
    ]
    for tail, dims in tails:
        more = {"one": np.array([1]), "four": np.array([0, CLASSES, 1, 1])}
        graph = wave(tmp_path / "m.onnx", ["n", WINDOW], dims, tail, weights=more)
        pack = add(tmp_path, graph).pack
        raw = by_hand(graph, {"wave": audio()[None, :WINDOW]}).reshape(-1, CLASSES)
        assert pack.manifest.shape is Shape.WINDOW_ROW
        assert np.abs(rows(pack, audio()) - sigmoid(raw)).max() < 1e-5


@pytest.mark.parametrize(
    ("tail", "activation", "exclusive", "why"),
    [
        ("Sigmoid", "none", False, "ends with a sigmoid"),
        ("Softmax", "none", True, "ends with a softmax"),
        ("Identity", "sigmoid", False, "a sigmoid for each label is usual"),
    ],
)
def test_the_graph_says_how_it_ends(tmp_path: Path, tail: str, activation: str, exclusive: bool, why: str) -> None:
    graph = wave(tmp_path / "m.onnx", ["n", WINDOW], ["n", CLASSES], (tail, ["raw"], ["scores"], {}))
    taken = add(tmp_path, graph)
    assert (taken.pack.manifest.activation, taken.pack.manifest.exclusive) == (activation, exclusive)
    assert why in taken.adopted.why
    if tail != "Identity":
        with pytest.raises(UsageError, match="would be a second one"):
            add(tmp_path, graph, activation="softmax")


def test_logits_that_look_like_those_of_a_softmax_are_hinted_at(tmp_path: Path) -> None:
    raised: Nodes = [("Abs", ["raw"], ["scores"], {})]
    taken = add(tmp_path, wave(tmp_path / "m.onnx", ["n", WINDOW], ["n", CLASSES], *raised))
    assert any("looks like logits of a softmax" in note for note in taken.notes)
    low: Nodes = [("Sub", ["raw", "ten"], ["scores"], {})]
    more = {"ten": np.float32(100.0)}
    taken = add(tmp_path, wave(tmp_path / "m.onnx", ["n", WINDOW], ["n", CLASSES], *low, weights=more))
    assert not taken.notes


@pytest.mark.parametrize(
    ("frames", "turned", "expected", "made"),
    [
        (50, False, 50, lambda raw: raw),
        (49, True, 49, lambda raw: raw),
        (51, False, 50, lambda raw: raw[:50]),
        (100, False, 50, lambda raw: raw.reshape(50, 2, -1).mean(axis=1)),
        (25, True, 50, lambda raw: np.repeat(raw, 2, axis=0)),
    ],
)
def test_rows_of_any_stride_come_every_20_ms(
    tmp_path: Path, frames: int, turned: bool, expected: int, made: Callable[[Any], Any]
) -> None:
    graph = framed(tmp_path / "m.onnx", frames, turned=turned)
    pack = add(tmp_path, graph).pack
    assert (pack.manifest.shape, pack.manifest.rows_per_window) == (Shape.WINDOW_FRAMES, expected)
    raw = by_hand(graph, {"wave": audio()[None, :WINDOW]})[0]
    assert np.abs(rows(pack, audio()) - sigmoid(made(raw.T if turned else raw))).max() < 1e-5


@pytest.mark.parametrize("batch", ["n", 1])
@pytest.mark.parametrize("names", [("h", "hn"), ("state_in", "state_out"), ("a", "b")])
def test_a_hidden_state_and_a_rate_are_found(tmp_path: Path, batch: Any, names: tuple[str, str]) -> None:
    graph = recurrent(tmp_path / "m.onnx", batch=batch, names=names)
    pack = add(tmp_path, graph).pack
    manifest = pack.manifest
    assert (manifest.shape, manifest.step, manifest.batch) == (Shape.STATEFUL, 320, batch == "n")
    assert [(one.input, one.output, one.shape) for one in manifest.state] == [(*names, (2, 0, 4))]
    assert [(one.name, one.value) for one in manifest.constants] == [("sr", RATE)]


FRAMES = ("n_mels=24,n_fft=512,hop_length=160,htk=1",)
MEL = ("n_fft=512,hop_length=333", "n_mels=24", "top_db=80,ref=max,normalise=min-max")


@pytest.mark.parametrize(
    ("dims", "image", "turn"),
    [
        (["n", 1, 24, 49], MEL, lambda p: p),
        (["n", 3, 24, 49], MEL, lambda p: p),
        (["n", 3, 32, 20], (*MEL, "size=32x20", "colours=imagenet"), lambda p: p),
        (["n", 3, 24, 49], (*MEL, "deltas=true"), lambda p: p),
        (["n", 24, 49, 3], MEL, lambda p: p.transpose(1, 2, 0)),
        (["n", 1, 49, 24], MEL, lambda p: p.transpose(0, 2, 1)),
        (["n", 49, 24], MEL, lambda p: p[0].T),
    ],
)
def test_pictures_of_every_layout(
    tmp_path: Path, dims: list[Any], image: tuple[str, ...], turn: Callable[[Any], Any]
) -> None:
    graph = picture(tmp_path / "m.onnx", dims)
    pack = add(tmp_path, graph, image=image, window_ms=1000.0).pack
    features = pack.manifest.features
    assert isinstance(features, Image)
    pixels = drawer(features, RATE)(audio()[:WINDOW].copy())
    raw = by_hand(graph, {"pixels": np.ascontiguousarray(turn(pixels), dtype=np.float32)[None]})
    assert np.abs(rows(pack, audio()) - sigmoid(raw)).max() < 1e-4


def test_log_mel_frames_say_their_window(tmp_path: Path) -> None:
    said = ("n_fft=512,win_length=400,hop_length=160,n_mels=24,htk=true,log_offset=1e-6",)
    for dims, layout in (
        (["n", 30, 24], "time-bands"),
        (["n", 24, 30], "bands-time"),
        (["n", 1, 30, 24], "channel-time-bands"),
    ):
        pack = add(tmp_path, picture(tmp_path / "m.onnx", dims), logmel=said).pack
        assert (pack.manifest.input_layout, pack.manifest.window) == (layout, 29 * 160 + 400)


def test_frames_that_are_no_multiple_of_the_window_apart_are_tried_and_proved_as_well(tmp_path: Path) -> None:
    graph = picture(tmp_path / "m.onnx", ["n", 30, 24])
    model = onnx.load(graph)
    model.graph.node[-1].output[0] = "raw"
    model.graph.node.append(helper.make_node("Sigmoid", ["raw"], ["scores"]))
    onnx.save(model, graph)
    said = ("n_fft=512,win_length=400,hop_length=160,n_mels=24,htk=true,log_offset=1e-6",)
    pack = add(tmp_path, graph, logmel=said).pack  # a window of 5040 samples, whose trial begins at each of them
    sound = audio()
    own = np.concatenate([rows(pack, sound[at:]) for at in (0, pack.manifest.window)])
    taken = add(tmp_path, graph, logmel=said, golden=golden(tmp_path, sound[: 2 * pack.manifest.window], own))
    assert taken.parity is not None
    assert taken.parity.worst < 1e-5


@pytest.mark.parametrize(
    ("said", "look_ahead", "row_at"),
    [
        ({}, 8000, 7680),
        ({"look_ahead_ms": 0.0}, 0, 15_680),
        ({"row_at_ms": 100.0}, 14_080, 1600),
    ],
)
def test_where_a_row_belongs_is_stated_either_way(
    tmp_path: Path, said: dict[str, Any], look_ahead: int, row_at: int
) -> None:
    pack = add(tmp_path, wave(tmp_path / "m.onnx", ["n", WINDOW], ["n", CLASSES]), **said).pack
    assert (pack.manifest.look_ahead, pack.manifest.row_at) == (look_ahead, row_at)


def test_weights_beside_the_graph_are_taken_in(tmp_path: Path) -> None:
    graph = wave(tmp_path / "m.onnx", ["n", WINDOW], ["n", CLASSES])
    expected = by_hand(graph, {"wave": audio()[None, :WINDOW]})
    model = onnx.load(graph)
    onnx.save(model, graph, save_as_external_data=True, location="m.onnx.data", size_threshold=0)
    pack = add(tmp_path, graph).pack
    assert np.abs(rows(pack, audio()) - sigmoid(expected)).max() < 1e-5
    (tmp_path / "m.onnx.data").unlink()
    with pytest.raises(PackError, match=r"keeps weights in m\.onnx\.data, which is not beside it; put that file into"):
        add(tmp_path, graph)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = "../secret"
    graph.write_bytes(model.SerializeToString())
    with pytest.raises(PackError, match="expected a plain file beside it"):
        add(tmp_path, graph)


def golden(tmp_path: Path, sound: F32, scores: Any) -> str:
    import soundfile

    soundfile.write(tmp_path / "golden.wav", sound, RATE, subtype="FLOAT")
    np.save(tmp_path / "golden.npy", scores)
    return f"{tmp_path / 'golden.wav'},{tmp_path / 'golden.npy'}"


def test_a_golden_pair_proves_it_and_says_the_activation(tmp_path: Path) -> None:
    graph = wave(tmp_path / "m.onnx", ["n", WINDOW], ["n", CLASSES])
    sound = audio()
    raw = np.concatenate([by_hand(graph, {"wave": sound[None, at : at + WINDOW]}) for at in (0, WINDOW)])
    soft = np.exp(raw) / np.exp(raw).sum(axis=1, keepdims=True)
    for scores, activation in ((raw, "sigmoid"), (sigmoid(raw), "sigmoid"), (soft, "softmax"), (soft[0], "softmax")):
        taken = add(tmp_path, graph, golden=golden(tmp_path, sound, scores))
        assert taken.parity is not None
        assert taken.parity.worst < 1e-5
        pack = load_pack(Path(taken.pack.path))
        assert (pack.manifest.activation, pack.golden is not None) == (activation, True)
    with pytest.raises(PackError, match="its scores differ from the golden ones by up to"):
        add(tmp_path, graph, golden=golden(tmp_path, sound, sigmoid(raw) * 0.9), rate=RATE)
    with pytest.raises(PackError, match=r"golden scores have the shape \[2, 4\]"):
        add(tmp_path, graph, golden=golden(tmp_path, sound, raw[:, :4]))


@pytest.mark.parametrize(
    ("make", "said", "sentence"),
    [
        (lambda p: picture(p, ["n", 1, 24, 49]), {}, "which is not a waveform: say how it is made, with --logmel"),
        (lambda p: picture(p, ["n", 1, 24, 49]), {"image": MEL}, "49 frames are of 999 to 1020 ms; say how long"),
        (lambda p: picture(p, ["n", 1, 224, 224]), {"image": MEL, "window_ms": 1000.0}, "add --image size=224x224"),
        (lambda p: picture(p, ["n", 3, 24, 49]), {"logmel": FRAMES}, "3 channels"),
        (lambda p: wave(p, ["n", WINDOW], ["n", CLASSES]), {"output": "x"}, "graph has no such output, only scores"),
        (lambda p: wave(p, [8, WINDOW], [8, CLASSES]), {}, "8 windows at once"),
        (lambda p: wave(p, ["n", WINDOW], ["n", CLASSES]), {"window_ms": 500.0}, "the graph takes 16000"),
        (lambda p: wave(p, ["n", WINDOW], ["n", CLASSES]), {"image": MEL, "logmel": MEL}, "two kinds of features"),
        (lambda p: wave(p, ["n", WINDOW], ["n", CLASSES]), {"image": ("colour=3",)}, "no setting 'colour'"),
        (lambda p: wave(p, ["n", WINDOW], ["n", CLASSES]), {"labels": 4}, "the file of labels has 4 labels"),
        (lambda p: wave(p, ["n", WINDOW], ["n", CLASSES], ir=99), {}, "is of ONNX IR version 99, and .* reads up to"),
        (lambda p: wave(p, ["n", WINDOW], ["n", CLASSES], opset=99), {}, "is of opset 99, and .* reads up to"),
        (lambda p: wave(p, ["n", WINDOW], ["n", CLASSES]), {"activation": "none"}, "says that they are"),
    ],
)  # fmt: skip
def test_what_cannot_be_taken_is_one_sentence(
    tmp_path: Path, make: Callable[[Path], Path], said: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(StreamclfError, match=sentence) as caught:
        add(tmp_path, make(tmp_path / "m.onnx"), **said)
    assert "\n" not in str(caught.value)


def test_what_it_cannot_take_comes_with_lines_of_pack_toml(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(PackError):
        add(tmp_path, wave(tmp_path / "m.onnx", ["n", WINDOW], ["n", 2, 3, CLASSES]))
    told = capsys.readouterr().err
    assert "streamclf models seal FOLDER" in told
    assert 'name = "m"' in told
    assert f"rate = {RATE}" in told
    assert "wave (n, 16000)" in told
