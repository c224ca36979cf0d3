"""Thresholds from a price, and how well they do on sources that did not choose them.

No weight is learnt from the recordings: a learnt fusion of all scores heard sources worse that it had not seen. What
is chosen is one number a class, its bias, and one a group, its factor; both are told with sources left out.
"""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
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
from streamclf.types import F32, Label
from tools.evaluate_everyday.classes import answers_of, truth_of
from tools.evaluate_everyday.recordings import folds

F64 = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FOLDS = 10
ORIGIN_FOLDS = 4
"""Of whole collections, to tell how the head does on recordings of another one."""
BEHIND = 2.0
"""A background in which a class is told wrongly counts as so many recordings: it goes on for longer than they do."""
_SOFT, _STEP = 0.5, 0.1
"""Logits: how far around a threshold a recording still counts for a part, so that no single one decides; and between
two thresholds that are tried.
"""
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


def sums(known: Sequence[EverydayClass], scores: Sequence[MemberScores]) -> list[F32]:
    """Of each recording (frames, classes): what the terms come to, before the bias."""
    at = {one.id: column for column, one in enumerate(known)}
    against = [[at[other.id] for other in rivals(one, known)] for one in known]
    out = []
    for said in scores:
        rows = np.zeros(said.yamnet.shape, dtype=np.float32)
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
            rows[:, column] = total
        out.append(rows)
    return out


def maxima(known: Sequence[EverydayClass], rows: Iterable[F32]) -> tuple[F64, F64]:
    """Twice (recordings, classes): of the `rows` of each, the largest that lasts as long as an event has to, and the
    largest of all.
    """
    frames = [frames_of_ms(one.min_on_ms or SEGMENTATION.min_on_ms) for one in known]
    last, most = [], []
    for some in rows:
        last.append([lasting(own, least) for own, least in zip(some.T, frames, strict=True)])
        most.append(some.max(axis=0))
    return np.array(last, dtype=np.float64), np.array(most, dtype=np.float64)


def lasting(scores: npt.NDArray[Any], frames: int) -> float:
    """The largest value that `scores`, (n, ), keep to for `frames` of them."""
    least, width, most = scores, 1, min(len(scores), frames)
    while width < most:
        step = min(width, most - width)
        least, width = np.minimum(least[:-step], least[step:]), width + step
    return float(least.max())


def thresholds(values: F64, of: Truths, price: float, chosen: Mask, behind: float = BEHIND) -> F64:
    """Of each class the logit that is worth most by the recordings that are `chosen`: the share of its own that lie
    above it, less `price` for each wrong recording an hour, of which a background counts as `behind`. Of several
    recordings of one source each counts less.
    """
    out = np.zeros(values.shape[1])
    for column, own in enumerate(values.T):
        right, wrong = of.right[:, column] & chosen, of.wrong[:, column] & chosen
        if not right.any() or not wrong.any():
            out[column] = own[wrong].max(initial=0.0)
            continue
        levels = np.arange(own[right].min() - 1, max(own[right].max(), own[wrong].max()) + 1, _STEP)
        told = _above(own[right], levels) @ by_source(of, np.flatnonzero(right))
        false = _above(own[wrong], levels) @ np.where(of.background[wrong], behind, 1.0)
        out[column] = levels[np.argmax(told - price * false / of.hours[wrong & ~of.background].sum())]
    return out


def _above(values: F64, levels: F64) -> F64:
    """(levels, values): 1 for what lies well above a level, 0 for what lies well below."""
    return np.asarray(0.5 + 0.5 * np.tanh((values - levels[:, None]) / (2 * _SOFT)))


def by_source(of: Truths, rows: npt.NDArray[np.intp]) -> F64:
    """What each of these recordings counts, 1 together: a source as the root of how many of them it has."""
    sources = [of.source[row] for row in rows]
    count = Counter(sources)
    weights = np.array([count[source] ** -0.5 for source in sources])
    return np.asarray(weights / weights.sum())


def scales(over: F64, of: Truths, chosen: Mask, groups: Sequence[str]) -> F64:
    """Of each class the factor that makes a score of `SURE` as right as it says, from the `chosen` recordings.

    over: (recordings, classes), how far the largest logit is over the class's threshold. groups: of each class the one
    whose classes have one factor, so that a bird that is told as another bird ranks among birds as it did.
    """
    kin = np.equal.outer(groups, groups)
    judged = (of.right | of.wrong) & chosen[:, None]
    there = np.array([(judged & (over >= margin)).sum(axis=0) for margin in _MARGINS])
    right = np.array([(judged & of.right & (over >= margin)).sum(axis=0) for margin in _MARGINS])
    usual = right.sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    share = (right @ kin + _PRIOR * usual[:, None]) / (there @ kin + _PRIOR)
    sure = math.log(SURE / (1 - SURE))
    return np.array(
        [sure / next((m for m, p in zip(_MARGINS, ps, strict=True) if p >= SURE_RIGHT), _MARGINS[-1]) for ps in share.T]
    )


def ranks(values: F64, of: Truths) -> list[float]:
    """Of each class the AUC of maxima, 1 where it cannot be told."""
    rank = need("sklearn.metrics").roc_auc_score
    out = []
    for column in range(values.shape[1]):
        right, either = of.right[:, column], of.right[:, column] | of.wrong[:, column]
        both = 0 < right.sum() < either.sum()
        out.append(float(rank(right[either], values[either, column])) if both else 1.0)
    return out


def sure_left_out(values: F64, most: F64, of: Truths, price: float, groups: Sequence[str]) -> Mask:
    """(recordings, classes): where a score reaches `SURE`, by thresholds and scales of the other folds of sources."""
    out = np.zeros(values.shape, dtype=bool)
    for mine in _folds(of):
        over = most - thresholds(values, of, price, ~mine)
        out[mine] = (over * scales(over, of, ~mine, groups) >= math.log(SURE / (1 - SURE)))[mine]
    return out


def left_out(values: F64, of: Truths, price: float, behind: float = BEHIND) -> Mask:
    """(recordings, classes): what is told, each recording by thresholds chosen without its fold of sources."""
    told = np.zeros(values.shape, dtype=bool)
    for mine in _folds(of):
        told[mine] = values[mine] > thresholds(values, of, price, ~mine, behind)
    return told


def false_per_hour(told: Mask, of: Truths, column: int) -> float:
    """In how many recordings of other sounds a class is told, (recordings, ), in an hour of them."""
    wrong = of.wrong[:, column] & ~of.background
    return float(told[wrong].sum() / max(of.hours[wrong].sum(), 1e-9))


def _folds(of: Truths) -> list[Mask]:
    fold = folds(of.source, FOLDS)
    number = np.array([fold[source] for source in of.source])
    return [number == each for each in range(FOLDS)]
