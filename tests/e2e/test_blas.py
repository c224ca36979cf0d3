"""No process of ours lets BLAS divide its small products among threads: seen at the running process."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.commands.fileear import FileWish
from streamclf.commands.workers import Workers
from streamclf.config import load
from tools.lab.daemon import clean_env

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or len(os.sched_getaffinity(0)) < 2,
    reason="threads are read from /proc, and on one core BLAS begins none",
)

# runs a command, and asks the library of products at its end how many threads it has, 0 where it is another one
SCRIPT = """
import atexit, ctypes, re, sys
from streamclf.cli import main

def threads():
    found = re.search(r"/\\S*openblas\\S*", open("/proc/self/maps").read())
    library = ctypes.CDLL(found[0]) if found else None
    names = ("scipy_openblas_get_num_threads64_", "scipy_openblas_get_num_threads", "openblas_get_num_threads")
    return next((getattr(library, name)() for name in names if hasattr(library, name)), 0)

atexit.register(lambda: print(threads(), file=sys.stderr))
main()
"""


def free_env(home: Path) -> dict[str, str]:
    return {key: value for key, value in clean_env(home).items() if not key.endswith("_NUM_THREADS")}


def blas_threads(env: Mapping[str, str], *args: str) -> int:
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
def test_products_of_a_process_have_one_thread(tmp_path: Path, sound: Path, command: str) -> None:
    env = free_env(tmp_path)
    args = ["classify", str(sound)]
    if command == "run":
        args = ["run", "--source", f"file:{sound}", "--until-end", "--fast", "--port", "0"]

    found = blas_threads(env, *args)
    if not found:
        pytest.skip("numpy does not compute with OpenBLAS here")
    assert found == 1
    assert blas_threads({**env, "OPENBLAS_NUM_THREADS": "2"}, *args) == 2, "whoever sets it keeps it"


def test_the_processes_of_classify_have_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in [key for key in os.environ if key.endswith("_NUM_THREADS")]:
        monkeypatch.delenv(key)
    with Workers(FileWish(load()), 1, tell=print, advance=lambda at, share: None) as workers:
        assert workers.packs
        assert [len(os.listdir(f"/proc/{pid}/task")) for pid in workers.pids] == [1]
