"""What the real daemon tells a service manager, over a real socket."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import StartDaemon
from tests.support.faulty import HANGING, start_faulty
from tools.lab.daemon import Daemon
from tools.lab.tinypack import stateful_pack

LIMIT_S = 60.0
WATCHDOG_S = 3.0


class Manager:
    """A service manager. told: every line so far."""

    def __init__(self, address: str) -> None:
        self.told: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._socket.settimeout(0.05)

    def listen(self, seconds: float) -> list[str]:
        """What is told in so many seconds."""
        heard: list[str] = []
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                heard += self._socket.recv(4096).decode().splitlines()
            except TimeoutError:
                continue
        self.told += heard
        return heard

    def until(self, line: str) -> None:
        """Return when a line is told that begins so."""
        deadline = time.monotonic() + LIMIT_S
        while not any(told.startswith(line) for told in self.listen(0.05)):
            assert time.monotonic() < deadline, f"{line!r} was not told: {self.told}"

    def close(self) -> None:
        self._socket.close()


@contextmanager
def managed(address: str, name: str, tmp_path: Path, daemon: StartDaemon) -> Iterator[tuple[Manager, Daemon]]:
    manager = Manager(address)
    env = {"NOTIFY_SOCKET": name, "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}
    try:
        pack = str(stateful_pack(tmp_path / "pack"))
        yield manager, daemon("--source", "demo", "--model", pack, env=env, ready=False)
    finally:
        manager.close()


@pytest.mark.parametrize("kind", ["file", "abstract"])
def test_ready_alive_and_stopping(tmp_path: Path, daemon: StartDaemon, kind: str) -> None:
    path = f"{tmp_path}/notify"[-90:] if kind == "abstract" else str(tmp_path / "n")
    address, name = ("\0" + path, "@" + path) if kind == "abstract" else (path, path)
    with managed(address, name, tmp_path, daemon) as (manager, running):
        manager.until("READY=1")
        assert running.get("/v1/status")[0] == 200, "ready, but it does not answer"
        if not any(line.startswith("STATUS=1 of 1 streams heard") for line in manager.told):
            manager.until("STATUS=1 of 1 streams heard")
        manager.until("WATCHDOG=1")
        manager.until("WATCHDOG=1")
        running.process.send_signal(signal.SIGTERM)
        manager.until("STOPPING=1")
        assert running.wait(LIMIT_S) == 0


def test_a_daemon_whose_model_thread_is_locked_gives_no_sign_of_life(tmp_path: Path, free_port: int) -> None:
    manager = Manager(str(tmp_path / "n"))
    env = {"NOTIFY_SOCKET": str(tmp_path / "n"), "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}
    args = ["--source", "demo", "--model", str(stateful_pack(tmp_path / "pack"))]
    running = start_faulty("model-locked", args, port=free_port, home=tmp_path, env=env)
    try:
        manager.until("WATCHDOG=1")
        running.wait_for(HANGING, LIMIT_S)
        manager.listen(WATCHDOG_S)  # what was on its way, and the one for the time before
        assert "WATCHDOG=1" not in manager.listen(2 * WATCHDOG_S)
    finally:
        manager.close()
        running.kill()


def test_a_daemon_that_stands_still_gives_no_sign_of_life(tmp_path: Path, daemon: StartDaemon) -> None:
    with managed(str(tmp_path / "n"), str(tmp_path / "n"), tmp_path, daemon) as (manager, running):
        manager.until("WATCHDOG=1")
        running.process.send_signal(signal.SIGSTOP)
        try:
            manager.listen(0.5)  # what was on its way
            assert "WATCHDOG=1" not in manager.listen(2 * WATCHDOG_S)
        finally:
            running.process.send_signal(signal.SIGCONT)
        manager.until("WATCHDOG=1")
        assert "problem" not in running.stderr
