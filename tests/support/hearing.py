"""Listening to a daemon in a thread, a network cable that can be pulled, and whether two recordings are the same."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from streamclf.serve.sound import Heard, decode
from streamclf.types import F64, I16

_TAPS = 24


class Ear:
    """What was heard of one stream, and told about it, since it began to listen."""

    def __init__(self) -> None:
        self.heard: list[Heard] = []
        self.told: list[dict[str, Any]] = []

    @property
    def gaps(self) -> list[dict[str, Any]]:
        """The messages of gaps."""
        return [message for message in list(self.told) if message["type"] == "gap"]

    def said(self, state: str) -> bool:
        """Whether this is the last state that was told of the stream."""
        told = [message for message in list(self.told) if message["type"] == "status" and message["stream"]]
        states = [message["state"] for message in told]
        return states[-1:] == [state]

    @property
    def seconds(self) -> float:
        """Length of what was heard."""
        return sum(len(part.samples) / part.rate for part in list(self.heard))

    def runs(self) -> list[tuple[int, I16]]:
        """(first sample, samples) of each run without a jump."""
        runs: list[list[Heard]] = []
        for part in list(self.heard):
            if not runs or part.first_sample != runs[-1][-1].first_sample + len(part.samples):
                runs.append([])
            runs[-1].append(part)
        return [(run[0].first_sample, np.concatenate([part.samples for part in run])) for run in runs]


@contextmanager
def listening(url: str, stream: str) -> Iterator[Ear]:
    """Listens to `stream` until the block ends. Listening begins before the block does."""
    ear = Ear()
    with connect(f"{url}?tier=events&streams={stream}&audio={stream}", compression=None) as client:
        client.recv(timeout=20)
        client.recv(timeout=20)

        def listen() -> None:
            with suppress(ConnectionClosed):
                for message in client:
                    if isinstance(message, bytes):
                        ear.heard.append(decode(message))
                    else:
                        ear.told.append(json.loads(message))

        thread = threading.Thread(target=listen)
        thread.start()
        try:
            yield ear
        finally:
            client.close()
            thread.join()


class Cable:
    """A TCP connection to `port` of this machine by way of another port, until it is pulled."""

    def __init__(self, port: int) -> None:
        self._far = port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._plugged = True
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def pull(self) -> None:
        """End all connections, and take no new one."""
        with self._lock:
            self._plugged = False
            for pair in self._pairs:
                for end in pair:
                    with suppress(OSError):
                        end.shutdown(socket.SHUT_RDWR)
                    end.close()
            self._pairs.clear()

    def plug(self) -> None:
        """Take connections again."""
        self._plugged = True

    def close(self) -> None:
        """End all."""
        self.pull()
        self._server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            with self._lock:  # none may come through while it is pulled
                if not self._plugged:
                    near.close()
                    continue
                far = socket.create_connection(("127.0.0.1", self._far))
                self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(source, sink), daemon=True).start()


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def lag_of(heard: I16, played: I16) -> int:
    """heard[i] is played[i + lag]: where the two agree best."""
    size = 1 << (len(heard) + len(played)).bit_length()
    spectrum = np.fft.rfft(played.astype(np.float64), size) * np.conj(np.fft.rfft(heard.astype(np.float64), size))
    best = int(np.fft.irfft(spectrum, size).argmax())
    return best if best < size // 2 else best - size


class Likeness:
    """The short filter that a browser's resampling is, fitted where `heard` and `played` surely are the same."""

    def __init__(self, heard: I16, played: I16) -> None:
        self._weights = np.linalg.lstsq(_windows(played), heard[_TAPS : len(played) - _TAPS], rcond=None)[0]

    def errors(self, heard: I16, played: I16) -> F64:
        """What is left of `heard` less the filtered `played`, in units of the last bit. Both have the same length."""
        left: F64 = heard[_TAPS : len(played) - _TAPS].astype(np.float64) - _windows(played) @ self._weights
        return left


def _windows(played: I16) -> F64:
    return np.lib.stride_tricks.sliding_window_view(played.astype(np.float64), 2 * _TAPS + 1)
