"""Where address space is limited, as by `ulimit -v` or in a small container, the default pack still hears."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tools.lab.daemon import clean_env

resource = pytest.importorskip("resource", reason="limits of memory are those of POSIX")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not hold to a limit of address space")
MIB = 1 << 20
LIMIT = 400 * MIB


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    """Three seconds of noise."""
    path = tmp_path / "noise.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.3, 0.3, 48_000), 16_000)
    return path


def ran(home: Path, *args: str, limit: int = LIMIT) -> subprocess.CompletedProcess[str]:
    """`streamclf ARGS` with this much address space."""
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({limit}, {limit}))
from streamclf.cli import main
main()
"""
    env = {name: value for name, value in clean_env(home).items() if name != "OPENBLAS_NUM_THREADS"}
    return subprocess.run(
        [sys.executable, "-c", code, *args], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip


def test_files_are_classified(tmp_path: Path, sound: Path) -> None:
    done = ran(tmp_path, "classify", str(sound), "--scores", "--out", str(tmp_path / "scores.ndjson"))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_daemon_listens_and_serves(tmp_path: Path, sound: Path) -> None:
    """Several times, since what its threads set aside lies elsewhere each time."""
    for _ in range(3):
        done = ran(tmp_path, "run", "--source", f"file:{sound}", "--until-end", "--port", "0", "--fast")
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize("mib", [140, 157, 175, 200, 274, 290, 310, 330])
def test_where_it_is_too_little_a_sentence_is_all_that_is_said(tmp_path: Path, sound: Path, mib: int) -> None:
    """It ends while libraries are loaded or before the first thread: a library in C++ that finds no room just ends."""
    done = ran(
        tmp_path, "run", "--source", f"file:{sound}", "--port", "0", "--no-store", "--until-end", limit=mib * MIB
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1), done.stderr
    if mib < 200 or done.returncode:  # more may be enough, with other versions of the libraries
        assert done.returncode == 1
        assert "raise its limits" in done.stderr.splitlines()[-1]
