"""Samples that a client sends: a remote microphone, later the browser's."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from streamclf.errors import ServeError
from streamclf.serve import wire
from streamclf.types import F32

_INDEX_BYTES = 8


class PushSink(Protocol):
    """Where a `push` stream takes its samples. rate: Hz. Called from the server's thread; must not block."""

    rate: int

    def connect(self) -> None:
        """A client begins to send."""

    def feed(self, first_sample: int, samples: F32) -> None:
        """samples: (n, ) float32 in [-1, 1]; `first_sample` is the client's own count."""

    def disconnect(self) -> None:
        """The client is gone, or sends no more."""


class PushDesk:
    """Says who may send to which stream: one client each."""

    def __init__(self, sinks: Mapping[str, PushSink]) -> None:
        self.sinks = sinks
        self.taken: set[str] = set()

    def open(self, push: wire.Push) -> "PushSession":
        """Raises `ServeError` where the stream does not exist, is taken, or has another rate."""
        sink = self.sinks.get(push.stream)
        if sink is None:
            hint = wire.nearest(push.stream, list(self.sinks)) or "; start the daemon with --source push:NAME"
            raise ServeError(f"there is no push stream '{push.stream[:80]}' here{hint}")
        if push.stream in self.taken:
            raise ServeError(f"another client sends to stream '{push.stream}' already; it has to disconnect first")
        if push.rate != sink.rate:
            raise ServeError(f"stream '{push.stream}' takes {sink.rate} Hz, not {push.rate}; resample before sending")
        if push.channels != 1:
            raise ServeError(f"stream '{push.stream}' takes 1 channel, not {push.channels}; mix down before sending")
        return PushSession(self, push, sink)


class PushSession:
    """One client sending to one stream, until `close`."""

    def __init__(self, desk: PushDesk, push: wire.Push, sink: PushSink) -> None:
        self.stream = push.stream
        self._desk = desk
        self._sink = sink
        self._format = push.format
        sink.connect()
        desk.taken.add(push.stream)

    def feed(self, data: bytes) -> None:
        """A binary message: u64 index of its first sample, little-endian, then PCM. Raises `ServeError`."""
        width = 2 if self._format == "s16le" else 4
        if len(data) < _INDEX_BYTES or (len(data) - _INDEX_BYTES) % width:
            raise ServeError(
                f"a message of {len(data)} bytes is not 8 bytes of index and whole {self._format} samples; "
                "send the index of the first sample as an unsigned 64-bit number before them"
            )
        first = int.from_bytes(data[:_INDEX_BYTES], "little")
        if first >> 62:
            raise ServeError(f"sample index {first} is out of range; count from 0")
        if self._format == "s16le":
            samples = np.frombuffer(data, "<i2", offset=_INDEX_BYTES).astype(np.float32)
            samples /= np.float32(32768)
        else:
            samples = np.frombuffer(data, "<f4", offset=_INDEX_BYTES).astype(np.float32)
        self._sink.feed(first, samples)

    def close(self) -> None:
        """Leave the stream to others."""
        if self.stream in self._desk.taken:
            self._desk.taken.discard(self.stream)
            self._sink.disconnect()
