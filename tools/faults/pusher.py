"""A client that pushes samples at real time, and can be told to do it badly."""

import json
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Any

import numpy as np
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from tools.faults.material import phrase

RATE = 16_000
BLOCK = 320
Samples = "np.ndarray[tuple[int], np.dtype[np.float32]]"


class Pusher:
    """Connects at once; sends `sound` over and over from `start` on. token: shown where one is needed."""

    def __init__(self, url: str, stream: str, *, token: str = "", sender: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else None
        self._client = connect(
            f"{url}?tier=events&streams={stream}", compression=None, additional_headers=headers, proxy=None
        )
        self.errors: list[dict[str, Any]] = []
        self.closed = threading.Event()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.order(type="push", stream=stream, rate=RATE, format="f32le", sender=sender)
        self.next_sample = 0
        self.sound = phrase(RATE)
        self._flowing = threading.Event()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="pusher")
        self._thread.start()

    def start(self) -> None:
        """Send, from now on at real time."""
        self._flowing.set()

    def stop(self) -> None:
        """Send nothing, and stay connected."""
        self._flowing.clear()

    def skip(self, samples: int) -> None:
        """Leave out so many of the count."""
        self.next_sample += samples

    def order(self, **fields: Any) -> None:
        """A JSON message."""
        self._client.send(json.dumps(fields))

    def send(self, samples: "np.ndarray[tuple[int], np.dtype[np.float32]]", *, first: int | None = None) -> None:
        """A block; first: its index, by default the next one."""
        at = self.next_sample if first is None else first
        if first is None:
            self.next_sample += len(samples)
        self._client.send(struct.pack("<Q", at % (1 << 64)) + samples.astype("<f4").tobytes())

    def raw(self, data: bytes) -> None:
        """A binary message as it is."""
        self._client.send(data)

    def die(self) -> None:
        """Break off, without a word."""
        with suppress(OSError):
            self._client.socket.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self) -> None:
        """Say good-bye."""
        self._ending.set()
        self._flowing.set()
        self._thread.join(3)
        with suppress(Exception):
            self._client.close()

    def _run(self) -> None:
        due_s = 0.0
        while not self._ending.is_set():
            if not self._flowing.is_set():
                self._flowing.wait()
                due_s = 0.0
                continue
            now_s = time.monotonic()
            due_s = due_s or now_s  # what a busy machine held up is sent later, as a client with a buffer does
            if due_s > now_s:
                time.sleep(due_s - now_s)
            due_s += BLOCK / RATE
            at = self.next_sample % (len(self.sound) - len(self.sound) % BLOCK)
            try:
                self.send(self.sound[at : at + BLOCK])
            except (OSError, WebSocketException):
                return

    def _listen(self) -> None:
        try:
            for message in self._client:
                if isinstance(message, str) and '"type":"error"' in message.replace(" ", ""):
                    self.errors.append(json.loads(message))
        except (OSError, WebSocketException):
            pass
        self.closed.set()
