"""Thresholds from a budget, and how well they do on sources that did not choose them.

No weight is learnt from the recordings: a learnt fusion of all scores heard sources worse that it had not seen. What
is chosen is one number a class, its bias, and it is told with sources left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

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
LOUDEST_BACKGROUNDS = 1
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


def maxima(known: Sequence[EverydayClass], scores: Sequence[MemberScores]) -> F64:
    """(recordings, classes): the largest fused logit that lasts as long as an event has to, before the bias."""
    at = {one.id: column for column, one in enumerate(known)}
    against = [[at[other.id] for other in rivals(one, known)] for one in known]
    out = np.zeros((len(scores), len(known)))
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
    return out


def lasting(scores: npt.NDArray[Any], frames: int) -> float:
    """The largest value that `scores`, (n, ), keep to for `frames` of them."""
    return float(sliding_window_view(scores, min(len(scores), frames)).min(axis=1).max())


def thresholds(values: F64, of: Truths, budget: float, chosen: Mask, *, backgrounds: int = LOUDEST_BACKGROUNDS) -> F64:
    """Of each class the lowest logit that lets `budget` wrong recordings an hour pass, of those that are `chosen`, and
    at most so many of the `backgrounds`.
    """
    out = np.zeros(values.shape[1])
    for column in range(len(out)):
        wrong = of.wrong[:, column] & chosen
        sounds = wrong & ~of.background
        out[column] = _allow(values[sounds, column], int(budget * of.hours[sounds].sum()))
        if len(behind := values[wrong & of.background, column]) > backgrounds:
            out[column] = max(out[column], _allow(behind, backgrounds))
    return out


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


def left_out(values: F64, of: Truths, budget: float, *, backgrounds: int = LOUDEST_BACKGROUNDS) -> Mask:
    """(recordings, classes): what is told, each recording by thresholds chosen without its fold of sources."""
    fold = folds(of.source, FOLDS)
    number = np.array([fold[source] for source in of.source])
    told = np.zeros(values.shape, dtype=bool)
    for each in range(FOLDS):
        told[number == each] = values[number == each] > thresholds(
            values, of, budget, number != each, backgrounds=backgrounds
        )
    return told
