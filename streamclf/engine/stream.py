"""A stream: the sound of one source. Reads its ring, resamples, feeds the features of every pack that listens to it.

All that changes while audio flows belongs to one `Stream` and to its tracks. `pull` takes what the ring holds; where
samples were lost it stops before the hole, says so with a `Gap`, and begins anew at the first whole frame behind it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamclf.audio.gain import make_gain
from streamclf.audio.offset import OffsetRemover
from streamclf.audio.resample import Resampler
from streamclf.audio.ring import Hole, Ring
from streamclf.clock import FRAMES_PER_SECOND, hop_of
from streamclf.engine.scope import Loudness, Scope, draw_columns, loudness
from streamclf.errors import Overrun
from streamclf.features.deferred import DeferredFrontend
from streamclf.features.frontend import Encode, Frontend, make_frontend
from streamclf.model.pack import Encoded, Features
from streamclf.types import F32, Gap, GapReason, Levels, Picture, Sound

# one pull takes at most this much, so that no history of features is lapped inside a tick
PULL_FRAMES = FRAMES_PER_SECOND
_SLACK_FRAMES = 2 * PULL_FRAMES


@dataclass(slots=True)
class _Branch:
    """Audio of the stream at one pack rate: a resampler and the frontends behind it."""

    rate: int
    resampler: Resampler
    frontends: dict[tuple[Features, str], Frontend]
    plain: bool
    """Whether that is the stream's own rate."""
    silent_to: int = 0
    """Sample up to which silence follows the end of the source."""

    @property
    def hushed(self) -> bool:
        """Whether all of that silence was heard."""
        return all(frontend.samples >= self.silent_to for frontend in self.frontends.values())

    def hush(self) -> None:
        """Hear more of that silence, as much as one pull takes."""
        for frontend in self.frontends.values():
            count = min(self.silent_to - frontend.samples, PULL_FRAMES * hop_of(self.rate))
            if count > 0:
                frontend.push(np.zeros(count, dtype=np.float32))

    def push(self, samples: F32, *, last: bool = False) -> None:
        out = samples if self.plain else self.resampler.push(samples, last=last)
        if len(out):
            for frontend in self.frontends.values():
                frontend.push(out)

    def restart(self, frame: int) -> None:
        self.resampler.restart()
        for frontend in self.frontends.values():
            frontend.restart(frame * hop_of(self.rate))


class Stream:
    """The sound of one source at its native `rate` (Hz), read from `ring`.

    consumed: native sample index up to which the ring has been read. levels: also measure how loud each frame is.
    gain: as `audio.gain.read_gain` gives it.
    """

    def __init__(self, name: str, *, rate: int, ring: Ring, gain: str = "off", levels: bool = False) -> None:
        self.name = name
        self.rate = rate
        self.hop = hop_of(rate)
        self.ring = ring
        self.consumed = 0
        self.scored = 0
        """Native samples that went to the packs: those of gaps are not among them."""
        self.started_at = 0
        """Frame of the last restart: no earlier frame will be scored any more."""
        self.ended = False
        self.paused = False
        self.gain = gain
        self._offset = OffsetRemover(self.hop)
        self._gain = make_gain(gain, self.hop)
        self.seen: list[Levels | Picture | Sound] = []
        """Of the frames that the last `pull` made whole."""
        self.scope = Scope(name, rate, levels=levels)
        """What is seen of it besides; its spectrum columns are drawn with those of other streams."""
        self._late: list[Levels | Picture | Sound] = []  # bound: the columns of less than a message
        self._branches: dict[int, _Branch] = {}
        self._lost_seen = 0

    def listen(self, features: Features, rate: int, *, window: int, graph: str = "") -> Frontend:
        """The frontend that yields `features` at `rate`; packs with equal wishes share one.

        window: the longest window, in samples, that any of them reads. graph: the one whose encoder computes `encoded`
        features, which it shares with no other.
        """
        hop = hop_of(rate)
        branch = self._branches.get(rate)
        if branch is None:
            branch = self._branches[rate] = _Branch(rate, Resampler(self.rate, rate), {}, plain=rate == self.rate)
        key = (features, graph if isinstance(features, Encoded) else "")
        frontend = branch.frontends.get(key)
        if frontend is None:
            history = window + _SLACK_FRAMES * hop
            if isinstance(features, Encoded):

                def make(encode: Encode) -> Frontend:
                    return make_frontend(features, rate, history=history, encode=encode)

                frontend = DeferredFrontend(features, make)
            else:
                frontend = make_frontend(features, rate, history=history)
            branch.frontends[key] = frontend
        return frontend

    @property
    def waiting(self) -> int:
        """Native samples in the ring that were not read yet."""
        return self.ring.written - self.consumed

    @property
    def backlog(self) -> int:
        """Those of them that are sound: a gap is stepped over, and so is never work that waits."""
        ring, start = self.ring, self.consumed
        waiting = ring.written - start
        if ring.lost != self._lost_seen:
            waiting -= sum(hole.end - max(hole.first, start) for hole in tuple(ring.holes) if hole.end > start)
        return max(0, waiting)

    @property
    def offset(self) -> float:
        """The constant offset that is removed now; full scale is 1."""
        return self._offset.offset

    @property
    def held_back_ms(self) -> float:
        """The longest present delay of the stream's resamplers."""
        return max((branch.resampler.held_back * 1000 / branch.rate for branch in self._branches.values()), default=0.0)

    @property
    def readable(self) -> bool:
        """Whether `pull` has something to read: samples, or the silence behind the end of the source."""
        if self.ended:
            return not all(branch.hushed for branch in self._branches.values())
        return self.ring.written > self.consumed and not self.paused

    def begin_pull(self) -> None:
        """What was seen is of the last pull; what is `seen` from now on is of this one."""
        self.seen, self._late = self._late, []

    def whole_frames(self) -> F32 | None:
        """Where the stream, which is readable, has whole frames of sound and nothing else is to be said of it: their
        samples, as they lie in the ring. They are good while it `holds` the first of them."""
        ring, start = self.ring, self.consumed
        stop = ring.written
        if stop == start or self.paused:
            return None
        if (stop - start) % self.hop or stop - start > PULL_FRAMES * self.hop or self.ended:
            return None
        if not (self._offset.even and self.scope.even):
            return None
        if ring.lost != self._lost_seen or not ring.holds(start):
            return None
        return ring.view(start, stop)

    def hear_frames(self, frames: F32, totals: Sequence[float], loud: Loudness | None = None) -> None:
        """What `pull` does with the block that `whole_frames` gave. frames: (n, hop), a copy. totals: of each frame the
        sum of its samples. loud: how loud they are, where that is known."""
        self.begin_pull()
        block = frames.reshape(-1)
        self.consumed += len(block)
        self.scored += len(block)
        if not self._offset.passes(totals):
            self._hear(self._offset.apply(block))
            return
        if self.scope.active:
            self.seen += self.scope.take(frames, loud or loudness(frames))
        self._feed(block)

    def pull(self) -> Gap | None:
        """Read up to one second, or step over one hole: then it returns the gap, and tracks restart at `started_at`."""
        view = self.whole_frames()
        if view is not None:
            frames = view.reshape(-1, self.hop).copy()
            if self.ring.holds(self.consumed):
                self.hear_frames(frames, np.add.reduce(frames, axis=1).tolist())
                return None
        self.begin_pull()
        if self.ended:
            for branch in self._branches.values():
                branch.hush()
            return None
        if not self.readable:
            return None
        ring, start = self.ring, self.consumed
        stop = min(ring.written, start + PULL_FRAMES * self.hop)
        if ring.lost != self._lost_seen:
            lost = ring.lost
            hole = next((h for h in tuple(ring.holes) if h.end > start), None)
            if hole is None:
                self._lost_seen = lost
            elif hole.first <= start:
                return self._jump(hole)
            else:
                stop = min(stop, hole.first)
        try:
            block = ring.view(start, stop).copy()
        except Overrun:
            return self.skip_to_newest(GapReason.OVERRUN)
        if not ring.holds(start):
            # the writer came round while it was being copied
            return self.skip_to_newest(GapReason.OVERRUN)
        self._hear(self._offset.apply(block))
        self.consumed = stop
        self.scored += stop - start
        return None

    def _hear(self, block: F32) -> None:
        if self.scope.active:
            self.seen += self.scope.push(block)
        self._feed(block)

    def _feed(self, block: F32) -> None:
        if self._gain is not None:
            block = self._gain.apply(block)
        for branch in self._branches.values():
            branch.push(block)

    def draw(self, on: bool) -> None:
        """Begin or cease to make spectrum columns."""
        self._late += self.draw_rest()
        self.scope.draw(on, sample=self.consumed)

    def draw_rest(self) -> list[Levels | Picture | Sound]:
        """The columns that wait for others to be drawn with: no more will come."""
        return [*draw_columns([self.scope])] if self.scope.undrawn else []

    def tap(self, on: bool) -> None:
        """Begin or cease to give the sound itself."""
        self.scope.tap(on, sample=self.consumed)

    def listen_whole(self, listener: Callable[[int, F32], None]) -> None:
        """From the next whole frame on, call `listener` with the first frame and the samples, (frames, hop) float32.

        They are as captured: at the native rate, without a constant offset, before any gain.
        """
        begins = not self.scope.active
        self.scope.listeners.append(listener)
        if begins:
            self.scope.restart(self.consumed)

    def skip_to_newest(self, reason: str) -> Gap:
        """Give up what was not read: go on at the newest whole frame."""
        newest = max(self.ring.written // self.hop * self.hop, self.consumed)
        return self._jump(Hole(self.consumed, newest, reason))

    def end(self, needed: Mapping[int, int]) -> None:
        """The source has ended. Silence completes its last frame and follows it: `pull` gives that, a second at a time.

        needed: pack rate -> samples to be heard there so that every frame gets its row.
        """
        frames = -(-self.consumed // self.hop)
        self.ended = True
        self._hear(self._offset.rest())
        for rate, branch in self._branches.items():
            branch.push(np.zeros(0, dtype=np.float32), last=True)
            branch.silent_to = max(needed.get(rate, 0), frames * hop_of(rate))

    def _jump(self, hole: Hole) -> Gap:
        first = max(hole.first, self.consumed)
        end = max(hole.end, first + 1)
        self.started_at = -(-end // self.hop)
        self.consumed = self.started_at * self.hop
        self.seen += self.draw_rest()
        for branch in self._branches.values():
            branch.restart(self.started_at)
        self.scope.restart(self.consumed)
        self._offset.restart()
        if self._gain is not None:
            self._gain.restart()
        return Gap(self.name, first, end - 1, hole.reason)
