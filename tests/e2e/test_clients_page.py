"""Every program on the page about clients runs as it stands there, against a real daemon that hears the demo."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.node import ROOT, WEBSOCKET, build_client, needs_node
from tools.lab.daemon import Daemon, clean_env, free_port, start_daemon

PAGE = ROOT / "docs" / "developers" / "clients.md"
ADDRESS = "127.0.0.1:8765"  # on the page
LINES = 4
BLOCKS = re.findall(r"^```(js|python)\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
PYTHON = [text for language, text in BLOCKS if language == "python"]
JAVASCRIPT = [text for language, text in BLOCKS if language == "js"]

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with the default model, which hears birds in the demo."""
    folder = tmp_path_factory.mktemp("daemon")
    daemon = start_daemon(
        ["--source", "demo", "--no-store"], port=free_port(), env=clean_env(folder), log=folder / "daemon"
    )
    try:
        daemon.wait_ready()
        yield daemon
    finally:
        daemon.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where `streamclf-client` is installed."""
    folder = tmp_path_factory.mktemp("site")
    built = build_client(tmp_path_factory.mktemp("client"))
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "streamclf-client").symlink_to(built)
    return folder


def first_lines(command: list[str]) -> list[str]:
    """What a program prints at first; most of them never end."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [line for _, line in zip(range(LINES), process.stdout, strict=False)]
        process.kill()
        assert len(lines) == LINES, process.stderr.read()
    return lines


@pytest.mark.timeout(60)
@pytest.mark.parametrize("program", PYTHON, ids=range(len(PYTHON)))
def test_python(running: Daemon, tmp_path: Path, program: str) -> None:
    file = tmp_path / "program.py"
    file.write_text(program.replace(ADDRESS, f"127.0.0.1:{running.port}"))

    assert first_lines([sys.executable, "-u", str(file)])


@needs_node
@pytest.mark.timeout(60)
@pytest.mark.parametrize("program", JAVASCRIPT, ids=range(len(JAVASCRIPT)))
def test_javascript(running: Daemon, site: Path, program: str) -> None:
    file = site / "program.mjs"
    file.write_text(program.replace(ADDRESS, f"127.0.0.1:{running.port}"))

    assert first_lines(["node", *WEBSOCKET, str(file)])


def test_each_way_has_a_binary_example() -> None:
    binary = [text for text in (*PYTHON, *JAVASCRIPT) if re.search(r"encoding\W+(u8|f16)", text)]

    assert len(binary) == 4
    assert len(BLOCKS) == 7
