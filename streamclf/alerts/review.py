"""Which events to ask a person about first, and what the answers are good for. No I/O, no clock.

Theory of operation. A wrong event teaches most that is like many others which are wrong as well: a head learns the
sound, and a threshold goes over it, and so over all that scored lower, whatever they sound like. Asked is first where a
"no" is likely and would settle most: the chance that it is wrong, times all events that are likely wrong and lie below
it, those of like sound twice over. Chances come from the answers to events of like sound, from what was shown when the
class was taught, and where nothing is like them from the share of right answers so far. What is answered, or stands
before it in the list, settles its like. Where it is not kept how they sounded, events of like strength are alike.
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
_BELOW = 0.5  # of what an answer says, so much it says of all events that lie below
_PRIOR = 0.5  # answers that what is believed before any answer counts for
_NEW = 0.35  # answers like an event, in sum, below which it is unlike all of them


@dataclass(frozen=True, slots=True)
class Doubtful:
    """An event. key: of what it is told as; events of two keys say nothing of each other.

    numbers: how it sounded, (n, ) float32, None where that is not kept. right: what somebody has said, or None.
    shown: it is no event, but a sound that the class was taught by.
    """

    key: str
    peak: float
    numbers: F32 | None = None
    right: bool | None = None
    shown: bool = False


@dataclass(frozen=True, slots=True)
class Parting:
    """A threshold that answers lead to. dropped: wrong ones below it; lost: right ones below it."""

    enter: float
    dropped: int
    lost: int


def ordered(events: Sequence[Doubtful], *, most: int) -> list[tuple[int, bool]]:
    """Of the events that nobody has answered those to ask about, the best first: index, and whether it is new.

    new: unlike all that was answered or shown, and not only one of many.
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
    """(place, what its answer is worth, whether it is new), the best first."""
    like = likeness(events)
    peaks = np.array([event.peak for event in events])
    above = np.maximum(0.0, peaks[None, :] - peaks[:, None])
    below = np.exp(-((above / STRENGTH) ** 2))
    settles = below * (_BELOW + (1 - _BELOW) * like)
    right = np.array([event.right is True for event in events])
    wrong = np.array([event.right is False for event in events])
    told = np.array([not event.shown for event in events])
    share = (int((right & told).sum()) + 1) / (int(((right | wrong) & told).sum()) + 2)
    known = like[right | wrong].sum(axis=0)
    chance = (like[right].sum(axis=0) + _PRIOR * share) / (known + _PRIOR)
    open_ = ~(right | wrong)
    left = (1 - chance) / (1 + like[wrong].sum(axis=0))
    found: list[tuple[int, float, bool]] = []
    while open_.any() and len(found) < most:
        worth = np.where(open_, (1 - chance) * (settles @ np.where(open_, left, 0.0)), -1.0)
        at = int(worth.argmax())
        found.append((at, float(worth[at]), bool((right | wrong).any() and known[at] < _NEW)))
        open_[at] = False
        left = left * (1 - like[at])
    return found


def likeness(events: Sequence[Doubtful]) -> F64:
    """(n, n) float64 in [0, 1]."""
    at = np.array([index for index, event in enumerate(events) if event.numbers is not None], dtype=np.intp)
    sizes = {event.numbers.shape for event in events if event.numbers is not None}
    peaks = np.array([event.peak for event in events])
    like: F64 = np.exp(-(((peaks[:, None] - peaks[None, :]) / STRENGTH) ** 2))
    if len(at) == 0 or len(sizes) > 1:
        return like
    rows = np.stack([numbers for event in events if (numbers := event.numbers) is not None]).astype(np.float64)
    rows = np.sqrt(np.maximum(rows, 0.0)) if rows.min() >= 0 else rows
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    like[np.ix_(at, at)] = np.exp(-np.maximum(0.0, 1 - rows @ rows.T) / SOUND)
    return like


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
