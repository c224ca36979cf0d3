"""How the engine keeps pace: the hop between window runs, and the ladder it climbs when it falls behind.

Theory of operation of the ladder. `backlog_ms` is the oldest audio that was captured and not yet scored. Each rung
buys time, is announced to subscribers and counted:

    NORMAL   everything as configured
    HOP_2, HOP_4, HOP_8   window packs run that many times less often; rows are held in between
    COARSE   one tick every 100 ms: rows come five at a time
    PAUSE    the stream of lowest priority is paused (repeated, one stream a step); it says so and leaves a gap

A step up needs a backlog over `UP_MS`, a step down a calm of `CALM_S` below `DOWN_MS`; between two steps there is at
least `SETTLE_S`, so that one slow run never starts a cascade. Nothing here waits or measures: times are given.
"""

import math
from dataclasses import dataclass
from enum import IntEnum

from streamclf.clock import FRAME_MS

UP_MS = 200.0
DOWN_MS = 60.0
SETTLE_S = 1.0
CALM_S = 15.0
BUSY_SHARE = 0.5
"""The share of real time that window runs may take: a run then ends well before the next one is due."""


class Rung(IntEnum):
    """See the theory of operation above."""

    NORMAL = 0
    HOP_2 = 1
    HOP_4 = 2
    HOP_8 = 3
    COARSE = 4
    PAUSE = 5

    @property
    def hop_factor(self) -> int:
        """How many times longer the hop of window packs is on this rung."""
        return 1 << min(self, Rung.HOP_8)


def hop_frames(run_seconds: float, *, streams: int, window_packs: int) -> int:
    """Frames between window runs so that all of them take at most half the time.

    run_seconds: measured time of one run of this pack; streams: how many use it; window_packs: how many packs share.
    """
    share = BUSY_SHARE / max(1, window_packs)
    return max(1, math.ceil(run_seconds * max(1, streams) * 1000 / (share * FRAME_MS)))


@dataclass(slots=True)
class Ladder:
    """State of the climb. `paused` counts streams that are paused on the rung PAUSE."""

    has_windows: bool
    rung: Rung = Rung.NORMAL
    paused: int = 0
    _last_step_s: float = -math.inf
    _calm_since_s: float | None = None

    def observe(self, backlog_ms: float, *, now_s: float, pausable: int) -> bool:
        """Take notice of the backlog. Returns whether the state changed. pausable: streams that may still be paused."""
        if backlog_ms > DOWN_MS:
            self._calm_since_s = None
        elif self._calm_since_s is None:
            self._calm_since_s = now_s
        if now_s - self._last_step_s < SETTLE_S:
            return False
        if backlog_ms > UP_MS:
            return self._up(now_s, pausable)
        if self._calm_since_s is not None and now_s - self._calm_since_s >= CALM_S:
            self._calm_since_s = now_s
            return self._down(now_s)
        return False

    def _up(self, now_s: float, pausable: int) -> bool:
        if self.rung is Rung.PAUSE:
            if pausable <= 0:
                return False
            self.paused += 1
        elif not self.has_windows and self.rung < Rung.COARSE:
            self.rung = Rung.COARSE
        else:
            step = Rung(self.rung + 1)
            if step is Rung.PAUSE and pausable <= 0:
                return False
            self.rung = step
            self.paused = int(step is Rung.PAUSE)
        self._last_step_s = now_s
        return True

    def _down(self, now_s: float) -> bool:
        if self.rung is Rung.NORMAL:
            return False
        if self.paused > 1:
            self.paused -= 1
        else:
            self.paused = 0
            below = Rung(self.rung - 1)
            self.rung = below if self.has_windows or below >= Rung.COARSE else Rung.NORMAL
        self._last_step_s = now_s
        return True
