"""Every command and program of README.md is run, as it stands there, beside a daemon that hears the demo.

Three kinds are only looked at, since they install something: `tools/run` and `tools/test` have to be programs that bash
can read, and the recipe of `streamclf models add` has to exist (tests/parity/test_yamnet_recipe.py installs one). A
line that speaks to the daemon at port 8765 is given the port of the one that runs here.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.audio.sources.spec import parse_source
from streamclf.model.recipes import RECIPES
from tests.support.documents import README, ROOT, Block, blocks, code, commands
from tools.lab.daemon import READY_S, Daemon, clean_env, free_port, start_daemon
from tools.reference.tasks import SCRIPTS, read

pytestmark = pytest.mark.e2e

RULES = """\
[sink.notebook]
type = "ndjson"
path = "FOLDER/alerts.ndjson"

[[rule]]
name = "birds"
labels = ["group:bird"]
"""
LIMIT_S = 120.0
PROGRAMS_ON = (README, ROOT / "docs" / "use" / "labels.md")
SHELL = [pytest.param(block, id=block.name) for block in blocks(README, "sh")]
PYTHON = [pytest.param(block, id=block.name) for page in PROGRAMS_ON for block in blocks(page, "python")]
JAVASCRIPT = [pytest.param(block, id=block.name) for page in PROGRAMS_ON for block in blocks(page, "js")]


@dataclass(frozen=True, slots=True)
class House:
    """A folder to work in, an environment, and the daemon that runs there."""

    folder: Path
    env: dict[str, str]
    daemon: Daemon

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.daemon.port}"

    def run(self, *words: str) -> str:
        """Runs a command to its end, which must be a good one; what it printed."""
        done = subprocess.run(
            words, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=LIMIT_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{' '.join(words)} ended with {done.returncode}:\n{done.stderr}"
        return done.stdout

    def first_with(self, wanted: str, *words: str) -> str:
        """Starts a command that never ends; the first line it prints that holds `wanted`."""
        process = subprocess.Popen(
            words, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        timer = threading.Timer(LIMIT_S, process.kill)
        timer.start()
        try:
            for line in process.stdout:
                if wanted in line:
                    return line
            raise AssertionError(f"{' '.join(words)} ended with {process.wait()} before it said {wanted}")
        finally:
            timer.cancel()
            process.kill()
            process.stdout.close()
            process.wait()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("readme")
    env = clean_env(folder, {"STREAMCLF_SCORES_ENABLED": "true"})
    (folder / "config" / "streamclf").mkdir(parents=True)
    (folder / "config" / "streamclf" / "rules.toml").write_text(RULES.replace("FOLDER", str(folder)))
    shutil.copy(DEMO_FILE, folder / "night.flac")
    daemon = start_daemon(("--source", "demo#store=yes"), port=free_port(), env=env, log=folder / "daemon")
    try:
        daemon.wait_ready()
        yield House(folder, env, daemon)
    finally:
        daemon.stop()


@pytest.mark.timeout(600)
@pytest.mark.parametrize("block", SHELL)
def test_shell(block: Block, house: House, request: pytest.FixtureRequest) -> None:
    for words in commands(block.text):
        _run(words, house, request)


@pytest.mark.parametrize("block", PYTHON)
def test_python(block: Block, house: House) -> None:
    program = house.folder / "labels.py"
    program.write_text(_here(block, house))
    assert "label='bird'" in house.first_with("Event(", sys.executable, "-u", str(program))


@pytest.mark.parametrize("block", JAVASCRIPT)
def test_javascript(block: Block, house: House) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here")
    program = house.folder / "labels.js"
    program.write_text(_here(block, house))
    # node has the browser's WebSocket from 22 on, and before behind this flag
    assert house.first_with("type: 'scores'", node, "--experimental-websocket", str(program))


def test_sources_can_be_read() -> None:
    sources = [words[at + 1] for text in code(README) for words in commands(text) for at in _places(words)]
    assert len(sources) >= 7
    for source in sources:
        parse_source(source)


def _here(block: Block, house: House) -> str:
    """The program, with the address of the daemon that runs here."""
    return re.sub(r"127\.0\.0\.1:8765|birds\.local", house.url, block.text)


def _places(words: list[str]) -> list[int]:
    return [at for at, word in enumerate(words[:-1]) if word == "--source"]


def _run(words: list[str], house: House, request: pytest.FixtureRequest) -> None:
    match words:
        case [tool] if tool.startswith("tools/"):
            assert os.access(ROOT / tool, os.X_OK)
            house.run("bash", "-n", str(ROOT / tool))
        case ["streamclf", "models", "add", recipe]:
            assert recipe in RECIPES
        case ["streamclf", "run", *options]:
            packs: Path = request.getfixturevalue("packs_dir")
            _start(options, house, {"STREAMCLF_MODELS": str(packs)})
        case ["streamclf", "listen", *_]:
            assert '"type":"event"' in house.first_with('"event"', *_ours(words), house.url)
        case ["streamclf", "snapshot", *_]:
            house.run(*_ours(words), "--url", house.url)
        case ["streamclf", ("replay" | "calibrate"), *_]:
            _wait_for_scores(house)
            house.run(*_ours(words))
        case ["streamclf", "export", *_] | ["streamclf", "models", "verify", *_]:
            # a task of its own, which tests/tasks/test_models.py does
            assert " ".join(words) in read(SCRIPTS / "checkpoint.md").commands
        case ["streamclf", *_]:
            house.run(*_ours(words))
        case _:
            raise AssertionError(f"this test does not know how to run {' '.join(words)}")


def _ours(words: list[str]) -> list[str]:
    return [sys.executable, "-m", *words]


def _start(options: list[str], house: House, more: dict[str, str]) -> None:
    """A daemon with these options begins to listen and stops when it is told to."""
    env = house.env | {"STREAMCLF_STORE_PATH": str(house.folder / "other")} | more
    running = start_daemon(options, port=free_port(), env=env, log=house.folder / "other-daemon")
    try:
        running.wait_for("listening on", READY_S)  # healthy it may not be: this machine may have no microphone
    finally:
        assert running.stop(signal.SIGINT) in (0, 130)


def _wait_for_scores(house: House) -> None:
    """Until the first rows are in the log, which is written every ten seconds."""
    deadline = time.monotonic() + LIMIT_S
    while "default" not in house.run(*_ours(["streamclf", "scores", "list"])):
        assert time.monotonic() < deadline, "the daemon logged no scores"
        time.sleep(0.5)
