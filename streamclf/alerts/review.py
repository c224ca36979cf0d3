"""Which events to ask a person about first, and what the answers are good for. No I/O, no clock.

Theory of operation. An answer says something of every event that is like it: of the same label, as strong, and, where
it is kept how they sounded, of like sound. Likeness is a kernel of both. Of an event that is unlike all that was
answered little is known; of one whose like were called right and wrong it is known that it lies where they part; before
any answer that is at the threshold. So much doubt each event carries. The next question is the one whose answer takes
away most doubt: its own, and that of all events that are like it. That one counts as answered, and the next is found.
(Greedy choice by what is covered; Wei, Iyer and Bilmes, Submodularity in data subset selection and active learning,
ICML 2015.)
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamclf.types import F32, F64

STRENGTH = 0.15
"""So far apart two peaks are hardly alike."""
SOUND = 0.12
"""So far apart (1 - cosine of embeddings) two sounds are hardly alike."""
_SURE = 0.95  # that an event which scores as high as can be is right, before any answer
_PRIOR = 0.5  # answers that what is believed before any answer counts for
_NEW = 0.35  # answers like an event, in sum, below which it is unlike all of them


@dataclass(frozen=True, slots=True)
class Doubtful:
    """An event. key: of what it is told as; events of two keys say nothing of each other. enter: its threshold then.

    numbers: how it sounded, (n, ) float32, None where that is not kept. right: what somebody has said, or None.
    """

    key: str
    peak: float
    enter: float
    numbers: F32 | None = None
    right: bool | None = None


@dataclass(frozen=True, slots=True)
class Parting:
    """A threshold that answers lead to. dropped: wrong ones below it; lost: right ones below it."""

    enter: float
    dropped: int
    lost: int


def ordered(events: Sequence[Doubtful], *, most: int) -> list[tuple[int, bool]]:
    """Of the events that nobody has answered those to ask about, the best first: index, and whether it is new.

    new: unlike all that was answered, and not merely near to where right and wrong part.
    """
    by_key: dict[str, list[int]] = {}
    for index, event in enumerate(events):
        by_key.setdefault(event.key, []).append(index)
    worth: list[tuple[float, int, bool]] = []
    for indexes in by_key.values():
        some = _of_one_key([events[index] for index in indexes], most)
        worth += [(gain, indexes[at], new) for at, gain, new in some]
    worth.sort(key=lambda one: -one[0])
    return [(index, new) for _, index, new in worth[:most]]


def _of_one_key(events: Sequence[Doubtful], most: int) -> list[tuple[int, float, bool]]:
    """(place, doubt that its answer takes away, whether it is new), the best first."""
    like = likeness(events)
    answered = np.array([event.right is not None for event in events])
    said = np.array([1.0 if event.right else 0.0 for event in events])
    open_ = ~answered
    known = like[:, answered].sum(axis=1)
    right = like[:, answered] @ said[answered]
    prior = np.array([_believed(event) for event in events])
    found: list[tuple[int, float, bool]] = []
    while open_.any() and len(found) < most:
        chance = (right + _PRIOR * prior) / (known + _PRIOR)
        doubt = np.where(open_, 4 * chance * (1 - chance) / (1 + known / _PRIOR) ** 2, 0.0)
        gains = np.where(open_, like @ doubt, -1.0)
        at = int(gains.argmax())
        found.append((at, float(gains[at]), bool(answered.any() and known[at] < _NEW)))
        open_[at] = False
        # what it will be answered is not known: as likely as it is believed
        known = known + like[:, at]
        right = right + like[:, at] * chance[at]
    return found


def likeness(events: Sequence[Doubtful]) -> F64:
    """(n, n) float64 in [0, 1]."""
    peaks = np.array([event.peak for event in events])
    like: F64 = np.exp(-(((peaks[:, None] - peaks[None, :]) / STRENGTH) ** 2))
    at = np.array([index for index, event in enumerate(events) if event.numbers is not None], dtype=np.intp)
    sizes = {event.numbers.shape for event in events if event.numbers is not None}
    if len(at) == 0 or len(sizes) > 1:
        return like
    rows = np.stack([numbers for event in events if (numbers := event.numbers) is not None]).astype(np.float64)
    rows = np.sqrt(np.maximum(rows, 0.0)) if rows.min() >= 0 else rows
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    like[np.ix_(at, at)] *= np.exp(-np.maximum(0.0, 1 - rows @ rows.T) / SOUND)
    return like


def _believed(event: Doubtful) -> float:
    """That it is right, before any answer: even at the threshold, sure at the top."""
    above = (event.peak - event.enter) / max(1e-6, 1 - event.enter)
    return 0.5 + (_SURE - 0.5) * min(1.0, max(0.0, above))


def cut(events: Sequence[Doubtful], enter: float) -> Parting | None:
    """The threshold over `enter` that parts right answers from wrong ones best; None where none is better.

    Of several as good ones the lowest, so that as little as possible is missed.
    """
    right = np.sort([event.peak for event in events if event.right is True])
    wrong = np.sort([event.peak for event in events if event.right is False])
    levels: npt.NDArray[np.float64] = np.unique(np.concatenate([right, wrong]))
    if len(wrong) == 0:
        return None
    best = len(wrong), enter
    for below, above in zip(levels, [*levels[1:], min(1.0, levels[-1] + 0.02)], strict=True):
        middle = round(float(below + above) / 2, 3)
        faults = int((wrong >= middle).sum() + (right < middle).sum())
        if enter < middle < 1.0 and faults < best[0]:
            best = faults, middle
    if best[1] == enter:
        return None
    return Parting(best[1], int((wrong < best[1]).sum()), int((right < best[1]).sum()))
