"""Rules tried on the past: the rows of the score log through the segmenter and the rules that the daemon runs.

The same rows, thresholds and rules give the same alerts under the same ids as live; with other thresholds or rules they
show what would have been. What a rule remembers from before the replayed time is not known: a cool-down that was in
force then, or a day's first bird, is missing at its beginning.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from streamclf.alerts.alert import Alert
from streamclf.alerts.rules.book import LATENESS_NS, RuleBook
from streamclf.alerts.rules.memory import RuleMemory
from streamclf.alerts.rules.place import Location
from streamclf.alerts.rules.rule import Rule
from streamclf.engine.segment import Decision, Ending, Segmenter
from streamclf.store.events import StoredEvent
from streamclf.store.ledger import Ledger
from streamclf.store.packfacts import PackFacts
from streamclf.store.scorefile import Header, Stretch
from streamclf.types import F32, Event, Label, Levels

_FOR_EVER = 1 << 62

Overrides = Mapping[str, Mapping[str, object]]
Given = Mapping[str, Mapping[str, Decision]]
"""pack -> label id -> decision, in the place of all that was in force."""


@dataclass(frozen=True, slots=True)
class Past:
    """What the rules would have said. events: every stage of each, in the order of their decisions."""

    alerts: list[Alert]
    events: list[StoredEvent]


def replay(
    stretches: Iterable[Stretch],
    rules: Sequence[Rule],
    *,
    place: Location,
    per_label: Overrides | None = None,
    given: Given | None = None,
) -> Past:
    """stretches: scores and levels, each file's in order. per_label: changes of decisions, as `Config.per_label`."""
    found = list(stretches)
    ahead_ns = {s.header.pack: round(s.header.look_ahead_ms * 1e6) for s in found}

    def known_ns(event: StoredEvent) -> int:
        return event.decided_ns + ahead_ns[event.pack]

    # the rules heard of events as they became known
    events = sorted(past_events(found, per_label=per_label or {}, given=given or {}), key=known_ns)
    lateness_ns = LATENESS_NS + max(ahead_ns.values(), default=0)
    book = RuleBook(rules, place=place, memory=RuleMemory(), lateness_ns=lateness_ns)
    alerts: list[Alert] = []
    for event in events:
        verdict = book.step(known_ns(event), [event])
        book.accept(verdict)
        alerts += verdict.alerts
    while book.next_ns is not None:
        # what was still waiting (a visit, a digest) is told at its time
        verdict = book.step(min(book.next_ns, _FOR_EVER), [])
        book.accept(verdict)
        alerts += verdict.alerts
    return Past(alerts, events)


def past_events(
    stretches: Iterable[Stretch], *, per_label: Overrides | None = None, given: Given | None = None
) -> Iterator[StoredEvent]:
    """Every stage of every event, stream by stream."""
    levels: dict[tuple[str, str], list[Stretch]] = {}
    tracks: dict[tuple[str, str, str], list[Stretch]] = {}
    for stretch in stretches:
        header = stretch.header
        if header.kind == "levels":
            levels.setdefault((header.run, header.stream), []).append(stretch)
        else:
            tracks.setdefault((header.run, header.stream, header.pack), []).append(stretch)
    for (run, stream, _), track in sorted(tracks.items()):
        yield from _track_events(run, track, levels.get((run, stream), []), per_label or {}, given or {})


def _track_events(
    run: str, track: Sequence[Stretch], levels: Sequence[Stretch], per_label: Overrides, given: Given
) -> Iterator[StoredEvent]:
    """Of one pack on one stream in one run of the daemon."""
    header = track[0].header
    own = given.get(header.pack, {})
    decisions = [own.get(label.id) or changed(decision, label, per_label) for label, decision in _labels(header)]
    facts = PackFacts.of(header.pack_hash, header.labels, decisions)
    ledger = Ledger(run, {header.pack: facts})
    segmenter = Segmenter(header.stream, header.pack, header.labels, decisions)
    loud = iter(sorted(levels, key=lambda stretch: stretch.first_ns))
    heard_ns = 0
    epoch_ns = track[0].epoch_ns

    def keep(told: Sequence[Event]) -> list[StoredEvent]:
        return ledger.take(told, {header.stream: epoch_ns})

    for stretch in sorted(track, key=lambda stretch: stretch.first_ns):
        if segmenter.next_frame != stretch.first_frame:
            yield from keep(segmenter.finish(Ending.GAP))
        epoch_ns = stretch.epoch_ns
        while heard_ns < stretch.end_ns and (level := next(loud, None)) is not None:
            ledger.take([_levels(level)], {})
            heard_ns = level.end_ns
        yield from keep(segmenter.push(stretch.first_frame, stretch.rows))
    yield from keep(segmenter.finish())


def changed(decision: Decision, label: Label, per_label: Overrides) -> Decision:
    """The decision with what `*`, the label's group and the label itself replace, the most specific last."""
    fields: dict[str, object] = {}
    for key in ("*", f"group:{label.group}", label.id):
        fields.update(per_label.get(key, {}))
    if "enter" in fields and "leave" not in fields and decision.enter > 0:
        fields["leave"] = float(str(fields["enter"])) * decision.leave / decision.enter
    return replace(decision, **fields)  # type: ignore[arg-type]


def _labels(header: Header) -> Iterator[tuple[Label, Decision]]:
    return zip(header.labels, header.decisions, strict=True)


def _levels(stretch: Stretch) -> Levels:
    rms: F32 = 10.0 ** (stretch.rows[:, 0] / 20.0)
    return Levels(stretch.header.stream, stretch.first_frame, rms, rms)


@dataclass(frozen=True, slots=True)
class Difference:
    """An alert of the past beside one of the replay; `what` is same, new, gone or moved."""

    what: str
    live: Alert | None
    replayed: Alert | None

    @property
    def shown(self) -> Alert:
        """The one to show: what would be, or else what was."""
        found = self.replayed or self.live
        assert found is not None
        return found


def compare(live: Sequence[Alert], replayed: Sequence[Alert], *, near_ns: int) -> list[Difference]:
    """Pair alerts of a rule and label: the same id is the same, one within `near_ns` has moved; in order of time."""
    rest = {alert.id: alert for alert in live}
    pairs: list[Difference] = []
    moved: list[Alert] = []
    for alert in replayed:
        twin = rest.pop(alert.id, None)
        if twin is not None:
            pairs.append(Difference("same", twin, alert))
        else:
            moved.append(alert)
    for alert in moved:
        near = [
            other
            for other in rest.values()
            if (other.rule, other.event.label) == (alert.rule, alert.event.label)
            and abs(other.at_ns - alert.at_ns) <= near_ns
        ]
        if near:
            twin = min(near, key=lambda other: abs(other.at_ns - alert.at_ns))
            del rest[twin.id]
            pairs.append(Difference("moved", twin, alert))
        else:
            pairs.append(Difference("new", None, alert))
    pairs += [Difference("gone", alert, None) for alert in rest.values()]
    return sorted(pairs, key=lambda pair: (pair.shown.at_ns, pair.shown.rule))


@dataclass(slots=True)
class EventChange:
    """What other thresholds do to the events of one label. lost, gained: those that overlap with none of the others."""

    label: str
    before: int = 0
    after: int = 0
    lost: list[StoredEvent] = field(default_factory=list)
    gained: list[StoredEvent] = field(default_factory=list)


def compare_events(before: Iterable[StoredEvent], after: Iterable[StoredEvent]) -> list[EventChange]:
    """By label, in their order: events that ended under the thresholds of then, beside those under others."""
    found: dict[str, EventChange] = {}
    was, will = _closed(before), _closed(after)
    for key in sorted(was.keys() | will.keys()):
        old, new = was.get(key, []), will.get(key, [])
        change = found.setdefault(key[0], EventChange(key[0]))
        change.before += len(old)
        change.after += len(new)
        change.lost += _alone(old, new)
        change.gained += _alone(new, old)
    return list(found.values())


def _closed(events: Iterable[StoredEvent]) -> dict[tuple[str, ...], list[StoredEvent]]:
    """(label, stream, pack, run) -> events that have ended, in order of their onsets."""
    found: dict[tuple[str, ...], list[StoredEvent]] = {}
    for event in events:
        if event.stage == "close":
            run = event.id.partition("/")[0]
            found.setdefault((event.label, event.stream, event.pack, run), []).append(event)
    return {key: sorted(some, key=lambda event: event.onset_ns) for key, some in found.items()}


def _alone(events: Sequence[StoredEvent], others: Sequence[StoredEvent]) -> list[StoredEvent]:
    """Of `events` those that overlap with none of `others`. Each list in order, with no overlap within itself."""
    alone, at = [], 0
    for event in events:
        while at < len(others) and _end_ns(others[at]) <= event.onset_ns:
            at += 1
        if at == len(others) or others[at].onset_ns >= _end_ns(event):
            alone.append(event)
    return alone


def _end_ns(event: StoredEvent) -> int:
    return event.decided_ns if event.offset_ns is None else event.offset_ns
