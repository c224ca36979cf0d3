"""`streamclf export --running-statistics` as a user runs it: what it costs is printed, and the pack verifies."""

from pathlib import Path

import pytest
import soundfile

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("transformers", reason="the extra `train` is not installed")

from streamclf.train.export.parity import signal
from tools.lab.checkpoints import RATE, save_checkpoint
from tools.lab.daemon import run_cli

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]
LIMIT_S = 300.0


def test_the_loss_is_printed_and_the_pack_verifies(tmp_path: Path) -> None:
    folder = save_checkpoint("Wav2Vec2ForSequenceClassification", tmp_path / "checkpoint")
    sounds = tmp_path / "sounds"
    sounds.mkdir()
    for number in range(3):
        soundfile.write(sounds / f"{number}.flac", signal(RATE, RATE, seed=number), RATE)
    out = tmp_path / "pack"
    done = run_cli(
        "export", str(folder), "--out", str(out), "--window-ms", "400",
        "--running-statistics", "--measure-on", str(sounds),
        home=tmp_path, timeout_s=LIMIT_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = {line[:20].strip(): line[20:].strip() for line in done.stdout.splitlines()}
    assert told["running statistics"].endswith("in 3 s of 3 recordings of sounds, against the window run anew:")
    assert 0 < float(told["same top class"].removesuffix(" %")) <= 100
    off, _, _ = told["probabilities"].partition(" off in the mean")
    assert 0 < float(off) < 1
    assert " ms in place of " in told["saves"]
    assert told["ONNX, batch 1"].endswith("from torch by running statistics' definition")

    verified = run_cli("models", "verify", str(out), home=tmp_path)
    assert verified.returncode == 0, verified.stderr
    assert "statistics of the sound before" in verified.stdout


def test_a_recording_that_is_not_there_is_a_mistake_on_the_command_line(tmp_path: Path) -> None:
    done = run_cli("export", "nowhere", "--out", str(tmp_path / "pack"), "--measure-on", "nothing", home=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "'nothing' does not exist" in done.stderr
