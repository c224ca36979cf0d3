"""Leaving a client early is clean in every way that Python has: nothing on standard error, warnings being errors."""

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import StartDaemon
from tests.support.leaving import GONE, HEAD, WAYS
from tools.lab.daemon import Daemon, clean_env, free_port, start_daemon
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One for all of them: that it serves the next is part of what is tested."""
    folder = tmp_path_factory.mktemp("left")
    log = folder / "daemon"
    held = start_daemon(arguments(folder), port=free_port(), env=clean_env(folder), log=log)
    try:
        held.wait_ready()
        yield held
    finally:
        held.stop()
    assert "Traceback" not in held.stderr


def arguments(folder: Path) -> list[str]:
    return ["--source", "demo", "--model", str(stateful_pack(folder / "tiny")), "--no-store"]


def run(script: str, daemon: Daemon, folder: Path) -> subprocess.CompletedProcess[str]:
    file = folder / "left.py"
    file.write_text(HEAD.format(url=daemon.url, pid=daemon.process.pid) + textwrap.dedent(script))
    return subprocess.run(
        [sys.executable, "-W", "error", "-X", "dev", str(file)],
        env=clean_env(folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("way", WAYS)
def test_it_is_left_without_a_word(way: str, running: Daemon, tmp_path: Path) -> None:
    ended = run(WAYS[way], running, tmp_path)

    assert (ended.stderr, ended.returncode) == ("", 0)


@pytest.mark.parametrize("way", GONE)
def test_it_is_left_without_a_word_when_the_daemon_has_gone(way: str, daemon: StartDaemon, tmp_path: Path) -> None:
    ended = run(GONE[way], daemon(*arguments(tmp_path)), tmp_path)

    assert (ended.stderr, ended.returncode) == ("", 0)
