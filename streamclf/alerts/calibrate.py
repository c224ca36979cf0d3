"""Thresholds from a budget of false alarms, out of a site's own score log. No I/O, no clock.

Where nobody has said otherwise, everything that a log holds of a label is taken for a false alarm: choose a time in
which it was not there, or mark the events that were right, which are left out. For each label the lowest threshold is
proposed whose rate is within the budget, so that as little as possible is missed.

The interval says what rate to expect of as many hours again. Alarms come in bursts (a windy hour, a passing dog), so
the count of ten minutes varies more than chance alone would have it; by how much (variance over mean, at least 1) is
taken from the log, and divides the number of alarms that count as independent. The number of the next hours is then
negative binomial (Gamma posterior under Jeffreys' prior, Poisson counts; Gelman et al., Bayesian Data Analysis, 2.6).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from streamclf.clock import FRAMES_PER_SECOND, NS_PER_FRAME
from streamclf.engine.segment import Decision, Segmenter
from streamclf.store.scorefile import Stretch
from streamclf.types import F32, Label, Stage

BLOCK_FRAMES = 600 * FRAMES_PER_SECOND
CONFIDENCE = 0.95
_LONGER = (1, 2, 4)
"""Minimum durations that are tried, times the one in force."""

_LEAST_SHARE = 0.5
"""No threshold below this share of the one in force is proposed."""

Spans = Sequence[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class ScoreRun:
    """Consecutive rows of one label on one stream. scores: (frames, ) float32; first_ns: wall time of the first."""

    stream: str
    first_ns: int
    scores: F32


@dataclass(frozen=True, slots=True)
class ScoredClip:
    """A recording in which the label is to be heard, as scores: (frames, ) float32."""

    name: str
    scores: F32


@dataclass(frozen=True, slots=True)
class Proposal:
    """New thresholds of a label, and what they are expected to do. Rates are events an hour and stream.

    low, high: the rate of as many hours again lies between them (`CONFIDENCE`). missed: clips of `clips` that hold no
    event, None without clips. met: whether the budget can be kept at all.
    """

    label: str
    before: Decision
    after: Decision
    rate_before: float
    rate: float
    low: float
    high: float
    hours: float
    missed_before: int | None
    missed: int | None
    clips: int
    met: bool


def runs_of(stretches: Sequence[Stretch], label: str) -> dict[str, list[ScoreRun]]:
    """Pack -> the rows of `label` in each whole stretch of time, without holes."""
    found: dict[str, list[ScoreRun]] = {}
    ordered = sorted(stretches, key=lambda s: (s.header.pack, s.header.run, s.header.stream, s.first_ns))
    open_key: tuple[str, str, str] | None = None
    parts: list[F32] = []
    first_ns, end_ns = 0, 0

    def close() -> None:
        if open_key is not None and parts:
            found.setdefault(open_key[0], []).append(ScoreRun(open_key[2], first_ns, np.concatenate(parts)))

    for stretch in ordered:
        header = stretch.header
        ids = [known.id for known in header.labels]
        if header.kind != "scores" or label not in ids:
            continue
        key = header.pack, header.run, header.stream
        if key != open_key or abs(stretch.first_ns - end_ns) > NS_PER_FRAME // 2:
            close()
            parts, open_key, first_ns = [], key, stretch.first_ns
        parts.append(stretch.rows[:, ids.index(label)])
        end_ns = stretch.end_ns
    close()
    return found


def onsets(scores: F32, decision: Decision) -> list[int]:
    """Frames at which events begin. scores: (frames, ) float32."""
    return [onset for onset, _ in events_in(scores, decision)]


def events_in(scores: F32, decision: Decision) -> list[tuple[int, int]]:
    """Onset and offset of events, in frames, the offset one past the last active one.

    What the segmenter finds, in a few array operations where it is simple. scores: (frames, ) float32.
    """
    if not is_simple(decision):
        return _segmented(scores, decision)
    stays = np.concatenate(([False], scores >= decision.leave, [False]))
    edges = np.flatnonzero(np.diff(stays.astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    entered = np.flatnonzero(scores >= decision.enter)
    # of each stretch at or above `leave` the event begins with the first frame that reaches `enter`; it is one as soon
    # as a frame at least `min_on` later does so, too
    first = np.append(entered, len(scores))[np.searchsorted(entered, begins)]
    sure = np.append(entered, len(scores))[np.searchsorted(entered, first + decision.min_on - 1)]
    found: list[tuple[int, int]] = []
    last_end = -(1 << 60)
    for begin, end, onset, certain in zip(begins.tolist(), ends.tolist(), first.tolist(), sure.tolist(), strict=True):
        if begin - last_end < decision.min_off:
            last_end = end  # the event that is open goes on
            found[-1] = found[-1][0], end
        elif certain < end:
            found.append((max(begin, onset - decision.reach_back), end))
            last_end = end
    return found


def is_simple(decision: Decision) -> bool:
    """Whether it looks at each score by itself: no smoothing, no n of m."""
    return decision.smoothing == "none" and decision.n == 1 and decision.m == 1


def _segmented(scores: F32, decision: Decision) -> list[tuple[int, int]]:
    segmenter = Segmenter("", "", [Label("x", "x")], [decision])
    events = [*segmenter.push(0, scores[:, np.newaxis]), *segmenter.finish()]
    return [(e.onset_frame, e.offset_frame) for e in events if e.stage is Stage.CLOSE and e.offset_frame is not None]


def propose(
    label: str,
    runs: Sequence[ScoreRun],
    decision: Decision,
    *,
    budget: float,
    right: Mapping[str, Spans] | None = None,
    clips: Sequence[ScoredClip] = (),
) -> Proposal:
    """Thresholds that keep `budget` (events an hour and stream). right: stream -> spans (ns) of events that were right.

    Of several that do, the one that misses the fewest clips; then the shortest minimum duration, then the lowest
    threshold.
    """
    right = right or {}
    hours = sum(len(run.scores) for run in runs) / FRAMES_PER_SECOND / 3600
    levels = np.unique(np.concatenate([np.unique(run.scores) for run in runs]))
    # a log in which nothing happened says nothing of how low a threshold may be
    levels = levels[(levels >= decision.enter * _LEAST_SHARE) & (levels < 1.0)]
    best: tuple[tuple[int, int, float], Decision, npt.NDArray[np.int64]] | None = None
    for longer in _LONGER:
        wanted = replace(decision, min_on=decision.min_on * longer)
        chosen = _lowest(levels, runs, wanted, right, budget * hours)
        if chosen is None:
            continue
        missed = sum(not onsets(clip.scores, chosen) for clip in clips)
        order = missed, longer, chosen.enter
        if best is None or order < best[0]:
            best = order, chosen, _counts(runs, chosen, right)
    met = best is not None
    after = best[1] if best is not None else at_level(decision, 1.0)
    counts = best[2] if best is not None else _counts(runs, after, right)
    low, high = interval(counts, hours)
    return Proposal(
        label=label,
        before=decision,
        after=after,
        rate_before=float(_counts(runs, decision, right).sum()) / hours,
        rate=float(counts.sum()) / hours,
        low=low,
        high=high,
        hours=hours,
        missed_before=sum(not onsets(clip.scores, decision) for clip in clips) if clips else None,
        missed=sum(not onsets(clip.scores, after) for clip in clips) if clips else None,
        clips=len(clips),
        met=met,
    )


def at_level(decision: Decision, enter: float) -> Decision:
    """The decision with another `enter`, and `leave` in proportion."""
    ratio = decision.leave / decision.enter if decision.enter > 0 else 0.7
    return replace(decision, enter=enter, leave=enter * ratio)


def interval(counts: npt.NDArray[np.int64], hours: float) -> tuple[float, float]:
    """Events an hour that as many hours again will have. counts: (blocks, ) of ten minutes each."""
    total = float(counts.sum())
    mean = total / max(1, len(counts))
    spread = max(1.0, float(counts.var(ddof=1)) / mean) if len(counts) > 1 and mean > 0 else 1.0
    # so many independent bursts of `spread` alarms each
    shape = total / spread + 0.5
    tail = (1 - CONFIDENCE) / 2
    low, high = _quantile(shape, tail), _quantile(shape, 1 - tail)
    return low * spread / hours, high * spread / hours


def _quantile(shape: float, probability: float) -> int:
    """Of the negative binomial with this shape and p = 1/2: as many hours as were seen."""
    cumulated, count = 0.0, 0
    while True:
        log_mass = (
            math.lgamma(shape + count) - math.lgamma(shape) - math.lgamma(count + 1) - (shape + count) * math.log(2.0)
        )
        cumulated += math.exp(log_mass)
        if cumulated >= probability or count > 100 * (shape + 10):
            return count
        count += 1


def _lowest(
    levels: F32, runs: Sequence[ScoreRun], decision: Decision, right: Mapping[str, Spans], most: float
) -> Decision | None:
    """The lowest level within the budget, by bisection: fewer events at a higher one, as good as always."""
    low, high = 0, len(levels) - 1
    if high < 0:
        return decision if _counts(runs, decision, right).sum() <= most else None
    if _counts(runs, at_level(decision, float(levels[high])), right).sum() > most:
        return None
    while low < high:
        middle = (low + high) // 2
        if _counts(runs, at_level(decision, float(levels[middle])), right).sum() <= most:
            high = middle
        else:
            low = middle + 1
    return at_level(decision, float(levels[high]))


def _counts(runs: Sequence[ScoreRun], decision: Decision, right: Mapping[str, Spans]) -> npt.NDArray[np.int64]:
    """False alarms of every ten minutes: (blocks, ) int64."""
    parts = []
    for run in runs:
        spans = right.get(run.stream, ())
        found = [
            frame
            for frame in onsets(run.scores, decision)
            if not any(first <= run.first_ns + frame * NS_PER_FRAME < end for first, end in spans)
        ]
        blocks = -(-len(run.scores) // BLOCK_FRAMES)
        parts.append(np.bincount(np.array(found, dtype=np.int64) // BLOCK_FRAMES, minlength=blocks))
    return np.concatenate(parts) if parts else np.zeros(1, dtype=np.int64)
