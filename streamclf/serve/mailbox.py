"""The mailbox: what waits for a subscriber that does not read fast enough.

Scores keep the newest: beyond its bounds the oldest score message is dropped, counted, and declared by a `lagged`
message that stands where the dropped ones would have stood. Everything else is never dropped: when too much of it
waits, `put` says no and the connection has to end, with a reason, so that the client can resume with `since`.
"""

from collections import deque
from typing import NamedTuple

from streamclf.protocol import wire
from streamclf.serve.framing import text_frame

# Bounds of a mailbox. Scores of a client that is known to read may wait through a burst; one that never reads costs,
# with a write buffer of 16 KiB, the kernel's 48 KiB and a message, below 90 KiB. 4 s is as old as a live score may get.
MAX_SCORE_BYTES = 192 * 1024
MAX_DOUBTED_BYTES = 16 * 1024
MAX_AGE_NS = 4_000_000_000
MAX_VITAL = 256
MAX_VITAL_BYTES = 128 * 1024
MOST_COUNTED = MAX_VITAL_BYTES // 4
"""So much of that a message counts at most: one that names thousands of species is longer than all of it, and comes
with every subscription."""


class Outgoing(NamedTuple):
    """A ready-made websocket frame. rows: score rows in it; 0 for what must not be dropped.

    place: order of the replay ring, 0 for answers to this client alone. first_seq, seq: of its first and last row.
    """

    frame: bytes
    place: int
    first_seq: int
    seq: int
    rows: int
    decided_ns: int


def answer(message: wire.Message) -> Outgoing:
    """A message for one client alone."""
    return Outgoing(text_frame(wire.encode(message)), 0, 0, 0, 0, 0)


_NOTHING: deque[tuple[int, Outgoing]] = deque(maxlen=0)
"""Stands for a queue in which nothing has waited yet: an empty deque takes 0.7 KiB, and most subscribers need none."""


def _counted(message: Outgoing) -> int:
    return min(len(message.frame), MOST_COUNTED)


class Mailbox:
    """Two queues in one order of arrival, made on first use. dropped_rows counts what was dropped so far."""

    __slots__ = (
        "_arrivals",
        "_hole",
        "_hole_at",
        "_most_bytes",
        "_score_bytes",
        "_scores",
        "_vital",
        "_vital_bytes",
        "dropped_rows",
    )

    def __init__(self) -> None:
        self.dropped_rows = 0
        self._arrivals = 0
        self._most_bytes = MAX_SCORE_BYTES
        # bound: _most_bytes and MAX_AGE_NS; oldest dropped; counter: dropped_rows
        self._scores = _NOTHING
        # bound: MAX_VITAL and MAX_VITAL_BYTES; refused when full, and the connection ends
        self._vital = _NOTHING
        self._score_bytes = 0
        self._vital_bytes = 0
        self._hole: wire.Lagged | None = None
        self._hole_at = 0

    def __len__(self) -> int:
        return len(self._scores) + len(self._vital) + (self._hole is not None)

    @property
    def half_full(self) -> bool:
        """Whether a producer that can wait should wait."""
        return 2 * self._score_bytes > MAX_SCORE_BYTES or 2 * len(self._vital) > MAX_VITAL

    def trust(self, reads: bool) -> None:
        """reads: the client was seen to read just now. Less waits for one that may not; the oldest is dropped."""
        self._most_bytes = MAX_SCORE_BYTES if reads else MAX_DOUBTED_BYTES
        while len(self._scores) > 1 and self._score_bytes > self._most_bytes:
            self._drop()

    def put(self, message: Outgoing) -> bool:
        """Queue a message. False: full of what must not be dropped."""
        self._arrivals += 1
        if not message.rows:
            if len(self._vital) >= MAX_VITAL or self._vital_bytes + _counted(message) > MAX_VITAL_BYTES:
                return False
            if self._vital is _NOTHING:
                self._vital = deque()
            self._vital.append((self._arrivals, message))
            self._vital_bytes += _counted(message)
            return True
        if self._scores is _NOTHING:
            self._scores = deque()
        self._scores.append((self._arrivals, message))
        self._score_bytes += len(message.frame)
        while len(self._scores) > 1 and self._over(message.decided_ns):
            self._drop()
        return True

    def take(self) -> Outgoing | None:
        """The next message to send, or None."""
        from_scores = bool(self._scores) and (not self._vital or self._scores[0][0] < self._vital[0][0])
        queue = self._scores if from_scores else self._vital
        if self._hole is not None and (not queue or queue[0][0] > self._hole_at):
            hole, self._hole = self._hole, None
            return answer(hole)
        if not queue:
            return None
        message = queue.popleft()[1]
        if from_scores:
            self._score_bytes -= len(message.frame)
        else:
            self._vital_bytes -= _counted(message)
        return message

    def clear(self) -> None:
        """Forget everything: the connection is ending."""
        self._scores = self._vital = _NOTHING
        self._score_bytes = self._vital_bytes = 0
        self._hole = None

    def _over(self, now_ns: int) -> bool:
        return self._score_bytes > self._most_bytes or now_ns - self._scores[0][1].decided_ns > MAX_AGE_NS

    def _drop(self) -> None:
        self._hole_at, message = self._scores.popleft()
        self._score_bytes -= len(message.frame)
        self.dropped_rows += message.rows
        hole = self._hole
        self._hole = wire.Lagged(
            seq=message.seq,
            from_seq=hole.from_seq if hole else message.first_seq,
            to_seq=message.seq,
            dropped=message.rows + ((hole.dropped or 0) if hole else 0),
            reason="mailbox",
        )
