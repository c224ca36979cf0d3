"""Is every stream heard, and scored? Watched from the event loop, so that neither a source nor the model can hide it.

Theory of operation. A source tells what it knows: that its device is gone, that its sender has left. What it cannot
tell is seen here, five times a second, of every stream whose source says that all is well: no sample has come for a
while (STALLED), all samples are one value (MUTED, see `audio.fitness`), samples come and no pack scores them
(UNSCORED). Back to LIVE it goes as soon as that is over. A stream that its source calls lost or waiting, or that is
paused, is left alone: that is the state then.

A model that hangs gives no row, and neither does one that is kept waiting by busy neighbours; the latter comes soon and
loses nothing. So no row is UNSCORED at once where no thread of this process has waited for a core meanwhile (see
`cores`), and else after a time in which a busy machine comes round. Time in which this loop itself stood still is
nobody's fault and does not count.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from streamclf.daemon.cores import Waits
from streamclf.daemon.sources import SourceStream
from streamclf.serve.hub import Hub
from streamclf.serve.info import PackInfo, StreamInfo
from streamclf.types import Shape, Status, StreamState

LOOK_S = 0.2
OWN = (StreamState.STALLED, StreamState.MUTED, StreamState.UNSCORED)
"""States that are seen here, and told by nobody else."""
STALL_S = 0.55
"""Without a sample, beside the length of its source's usual blocks."""
SCORED_S = 2.0
"""From a sample to the rows that rest on it, beside what the pack itself needs; beyond it the stream is UNSCORED."""
HANGS_S = 0.7
"""The same, where this process had all the time of a core that it asked for."""
_KEPT = 0.2  # of the time, waited for a core by all threads together: less is none
LATE_S = 0.5
"""The same, beyond which health is no longer ok."""
_STRIDES = 3  # arrivals that tell how long a source's blocks are; the shortest counts, so that a burst does not
PACE_S = 8.0
"""Over which it is seen how fast sound comes."""
_SLOW, _SLOW_NO_MORE = 0.9, 0.95  # of the pace of time
_FIRST_S = 0.3  # at most, of the first: seconds of sound may have gathered before it could be read


class Told(NamedTuple):
    """What is seen here of a stream, in the place of what its source says."""

    state: StreamState
    detail: str


@dataclass(frozen=True, slots=True)
class Glance:
    """A stream at one moment. Samples are counted from its start.

    written: captured or declared lost; lost: of those; gaps: told so far, of any reason; scored: pack -> the newest
    sample that its rows rest on; backlog: captured and not read; muted: why it counts as muted, "" where it does not;
    kept_s: how long this process was kept waiting for a core since the last look, None where that is not known.
    """

    now_s: float
    state: StreamState
    written: int
    lost: int
    gaps: int
    scored: Mapping[str, int]
    backlog: int
    muted: str = ""
    kept_s: float | None = None


@dataclass(slots=True)
class _Scored:
    """How one pack scores the stream. owed: sound since its last row (samples); anew: it began anew since then.

    since_s: when the first of that sound was seen; kept_s: how long this process was kept waiting since then.
    """

    newest: int = -1
    owed: int = 0
    anew: bool = True
    since_s: float = 0.0
    kept_s: float = 0.0


class Word(NamedTuple):
    """What is to be told. aside: past the model thread, which does not take it."""

    status: Status
    aside: bool


@dataclass(slots=True)
class Ear:
    """Watches one stream. packs: those that hear it, and how they run. No clock, no I/O."""

    name: str
    rate: int
    packs: Mapping[str, PackInfo]
    resting: StreamState = StreamState.LIVE
    seen: Told | None = None
    """What is wrong now, None where nothing is."""
    late: set[str] = field(default_factory=set)
    """Packs that owe more of it than they should, whether they all do or not."""
    slow: bool = False
    """Whether its sound comes more slowly than time goes by."""
    first: bool = False
    """Whether it was heard and scored since the start."""
    _asked: StreamState | None = None
    _written: int = 0
    _lost: int = 0
    _gaps: int = 0
    _came_s: float | None = None
    _strides_s: deque[float] = field(default_factory=lambda: deque(maxlen=_STRIDES))
    _scored: dict[str, _Scored] = field(default_factory=dict)
    _course: deque[tuple[float, int]] = field(default_factory=deque)  # (now_s, written), of the last PACE_S

    @property
    def owing(self) -> bool:
        """Whether sound has come since some pack's last row."""
        return any(scored.owed for scored in self._scored.values())

    def look(self, at: Glance) -> Word | None:
        """What is to be told now, None where nothing has changed."""
        if not at.state.heard and at.state not in OWN:
            self._begin(at)
            return None
        self._note(at)
        self._time(at)
        self.seen = seen = self._judge(at)
        if (at.state.heard and seen is None) or (seen is not None and at.state is seen.state):
            self._asked = None
            return None
        status = Status(self.name, *seen) if seen is not None else Status(self.name, self.resting, "")
        again, self._asked = status.state is self._asked, status.state
        # what was asked for a look ago and is not in force yet waits behind a model that hangs
        return Word(status, again or StreamState.UNSCORED in (status.state, at.state))

    def _begin(self, at: Glance) -> None:
        """Its source says what there is to say; nothing is owed from here on."""
        self.seen = self._asked = None
        self._came_s = at.now_s
        self._written, self._lost, self._gaps = at.written, at.lost, at.gaps
        self._strides_s.clear()
        self._scored.clear()
        self.late.clear()
        self._course.clear()
        self.slow = False

    def _note(self, at: Glance) -> None:
        if self._came_s is None:
            self._came_s = at.now_s
        came = at.written - self._written
        sound = max(0, came - (at.lost - self._lost))
        if came:
            self._came_s = at.now_s
            stride_s = sound / self.rate
            self._strides_s.append(stride_s if self._strides_s else min(stride_s, _FIRST_S))
        for pack in self.packs:
            scored = self._scored.setdefault(pack, _Scored())
            newest = at.scored.get(pack, -1)
            scored.anew |= at.gaps != self._gaps or at.lost != self._lost
            if newest != scored.newest:
                scored.newest, scored.owed, scored.anew = newest, 0, False
                self.first = True
            elif scored.owed:
                scored.owed += sound
                scored.kept_s += math.inf if at.kept_s is None else at.kept_s
            else:
                scored.owed, scored.since_s, scored.kept_s = sound, at.now_s, 0.0
        self._written, self._lost, self._gaps = at.written, at.lost, at.gaps

    def _time(self, at: Glance) -> None:
        """A block that is on its way has come; what was lost has, too, once it is told."""
        if len(self._strides_s) < 2:  # the first may be what had gathered before
            self._course.clear()
        self._course.append((at.now_s, at.written))
        while len(self._course) > 2 and at.now_s - self._course[1][0] >= PACE_S:
            self._course.popleft()
        since_s, written = self._course[0]
        lasts_s = at.now_s - since_s
        if lasts_s < PACE_S:
            return
        pace = ((at.written - written) / self.rate + min(self._strides_s, default=0.0)) / lasts_s
        self.slow = pace < (_SLOW_NO_MORE if self.slow else _SLOW)

    def _judge(self, at: Glance) -> Told | None:
        self.late = {name for name in self.packs if self._owes(name, LATE_S)}
        assert self._came_s is not None
        silent_s = at.now_s - self._came_s
        if silent_s > STALL_S - LOOK_S + min(self._strides_s, default=LOOK_S):
            return Told(StreamState.STALLED, "its source is open, but no sample comes")
        if at.muted:
            return Told(StreamState.MUTED, at.muted)
        if not self.packs:
            return None
        if all(pack.problem or self._hangs(name, at.now_s) for name, pack in self.packs.items()):
            return Told(StreamState.UNSCORED, self._unscored())
        if at.backlog > self.rate * (SCORED_S + max(pack.hop_ms for pack in self.packs.values()) / 1000):
            return Told(StreamState.UNSCORED, f"what comes is scored over {SCORED_S:g} s late")
        return None

    def _owes(self, name: str, limit_s: float) -> bool:
        """Whether more sound has come since the pack's last row than `limit_s` and what the pack itself needs."""
        scored, pack = self._scored[name], self.packs[name]
        begins_ms = pack.window_ms + pack.algorithmic_latency_ms + (pack.latency_ms or 0) if scored.anew else 0
        return scored.owed > self.rate * (limit_s + (pack.hop_ms + begins_ms) / 1000)

    def _hangs(self, name: str, now_s: float) -> bool:
        """Whether no row of the pack comes, and would not if it were waited for a little longer."""
        scored = self._scored[name]
        lasts_s = now_s - scored.since_s
        if lasts_s >= HANGS_S - LOOK_S and scored.kept_s < _KEPT * lasts_s and self._owes(name, HANGS_S):
            return True
        return self._owes(name, SCORED_S)

    def _unscored(self) -> str:
        why = [f"{name}: {pack.problem}" for name, pack in self.packs.items() if pack.problem]
        return "; ".join(why) or f"no row comes of it, for over {HANGS_S:g} s of sound"


class Hearing:
    """Watches all streams of a daemon whose sources keep the world's pace. Runs on the loop.

    muted: why a stream counts as muted, asked at every look.
    """

    def __init__(
        self,
        hub: Hub,
        streams: Sequence[SourceStream],
        *,
        muted: Callable[[SourceStream], str] = lambda one: "",
    ) -> None:
        self._hub = hub
        self._streams = streams
        self._muted = muted
        self._waits = Waits()
        self._owing = False
        self.ears: dict[str, Ear] = {}
        self.began = False

    def seen(self, info: StreamInfo) -> Told | None:
        """What is wrong with the stream that its source does not say, as it was seen last."""
        ear = self.ears.get(info.name)
        if ear is not None and ear.seen is not None and (info.state.heard or info.state in OWN):
            return ear.seen
        return None

    def unready(self) -> list[str]:
        """Streams that are to be heard and have not been scored yet."""
        if not self.began:
            return [one.name for one in self._streams]
        return [name for name, ear in self.ears.items() if not ear.first and self._hub.streams[name].state.heard]

    async def watch(self, tell: Callable[[Word], object]) -> None:
        """For ever: `tell` takes what there is to tell."""
        loop = asyncio.get_running_loop()
        now_s, stood_s = loop.time(), 0.0
        while True:
            for word in self.look(now_s - stood_s):
                tell(word)
            await asyncio.sleep(LOOK_S)
            before, now_s = now_s, loop.time()
            stood_s += max(0.0, now_s - before - 2 * LOOK_S)

    def look(self, now_s: float) -> Iterator[Word]:
        """What there is to tell at `now_s` of a clock that stands still while the loop does."""
        self.began = True
        kept_s = self._waits.since() if self._owing else None
        for one in list(self._streams):
            if not one.source.live:
                continue
            ear = self.ears.get(one.name) or self._ear(one)
            word = ear.look(self._glance(one, now_s, kept_s))
            if word is not None:
                yield word
        owing, self._owing = self._owing, any(ear.owing for ear in self.ears.values())
        if self._owing and not owing:
            self._waits.since()  # what was before is none of it; to look costs half a millisecond

    def _ear(self, one: SourceStream) -> Ear:
        # what is derived comes also where no model scores
        packs = {name: pack for name in one.info.packs if (pack := self._hub.packs[name]).shape is not Shape.DERIVED}
        resting = StreamState.DEMO if one.info.demo else StreamState.LIVE
        ear = self.ears[one.name] = Ear(one.name, one.info.rate, packs, resting)
        return ear

    def _glance(self, one: SourceStream, now_s: float, kept_s: float | None) -> Glance:
        scored = {pack: self._hub.overview.scored.get((one.name, pack), -1) for pack in one.info.packs}
        lost = one.ring.lost
        return Glance(
            now_s=now_s,
            state=one.info.state,
            written=one.ring.written,
            lost=lost,
            gaps=self._hub.overview.gaps.get(one.name, 0),
            scored=scored,
            backlog=one.stream.backlog,
            muted=self._muted(one),
            kept_s=kept_s,
        )
