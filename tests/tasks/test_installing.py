"""What somebody does who installs the program by hand: an environment of its own, and pipx.

`sudo apt install` is not done here: what it brings is there already, or the test is skipped.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.documents import ROOT
from tests.support.home import LIMIT_S, Home, doing, new_home
from tests.support.packs import registry_answers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]


@pytest.fixture
def bare(tmp_path: Path) -> Home:
    """A home in which there is no streamclf yet."""
    if not registry_answers(tmp_path):
        pytest.skip("no package registry in reach, and pip installs from there")
    home = new_home(tmp_path / "home")
    home.limit_s = 500.0
    (home.folder / ".tools" / "streamclf").unlink()
    # what was fetched before is fetched no more, and what is never imported is not compiled
    own = os.environ | {"XDG_CACHE_HOME": ""}  # a person's, not that of this run
    ask = [sys.executable, "-m", "pip", "cache", "dir"]
    cache = subprocess.run(ask, env=own, capture_output=True, text=True, check=True).stdout.strip()
    home.env |= {"PIP_CACHE_DIR": cache, "PIP_NO_COMPILE": "1", "STREAMCLF_SOURCE": "demo"}
    home.env.pop("PYTHONPATH", None)
    home.env["PATH"] = os.pathsep.join([str(home.folder / ".tools"), "/usr/local/bin", "/usr/bin", "/bin"])
    return home


def test_an_environment_of_its_own(bare: Home) -> None:
    with doing("venv", bare) as script:
        assert script.skip().startswith("sudo apt install")
        script.next()
        script.next({"install .": f"install {ROOT}"})
        assert "a run would work" in script.next()
        assert "listening on http://127.0.0.1:" in script.next(until="listening on")
        script.next()
    assert not (bare.folder / "streamclf-env").exists()


def test_pipx(bare: Home) -> None:
    pytest.importorskip("pipx", reason="pipx is absent; it comes with the environment of tools/test")
    pipx = bare.put("~/.tools/pipx", f'#!/bin/sh\nexec "{sys.executable}" -m pipx "$@"\n')
    pipx.chmod(0o755)
    (bare.folder / ".bashrc").touch()
    checkout = {"'.[": f"'{ROOT}["}
    with doing("pipx", bare) as script:
        assert script.skip().startswith("sudo apt install")
        assert "streamclf" in script.next(checkout)
        script.next()
        bare.env["PATH"] = new_terminal(bare)
        assert "a run would work" in script.next()
        assert "listening on http://127.0.0.1:" in bare.first_with("listening on", script.skip())
        assert "streamclf" in script.next(checkout)
        script.next()
    assert not (bare.folder / ".local/bin/streamclf").exists()


def new_terminal(home: Home) -> str:
    """The path that a terminal has which is opened now."""
    done = subprocess.run(
        ["bash", "-ic", 'printf %s "$PATH"'], env=home.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=LIMIT_S, check=True,
    )  # fmt: skip
    return done.stdout
