"""A model and a recording become a picture, and nothing is installed."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

pytest.importorskip("PIL", reason="pillow is absent (pip install streamclf[picture])")

from streamclf.cli import cli
from streamclf.errors import StreamclfError
from tests.support.graphs import CLASSES, RATE, WINDOW, wave
from tools.lab.tinypack import stateful_pack, window_row_pack


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Three seconds, of which the second one is loud."""
    samples = np.zeros(3 * RATE, dtype=np.float32)
    samples[RATE : 2 * RATE] = 0.3 * np.sin(np.arange(RATE))
    soundfile.write(tmp_path / "rec.wav", samples, RATE)
    return tmp_path / "rec.wav"


def call(tmp_path: Path, *args: str) -> Result:
    env = {"STREAMCLF_MODELS": str(tmp_path / "models"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    return CliRunner().invoke(cli, ["try", *args], env=env, catch_exceptions=True)


def test_events_of_a_pack_are_told_and_drawn_with_their_lanes(tmp_path: Path, recording: Path) -> None:
    from PIL import Image

    pack, out = stateful_pack(tmp_path / "pack"), tmp_path / "seen.png"
    told = call(tmp_path, str(pack), str(recording), "--out", str(out), "--lane", "loud")
    assert told.exit_code == 0, told.output
    assert "rec.wav: 3.00 s, tiny-stateful every 20 ms, 2 events" in told.output
    (event,) = [line.split() for line in told.output.splitlines() if "Loud" in line]
    assert abs(float(event[0]) - 1.0) <= 0.02
    assert abs(float(event[1]) - 2.0) <= 0.2
    with Image.open(out) as image:
        assert image.size == (1280, 720)
    assert not (tmp_path / "models").exists()


def test_a_part_of_a_recording_keeps_its_times(tmp_path: Path, recording: Path) -> None:
    pack = window_row_pack(tmp_path / "pack")
    told = call(
        tmp_path, str(pack), str(recording), "--out", str(tmp_path / "a.png"), "--from", "1.5", "--seconds", "1"
    )
    assert told.exit_code == 0, told.output
    assert "rec.wav: 1.00 s" in told.output
    assert "1.50" in told.output


def test_an_onnx_file_takes_the_options_of_models_add(tmp_path: Path, recording: Path) -> None:
    graph = wave(tmp_path / "m.onnx", ["n", WINDOW], ["n", CLASSES])
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"kind {number}\n" for number in range(CLASSES)))
    said = ["--labels", str(labels), "--rate", str(RATE), "--out", str(tmp_path / "a.png")]
    told = call(tmp_path, str(graph), str(recording), *said)
    assert told.exit_code == 0, told.output
    assert "activation       sigmoid" in told.output
    assert (tmp_path / "a.png").is_file()


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["nothere", "REC"], "there is no pack named 'nothere'"),
        (["PACK", "nothere.wav"], "nothere.wav"),
        (["PACK", "REC", "--lane", "cat"], "--lane cat is no label of tiny-stateful"),
        (["PACK", "REC", "--from", "60"], "has no sound from 60 s on"),
        (["PACK", "REC", "--rate", "8000"], "--rate belongs to an .onnx file"),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(tmp_path: Path, recording: Path, args: list[str], sentence: str) -> None:
    places = {"PACK": str(stateful_pack(tmp_path / "pack")), "REC": str(recording)}
    fault = call(tmp_path, *[places.get(arg, arg) for arg in args], "--out", str(tmp_path / "a.png")).exception
    assert isinstance(fault, StreamclfError)
    assert sentence in str(fault)
    assert "\n" not in str(fault)


def test_a_checkpoint_that_is_not_there_is_said_to_be_missing_before_torch_is(tmp_path: Path, recording: Path) -> None:
    done = call(tmp_path, str(tmp_path / "nowhere"), str(recording))
    assert isinstance(done.exception, StreamclfError)
    assert "nowhere is not there; give a pack" in str(done.exception)
