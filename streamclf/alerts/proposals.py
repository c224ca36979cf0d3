"""What a site's log and marks give to propose thresholds from, and what a proposal would have done to its past."""

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from streamclf.alerts.calibrate import Proposal, ScoreRun, Spans, events_in, is_simple, propose, runs_of
from streamclf.clock import FRAME_MS, NS_PER_FRAME, NS_PER_SECOND
from streamclf.engine.segment import Decision
from streamclf.errors import StreamclfError
from streamclf.store import scores
from streamclf.store.database import reader
from streamclf.store.events import query
from streamclf.store.scorefile import Header, Stretch

_LEAST_HOURS = 1.0
_MARGIN_NS = 3600 * NS_PER_SECOND
"""Before the time asked for: an event that lasts into it began so long ago at the most."""


class SlowTrialError(StreamclfError):
    """A label is decided in a way that takes minutes to try; the message is a sentence with the command for it."""

    def __init__(self, label: str) -> None:
        super().__init__(
            f"the scores of {label} are smoothed, which takes minutes to try; on the machine itself run "
            f"`streamclf calibrate --labels {label} --budget 1/day`"
        )


@dataclass(frozen=True, slots=True)
class WouldBe:
    """What thresholds make an event of, in wall time (ns). right: somebody has said that it was one."""

    stream: str
    pack: str
    onset_ns: int
    offset_ns: int
    peak: float
    right: bool


@dataclass(frozen=True, slots=True)
class Trial:
    """A proposal for one label, and the events of the same time by the thresholds in force and by the proposed ones.

    lost, gained: those that overlap with none of the others. All in order of their onsets.
    """

    proposal: Proposal
    before: Sequence[WouldBe]
    after: Sequence[WouldBe]
    lost: Sequence[WouldBe]
    gained: Sequence[WouldBe]


def try_label(folder: Path, label: str, *, a_day: float, since_ns: int, until_ns: int) -> Trial | None:
    """Thresholds that keep events of `label` to `a_day` on each stream, tried on [since, until); None without a log.

    folder: of the store. Of several packs that tell the label, the strictest proposal is tried on all. Raises
    `SlowTrialError` for a label whose scores are smoothed.
    """
    files = scores.files(folder, since_ns=since_ns, until_ns=until_ns)
    stretches = list(scores.read(files, since_ns=since_ns, until_ns=until_ns, label=label))
    packs = {
        pack: (runs, decision)
        for pack, runs in runs_of(stretches, label).items()
        if (decision := in_force(stretches, pack, label)).enabled
    }
    if not packs:
        return None
    if not all(is_simple(decision) for _, decision in packs.values()):
        raise SlowTrialError(label)
    right = right_spans(folder, since_ns, until_ns).get(label, {})
    proposals = [propose(label, runs, decision, budget=a_day / 24, right=right) for runs, decision in packs.values()]
    (chosen,) = strictest(proposals)
    before = _events([(pack, runs, decision) for pack, (runs, decision) in packs.items()], right)
    after = _events([(pack, runs, _taking(decision, chosen.after)) for pack, (runs, decision) in packs.items()], right)
    return Trial(chosen, before, after, _alone(before, after), _alone(after, before))


def _taking(decision: Decision, other: Decision) -> Decision:
    """What the configuration would make of it with the table of `other`."""
    return replace(decision, enter=other.enter, leave=other.leave, min_on=other.min_on)


def _events(given: Iterable[tuple[str, Sequence[ScoreRun], Decision]], right: Mapping[str, Spans]) -> list[WouldBe]:
    found = []
    for pack, runs, decision in given:
        for run in runs:
            for onset, offset in events_in(run.scores, decision):
                at, end = run.first_ns + onset * NS_PER_FRAME, run.first_ns + offset * NS_PER_FRAME
                known = any(first < end and at < last for first, last in right.get(run.stream, ()))
                found.append(WouldBe(run.stream, pack, at, end, float(run.scores[onset:offset].max()), known))
    return sorted(found, key=lambda event: event.onset_ns)


def _alone(events: Sequence[WouldBe], others: Sequence[WouldBe]) -> list[WouldBe]:
    """Of `events` those that overlap with none of `others` on their stream and pack; each in order of onsets."""
    ends: dict[tuple[str, str], list[WouldBe]] = {}
    for other in others:
        ends.setdefault((other.stream, other.pack), []).append(other)
    alone = []
    for event in events:
        near = ends.get((event.stream, event.pack), [])
        # of one stream and pack no two overlap: they end in the order in which they begin
        at = bisect_right(near, event.onset_ns, key=lambda other: other.offset_ns)
        if at == len(near) or near[at].onset_ns >= event.offset_ns:
            alone.append(event)
    return alone


def right_spans(folder: Path, since_ns: int, until_ns: int) -> Mapping[str, Mapping[str, Spans]]:
    """label -> stream -> spans of the events that somebody has marked as right, or wrong and as this label instead."""
    found: dict[str, dict[str, list[tuple[int, int]]]] = {}
    with closing(reader(folder)) as connection:
        for event in query(connection, since_ns=since_ns - _MARGIN_NS, until_ns=until_ns, marked=True):
            label = event.label if event.mark == "right" else event.mark_label
            if label:
                span = event.onset_ns, event.offset_ns or event.decided_ns
                found.setdefault(label, {}).setdefault(event.stream, []).append(span)
    return found


def in_force(stretches: Iterable[Stretch], pack: str, label: str) -> Decision:
    """How the newest of `pack` decides `label`."""
    headers: list[Header] = [stretch.header for stretch in stretches if stretch.header.pack == pack]
    header = headers[-1]
    return next(d for known, d in zip(header.labels, header.decisions, strict=True) if known.id == label)


def strictest(proposals: Iterable[Proposal]) -> list[Proposal]:
    """One for each label: a configuration has one threshold of it, whatever the number of packs that tell it."""
    found: dict[str, Proposal] = {}
    for p in proposals:
        if p.label not in found or (p.met, p.after.enter) > (found[p.label].met, found[p.label].after.enter):
            found[p.label] = p
    return list(found.values())


def table_of(decision: Decision) -> dict[str, object]:
    """What a configuration says under `[segmentation.LABEL]` to decide so."""
    return {
        "enter": round(decision.enter, 3),
        "leave": round(decision.leave, 3),
        "min_on_ms": decision.min_on * FRAME_MS,
    }


def too_little(hours: float, an_hour: float) -> bool:
    """Whether a log of so many hours cannot tell a budget of `an_hour` from none."""
    return hours < _LEAST_HOURS or hours * an_hour < 1
