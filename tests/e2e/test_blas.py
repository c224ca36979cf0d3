"""No process of ours lets BLAS divide its small products among threads: seen at the threads that processes have."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.commands.batch import FileWish
from streamclf.commands.workers import Workers
from streamclf.config import load
from tools.lab.daemon import clean_env

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2,
    reason="threads are read from /proc, and on one core BLAS begins none",
)

# runs a command, and says at its end how many threads there are that are not Python's
SCRIPT = """
import atexit, os, sys, threading
from streamclf.cli import main
atexit.register(lambda: print(len(os.listdir("/proc/self/task")) - threading.active_count(), file=sys.stderr))
main()
"""


def free_env(home: Path) -> dict[str, str]:
    return {key: value for key, value in clean_env(home).items() if not key.endswith("_NUM_THREADS")}


def foreign_threads(env: Mapping[str, str], *args: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *args], env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=120, check=True,
    )  # fmt: skip
    return int(done.stderr.splitlines()[-1])


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "noise.wav"
    soundfile.write(path, np.random.default_rng(0).uniform(-0.3, 0.3, 16_000), 16_000)
    return path


@pytest.mark.parametrize("command", ["run", "classify"])
def test_a_process_has_no_threads_of_blas(tmp_path: Path, sound: Path, command: str) -> None:
    env = free_env(tmp_path)
    args = ["classify", str(sound)]
    if command == "run":
        args = ["run", "--source", f"file:{sound}", "--until-end", "--fast", "--port", "0"]

    others = foreign_threads({**env, "OPENBLAS_NUM_THREADS": "1"}, *args)

    assert foreign_threads(env, *args) == others
    assert foreign_threads({**env, "OPENBLAS_NUM_THREADS": "2"}, *args) == others + 1, "whoever sets it keeps it"


def test_the_processes_of_classify_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in [key for key in os.environ if key.endswith("_NUM_THREADS")]:
        monkeypatch.delenv(key)
    with Workers(FileWish(load()), 1, tell=print, advance=lambda at, share: None) as workers:
        assert workers.packs
        assert [len(os.listdir(f"/proc/{pid}/task")) for pid in workers.pids] == [1]
