"""How samples come from a sender that sets its own pace: after a silence, which of them were late and which are lost.

Theory of operation. A pipe or a client that sends nothing for a while, and then goes on, has either lost the sound of
that while (it was frozen, or its microphone was), or held it back (the network was slow). Both look the same at the
first block. So what comes after a silence is held until it comes at its usual pace again: sound that was only late
comes all at once. What is missing of the while then is a gap; the rest was late, and none of it is lost.
"""

from collections import deque

import numpy as np

from streamclf.audio.sources import base
from streamclf.audio.sources.base import Intake
from streamclf.clock import NS_PER_SECOND
from streamclf.types import F32, GapReason

SILENCE_S = 0.3
"""Longer than this, beside the length of the usual blocks, nothing may come without being accounted for."""
SETTLE_S = 0.1
"""So long blocks are held, and longer while they come faster than real time."""
_LATE_PACE = 1.5  # times real time: what comes faster was held back
_HELD_S = 5.0  # at most; a ring holds twice as much
_LEAST_S = 0.1  # less than this is jitter, not a gap
_BLOCKS = 3  # that tell how long usual blocks are; the shortest counts, so that a burst does not


class Arrival:
    """The way of a sender's blocks into an intake. Used by the thread that uses the intake."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._rate = intake.clock.rate
        self._blocks_s: deque[float] = deque(maxlen=_BLOCKS)
        self._seen_ns = 0  # when all that had come was in the ring, by a steady clock; 0 before the first block
        self._accounted = 0  # what the ring held then
        self._held: list[F32] = []  # bound: _HELD_S and a block
        self._last = (0, 0)  # when the newest block came: steady and wall time
        self._mark = (0, 0)  # since when the pace is measured, and what was held then

    @property
    def held(self) -> int:
        """Samples that have come and are not in the ring yet."""
        return sum(len(block) for block in self._held)

    @property
    def written(self) -> int:
        """Index of the next sample that comes."""
        return self._intake.ring.written + self.held

    def write(self, mono: F32, arrived_ns: int) -> None:
        """Append (n, ) float32 whose last sample arrived at wall time `arrived_ns`."""
        now_ns = base.steady_ns()
        self._blocks_s.append(len(mono) / self._rate)
        silent = bool(self._last[0]) and now_ns - self._last[0] > self._patience_s() * NS_PER_SECOND
        if silent:
            self.settle()
        self._last = now_ns, arrived_ns
        if not silent and not self._held:
            self._intake.write(mono, arrived_ns)
            self._seen_ns, self._accounted = now_ns, self._intake.ring.written
            return
        self._held.append(mono.copy())
        if silent:
            self._mark = now_ns, self.held
        elif self._paced(now_ns):
            self.settle()

    def settle(self) -> None:
        """Take what is held: what is missing before it is a gap. Nothing where nothing is held."""
        if not self._held:
            return
        mono, self._held = np.concatenate(self._held), []
        now_ns, arrived_ns = self._last
        due = self._accounted + (now_ns - self._seen_ns) * self._rate // NS_PER_SECOND
        missing = due - self._intake.ring.written - len(mono)
        if missing > _LEAST_S * self._rate:
            self._intake.lose(missing, GapReason.STALLED)
            self._intake.begin_anew()
        self._intake.write(mono, arrived_ns)
        self._seen_ns, self._accounted = now_ns, self._intake.ring.written

    def forget(self) -> None:
        """Somebody else sends now, and lays the first block himself."""
        self.settle()
        self._last = 0, 0
        self._blocks_s.clear()

    def _patience_s(self) -> float:
        return SILENCE_S + min(self._blocks_s)

    def _paced(self, now_ns: int) -> bool:
        """Whether blocks come at their usual pace again, or more is held than there is room for."""
        since_ns, before = self._mark
        measured_s = (now_ns - since_ns) / NS_PER_SECOND
        if self.held > _HELD_S * self._rate:
            return True
        if measured_s < SETTLE_S:
            return False
        came_s = (self.held - before) / self._rate
        self._mark = now_ns, self.held
        return came_s < _LATE_PACE * measured_s
