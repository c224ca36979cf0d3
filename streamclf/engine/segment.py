"""Segmentation: score rows in, events with onset and offset out. No I/O, no clock; a state machine per class.

Theory of operation. Each class is in one of four phases:

    IDLE     p >= enter                          -> RISING, the onset is this frame
    RISING   lasted `min_on` frames, of the last M at least N reached `enter`   -> ACTIVE, event `open`
             p < leave on more than M - N frames in a row                       -> IDLE, nothing was said
    ACTIVE   p < leave                           -> FALLING
             every `update_every` frames         -> event `update`
    FALLING  p >= leave                          -> ACTIVE, the dip is part of the event
             below for `min_off` frames          -> IDLE, event `close`; the offset follows the last active frame

An event that begins may be stamped earlier than the row that reached `enter`: up to `reach_back` rows before it, as far
as they reached `leave` without a break (the double threshold of Dinkel and Yu, "Duration robust weakly supervised sound
event detection", 2020). In a fused pack it may be a member's own rows, by what that member leaves at. Where the others
lag behind (windows of seconds), it moves the offset, too, to the last such row. That moves the stamps alone: what is
told, and when, and its peak and mean, stay as they are.

Two thresholds (hysteresis) keep a score that hovers at one from chattering. Onsets and offsets therefore alternate
per class, and an event is told as soon as it is certain that it is one. Only classes that are not idle, or that have
just reached `enter`, cost anything; a row in which nothing happens is two NumPy calls, whatever the number of classes.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

import numpy as np
import numpy.typing as npt

from streamclf.engine.smooth import Smoother
from streamclf.types import F32, Event, Label, Stage

_TRUE = b"\x01"  # in the bytes of an array, where looking for it takes a tenth of asking numpy


class Ending(StrEnum):
    """Why an event ended."""

    QUIET = "quiet"  # its scores fell
    GAP = "gap"  # nothing was scored any more: samples were lost, its source or its sender was gone, its pack failed
    PAUSED = "paused"  # the stream was paused
    CHANGED = "changed"  # the configuration: its label is off now, or its scores are smoothed otherwise
    END = "end"  # of the source
    STOP = "stop"  # of the daemon
    CRASH = "crash"  # of the daemon; the next one says so


class Phase(IntEnum):
    """See the theory of operation above."""

    IDLE = 0
    RISING = 1
    ACTIVE = 2
    FALLING = 3


@dataclass(frozen=True, slots=True)
class Decision:
    """How one class is decided. Thresholds in [0, 1], durations in frames of 20 ms.

    reach_back: by how much at most an onset lies before the frame that reached `enter`.
    lag: by how much rows may come late of the sound that they are of, where another model says when.
    smoothing: none, ema (exponential mean with a time constant of `smoothing_frames`) or median (centred over
    `smoothing_frames`, an odd number; events come half of them later, and are stamped where they were).
    """

    enter: float = 0.5
    leave: float = 0.35
    min_on: int = 5
    min_off: int = 10
    reach_back: int = 0
    lag: int = 0
    n: int = 1
    m: int = 1
    smoothing: str = "none"
    smoothing_frames: int = 1
    enabled: bool = True


@dataclass(slots=True)
class _Open:
    """What is remembered of a class that is not idle."""

    phase: Phase
    onset: int
    entered: int
    hits: list[bool]
    last_active: int
    below: int = 0
    peak: float = 0.0
    total: float = 0.0
    counted: int = 0
    pending_total: float = 0.0
    pending_count: int = 0
    next_update: int = 0


@dataclass(slots=True)
class Segmenter:
    """Events of one stream under one pack.

    labels and decisions: one for each class, in the order of the rows' columns.
    known: columns whose onsets are moved back by what another model says.
    begins: (onset, frame that reached `enter`, earliest) -> onset by the sound itself, asked where labels lag.
    ends: (onset, end, decided) -> end by the sound itself, asked there as well.
    update_every: frames between two `update` messages of an event that lasts.
    """

    stream: str
    pack: str
    labels: Sequence[Label]
    decisions: Sequence[Decision]
    known: npt.NDArray[np.intp] | None = None
    begins: Callable[[int, int, int], int] | None = None
    ends: Callable[[int, int, int], int] | None = None
    update_every: int = 50
    _enter: F32 = field(init=False)
    _leave: F32 = field(init=False)
    _open: dict[int, _Open] = field(init=False, default_factory=dict)
    _smoothers: list[Smoother] = field(init=False, default_factory=list)
    _next: int | None = field(init=False, default=None)
    _begun: int = field(init=False, default=0)
    _allowed: Container[str] | None = field(init=False, default=None)
    _closed: dict[int, int] = field(init=False, default_factory=dict)  # column -> where its last event ended
    _past: npt.NDArray[np.bool_] = field(init=False)
    _says_when: frozenset[int] = field(init=False)

    def __post_init__(self) -> None:
        self._says_when = frozenset() if self.known is None else frozenset(self.known.tolist())
        self.redecide(self.decisions)

    def redecide(self, decisions: Sequence[Decision]) -> list[Event]:
        """Decide by these from the next row on, one for each label. What is open goes on, where its label is still on.

        Returns what is closed: events of labels that are off now, and all of them where scores are smoothed otherwise.
        """
        events: list[Event] = []
        before, after = ([(d.smoothing, d.smoothing_frames) for d in some] for some in (self.decisions, decisions))
        if before != after:
            next_frame, events = self._next, self.finish(Ending.CHANGED)
            self._next = next_frame
        for column, state in sorted(self._open.items()):
            if not decisions[column].enabled:
                del self._open[column]
                if state.phase in (Phase.ACTIVE, Phase.FALLING):
                    events.append(self._event(column, state, Stage.CLOSE, self._next or 0, Ending.CHANGED))
        self.decisions = decisions
        self._prepare()
        return events

    def _prepare(self) -> None:
        """What rows are compared with."""
        self.allow(self._allowed)
        reach = max((max(d.reach_back, d.lag + d.min_off if d.lag else 0) for d in self.decisions), default=0)
        self._leave = np.array([decision.leave for decision in self.decisions], dtype=np.float32)
        # of the newest rows, by frame, whether an onset may be moved back over them; the oldest are overwritten
        self._past = np.zeros((reach, len(self.labels)), dtype=np.bool_)
        kinds: dict[tuple[str, int], list[int]] = {}
        for column, decision in enumerate(self.decisions):
            if decision.enabled and decision.smoothing != "none" and decision.smoothing_frames > 1:
                kinds.setdefault((decision.smoothing, decision.smoothing_frames), []).append(column)
        self._smoothers = [Smoother(kind, frames, np.array(columns)) for (kind, frames), columns in kinds.items()]

    def push(self, first_frame: int, rows: F32, margins: F32 | None = None) -> list[Event]:
        """rows: (frames, classes) float32 in [0, 1], consecutive, the first one belonging to `first_frame`.

        margins: as many, of the `known` columns alone: from 0 up where an onset may be moved back over a row.
        A jump in the frame index closes what is open at the last frame before it.
        """
        events: list[Event] = []
        if self._next is not None and first_frame != self._next:
            events += self.finish(Ending.GAP)
        if self._next is None:
            self._begun = first_frame
        for smoother in self._smoothers if len(rows) else ():
            rows = np.stack([smoother.push(row) for row in rows])
        reached, past = rows >= self._enter, self._past
        if len(rows) == 1 and not self._open and _TRUE not in reached.tobytes():
            # live it is nearly always one row, in which nothing begins
            if len(past):
                lasts = rows[0] >= self._leave
                if margins is not None:
                    lasts[self.known] = margins[0] >= 0
                past[first_frame % len(past)] = lasts
            self._next = first_frame + 1
            return events
        lasts = rows >= self._leave if len(past) else reached[:0]
        if margins is not None and len(past):
            lasts[:, self.known] = margins >= 0
        for offset, begins in enumerate(np.logical_or.reduce(reached, axis=1).tolist()):
            frame = first_frame + offset
            if begins or self._open:
                columns = sorted({*reached[offset].nonzero()[0].tolist(), *self._open})
                stepped = [self._step(column, frame, float(rows[offset, column])) for column in columns]
                events += [event for event in stepped if event is not None]
            if len(past):
                past[frame % len(past)] = lasts[offset]
        self._next = first_frame + len(rows)
        return events

    @property
    def thresholds(self) -> tuple[F32, F32] | None:
        """(classes, ) that a row must reach to begin an event, and to be looked back over. None where a row means more
        than how it compares with them: an event lasts, or scores are smoothed."""
        if self._open or self._smoothers:
            return None
        return self._enter, self._leave

    def pass_over(self, frame: int, lasts: npt.NDArray[np.bool_]) -> bool:
        """What `push` does with the row of one frame where nothing begins, `thresholds` being there. Returns whether it
        did: after a jump `push` is to be asked. lasts: (classes, ), whether it reaches the second of them."""
        if self._next != frame:
            if self._next is not None:
                return False
            self._begun = frame
        if len(self._past):
            self._past[frame % len(self._past)] = lasts
        self._next = frame + 1
        return True

    def allow(self, labels: Container[str] | None) -> None:
        """From now on only events of these label ids begin; None is all. One that is open goes on to its end."""
        self._allowed = labels
        # a class that is switched off has a threshold no probability reaches
        self._enter = np.array(
            [
                decision.enter if decision.enabled and (labels is None or label.id in labels) else np.inf
                for label, decision in zip(self.labels, self.decisions, strict=True)
            ],
            dtype=np.float32,
        )

    @property
    def next_frame(self) -> int | None:
        """The frame that would follow on, None at the beginning."""
        return self._next

    def finish(self, ended_by: Ending = Ending.END) -> list[Event]:
        """Close what is open (a gap or the stream's end) and forget all state."""
        decided = self._next or 0  # before the first row nothing is open
        events = [
            self._event(column, state, Stage.CLOSE, decided, ended_by)
            for column, state in sorted(self._open.items())
            if state.phase in (Phase.ACTIVE, Phase.FALLING)
        ]
        self._open.clear()
        self._closed.clear()
        for smoother in self._smoothers:
            smoother.reset()
        self._next = None
        return events

    def _step(self, column: int, frame: int, p: float) -> Event | None:
        decision = self.decisions[column]
        state = self._open.get(column)
        if state is None:
            state = self._open[column] = _Open(Phase.RISING, self._reached(column, frame), frame, [], frame)
        if state.phase is Phase.RISING:
            return self._rise(column, state, decision, frame, p)
        if p >= decision.leave:
            state.phase = Phase.ACTIVE
            state.last_active, state.below = frame, 0
            state.peak = max(state.peak, p)
            state.total += state.pending_total + p
            state.counted += state.pending_count + 1
            state.pending_total, state.pending_count = 0.0, 0
            if frame >= state.next_update:
                state.next_update = frame + self.update_every
                return self._event(column, state, Stage.UPDATE, frame + 1)
            return None
        state.phase = Phase.FALLING
        state.below += 1
        state.pending_total += p
        state.pending_count += 1
        if state.below >= decision.min_off:
            del self._open[column]
            return self._event(column, state, Stage.CLOSE, frame + 1, Ending.QUIET)
        return None

    def _reached(self, column: int, frame: int) -> int:
        """The first of the unbroken rows that lead up to `frame` and reach `leave`, as far as `reach_back` goes.

        With a lag the last of them may lie before `frame`, and pauses that an event would bridge do not break them.
        """
        decision, begins = self.decisions[column], self.begins
        closed = self._closed.get(column, 0)
        earliest = max(self._begun, frame - decision.reach_back, closed)
        bridged = decision.lag and column in self._says_when
        pause, least = decision.lag if bridged else 0, decision.min_off if bridged else 0
        onset = at = frame
        while at > earliest and onset - at <= pause:
            at -= 1
            if self._past[at % len(self._past), column]:
                onset, pause = at, least
            elif not bridged:
                break
        if begins is None or not decision.lag:
            return onset
        return begins(onset, frame, max(self._begun, frame - max(decision.reach_back, decision.lag), closed))

    def _ended(self, column: int, state: _Open, decided: int) -> int:
        """One past the last frame of an event: with a lag that which the model that says when heard last, or the last
        one of the sound itself."""
        end, decision = state.last_active + 1, self.decisions[column]
        if decision.lag and column in self._says_when:
            held = max(state.onset, end - decision.lag, decided - len(self._past))
            for at in range(end - 1, held - 1, -1):
                if self._past[at % len(self._past), column]:
                    return at + 1
        if decision.lag and self.ends is not None:
            return self.ends(state.onset, end, decided)
        return end

    def _rise(self, column: int, state: _Open, decision: Decision, frame: int, p: float) -> Event | None:
        state.hits.append(p >= decision.enter)
        del state.hits[: -decision.m]
        state.total += p
        state.counted += 1
        state.peak = max(state.peak, p)
        if p >= decision.leave:
            state.last_active, state.below = frame, 0
        else:
            state.below += 1
            if state.below > decision.m - decision.n:
                del self._open[column]
                return None
        if frame - state.entered + 1 >= decision.min_on and sum(state.hits) >= decision.n:
            state.phase = Phase.ACTIVE
            state.next_update = frame + self.update_every
            return self._event(column, state, Stage.OPEN, frame + 1)
        return None

    def _event(self, column: int, state: _Open, stage: Stage, decided: int, ended_by: str = "") -> Event:
        label, decision = self.labels[column].id, self.decisions[column]
        shift = (decision.smoothing_frames - 1) // 2 if decision.smoothing == "median" else 0
        onset = max(0, state.onset - shift)
        end = self._ended(column, state, decided) if stage is Stage.CLOSE else state.last_active + 1
        if stage is Stage.CLOSE:
            self._closed[column] = end
        return Event(
            stream=self.stream,
            pack=self.pack,
            id=f"{self.stream}/{self.pack}/{label}/{onset}",
            label=label,
            stage=stage,
            onset_frame=onset,
            offset_frame=max(onset + 1, end - shift) if stage is Stage.CLOSE else None,
            peak=state.peak,
            mean=state.total / state.counted,
            decided_frame=decided,
            ended_by=ended_by,
        )
