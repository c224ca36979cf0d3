"""Packs on a real tritonserver, daemons that use it, and what a subscriber gets of them."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.sync.client import ClientConnection, connect

from tests.conftest import StartDaemon
from tests.support.recordings import bursts
from tools.lab.daemon import Daemon, run_cli
from tools.lab.tritonserver import TritonServer, TritonUnavailableError, environment

LIMIT_S = 90.0
HOP = 320  # samples of a frame at 16 kHz


@pytest.fixture(scope="module")
def triton() -> None:
    try:
        environment()
    except TritonUnavailableError as reason:
        pytest.skip(f"no real tritonserver: {reason}")


@pytest.fixture
def served(triton: None, tmp_path: Path) -> Iterator[Callable[..., TritonServer]]:
    """Starts a server with these packs, which `models triton` writes."""
    begun = []

    def serve(*packs: object, env: dict[str, str] | None = None, options: tuple[str, ...] = ()) -> TritonServer:
        folder = written(tmp_path, *packs, env=env)
        begun.append(TritonServer(folder, *options))
        begun[-1].start()
        return begun[-1]

    yield serve
    for one in begun:
        one.close()


def written(home: Path, *packs: object, env: dict[str, str] | None = None) -> Path:
    folder = home / "repository"
    for pack in packs:
        done = run_cli("models", "triton", str(pack), str(folder), home=home, env=env)
        assert done.returncode == 0, done.stderr
    return folder


def rows_of(sound: Path, packs: list[str], home: Path, env: dict[str, str]) -> dict[str, Any]:
    """Every array that `classify --scores` writes of it."""
    models = [word for pack in packs for word in ("--model", pack)]
    out = home / f"rows-{len(list(home.iterdir()))}"
    done = run_cli(
        "classify", str(sound), *models, "--scores", "--format", "npz", "--out", str(out), home=home, env=env
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = {}
    for file in out.rglob("*.npz"):
        with np.load(file, allow_pickle=False) as arrays:
            found |= {f"{file.name} {name}": values for name, values in arrays.items()}
    return found


class Heard:
    """What a subscriber gets of one daemon."""

    def __init__(self, daemon: Daemon, connection: ClientConnection) -> None:
        self._connection = connection
        self._daemon = daemon
        self.rows: dict[int, list[float]] = {}
        self.gaps: list[tuple[int, int, str]] = []
        self.first = -1

    def until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not done():
            assert time.monotonic() < deadline, f"{what}\n{self._daemon.stderr}"
            try:
                message = json.loads(self._connection.recv(timeout=0.1))
            except TimeoutError:
                continue
            if message["type"] == "error":
                raise AssertionError(message)
            if message["type"] == "scores":
                for index, row in enumerate(message["rows"]):
                    frame = message["first_frame"] + index
                    assert frame not in self.rows, "a row came twice"
                    self.rows[frame] = row
                    self.first = frame if self.first < 0 else self.first
            if message["type"] == "gap":
                self.gaps.append((message["first_sample"] // HOP, message["last_sample"] // HOP, message["reason"]))

    def more(self, count: int = 50) -> None:
        """So many rows more come."""
        before = len(self.rows)
        self.until(lambda: len(self.rows) >= before + count, "no rows come")

    def whole(self) -> None:
        """Each frame since the first row has a row or lies in a gap, and none both."""
        lost = {frame for first, last, _ in self.gaps for frame in range(first, last + 1) if frame >= self.first}
        assert not lost & set(self.rows), "rows of frames that a gap tells of"
        assert sorted(lost | set(self.rows)) == list(range(self.first, max(self.rows) + 1)), "frames without a word"


@pytest.fixture
def hearing(daemon: StartDaemon, tmp_path: Path) -> Iterator[Callable[..., tuple[Daemon, Heard]]]:
    """Starts a daemon that plays a recording over and over, and a subscriber of it."""
    sound = bursts(tmp_path / "garden.wav", [0.5], seconds=1.5)
    connections = ExitStack()

    def start(pack: Path, server: TritonServer, **more: str) -> tuple[Daemon, Heard]:
        env = {"STREAMCLF_KSERVE_URL": server.address, "STREAMCLF_LOUDNESS_ENABLED": "false"} | more
        running = daemon("--source", f"file:{sound}#loop=yes&name=mic", "--model", str(pack), env=env, ready=False)
        running.wait_for("listening on", LIMIT_S)
        link = connections.enter_context(connect(f"{running.url}?tier=batch", compression=None, max_size=None))
        return running, Heard(running, link)

    with connections:
        yield start


def problems(running: Daemon) -> str:
    return json.dumps(running.get_json("/v1/status")["problems"], ensure_ascii=False)
