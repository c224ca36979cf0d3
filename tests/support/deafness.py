"""What a monitor sees of a daemon that does not hear: its health, asked ten times a second, and how soon it changed."""

import json
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tools.lab.daemon import Daemon

RATE = 16_000
BLOCK = RATE // 50
LIMIT_S = 60.0
_ASK_S = 0.05


def health(daemon: Daemon) -> tuple[int, dict[str, Any]]:
    """The code and the body of `/healthz`."""
    status, body = daemon.get("/healthz")
    found: dict[str, Any] = json.loads(body)
    return status, found


def until(daemon: Daemon, wanted: Callable[[int, dict[str, Any]], bool], what: str) -> tuple[float, dict[str, Any]]:
    """Seconds until health is as wanted, and its body."""
    began_s = time.monotonic()
    while True:
        status, found = health(daemon)
        if wanted(status, found):
            return time.monotonic() - began_s, found
        assert time.monotonic() < began_s + LIMIT_S, f"{what} was not seen: {status} {found}\n{daemon.stderr}"
        time.sleep(_ASK_S)


def not_ok(status: int, found: dict[str, Any]) -> bool:
    """Whether a monitor that looks for "ok" would be alarmed."""
    return str(found["status"]) != "ok"


def well(status: int, found: dict[str, Any]) -> bool:
    return (status, found["status"]) == (200, "ok")


def bad(state: str) -> Callable[[int, dict[str, Any]], bool]:
    """Whether the one stream is in `state`, and health is 503 for it."""
    return lambda status, found: status == 503 and [stream["state"] for stream in found["streams"]] == [state]


def lasts(daemon: Daemon, state: str, seconds: float) -> None:
    """It stays in `state` and 503."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        status, found = health(daemon)
        assert bad(state)(status, found), found
        time.sleep(_ASK_S)


def told(daemon: Daemon, words: str) -> int:
    """How often the log says so."""
    return daemon.stderr.count(words)


class Sender:
    """Writes noise in blocks of 20 ms, as it would be captured; what is made while it is held is never sent."""

    def __init__(self, send: Callable[[bytes], object]) -> None:
        self._send = send
        self._flowing = threading.Event()
        self._flowing.set()
        self._ended = threading.Event()
        self.value: float | None = None
        """What all samples are; None for noise."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hold(self) -> None:
        self._flowing.clear()

    def go_on(self) -> None:
        self._flowing.set()

    def end(self) -> None:
        self._ended.set()
        self._flowing.set()
        self._thread.join(10)

    def _run(self) -> None:
        rng = np.random.default_rng(1)
        next_s = time.monotonic()
        while not self._ended.is_set():
            if not self._flowing.is_set():
                self._flowing.wait()
                next_s = time.monotonic()
            sound = rng.normal(0, 0.01, BLOCK) if self.value is None else np.full(BLOCK, self.value)
            try:
                self._send((sound * 32767).astype("<i2").tobytes())
            except (OSError, ValueError):
                return
            next_s += BLOCK / RATE
            time.sleep(max(0.0, next_s - time.monotonic()))


def into(fd: int) -> Callable[[bytes], object]:
    return lambda data: os.write(fd, data)
