"""Samples that a client sends: a remote microphone, a browser's."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.serve.limits import Allowance
from streamclf.types import F32

_INDEX_BYTES = 8
# Sound comes as time goes by. What waited while the network stood still may come after it, not faster than a model can
# catch up beside others: seconds of sound a second, at once, and in all that a client may have left out and send later.
CATCH_UP = 4.0
AT_ONCE_S = 1.0
AHEAD_S = 2.0
BEHIND_S = 60.0
PIECE_S = 0.25  # of a longer message the rest waits


class CountedAnewError(ServeError):
    """A client began to count at 0 again, where everything up to there was had."""


class PushSink(Protocol):
    """Where a `push` stream takes its samples. rate: Hz. Called from the server's thread; must not block."""

    rate: int

    def connect(self, *, again: bool) -> None:
        """A client begins to send. again: the last one, over a new connection, and its count goes on.

        Raises `SourceError` where it may not, `AbsentError` where the source has not started yet.
        """

    def feed(self, first_sample: int, samples: F32) -> None:
        """samples: (n, ) float32 in [-1, 1]; `first_sample` is the client's own count."""

    def disconnect(self, *, left: bool) -> None:
        """The client sends no more. left: it took its leave; else its connection broke off."""


class PushDesk:
    """Says who may send to which stream: one client each.

    A client whose connection died may come back before we have found that out: it then takes its own place again.
    """

    def __init__(self, sinks: Mapping[str, PushSink]) -> None:
        self.sinks = sinks
        self.taken: dict[str, PushSession] = {}
        self._senders: dict[str, str] = {}
        self._reached: dict[str, int] = {}  # stream -> one past the last index of its sender

    def open(self, push: wire.Push, now_s: float) -> "PushSession":
        """Raises `ServeError` where the stream does not exist, is taken, or has another rate; else as its sink."""
        sink = self.sinks.get(push.stream)
        if sink is None:
            hint = wire.nearest(push.stream, list(self.sinks)) or "; start the daemon with --source push:NAME"
            raise ServeError(f"there is no push stream '{push.stream[:80]}' here{hint}")
        again = push.sender != "" and push.sender == self._senders.get(push.stream)
        if push.stream in self.taken and not again:
            raise ServeError(f"another client sends to stream '{push.stream}' already; it has to disconnect first")
        if push.rate != sink.rate:
            raise ServeError(f"stream '{push.stream}' takes {sink.rate} Hz, not {push.rate}; resample before sending")
        if push.channels != 1:
            raise ServeError(f"stream '{push.stream}' takes 1 channel, not {push.channels}; mix down before sending")
        if push.stream in self.taken:
            self.taken[push.stream].close(left=True)
        if not again:
            self._reached[push.stream] = 0
        session = PushSession(self, push, sink, again=again, now_s=now_s)
        self._senders[push.stream] = push.sender
        return session

    def count(self, stream: str, first: int, count: int) -> None:
        """These samples came. Raises `CountedAnewError`, and forgets who sent, where they begin at 0 again."""
        reached = self._reached.get(stream, 0)
        if first == 0 and reached > count:
            self._senders.pop(stream, None)
            raise CountedAnewError(
                f"sample index 0 came again at stream '{stream}', where {reached} is next: samples are counted on "
                "from message to message; to begin anew, send `push` again before index 0"
            )
        self._reached[stream] = max(reached, first + count)


class PushSession:
    """One client sending to one stream, until `close`. now_s: of a clock that only goes forward."""

    def __init__(self, desk: PushDesk, push: wire.Push, sink: PushSink, *, again: bool, now_s: float) -> None:
        self.stream = push.stream
        self._desk = desk
        self._sink = sink
        self._format = push.format
        self._rest: tuple[int, F32] | None = None
        self._speed = Allowance(CATCH_UP, AT_ONCE_S, now_s=now_s)
        self._time = Allowance(1.0, BEHIND_S, now_s=now_s, start=AHEAD_S)
        sink.connect(again=again)
        desk.taken[push.stream] = self

    def feed(self, data: bytes, now_s: float) -> float:
        """A binary message: u64 index of its first sample, little-endian, then PCM. Raises `ServeError`.

        Of a long one the first piece is handed over, the rest by `more`. Returns the seconds for which nothing more
        should be: the client sends faster than time goes by.
        """
        if self._desk.taken.get(self.stream) is not self:
            raise ServeError(f"another connection of this sender has taken its place at stream '{self.stream}'")
        width = 2 if self._format == "s16le" else 4
        if len(data) < _INDEX_BYTES or (len(data) - _INDEX_BYTES) % width:
            raise ServeError(
                f"a message of {len(data)} bytes is not 8 bytes of index and whole {self._format} samples; "
                "send the index of the first sample as an unsigned 64-bit number before them"
            )
        first = int.from_bytes(data[:_INDEX_BYTES], "little")
        if first >> 62:
            raise ServeError(f"sample index {first} is out of range; count from 0")
        if len(data) == _INDEX_BYTES:
            return 0.0  # no samples: nothing begins anew with them, and nothing is lost before them
        if self._format == "s16le":
            samples = np.frombuffer(data, "<i2", offset=_INDEX_BYTES).astype(np.float32)
            samples /= np.float32(32768)
        else:
            samples = np.frombuffer(data, "<f4", offset=_INDEX_BYTES).astype(np.float32)
        self._desk.count(self.stream, first, len(samples))
        self._rest = first, samples
        return self.more(now_s)

    @property
    def has_more(self) -> bool:
        """Whether something of the last message waits."""
        return self._rest is not None

    def more(self, now_s: float) -> float:
        """Hand over the next piece of the last message. Returns as `feed` does, and raises what the sink raises."""
        if self._rest is None:
            return 0.0
        (first, samples), self._rest = self._rest, None
        piece = samples[: max(1, int(PIECE_S * self._sink.rate))]
        if len(piece) < len(samples):
            self._rest = first + len(piece), samples[len(piece) :]
        self._sink.feed(first, piece)
        seconds = len(piece) / self._sink.rate
        return max(self._speed.owe(seconds, now_s), self._time.owe(seconds, now_s))

    def close(self, *, left: bool) -> None:
        """Leave the stream to others. left: as the client wanted it."""
        self._rest = None
        if self._desk.taken.get(self.stream) is self:
            del self._desk.taken[self.stream]
            self._sink.disconnect(left=left)
