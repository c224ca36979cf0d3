"""How the engine keeps pace: the hop between window runs, and the ladder it climbs when its work is too much.

Theory of operation. Rows can be late for two reasons. The packs may cost more time than there is: then less must be
done. Or the thread is kept waiting, by a stall of the machine or by busy neighbours: then doing less helps nobody, so
nothing is left out, and the rows come late, in batches, from the ring. `LoadMeter` tells the two apart by what the
thread *itself* computes for a second of sound (its load), which neither a stall nor a neighbour nor a gap makes larger.
Each rung of the ladder buys time, is announced to subscribers and counted:

    NORMAL   everything as configured
    HOP_2, HOP_4, HOP_8   window packs run that many times less often; rows are held in between
    COARSE   one tick every 100 ms: rows come five at a time
    PAUSE    the stream of lowest priority is paused (repeated, one stream a step); it says so and leaves a gap

A step up needs a backlog over `UP_MS` and a load over `FULL`. A step down asks for the load alone: a rung may make a
backlog of its own (COARSE does), and that must not hold it there. It is taken after `CALM_S` where the work of the rung
below fits for certain, and tried after `TRIAL_S` where it may. Of the paused streams as many come back at once as fit.
Between two steps there is a window of the meter, so that one slow run never starts a cascade. Nothing here waits or
reads a clock: times are given.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from streamclf.clock import FRAME_MS

UP_MS = 200.0
WINDOW_S = 1.0
CALM_S = 1.0
TRIAL_S = 60.0
FULL = 0.85
"""Load over which the work is too much: the rest is for what else the process does."""
FITS = 0.7
"""Load at which one rung less may be tried."""
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


@dataclass(frozen=True, slots=True)
class Load:
    """What a window of `span_s` seconds has shown.

    share: own computing time for a second of sound of all streams that were heard, in seconds: over 1 it can never
    keep up. heard: the streams of which sound was scored.
    """

    share: float
    span_s: float
    heard: frozenset[str]


@dataclass(slots=True)
class LoadMeter:
    """Sets the thread's own computing time against the sound that it scored meanwhile, window by window."""

    _began_s: float | None = None
    _cpu_s: float = 0.0
    _scored_s: dict[str, float] = field(default_factory=dict)  # bound: the streams

    def due(self, now_s: float) -> bool:
        """Whether `note` has something to tell or to begin with."""
        return self._began_s is None or now_s - self._began_s >= WINDOW_S

    def note(self, scored_s: Mapping[str, float], *, now_s: float, cpu_s: float) -> Load | None:
        """Returns the load where a window is over. scored_s: of each stream, since its start; cpu_s: of the thread."""
        if not self.due(now_s):
            return None
        began_s, load = self._began_s, None
        if began_s is not None:
            fresh = {name: total - self._scored_s.get(name, 0.0) for name, total in scored_s.items()}
            heard = frozenset(name for name, seconds in fresh.items() if seconds > 0)
            # streams are scored side by side; so the one that was heard most has heard what the window gave
            share = (cpu_s - self._cpu_s) / max(fresh[name] for name in heard) if heard else 0.0
            load = Load(share, now_s - began_s, heard)
        self._began_s, self._cpu_s, self._scored_s = now_s, cpu_s, dict(scored_s)
        return load


@dataclass(slots=True)
class Ladder:
    """State of the climb. `paused` counts streams that are paused on the rung PAUSE."""

    has_windows: bool
    rung: Rung = Rung.NORMAL
    paused: int = 0
    _surely_s: float = 0.0
    """How long the work of the rung below has fitted for certain."""
    _maybe_s: float = 0.0

    def observe(self, load: Load, backlog_ms: float) -> bool:
        """Take notice of a window. Returns whether the state changed."""
        if load.share > FULL:
            self._surely_s = self._maybe_s = 0.0
            return backlog_ms > UP_MS and self._up(pausable=len(load.heard) - 1)
        self._surely_s = self._surely_s + load.span_s if self._fits_below(load) else 0.0
        self._maybe_s = self._maybe_s + load.span_s if load.share < FITS else 0.0
        if self.rung is Rung.NORMAL or (self._surely_s < CALM_S and self._maybe_s < TRIAL_S):
            return False
        self._surely_s = self._maybe_s = 0.0
        self._down(load)
        return True

    def _fits_below(self, load: Load) -> bool:
        if self.rung is Rung.PAUSE:
            return self._returning(load) > 0
        return load.share * 2 < FULL  # the hop is halved; and a tick for a row costs less than twice its share of five

    def _returning(self, load: Load) -> int:
        """How many paused streams fit besides those that are heard: each costs what one of them does."""
        running = len(load.heard)
        if not running or load.share <= 0:
            return self.paused
        return min(self.paused, max(0, math.ceil(FULL * running / load.share) - 1 - running))

    def _up(self, *, pausable: int) -> bool:
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
        return True

    def _down(self, load: Load) -> None:
        if self.rung is Rung.PAUSE:
            self.paused -= max(1, self._returning(load))
            if self.paused > 0:
                return
            self.paused = 0
        below = Rung(self.rung - 1)
        self.rung = below if self.has_windows or below >= Rung.COARSE else Rung.NORMAL
