"""Figures of one pack on single recordings: ranking, what is told at its own thresholds, what is told instead.

A class is judged on recordings that hold it against recordings that neither hold it nor may hold it. Figures that
these recordings cannot give are None, never 0.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from streamclf.train.extra import need
from tools.evaluate_everyday.classes import Answers, judged_classes
from tools.evaluate_everyday.listen import SoundHeard
from tools.evaluate_everyday.recordings import JudgedClip, folds, sources_of

FALSE_RATES = (5.0, 20.0)
"""False clips an hour that thresholds are chosen for, with sources left out."""
SURE = 0.9
_FOLDS = 5
_BINS = (0.5, 0.7, 0.9, 1.0)
_SOURCES_ENOUGH = 5
"""Classes from fewer sources are shown, and are in no mean."""

Numbers = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """One class. told: share of its clips with an event of it. false_per_hour: such events an hour where it is not.

    told_at: false clips an hour aimed at -> (share of its clips, false clips an hour) at thresholds that were chosen
    on the other sources. in_mean: whether it has sources enough to count in means.
    """

    name: str
    clips: int
    sources: int
    in_mean: bool
    auc: float | None
    told: float | None
    false_per_hour: float | None
    told_at: Mapping[str, tuple[float, float] | None]


@dataclass(frozen=True, slots=True)
class ClipVerdict:
    """Whether some event was right, and some wrong, on a clip that holds the classes `own`."""

    own: frozenset[str]
    right: bool
    wrong: bool


@dataclass(frozen=True, slots=True)
class Shares:
    """Of clips of some classes: right, wrong (a clip may be both), nothing; of the other clips: wrong."""

    clips: int
    right: float | None
    wrong: float | None
    nothing: float | None
    others: int
    other_wrong: float | None


@dataclass(slots=True)
class ClipFigures:
    """All classes of one pack. verdicts: of every clip but backgrounds. background_per_hour: wrong events in them.

    sure_right: of maxima over .9 those that are right; bins: lower edge -> (count, share right).
    confusions: (class, told as, share of its clips, clips), the worst first.
    """

    classes: list[ClassFigures] = field(default_factory=list)
    verdicts: list[ClipVerdict] = field(default_factory=list)
    background_per_hour: float | None = None
    background_hours: float = 0.0
    background_events: dict[str, float] = field(default_factory=dict)
    sure_right: float | None = None
    bins: dict[str, tuple[int, float]] = field(default_factory=dict)
    confusions: list[tuple[str, str, float, int]] = field(default_factory=list)

    def mean(self, what: str, names: frozenset[str] | None = None) -> float | None:
        """Mean of a figure over the classes that count, or over those of them in `names`."""
        values = [
            value
            for one in self.classes
            if one.in_mean and (names is None or one.name in names)
            if (value := getattr(one, what)) is not None
        ]
        return float(np.mean(values)) if values else None

    def shares(self, names: frozenset[str] | None = None) -> Shares:
        """Of clips of the classes `names`; of all that the pack knows where that is None."""
        known = frozenset(one.name for one in self.classes) if names is None else names
        own = [one for one in self.verdicts if one.own & known]
        others = [one for one in self.verdicts if not one.own & known]
        return Shares(
            len(own),
            _share([one.right for one in own]),
            _share([one.wrong for one in own]),
            _share([not one.right and not one.wrong for one in own]),
            len(others),
            _share([one.wrong for one in others]),
        )

    def mean_told_at(self, rate: float) -> tuple[float, float] | None:
        """Means of told and of false clips an hour at the thresholds for `rate`."""
        pairs = [pair for one in self.classes if one.in_mean and (pair := one.told_at.get(f"{rate:g}")) is not None]
        return (float(np.mean([p[0] for p in pairs])), float(np.mean([p[1] for p in pairs]))) if pairs else None


def judge_clips(clips: Sequence[JudgedClip], heard: Sequence[SoundHeard], answers: Answers) -> ClipFigures:
    """heard: what the pack said of each of `clips`."""
    out = ClipFigures()
    hours = np.array([one.seconds for one in heard]) / 3600
    told = [frozenset(event.column for event in one.events) for one in heard]
    known = [name for name in judged_classes() if answers.columns(name)]
    for name in known:
        columns = answers.columns(name)
        positive = np.array([name in clip.truth.own for clip in clips])
        if not positive.any():
            continue
        negative = np.array([answers.is_negative(name, clip.truth) for clip in clips])
        maxima = np.array([one.maxima(columns) for one in heard], dtype=np.float64)
        counts = np.array([sum(event.column in columns for event in one.events) for one in heard])
        among = negative & ~np.array([clip.background for clip in clips])
        sources = sources_of(clips, name)
        out.classes.append(
            ClassFigures(
                name=name,
                clips=int(positive.sum()),
                sources=sources,
                in_mean=sources >= _SOURCES_ENOUGH,
                auc=_auc(maxima, positive, negative),
                told=float((counts[positive] > 0).mean()),
                false_per_hour=float(counts[among].sum() / hours[among].sum()) if among.any() else None,
                told_at={
                    f"{rate:g}": _left_out(maxima, positive, among, hours, [c.source for c in clips], rate)
                    for rate in FALSE_RATES
                },
            )
        )
    out.verdicts = [
        ClipVerdict(clip.truth.own, True in said, False in said)
        for clip, columns in zip(clips, told, strict=True)
        if not clip.background
        for said in [{clip.truth.judge(answers.full[column]) for column in columns}]
    ]
    _backgrounds(out, clips, heard, answers)
    _calibration(out, clips, heard, answers, known)
    out.confusions = _confusions(clips, told, answers)
    return out


def _auc(maxima: Numbers, positive: npt.NDArray[np.bool_], negative: npt.NDArray[np.bool_]) -> float | None:
    if not positive.any() or not negative.any():
        return None
    both = positive | negative
    return float(need("sklearn.metrics").roc_auc_score(positive[both], maxima[both]))


def _left_out(
    maxima: Numbers,
    positive: npt.NDArray[np.bool_],
    negative: npt.NDArray[np.bool_],
    hours: Numbers,
    sources: Sequence[str],
    rate: float,
) -> tuple[float, float] | None:
    """(share of positives told, false clips an hour): each fold's threshold is chosen on the sources of the others."""
    fold = folds(sources, _FOLDS)
    of = np.array([fold[source] for source in sources])
    right = wrong = 0
    for number in range(_FOLDS):
        chosen, judged = negative & (of != number), of == number
        if not chosen.any():
            return None
        allowed = int(rate * hours[chosen].sum())
        ranked = np.sort(maxima[chosen])[::-1]
        threshold = ranked[allowed] if allowed < len(ranked) else -1.0
        right += int((maxima[judged & positive] > threshold).sum())
        wrong += int((maxima[judged & negative] > threshold).sum())
    return right / int(positive.sum()), wrong / float(hours[negative].sum())


def _share(values: Sequence[bool]) -> float | None:
    return sum(values) / len(values) if values else None


def _backgrounds(out: ClipFigures, clips: Sequence[JudgedClip], heard: Sequence[SoundHeard], answers: Answers) -> None:
    counts: Counter[str] = Counter()
    for clip, one in zip(clips, heard, strict=True):
        if not clip.background:
            continue
        out.background_hours += one.seconds / 3600
        for event in one.events:
            if clip.truth.judge(answers.full[event.column]) is False:
                counts[answers.widest(event.column)] += 1
    if out.background_hours:
        out.background_per_hour = sum(counts.values()) / out.background_hours
        out.background_events = {name: count / out.background_hours for name, count in counts.most_common()}


def _calibration(
    out: ClipFigures,
    clips: Sequence[JudgedClip],
    heard: Sequence[SoundHeard],
    answers: Answers,
    known: Sequence[str],
) -> None:
    """Of each recording's maximum of each class: is the class right there?"""
    columns = {name: answers.columns(name) for name in known}
    pairs = []
    for clip, one in zip(clips, heard, strict=True):
        for name in known:
            if name in clip.truth.own:
                pairs.append((one.maxima(columns[name]), True))
            elif answers.is_negative(name, clip.truth):
                pairs.append((one.maxima(columns[name]), False))
    values, right = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    for low, high in pairwise(_BINS):
        inside = (values >= low) & (values < high if high < 1 else values <= high)
        if inside.any():
            out.bins[f"{low:g}"] = int(inside.sum()), float(right[inside].mean())
    sure = values >= SURE
    out.sure_right = float(right[sure].mean()) if sure.any() else None


def _confusions(
    clips: Sequence[JudgedClip], told: Sequence[frozenset[int]], answers: Answers
) -> list[tuple[str, str, float, int]]:
    """Share of a class's clips with a wrong event that answers another, worst first.

    A kind of a class is left out where the class itself says the same: an alarm that is told as often as a bell.
    """
    wrong: Counter[tuple[str, str]] = Counter()
    count: Counter[str] = Counter()
    for clip, columns in zip(clips, told, strict=True):
        if not clip.truth.leaf:
            continue
        count[clip.truth.leaf] += 1
        said = {
            name
            for column in columns
            if clip.truth.judge(answers.full[column]) is False
            for name in answers.full[column]
        }
        wrong.update((clip.truth.leaf, name) for name in said)
    rows = [
        (leaf, name, n / count[leaf], count[leaf])
        for (leaf, name), n in wrong.items()
        if wrong[leaf, judged_classes()[name].within] != n
    ]
    return sorted(rows, key=lambda row: (-row[2], -row[3], row[0], row[1]))
