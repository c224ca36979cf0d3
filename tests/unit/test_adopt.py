"""Somebody's ONNX file with its list of species becomes a pack that runs; what does not fit is said in a sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from streamclf.audio.ring import Ring
from streamclf.commands.models import models
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.engine.stream import Stream
from streamclf.errors import PackError, RateError, UsageError
from streamclf.model.adopt.adoption import species_labels
from streamclf.model.loader import load_pack
from streamclf.model.pack import Waveform
from streamclf.model.session import Session
from streamclf.types import FrameScores

RATE, WINDOW, CLASSES = 8000, 24_000, 6000
SAID = ("--rate", str(RATE), "--licence", "CC BY-NC-SA 4.0", "--group", "bird")


def graph(path: Path, *, window: int | None = WINDOW, classes: int = CLASSES, batch: Any = "batch") -> Path:
    """(batch, window) -> an embedding of 4, then logits: the loudness of the window, less a hundredth a class."""

    def constant(name: str, value: Any) -> Any:
        return numpy_helper.from_array(np.asarray(value), name)

    weights = [constant("axes", np.array([1])), constant("gain", np.full((1, classes), 40, np.float32)),
               constant("bias", -0.01 * np.arange(classes, dtype=np.float32)[None] - 2),
               constant("four", np.ones((1, 4), np.float32))]  # fmt: skip
    nodes = [
        helper.make_node("Abs", ["wave"], ["abs"]),
        helper.make_node("ReduceMean", ["abs", "axes"], ["mean"], keepdims=1),
        helper.make_node("MatMul", ["mean", "four"], ["embedding"]),
        helper.make_node("MatMul", ["mean", "gain"], ["scaled"]),
        helper.make_node("Add", ["scaled", "bias"], ["logits"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, size])
            for name, size in (("wave", window), ("embedding", 4), ("logits", classes))]  # fmt: skip
    made = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(model.SerializeToString())
    return path


def species(path: Path, count: int = CLASSES) -> Path:
    lines = ["Turdus merula_Eurasian Blackbird", "Dog_Dog", *(f"Genus species{i}_Bird {i}" for i in range(count - 2))]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def add(tmp_path: Path, *args: str) -> str:
    env = {"STREAMCLF_MODELS": str(tmp_path / "models")}
    result = CliRunner().invoke(models, ["add", *args], env=env, catch_exceptions=False, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return result.output


@pytest.mark.parametrize("batch", ["batch", 1])
def test_a_graph_of_six_thousand_species_runs_live(tmp_path: Path, batch: Any) -> None:
    told = add(
        tmp_path,
        str(graph(tmp_path / "Bird Net.onnx", batch=batch)),
        "--labels",
        str(species(tmp_path / "l.txt")),
        *SAID,
    )
    pack = load_pack(tmp_path / "models" / "bird-net")
    assert "licence: CC BY-NC-SA 4.0" in told
    assert (len(pack.labels), pack.manifest.window, pack.manifest.batch) == (CLASSES, WINDOW, batch == "batch")
    engine = Engine([PackRunner(pack, Session(pack))])
    ring = Ring(8 * RATE)
    engine.add(Stream("a", rate=RATE, ring=ring))
    engine.add(Stream("b", rate=RATE, ring=ring))
    engine.runners[0].set_hop(10)
    ring.write(np.tile(np.array([0.1, -0.1], np.float32), 2 * RATE))  # no constant, which would be removed as an offset
    rows = {
        output.stream: output.rows for output in engine.drain() if isinstance(output, FrameScores) and len(output.rows)
    }

    expected = 1 / (1 + np.exp(-(4.0 - 2.0 - 0.01 * np.arange(CLASSES))))
    for stream in ("a", "b"):
        assert np.abs(rows[stream] - expected).max() < 1e-4


def test_labels_are_ids_of_the_species_with_both_names_to_read() -> None:
    labels = species_labels(
        ["Turdus merula_Eurasian Blackbird", "Dog_Dog", "robin", "Turdus merula_Again"], group="bird"
    )
    assert [(label.id, label.name, label.group) for label in labels] == [
        ("turdus_merula", "Eurasian Blackbird (Turdus merula)", "bird"),
        ("dog", "Dog", "bird"),
        ("robin", "robin", "bird"),
        ("turdus_merula_2", "Again (Turdus merula)", "bird"),
    ]


def test_a_label_that_only_has_an_underscore_stays_whole() -> None:
    labels = species_labels(["dog_bark", "door_bell", "Turdus merula_Eurasian Blackbird"], group="sound")

    assert [label.id for label in labels] == ["dog_bark", "door_bell", "turdus_merula_eurasian_blackbird"]
    assert [label.name for label in labels][:2] == ["dog_bark", "door_bell"]


@pytest.mark.parametrize(
    ("change", "args", "fault", "sentence"),
    [
        ({}, ("--rate", "8000", "--licence", "x"), UsageError, "needs --labels: a text file with one label a line"),
        ({}, ("LABELS", "--licence", "x"), UsageError, "needs --rate"),
        ({}, ("LABELS",), UsageError, "needs --rate: .*; --licence: "),
        ({}, ("LABELS", "--rate", "8000"), UsageError, "needs --licence: the licence under which you have it"),
        ({}, ("LABELS", "--rate", "8001", "--licence", "x"), RateError, "no whole number of samples in 20 ms"),
        (
            {"classes": 10},
            ("LABELS", *SAID),
            UsageError,
            "the file of labels has 6000 labels; they have to be the same",
        ),
        ({"window": None}, ("LABELS", *SAID), UsageError, "say how long a window is with --window-ms"),
    ],
)
def test_what_does_not_fit_is_said(
    tmp_path: Path, change: dict[str, Any], args: tuple[str, ...], fault: type[Exception], sentence: str
) -> None:
    labels = ["--labels", str(species(tmp_path / "l.txt"))]
    words = [word for arg in args for word in (labels if arg == "LABELS" else [arg])]
    with pytest.raises(fault, match=sentence):
        add(tmp_path, str(graph(tmp_path / "m.onnx", **change)), *words)
    assert not list((tmp_path / "models").glob("*"))


def test_what_is_no_onnx_file_is_said(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(b"TFL3")
    labels = ("--labels", str(species(tmp_path / "l.txt")))
    with pytest.raises(PackError, match="is not an ONNX file; a TFLite or SavedModel has to be converted first"):
        add(tmp_path, str(tmp_path / "m.onnx"), *labels, *SAID)
    with pytest.raises(UsageError, match=r"--rate belongs to an \.onnx file, and yamnet is not one"):
        add(tmp_path, "yamnet", "--rate", "8000")


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("Perch_v2.onnx", (), Waveform(normalise="mean-peak", gain=0.25)),
        ("perch.onnx", ("--waveform", "normalise=none"), Waveform()),
        ("birds.onnx", (), Waveform()),
    ],
)
def test_perch_hears_windows_without_their_mean_and_with_a_peak_of_a_quarter(
    tmp_path: Path, name: str, more: tuple[str, ...], expected: Waveform
) -> None:
    source = graph(tmp_path / name, window=160_000, classes=5)
    said = ("--rate", "32000", "--licence", "Apache-2.0", *more)
    told = add(tmp_path, str(source), "--labels", str(species(tmp_path / "labels.txt", 5)), *said)
    (folder,) = (tmp_path / "models").iterdir()
    pack = load_pack(folder)
    assert pack.manifest.features == expected
    assert ("peak brought to 0.25" in told) == (expected.gain == 0.25)
    if expected.gain != 0.25:
        return
    engine = Engine([PackRunner(pack, Session(pack))])
    wave = np.sin(np.arange(160_000) / 7).astype(np.float32)
    best = []
    for at, samples in enumerate((0.02 * wave, 0.8 * wave)):
        outputs = run_blocks(engine, f"s{at}", rate=32_000, blocks=[samples])
        best.append(max(float(one.rows.max()) for some in outputs for one in some if isinstance(one, FrameScores)))
    # the graph gives sigmoid(40 * mean |x| - 2): of a sine with a peak of 0.25 that is 2 / pi * 0.25
    assert best == pytest.approx([1 / (1 + np.exp(2 - 40 * 0.5 / np.pi))] * 2, abs=1e-2)
