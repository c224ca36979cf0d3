"""Thresholds from a budget, and how well they do on sources that did not choose them.

No weight is learnt from the recordings: a learnt fusion of all scores heard sources worse that it had not seen. What
is chosen is one number a class, its bias, and it is told with sources left out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.everyday.recipe.classes import EverydayClass, EverydayClip, holds
from models.everyday.recipe.scores import MemberScores
from models.everyday.recipe.table import SILENT, rivals, weights_of
from streamclf.clock import frames_of_ms
from streamclf.model.recipes.everyday import SEGMENTATION
from streamclf.train.extra import need
from streamclf.types import Label
from tools.evaluate_everyday.classes import answers_of, truth_of
from tools.evaluate_everyday.recordings import folds

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FOLDS = 10
DEAR = 0.15
"""A class that would lose more than this share of its recordings with no background may be told in one of them."""
SURE, SURE_RIGHT, _PRIOR = 0.9, 0.95, 10.0
"""Of the recordings in which a score reaches the first, the second share is to be right; the third is how many
recordings of all classes stand beside those of one, of which there may be few.
"""
_MARGINS = np.arange(1.0, 8.01, 0.25)
_ESC10 = {"dog_bark": "dog", "person_sneeze": "sneeze", "fire_crackling": "fire", "sea_waves": "water"}
_ESC10 |= {"helicopter": "aircraft"}
_PLACES = frozenset({"ambience", "clips", "animal_song"})


@dataclass(frozen=True, slots=True)
class Truths:
    """Of each recording and class, whether it holds it, and whether an event of it there would be wrong."""

    right: Mask
    wrong: Mask
    source: list[str]
    hours: F64
    background: Mask

    @property
    def sources(self) -> list[int]:
        """Of each class, how many sources hold it."""
        return [len({s for s, on in zip(self.source, column, strict=True) if on}) for column in self.right.T]


def truths(known: Sequence[EverydayClass], recordings: Sequence[EverydayClip], seconds: Sequence[float]) -> Truths:
    """By the words of the judge, but for a class's own recordings, which classes.csv names."""
    answers = answers_of([Label(one.id, one.name, one.group) for one in known]).full
    right = np.array([[holds(one, recording) for one in known] for recording in recordings])
    wrong = np.zeros_like(right)
    behind = np.array([one.label == "background" for one in recordings])
    for row, recording in enumerate(recordings):
        # nobody has said what else is heard in places and in backgrounds of games
        if recording.label in _PLACES or (behind[row] and Path(recording.path).is_absolute()):
            continue
        folder = recording.path.split("/")[1]
        label = _ESC10.get(folder, folder) if recording.label == "ESC-10" else recording.label
        truth = truth_of(label, recording.path.rpartition("/")[2])
        wrong[row] = [truth.judge(answered) is False for answered in answers]
    return Truths(right, wrong & ~right, [one.source for one in recordings], np.array(seconds) / 3600, behind)


def maxima(known: Sequence[EverydayClass], scores: Sequence[MemberScores]) -> tuple[F64, F64]:
    """Twice (recordings, classes): the largest fused logit that lasts as long as an event has to, before the bias, and
    the largest of any row.
    """
    at = {one.id: column for column, one in enumerate(known)}
    against = [[at[other.id] for other in rivals(one, known)] for one in known]
    out, most = np.zeros((len(scores), len(known))), np.zeros((len(scores), len(known)))
    for row, said in enumerate(scores):
        for column, one in enumerate(known):
            own = weights_of(one)
            total = own.yamnet * said.yamnet[:, column] + own.default * np.nan_to_num(said.default[:, column])
            total += own.silero * said.speech[:, 0]
            if against[column]:
                total -= own.against * said.yamnet[:, against[column]].max(axis=1)
            if one.taken_for_it:
                total -= own.taken_for_it * said.yamnet[:, [at[name] for name in one.taken_for_it]].max(axis=1)
            if own.noise:
                total -= own.noise * said.yamnet[:, at[SILENT]]
            out[row, column] = lasting(total, frames_of_ms(one.min_on_ms or SEGMENTATION.min_on_ms))
            most[row, column] = total.max()
    return out, most


def lasting(scores: npt.NDArray[Any], frames: int) -> float:
    """The largest value that `scores`, (n, ), keep to for `frames` of them."""
    least, width, most = scores, 1, min(len(scores), frames)
    while width < most:
        step = min(width, most - width)
        least, width = np.minimum(least[:-step], least[step:]), width + step
    return float(least.max())


def thresholds(values: F64, of: Truths, budget: float, chosen: Mask, *, backgrounds: Sequence[int] | int = 1) -> F64:
    """Of each class the lowest logit that lets `budget` wrong recordings an hour pass, of those that are `chosen`, and
    at most so many of the `backgrounds`, for all classes or for each.
    """
    out = np.zeros(values.shape[1])
    most = np.broadcast_to(backgrounds, out.shape)
    for column in range(len(out)):
        wrong = of.wrong[:, column] & chosen
        sounds = wrong & ~of.background
        out[column] = _allow(values[sounds, column], int(budget * of.hours[sounds].sum()))
        if len(behind := values[wrong & of.background, column]) > most[column]:
            out[column] = max(out[column], _allow(behind, int(most[column])))
    return out


def backgrounds_allowed(values: F64, of: Truths, budget: float) -> list[int]:
    """Of each class in how many backgrounds it may be told: none, but one where that would be too `DEAR`."""
    one, none = (left_out(values, of, budget, backgrounds=count) for count in (1, 0))
    out = []
    for column, right in enumerate(of.right.T):
        lost = one[right, column].mean() - none[right, column].mean() if right.any() else 0.0
        out.append(int(lost > DEAR))
    return out


def scales(over: F64, of: Truths, chosen: Mask) -> F64:
    """Of each class the factor that makes a score of `SURE` as right as it says, from the `chosen` recordings.

    over: (recordings, classes), how far the largest logit is over the class's threshold.
    """
    judged = (of.right | of.wrong) & chosen[:, None]
    there = np.array([(judged & (over >= margin)).sum(axis=0) for margin in _MARGINS])
    right = np.array([(judged & of.right & (over >= margin)).sum(axis=0) for margin in _MARGINS])
    usual = right.sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    share = (right + _PRIOR * usual[:, None]) / (there + _PRIOR)
    sure = math.log(SURE / (1 - SURE))
    return np.array(
        [sure / next((m for m, p in zip(_MARGINS, ps, strict=True) if p >= SURE_RIGHT), _MARGINS[-1]) for ps in share.T]
    )


def _allow(values: F64, count: int) -> float:
    """The value that `count` of the values lie above."""
    ranked = np.sort(values)[::-1]
    return float(ranked[min(count, len(ranked) - 1)]) if len(ranked) else 0.0


def ranks(values: F64, of: Truths) -> list[float]:
    """Of each class the AUC of maxima, 1 where it cannot be told."""
    rank = need("sklearn.metrics").roc_auc_score
    out = []
    for column in range(values.shape[1]):
        right, either = of.right[:, column], of.right[:, column] | of.wrong[:, column]
        both = 0 < right.sum() < either.sum()
        out.append(float(rank(right[either], values[either, column])) if both else 1.0)
    return out


def sure_left_out(values: F64, most: F64, of: Truths, budget: float, *, backgrounds: Sequence[int] | int = 1) -> Mask:
    """(recordings, classes): where a score reaches `SURE`, by thresholds and scales of the other folds of sources."""
    out = np.zeros(values.shape, dtype=bool)
    for mine in _folds(of):
        over = most - thresholds(values, of, budget, ~mine, backgrounds=backgrounds)
        out[mine] = (over * scales(over, of, ~mine) >= math.log(SURE / (1 - SURE)))[mine]
    return out


def left_out(values: F64, of: Truths, budget: float, *, backgrounds: Sequence[int] | int = 1) -> Mask:
    """(recordings, classes): what is told, each recording by thresholds chosen without its fold of sources."""
    told = np.zeros(values.shape, dtype=bool)
    for mine in _folds(of):
        told[mine] = values[mine] > thresholds(values, of, budget, ~mine, backgrounds=backgrounds)
    return told


def _folds(of: Truths) -> list[Mask]:
    fold = folds(of.source, FOLDS)
    number = np.array([fold[source] for source in of.source])
    return [number == each for each in range(FOLDS)]
