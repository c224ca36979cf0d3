"""A head from a few examples: which sounds it is, and from where on it is told.

Theory of operation. What is known of a class is a handful of examples, each some windows of one sound, sounds that
somebody has said are not it, and what this place sounds like otherwise: moments out of the store. A ridge-regularised
logistic regression parts the first from the rest, solved by Newton's steps in the dual, since there are fewer rows than
numbers. All examples weigh the same, however long they are, and all of them together as much as the rest.

Such a head says what is likelier, not how often it will be wrong here. So the threshold is set by this place: over
nearly all that was heard here and is not known to be the class, and as far under the examples as that leaves room,
each of them judged by a head that has not seen it. The logit is then moved and stretched, so that an event begins at
0.5 and the examples come out clearly above.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamclf.model.activation import normalised
from streamclf.types import F32, F64

ENTER, LEAVE = 0.5, 0.3
MOST_BACKGROUND = 600
"""Rows of the background that a fit looks at; thresholds look at all that there are."""
_RIDGE = 4.0
_SAID = 8.0  # so many times a row weighs that somebody has said is not it
_STEPS = 12
_ALIKE = 0.88  # cosine of two windows of one sound; of two sounds it is under 0.8 nearly always
_OFTEN = 0.1  # of what is heard here may be one example's own sound
_CLOSE = 1e-3
_ROOM = 0.35  # of the way from what is heard here up to the examples
_BELOW = 0.25  # of the way from an example down to the middle of what is heard here
_TAIL = 0.001  # of the background may be over the threshold, where there is so much of it
_CLEAR = 3.0  # logit of an example that is as sure as the surest


@dataclass(frozen=True, slots=True)
class Fitted:
    """weights: (numbers + 1, ) float32, the bias last, for `Heads`. margin: of examples over the threshold, as a logit
    before it was stretched; under 0 where some of this place's own sounds are taken for it."""

    weights: F32
    margin: float


def fit(examples: Sequence[F32], against: Sequence[F32], background: F32, *, seed: int = 0) -> Fitted:
    """examples, against: for each the embeddings of one sound, (n, numbers) float32. background: (m, numbers).

    At least one example is expected, and one row among `against` and `background`.
    """
    positive = [normalised(one) for one in examples]
    negative = [normalised(one) for one in against]
    rest = normalised(background)
    rest = rest[~_same(positive, rest)]
    some = rest
    if len(rest) > MOST_BACKGROUND:
        some = rest[np.random.default_rng(seed).permutation(len(rest))[:MOST_BACKGROUND]]
    whole = _head(positive, negative, some)
    sure = [_most(positive[at], _without(positive, at, negative, some, whole)) for at in range(len(positive))]
    seen = [_most(one, whole) for one in positive]
    said = [_most(one, whole) for one in negative]
    threshold, margin = _threshold(np.array(sure), min(seen), _logits(rest, whole), said)
    stretch = _CLEAR / max(0.5, float(max(sure)) - threshold)
    weights = whole * stretch
    weights[-1] = (whole[-1] - threshold) * stretch
    return Fitted(weights.astype(np.float32), margin)


def _same(positive: Sequence[F32], rest: F32) -> npt.NDArray[np.bool_]:
    """Which rows of the background are the very sound, heard before anybody said what it is: for each example the
    rows that are as like it as its own are to each other, unless these are so many that they are this place's own."""
    same = np.zeros(len(rest), dtype=np.bool_)
    for rows in positive:
        likeness = (rest @ rows.T).max(axis=1, initial=-1.0)
        near = likeness >= _ALIKE
        if near.sum() > _OFTEN * len(rest):
            near = likeness > np.quantile(likeness, 1 - _OFTEN)
        same |= near
    return same


def _without(positive: Sequence[F32], at: int, negative: Sequence[F32], some: F32, whole: F64) -> F64:
    """The head that has not seen that example."""
    others = [one for index, one in enumerate(positive) if index != at]
    return _head(others, negative, some) if others else whole


def _threshold(sure: F64, seen: float, rest: F64, said: Sequence[float]) -> tuple[float, float]:
    """Where an event begins, and the lowest example over it. sure, said: of examples and counterexamples the highest
    logit; seen: of the lowest example by the head that has seen it; rest: of the background.

    It is never so high that an example itself would not be told: what is heard here as often as that may be the very
    sound, and where it is not, whoever has taught can say so.
    """
    heard = float(np.quantile(rest, 1 - _TAIL)) if len(rest) else float(sure.min()) - 2.0
    floor = max([heard, *said])
    lowest = float(sure.min())
    middle = float(np.median(rest)) if len(rest) else floor
    ceiling = seen - _BELOW * max(0.0, seen - middle)
    threshold = min(floor + _ROOM * max(0.0, lowest - floor), ceiling)
    threshold = max([threshold, *(one for one in said if one < seen)])
    return threshold, lowest - threshold


def _most(rows: F32, head: F64) -> float:
    return float(_logits(rows, head).max())


def _logits(rows: F32, head: F64) -> F64:
    logits: F64 = rows @ head[:-1] + head[-1]
    return logits


def _head(positive: Sequence[F32], negative: Sequence[F32], some: F32) -> F64:
    """The logistic regression. Returns (numbers + 1, ) float64."""
    rows = np.concatenate([*positive, *negative, some]).astype(np.float64)
    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    is_it = np.zeros(len(rows))
    count = sum(map(len, positive))
    is_it[:count] = 1.0
    share = [np.full(len(one), 1.0 / (len(one) * len(positive))) for one in positive]
    said = [np.full(len(one), _SAID / len(one)) for one in negative]
    other = np.concatenate([*said, np.ones(len(some))])
    mass = float(other.sum())
    weight = np.concatenate([np.concatenate(share) * mass, other])
    return rows.T @ _dual(rows @ rows.T, is_it, weight)


def _dual(kernel: F64, is_it: F64, weight: F64) -> F64:
    """Newton's steps of a ridge logistic regression with this kernel (n, n); the weights are kernel rows' factors."""
    logits: F64 = np.zeros(len(kernel))
    factors: F64 = logits
    for _ in range(_STEPS):
        p = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        bend = np.maximum(weight * p * (1 - p), 1e-6)
        target = logits + (is_it - p) * weight / bend
        factors = np.array(np.linalg.solve(kernel + np.diag(_RIDGE / bend), target))
        before = logits
        logits = np.array(kernel @ factors)
        if np.abs(logits - before).max() < _CLOSE:
            break
    return factors
