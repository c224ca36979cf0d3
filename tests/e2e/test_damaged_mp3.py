"""A damaged mp3 is told in a sentence of ours; what its decoder prints past Python is on no standard error."""

import shutil
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.recordings import tone_clips
from tools.lab.daemon import run_cli
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e

RATE = 44_100


def damaged(path: Path) -> Path:
    """One that mpg123 prints of: bytes are wrong all over, and a stretch in the middle is nothing."""
    rng = np.random.default_rng(0)
    sound = 0.3 * np.sin(2 * np.pi * 440 * np.arange(4 * RATE) / RATE) + 0.05 * rng.standard_normal(4 * RATE)
    soundfile.write(path, sound, RATE)
    data = bytearray(path.read_bytes())
    data[4_000:9_000] = bytes(5_000)
    path.write_bytes(data[:-3_000])
    return path


def test_the_decoder_does_print_of_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with soundfile.SoundFile(damaged(tmp_path / "a.mp3")) as file, suppress(soundfile.LibsndfileError):
        file.read()
    assert "[src/libmpg123/" in capfd.readouterr().err, "the other tests here show nothing any more"


@pytest.mark.parametrize("more", [[], ["--fast"]])
def test_run(tmp_path: Path, more: list[str]) -> None:
    path, pack = damaged(tmp_path / "a.mp3"), stateful_pack(tmp_path / "pack")
    done = run_cli(
        "run", "--source", f"file:{path}", "--model", str(pack), "--no-store", "--until-end", "--port", "0", *more,
        home=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{path} is damaged: from " in done.stderr
    assert_ours(done.stderr)


def test_eval(tmp_path: Path) -> None:
    pytest.importorskip("sed_eval", reason="the extra `train` is not installed")
    data = tone_clips(tmp_path / "clips", count=2)
    bad = damaged(data / "low" / "bad.mp3")
    done = run_cli(
        "eval", str(stateful_pack(tmp_path / "pack")), "--data", str(data), "--labels-map", "low=loud",
        "--labels-map", "high=c1", home=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"data: {bad} is damaged: from " in done.stderr
    assert_ours(done.stderr)


def test_train(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is absent (pip install streamclf[train])")
    data = tone_clips(tmp_path / "clips", count=3)
    bad = damaged(data / "low" / "bad.mp3")
    shutil.copy(bad, data / "high" / "bad.mp3")
    done = run_cli(
        "train", "--arch", "convnet", "--mode", "sequence", "--width", "8", "--window", "0.6", "--epochs", "1",
        "--data", str(data), "--out", str(tmp_path / "out"), "--validation", "0", "--test", "0.3", "--threads", "1",
        home=tmp_path, timeout_s=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"{bad} is damaged: from " in done.stderr
    assert_ours(done.stderr)


def assert_ours(errors: str) -> None:
    """None of it is mpg123's."""
    for line in errors.splitlines():
        assert not line.startswith(("[src/", "Note: ", "Warning: ")), line
        assert line.strip(), "it prints empty lines, too"
