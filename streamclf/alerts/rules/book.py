"""The rule engine: stored events in, alerts and reasons out. No I/O, no clock; the same events give the same alerts.

Theory of operation. For every rule that takes its label, an event is in one of three states:

    JUDGED   each stage that the rule waits for is put through the first gates (gates.py). A rule for `open` looks at
             the opening, one for `close` at the end, one for `confirmed` at every stage until one passes.
    WAITING  passed, and the rule merges: until the visit's window is over (visits.py), others may join.
    DONE     the visit, or the event by itself, went through the second gates and was told, counted for a digest, or
             not told; the reason is kept, and the event is not looked at again.

Time is that of the sound: an event's `decided_ns`. Windows (visits, digests) are closed by the time that `step` is
given, a `lateness` after their end, because streams and packs are not equally quick: what arrives up to that late
falls into the window it belongs to, whatever came before it. So for a rule with merge, and for a rule of one stream,
neither the order in which streams arrive nor the cut into steps changes anything; a rule of several streams without
merge tells of whatever comes first, and does not wait.

A step changes nothing in the book. Its changes to the memory are written in the transaction of the events they came
from, then `accept` takes them over: what was rolled back is stepped again, and nothing is lost or told twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from streamclf.alerts.alert import Alert, Gate, Reason, alert_id
from streamclf.alerts.rules import digest, visits
from streamclf.alerts.rules.gates import event_gates, telling_gates, told
from streamclf.alerts.rules.memory import Draft, MemoryChange, RuleMemory, Slot
from streamclf.alerts.rules.place import Location, Period
from streamclf.alerts.rules.rule import Rule, RuleStage, names
from streamclf.alerts.rules.spans import exact_span
from streamclf.alerts.rules.template import MESSAGE_LIMIT, Value
from streamclf.alerts.rules.visits import WAITING, Candidate
from streamclf.clock import NS_PER_SECOND
from streamclf.store.events import StoredEvent
from streamclf.text import clean

LATENESS_NS = NS_PER_SECOND
_AT_ONCE = 256


class Lasting(msgspec.Struct, frozen=True):
    """A label that is on, for rules that hold back meanwhile."""

    stream: str
    label: str
    group: str


LASTING = Slot("lasting", Lasting)  # event id -> label; bound: open events
PASSED = Slot("passed", list[str])  # event id -> `confirmed` rules that let it through; bound: open events


@dataclass(slots=True)
class Verdict:
    """What a step says. memory: what it changed of the book's memory."""

    alerts: list[Alert] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    memory: list[MemoryChange] = field(default_factory=list)


@dataclass(slots=True)
class _Turn:
    """One step on its way."""

    draft: Draft
    verdict: Verdict = field(default_factory=Verdict)


class RuleBook:
    """rules: in the order of their file. memory: theirs from now on.

    lateness_ns: how much later than it was decided the news of an event may come.
    next_ns: when `step` must be called though nothing happens (a window is over), None for never.
    """

    def __init__(
        self, rules: Sequence[Rule], *, place: Location, memory: RuleMemory, lateness_ns: int = LATENESS_NS
    ) -> None:
        self.rules = tuple(rules)
        self._numbers = {rule.name: number for number, rule in enumerate(self.rules)}
        self.place = place
        self.memory = memory
        self._lateness_ns = lateness_ns
        self._excluding = tuple({label for rule in rules for label in rule.unless})
        self.next_ns = self._next()

    def with_rules(self, rules: Sequence[Rule], *, place: Location) -> "RuleBook":
        """Other rules with this book's memory: what has the same name goes on where it was."""
        return RuleBook(rules, place=place, memory=self.memory, lateness_ns=self._lateness_ns)

    def remembering(self, memory: RuleMemory) -> "RuleBook":
        """The same rules with another memory."""
        return RuleBook(self.rules, place=self.place, memory=memory, lateness_ns=self._lateness_ns)

    def step(self, at_ns: int, events: Sequence[StoredEvent]) -> Verdict:
        """Judge `events`, each stage of each in order, and close the windows that are over at `at_ns` (ns since 1970).

        at_ns: no event decided more than the lateness earlier is still to come; the wall clock will do, also where the
        sound runs ahead of it (a recording that is played fast). Events of a self-test are passed over.
        """
        turn = _Turn(Draft(self.memory))
        # after a full disk there may be a hundred thousand events: windows are closed on the way, lest they pile up
        for first in range(0, len(events), _AT_ONCE):
            some = events[first : first + _AT_ONCE]
            for event in some:
                if not event.test:
                    self._hear(event, turn)
            self._close_windows(max(event.decided_ns for event in some) - self._lateness_ns, turn)
        self._close_windows(at_ns - self._lateness_ns, turn)
        turn.verdict.memory = turn.draft.changes
        return turn.verdict

    def accept(self, verdict: Verdict) -> None:
        """The verdict of the last `step` holds."""
        self.memory.apply(verdict.memory)
        self.next_ns = self._next()

    def _hear(self, event: StoredEvent, turn: _Turn) -> None:
        draft, over = turn.draft, event.stage == "close"
        if over:
            draft.forget(LASTING, "", event.id)
        elif names(self._excluding, label=event.label, group=event.group):
            draft.put(LASTING, "", event.id, Lasting(event.stream, event.label, event.group))
        for rule in self.rules:
            if names(rule.labels, label=event.label, group=event.group) and _looks_at(rule, event, draft):
                self._judge(rule, event, turn)
        if over:
            draft.forget(PASSED, "", event.id)

    def _judge(self, rule: Rule, event: StoredEvent, turn: _Turn) -> None:
        draft, at_ns = turn.draft, event.decided_ns
        on = self._on(rule, event, draft) if rule.unless else []
        gates = tuple(event_gates(rule, event, place=self.place, on=on))
        if not all(gate.passed for gate in gates):
            turn.verdict.reasons.append(Reason(event.id, rule.name, at_ns, False, gates))
            return
        if rule.stage is RuleStage.CONFIRMED:
            draft.put(PASSED, "", event.id, [*(draft.get(PASSED, "", event.id) or ()), rule.name])
        candidate = Candidate(event, gates)
        if not rule.merge_ns:
            self._tell(rule, [candidate], at_ns, turn)
            return
        waiting = [*(draft.get(WAITING, rule.name, event.label) or ()), candidate]
        draft.put(WAITING, rule.name, event.label, waiting)
        span = exact_span(rule.merge_ns)
        gate = Gate("visit", False, "not over", span, f"visit: waits {span} for other streams that hear it too")
        turn.verdict.reasons.append(Reason(event.id, rule.name, at_ns, False, (*gates, gate)))

    def _on(self, rule: Rule, event: StoredEvent, draft: Draft) -> list[str]:
        """Labels on the event's stream that hold the rule back; an event does not hold itself back."""
        return sorted(
            {
                other.label
                for _, id_, other in draft.items(LASTING)
                if id_ != event.id
                and other.stream == event.stream
                and names(rule.unless, label=other.label, group=other.group)
            }
        )

    def _close_windows(self, until_ns: int, turn: _Turn) -> None:
        """Tell the visits, then the digests, whose window was over at `until_ns`, each in the order of time."""
        while True:
            due = [
                (visits.due_ns(waiting, self.rules[number].merge_ns), number, label, waiting)
                for name, label, waiting in turn.draft.items(WAITING)
                if (number := self._numbers.get(name)) is not None
            ]
            due_ns, number, label, waiting = min(due, key=lambda item: item[:3], default=(until_ns + 1, 0, "", []))
            if due_ns > until_ns:
                break
            rule = self.rules[number]
            visit, rest = visits.first_visit(waiting, rule.merge_ns)
            if rest:
                turn.draft.put(WAITING, rule.name, label, rest)
            else:
                turn.draft.forget(WAITING, rule.name, label)
            self._tell(rule, visit, due_ns, turn)
        ended = [
            (int(end), number)
            for name, end in turn.draft.keys(digest.TALLIES)
            if (number := self._numbers.get(name)) is not None and int(end) <= until_ns
        ]
        for end_ns, number in sorted(ended):
            self._tell_digest(self.rules[number], end_ns, turn)

    def _tell(self, rule: Rule, visit: Sequence[Candidate], at_ns: int, turn: _Turn) -> None:
        """Put a visit (one event, where the rule does not merge) through the second gates, and tell of it."""
        best = visits.loudest(visit).event
        shares = visits.shares(visit)
        gates: list[Gate] = []
        if rule.merge_ns:
            streams = ", ".join(share.name for share in shares)
            text = f"visit: heard on {streams}" + (f", loudest on {best.stream}" if len(shares) > 1 else "")
            gates.append(Gate("visit", True, streams, exact_span(rule.merge_ns), text))
        gates += telling_gates(rule, best, at_ns, place=self.place, draft=turn.draft)
        passed = all(gate.passed for gate in gates)
        if passed:
            told(rule, best, at_ns, turn.draft)
            if rule.digest is not None:
                gates.append(self._count_for_digest(rule, rule.digest, best, at_ns, turn.draft))
        for candidate in visit:
            reason = Reason(candidate.event.id, rule.name, at_ns, passed, (*candidate.gates, *gates))
            turn.verdict.reasons.append(reason)
            if passed and rule.digest is None and candidate.event is best:
                values = message_values(rule, best, at_ns, reason.gates, place=self.place)
                values |= {"streams": ", ".join(share.name for share in shares), "count": len(visit)}
                turn.verdict.alerts.append(
                    Alert(
                        id=alert_id(rule.name, best.id, rule.stage, at_ns),
                        rule=rule.name,
                        event=best,
                        streams=shares,
                        stage=rule.stage,
                        at_ns=at_ns,
                        message=rule.message.render(values),
                        gates=reason.gates,
                        sinks=rule.sinks,
                        shared_ns=rule.shared_ns,
                    )
                )

    def _count_for_digest(self, rule: Rule, period: Period, event: StoredEvent, at_ns: int, draft: Draft) -> Gate:
        end_ns = self.place.period_end(at_ns, period)
        tallies = digest.add(draft.get(digest.TALLIES, rule.name, str(end_ns)) or {}, event)
        draft.put(digest.TALLIES, rule.name, str(end_ns), tallies)
        clock = f"{self.place.local(end_ns):%H:%M}"
        return Gate("digest", True, f"{tallies[event.label].count}", clock, f"counted for the digest of {clock}")

    def _tell_digest(self, rule: Rule, end_ns: int, turn: _Turn) -> None:
        tallies = digest.ranked(turn.draft.get(digest.TALLIES, rule.name, str(end_ns)) or {})
        turn.draft.forget(digest.TALLIES, rule.name, str(end_ns))
        best = digest.best_of(tallies)
        labels = ", ".join(f"{tally.label} {tally.count}" for tally in tallies)
        values = message_values(rule, best, end_ns, (), place=self.place)
        values |= {"stage": "digest", "labels": labels, "count": sum(tally.count for tally in tallies)}
        turn.verdict.alerts.append(
            Alert(
                id=alert_id(rule.name, best.id, "digest", end_ns),
                rule=rule.name,
                event=best,
                streams=(),
                stage="digest",
                at_ns=end_ns,
                message=rule.message.render(values),
                gates=(),
                sinks=rule.sinks,
                digest=tallies,
            )
        )

    def _next(self) -> int | None:
        draft = Draft(self.memory)
        ends = [
            visits.due_ns(waiting, self.rules[self._numbers[name]].merge_ns)
            for name, _, waiting in draft.items(WAITING)
            if name in self._numbers
        ]
        ends += [int(end) for name, end in draft.keys(digest.TALLIES) if name in self._numbers]
        return min(ends) + self._lateness_ns if ends else None


def _looks_at(rule: Rule, event: StoredEvent, draft: Draft) -> bool:
    """Whether the rule judges this stage of the event."""
    match rule.stage:
        case RuleStage.OPEN:
            return event.stage == "open"
        case RuleStage.CLOSE:
            return event.stage != "update"  # at the opening, to say that it waits
        case RuleStage.CONFIRMED:
            return rule.name not in (draft.get(PASSED, "", event.id) or ())


def message_values(
    rule: Rule, event: StoredEvent, at_ns: int, gates: Sequence[Gate], *, place: Location
) -> dict[str, Value]:
    """The fields of a message (template.FIELDS)."""
    end_ns = event.decided_ns if event.offset_ns is None else event.offset_ns
    return {
        "rule": rule.name,
        "label": event.label,
        "group": event.group,
        "stream": event.stream,
        "streams": event.stream,
        "pack": event.pack,
        "stage": rule.stage.value,
        "id": event.id,
        "why": clean("; ".join(gate.text for gate in gates), MESSAGE_LIMIT),
        "labels": event.label,
        "peak": event.peak,
        "mean": event.mean,
        "level": event.level_db,
        "duration": (end_ns - event.onset_ns) / NS_PER_SECOND,
        "count": 1,
        "time": place.local(event.onset_ns),
        "at": place.local(at_ns),
    }
