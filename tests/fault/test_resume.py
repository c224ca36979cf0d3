"""A training run that is killed goes on as if nothing had been: it ends with the same weights, bit for bit."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch", reason="torch is absent (pip install streamclf[train])")
pytest.importorskip("transformers", reason="transformers is absent (pip install streamclf[train])")

from tests.support.recordings import tone_clips  # noqa: E402
from tools.lab.checkpoints import ctc_checkpoint  # noqa: E402
from tools.lab.daemon import clean_env, run_cli  # noqa: E402

if TYPE_CHECKING:
    from torch import Tensor

# three cold starts of torch and transformers, on a machine that may be busy
pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

EPOCHS = 12
STEPS_AN_EPOCH = 12
RUN_S = 240


def arguments(tmp_path: Path, name: str) -> list[str]:
    """A CTC encoder re-headed for frames, every augmentation on, a checkpoint every second step."""
    return [
        "train", "--mode", "frame", "--from", str(tmp_path / "ctc"), "--data", str(tmp_path / "clips"),
        "--out", str(tmp_path / name), "--epochs", str(EPOCHS), "--batch", "2", "--validation", "0.25", "--test", "0",
        "--patience", "0", "--checkpoint-steps", "2", "--threads", "1", "--offline",
    ]  # fmt: skip


def weights(run: Path) -> dict[str, "Tensor"]:
    """Everything that the last checkpoint of a run holds of tensors, by place."""
    found = {}

    def walk(value: object, place: str) -> None:
        if isinstance(value, torch.Tensor):
            found[place] = value
        elif isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{place}/{key}")

    walk(torch.load(run / "checkpoint.pt", weights_only=True), "")
    return found


def test_killed_half_way_and_resumed_it_ends_with_the_same_weights(tmp_path: Path) -> None:
    tone_clips(tmp_path / "clips", count=8)
    ctc_checkpoint(tmp_path / "ctc")
    whole = run_cli(*arguments(tmp_path, "whole"), home=tmp_path, timeout_s=RUN_S)
    assert whole.returncode == 0, whole.stderr

    kill_in_epoch(tmp_path, EPOCHS // 2)

    step, epoch, at = counts(tmp_path / "killed.run")
    assert EPOCHS // 2 <= epoch < EPOCHS, "it was killed too early or too late to show anything"
    assert at > 0, "it was killed between two epochs, where there is less to keep"
    assert step == epoch * STEPS_AN_EPOCH + at // 2
    assert not (tmp_path / "killed").exists()

    resumed = run_cli(*arguments(tmp_path, "killed"), "--resume", home=tmp_path, timeout_s=RUN_S)

    assert resumed.returncode == 0, resumed.stderr
    assert f"epoch {EPOCHS // 2 - 1} of" not in resumed.stderr, "it began from the start"
    expected, found = weights(tmp_path / "whole.run"), weights(tmp_path / "killed.run")
    assert expected.keys() == found.keys()
    assert any("/optimiser/" in place for place in expected)
    differ = [place for place in expected if not torch.equal(expected[place], found[place])]
    assert not differ
    graphs = [(tmp_path / name / "model.onnx").read_bytes() for name in ("whole", "killed")]
    assert graphs[0] == graphs[1]


def counts(run: Path) -> tuple[int, int, int]:
    """(steps, whole epochs, examples of the one begun) of the last checkpoint."""
    step, epoch, at, _ = torch.load(run / "checkpoint.pt", weights_only=True)["counts"]
    return step, epoch, at


def kill_in_epoch(tmp_path: Path, epoch: int) -> None:
    """Start the run and end it by SIGKILL where its last checkpoint lies inside an epoch from that one on."""
    checkpoint = tmp_path / "killed.run" / "checkpoint.pt"
    log = tmp_path / "killed.log"
    with (
        log.open("w") as told,
        subprocess.Popen(
            [sys.executable, "-m", "streamclf", *arguments(tmp_path, "killed")],
            env=clean_env(tmp_path),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=told,
        ) as process,
    ):
        try:
            until = time.monotonic() + RUN_S
            while f"epoch {epoch} of" not in log.read_text():
                assert process.poll() is None, f"it ended before: {log.read_text()}"
                assert time.monotonic() < until, f"it was too slow: {log.read_text()}"
                time.sleep(0.002)
            while process.poll() is None:
                # it stands still while it is looked at, so that what is seen is what it is killed at; between two
                # looks it must have time to take a step, or it would be looked at for ever
                process.send_signal(signal.SIGSTOP)
                if checkpoint.is_file() and counts(tmp_path / "killed.run")[2] > 0:
                    break
                process.send_signal(signal.SIGCONT)
                time.sleep(0.01)
        finally:
            process.kill()  # a stopped child would be waited for without end
        assert process.wait(RUN_S) == -signal.SIGKILL


def test_a_run_is_not_resumed_with_other_options(tmp_path: Path) -> None:
    tone_clips(tmp_path / "clips", count=4)
    args = ["train", "--arch", "convnet", "--mode", "sequence", "--data", str(tmp_path / "clips"), "--width", "4"]
    args += ["--out", str(tmp_path / "pack"), "--validation", "0", "--test", "0", "--epochs", "1", "--threads", "1"]
    assert run_cli(*args, home=tmp_path, timeout_s=RUN_S).returncode == 0

    again = run_cli(*args, "--replace", home=tmp_path, timeout_s=RUN_S)
    other = run_cli(*args, "--replace", "--resume", "--seed", "7", home=tmp_path, timeout_s=RUN_S)

    assert (again.returncode, other.returncode) == (2, 2)
    assert "holds a run already; go on with it by --resume" in again.stderr
    assert "was begun with seed 0, not 7" in other.stderr
