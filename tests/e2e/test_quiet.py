"""No process of ours speaks to anybody whom its user did not name, nor keeps anything about its user."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tools.lab.daemon import clean_env
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = pytest.mark.e2e

# to whom something is said: an address of the internet, or the daemon of the system that looks names up
_SPOKEN = re.compile(r"^\d+ +(?:connect|sendto|sendmsg|sendmmsg)\(.*(?:AF_INET|nscd)", re.MULTILINE)
LONG_S = 12
"""Left to itself, ONNX Runtime looks its host up 8 s after it was imported."""
IMPORT = ("-c", "import onnxruntime")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A fresh home, beside a pack and sound."""
    stateful_pack(tmp_path / "pack")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, LONG_S * RATE)
    soundfile.write(tmp_path / "noise.wav", noise[: 2 * RATE], RATE)
    soundfile.write(tmp_path / "long.wav", noise, RATE)
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def ran(*python: str, home: Path, quiet: str | None = None, under: tuple[str, ...] = ()) -> None:
    """Python, run to its end by somebody who has this home and has set nothing; `quiet` is ORT_DISABLE_TELEMETRY."""
    env = {name: value for name, value in clean_env(home).items() if not name.startswith(("XDG_", "ORT_"))}
    env |= {"HOME": str(home)} | ({} if quiet is None else {"ORT_DISABLE_TELEMETRY": quiet})
    done = subprocess.run(
        [*under, sys.executable, *python],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def kept(home: Path) -> list[str]:
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())


def classify(home: Path) -> list[str]:
    return ["-m", "streamclf", "classify", str(home.parent / "noise.wav"), "--model", str(home.parent / "pack")]


def daemon(home: Path, *, sound: str = "long") -> list[str]:
    """Plays the sound in its own time, with its page and its store."""
    source, pack = f"file:{home.parent}/{sound}.wav", str(home.parent / "pack")
    return ["-m", "streamclf", "run", "--source", source, "--model", pack, "--port", "0", "--until-end"]


@pytest.mark.parametrize("quiet", [None, "0", ""], ids=["unset", "0", "empty"])
def test_nothing_but_the_store_and_the_trial_of_a_pack_is_kept_in_the_home(home: Path, quiet: str | None) -> None:
    ran(*classify(home), home=home, quiet=quiet)
    trial = (".cache", "streamclf", "trials")
    assert {Path(name).parts[:3] for name in kept(home)} == {trial}
    ran(*daemon(home, sound="noise"), home=home, quiet=quiet)
    assert {Path(name).parts[:3] for name in kept(home)} == {trial, (".local", "share", "streamclf")}


@pytest.mark.parametrize("process", [classify, daemon])
def test_nobody_is_spoken_to(home: Path, process: Callable[[Path], list[str]]) -> None:
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed, which sees every connection")
    said = home.parent / "said"
    under = (strace, "-f", "-e", "trace=network", "-o", str(said))
    if subprocess.run([*under, "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    ran(*process(home), home=home, under=under)
    assert _SPOKEN.findall(said.read_text()) == []
    # and it would be seen
    connect = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('127.0.0.1', 9))"
    ran("-c", connect, home=home, under=under)
    assert _SPOKEN.findall(said.read_text()) != []


def test_a_file_of_onnx_runtime_would_be_seen(home: Path) -> None:
    ran(*IMPORT, home=home)
    if not kept(home):
        pytest.skip("this build of ONNX Runtime keeps nothing in the home")
    assert all("onnxruntime" in name for name in kept(home))


def test_processes_started_from_here_inherit_it() -> None:
    import streamclf.model  # noqa: F401

    assert os.environ["ORT_DISABLE_TELEMETRY"] == "1"
