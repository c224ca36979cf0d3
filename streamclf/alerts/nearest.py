"""What nearly was an event: of a stretch of score rows the labels that came nearest, and why no event came of them.

No I/O, no clock. A label is an event once it has been at `enter` or above, has not fallen below `leave` since, and is
at `enter` or above again at least `min_on` later (engine/segment.py); smoothing and M of N come on top.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Self

import numpy as np

from streamclf.alerts.rules.gates import told_apart
from streamclf.clock import FRAME_MS, NS_PER_FRAME
from streamclf.engine.segment import Decision
from streamclf.store.scorefile import Stretch
from streamclf.types import F32, Label


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Consecutive rows of a pack on a stream. rows: (frames, classes) float32. first_ns: wall time of the first.

    labels, decisions: one for each class.
    """

    stream: str
    pack: str
    labels: Sequence[Label]
    decisions: Sequence[Decision]
    first_ns: int
    rows: F32

    @classmethod
    def of(cls, stretch: Stretch) -> Self:
        """From the score log."""
        header = stretch.header
        return cls(header.stream, header.pack, header.labels, header.decisions, stretch.first_ns, stretch.rows)


class Lack(Enum):
    """What it takes to be an event and was not there."""

    ENABLED = auto()
    ENTER = auto()
    LISTED = auto()
    MIN_ON = auto()
    ENOUGH_FRAMES = auto()
    SMOOTH = auto()
    NOTHING = auto()


@dataclass(frozen=True, slots=True)
class NearMiss:
    """The best frame of a label in a stretch of time.

    longest_ms: the longest time from a frame at `enter` or above to another one without falling below `leave`.
    """

    at_ns: int
    stream: str
    pack: str
    label: str
    best: float
    longest_ms: int
    decision: Decision

    def lack(self, *, held: str) -> Lack:
        """The first thing that was missing, as far as scores tell. held: what holds it back now, or ""."""
        decision = self.decision
        if not decision.enabled:
            return Lack.ENABLED
        if self.best < decision.enter:
            return Lack.ENTER
        if held:
            return Lack.LISTED
        if self.longest_ms < decision.min_on * FRAME_MS:
            return Lack.MIN_ON
        if decision.n > 1:
            return Lack.ENOUGH_FRAMES
        return Lack.SMOOTH if decision.smoothing != "none" else Lack.NOTHING


def near_misses(excerpts: Iterable[Excerpt], *, top: int, all_labels: bool = False) -> list[NearMiss]:
    """Of every stream and pack the `top` labels whose best score came nearest to their `enter`, nearest first.

    all_labels: those that are switched off as well.
    """
    best: dict[tuple[str, str, str], NearMiss] = {}
    for excerpt in _joined(excerpts):
        rows = excerpt.rows
        frames = rows.argmax(axis=0)
        for column, (label, decision) in enumerate(zip(excerpt.labels, excerpt.decisions, strict=True)):
            if not decision.enabled and not all_labels:
                continue
            frame = int(frames[column])
            near = NearMiss(
                excerpt.first_ns + frame * NS_PER_FRAME,
                excerpt.stream,
                excerpt.pack,
                label.id,
                float(rows[frame, column]),
                _longest(rows[:, column], decision) * FRAME_MS,
                decision,
            )
            key = (excerpt.stream, excerpt.pack, label.id)
            if key not in best or _nearness(near) > _nearness(best[key]):
                best[key] = near
    tracks: dict[tuple[str, str], list[NearMiss]] = {}
    for near in sorted(best.values(), key=_nearness, reverse=True):
        tracks.setdefault((near.stream, near.pack), []).append(near)
    return [near for _, found in sorted(tracks.items()) for near in found[:top]]


def verdict(near: NearMiss, *, held: str = "") -> str:
    """Why it was not an event, as found and wanted stand beside each other in gates of rules. held: as of `lack`."""
    decision = near.decision
    best, enter = told_apart(near.best, decision.enter)
    text = f"{near.label} {best} >= enter {enter}"
    lasted = f"{text}, on for {near.longest_ms} ms"
    match near.lack(held=held):
        case Lack.ENABLED:
            return f"{near.label} is switched off"
        case Lack.ENTER:
            return f"{near.label} {best} < enter {enter}"
        case Lack.LISTED:
            return f"{text}, but held back by {held}"
        case Lack.MIN_ON:
            return f"{lasted} < {decision.min_on * FRAME_MS} ms (min_on_ms)"
        case Lack.ENOUGH_FRAMES:
            return f"{lasted}, and {decision.n} of {decision.m} frames must reach enter"
        case Lack.SMOOTH:
            return f"{lasted} before its {decision.smoothing} over {decision.smoothing_frames * FRAME_MS} ms"
        case Lack.NOTHING:
            return lasted


def said(near: NearMiss, *, held: str = "") -> str:
    """Why no event came of it, as a sentence without its subject, the label. held: as of `lack`."""
    decision = near.decision
    best, enter = told_apart(near.best, decision.enter)
    lasted = f"stayed above {enter} for {near.longest_ms} ms"
    match near.lack(held=held):
        case Lack.ENABLED:
            return "is switched off"
        case Lack.ENTER:
            return f"reached {best}, enter is {enter}"
        case Lack.LISTED:
            return f"reached {best}, held back by {held}"
        case Lack.MIN_ON:
            return f"{lasted}, {decision.min_on * FRAME_MS} ms are needed"
        case Lack.ENOUGH_FRAMES:
            return f"{lasted}, but {decision.n} of {decision.m} frames in a row must reach it"
        case Lack.SMOOTH:
            smoothed = f"{decision.smoothing} over {decision.smoothing_frames * FRAME_MS} ms"
            return f"{lasted}, but its {smoothed} decides, and that stayed lower"
        case Lack.NOTHING:
            return f"{lasted}, which makes an event; it is told where it began"


def _joined(excerpts: Iterable[Excerpt]) -> list[Excerpt]:
    """What follows on each other as one, so that no run is cut where a block ends."""
    runs: list[list[Excerpt]] = []
    ends: dict[tuple[str, str], tuple[int, list[Excerpt]]] = {}
    for part in excerpts:
        end_ns, run = ends.get((part.stream, part.pack), (0, []))
        if not run or abs(part.first_ns - end_ns) > NS_PER_FRAME // 2 or part.decisions != run[-1].decisions:
            run = []
            runs.append(run)
        run.append(part)
        ends[part.stream, part.pack] = part.first_ns + len(part.rows) * NS_PER_FRAME, run
    return [replace(run[0], rows=np.concatenate([part.rows for part in run])) for run in runs]


def _nearness(near: NearMiss) -> float:
    return near.best / max(near.decision.enter, 1e-6)


def _longest(scores: F32, decision: Decision) -> int:
    """Frames from the first to the last at `enter` of the longest stretch at `leave`. scores: (frames, )."""
    entered = np.flatnonzero(scores >= decision.enter)
    if not len(entered):
        return 0
    stretch = np.cumsum(scores < decision.leave)[entered]  # the same number: nothing below `leave` lies between
    begins = np.flatnonzero(np.diff(stretch, prepend=-1))
    ends = np.append(begins[1:], len(entered)) - 1
    return int((entered[ends] - entered[begins]).max()) + 1
