"""Laws of the rule engine: what is told depends on what was heard, not on how the news of it came."""

import dataclasses
import sqlite3
from collections.abc import Iterator, Sequence
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamclf.alerts.alert import Alert, Reason
from streamclf.alerts.rules import memory
from streamclf.alerts.rules.book import LATENESS_NS, RuleBook
from streamclf.alerts.rules.memory import RuleMemory
from streamclf.alerts.rules.place import Location, Period
from streamclf.alerts.rules.rule import Per, Rule, RuleStage
from streamclf.clock import NS_PER_SECOND
from streamclf.store.events import StoredEvent, put_events
from streamclf.store.schema import STEPS
from tests.support.heard import DAWN_NS, ended, opened, updated

SECOND = NS_PER_SECOND
END_NS = DAWN_NS + 30 * 86_400 * SECOND  # every window is over
BERLIN = Location(ZoneInfo("Europe/Berlin"), 52.52, 13.4)
Arrival = tuple[int, StoredEvent]
"""When the news came (ns), and what it was."""


@st.composite
def heard_on(draw: st.DrawFn, stream: str) -> list[StoredEvent]:
    """All stages of some events of one stream, in the order in which they were decided."""
    stages: list[StoredEvent] = []
    for label in ("robin", "wren", "siren"):
        at_s = draw(st.floats(0, 3))
        for _ in range(draw(st.integers(0, 4))):
            on_s = draw(st.sampled_from([0.2, 0.9, 2.5, 5.0]))
            peak, level = draw(st.sampled_from([0.4, 0.6, 0.9])), draw(st.sampled_from([None, -50.0, -30.0]))
            group = "alarm" if label == "siren" else "bird"
            event = opened(label, at_s=at_s, stream=stream, group=group, peak=peak / 2, level_db=level)
            stages.append(event)
            event = msgspec.structs.replace(event, peak=peak, mean=peak / 2)
            stages += [updated(event, after_s=after_s) for after_s in (1.1, 2.1, 3.1, 4.1) if after_s < on_s]
            stages.append(ended(event, after_s=on_s))
            at_s += on_s + draw(st.sampled_from([0.5, 4.0, 30.0, 4000.0, 90_000.0]))
    return sorted(stages, key=lambda event: event.decided_ns)


rules = st.builds(
    Rule,
    name=st.just("rule"),
    labels=st.sampled_from([("group:bird",), ("robin",), ("*",)]),
    stage=st.sampled_from(RuleStage),
    min_peak=st.sampled_from([None, 0.5]),
    unless=st.sampled_from([(), ("group:alarm",)]),
    count=st.sampled_from([None, 2]),
    within_ns=st.just(60 * SECOND),
    cooldown_ns=st.sampled_from([0, 10 * SECOND, 3600 * SECOND]),
    first_days=st.sampled_from([None, 1, 2]),
    per=st.sampled_from(Per),
    digest=st.sampled_from([None, Period.HOUR, Period.DAY]),
)
# a rule of one stream, or one that merges streams: neither cares which stream's news comes first
settled = st.one_of(
    rules.map(lambda rule: dataclasses.replace(rule, streams=("garden",))),
    st.builds(
        lambda rule, merge_s: dataclasses.replace(rule, merge_ns=merge_s * SECOND), rules, st.sampled_from([1, 3, 20])
    ),
)
any_rule = st.one_of(rules, settled)


@st.composite
def arrivals(draw: st.DrawFn) -> list[Arrival]:
    return arrive(draw(heard_on("garden")), draw(delays)) + arrive(draw(heard_on("pond")), draw(delays))


delays = st.lists(st.integers(0, LATENESS_NS), min_size=1, max_size=8)


def arrive(events: Sequence[StoredEvent], late_ns: Sequence[int]) -> list[Arrival]:
    """News of one stream keeps its order, and is at most LATENESS_NS late."""
    out: list[Arrival] = []
    for number, event in enumerate(events):
        at_ns = event.decided_ns + late_ns[number % len(late_ns)]
        out.append((max(at_ns, out[-1][0]) if out else at_ns, event))
    return out


def in_order(news: Sequence[Arrival]) -> list[Arrival]:
    return sorted(news, key=lambda arrival: arrival[0])


def batches(news: Sequence[Arrival], sizes: Sequence[int]) -> Iterator[Sequence[Arrival]]:
    at = turn = 0
    while at < len(news):
        yield news[at : at + sizes[turn % len(sizes)]]
        at += sizes[turn % len(sizes)]
        turn += 1


def tell(
    rule: Rule, news: Sequence[Arrival], *, sizes: Sequence[int] = (1,), restarts: bool = False
) -> tuple[list[Alert], dict[str, Reason]]:
    """Alerts in the order of sound time, and the newest reason of each event."""
    told: list[Alert] = []
    reasons: dict[str, Reason] = {}
    book = RuleBook([rule], place=BERLIN, memory=RuleMemory())
    with sqlite3.connect(":memory:") as store:
        for step in STEPS:
            store.executescript(step)
        for batch in [*batches(in_order(news), sizes), [(END_NS, None)]]:
            verdict = book.step(batch[-1][0], [event for _, event in batch if event is not None])
            book.accept(verdict)
            told += verdict.alerts
            reasons |= {reason.event_id: reason for reason in verdict.reasons}
            if restarts:
                put_events(store, [event for _, event in batch if event is not None])
                memory.write(store, verdict.memory)
                book = RuleBook([rule], place=BERLIN, memory=memory.load(store))
    store.close()
    assert book.next_ns is None
    # what is over is forgotten
    assert {kind for kind, held in book.memory.entries.items() if held} <= {"told", "counted", "heard"}
    return sorted(told, key=lambda alert: (alert.at_ns, alert.id)), reasons


@given(rule=any_rule, news=arrivals(), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_any_cut_into_batches_gives_the_same_alerts_and_reasons(
    rule: Rule, news: list[Arrival], sizes: list[int]
) -> None:
    assert tell(rule, news, sizes=sizes) == tell(rule, news)


@given(rule=settled, garden=heard_on("garden"), pond=heard_on("pond"), late=st.tuples(delays, delays, delays, delays))
def test_how_streams_interleave_does_not_change_the_alerts(
    rule: Rule, garden: list[StoredEvent], pond: list[StoredEvent], late: tuple[list[int], ...]
) -> None:
    one = arrive(garden, late[0]) + arrive(pond, late[1])
    other = arrive(pond, late[2]) + arrive(garden, late[3])
    assert tell(rule, one) == tell(rule, other)


@given(rule=rules, garden=heard_on("garden"), pond=heard_on("pond"))
def test_other_streams_do_not_change_the_alerts_of_a_rule_of_one(
    rule: Rule, garden: list[StoredEvent], pond: list[StoredEvent]
) -> None:
    rule = dataclasses.replace(rule, streams=("garden",))
    alone, _ = tell(rule, arrive(garden, [0]))
    beside, _ = tell(rule, arrive(garden, [0]) + arrive(pond, [0]))
    assert alone == beside


@given(rule=any_rule, news=arrivals(), sizes=st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_a_restart_between_any_two_batches_gives_the_same_alerts_and_reasons(
    rule: Rule, news: list[Arrival], sizes: list[int]
) -> None:
    assert tell(rule, news, sizes=sizes, restarts=True) == tell(rule, news, sizes=sizes)


@given(rule=any_rule.filter(lambda rule: rule.cooldown_ns > 0 and rule.digest is None), news=arrivals())
def test_never_two_alerts_of_a_rule_and_key_within_its_cool_down(rule: Rule, news: list[Arrival]) -> None:
    last: dict[str, int] = {}
    for alert in tell(rule, news)[0]:
        key = alert.event.label if rule.per is Per.LABEL else ""
        assert alert.at_ns >= last.get(key, 0) + rule.cooldown_ns
        last[key] = alert.at_ns


@given(rule=any_rule, news=arrivals())
def test_an_event_is_told_at_most_once_and_every_id_is_its_own(rule: Rule, news: list[Arrival]) -> None:
    alerts, _ = tell(rule, news)
    speakers = [alert.event.id for alert in alerts if not alert.digest]
    assert len(speakers) == len(set(speakers))
    assert len({alert.id for alert in alerts}) == len(alerts)


@given(rule=any_rule, news=arrivals())
def test_a_step_that_is_not_accepted_changes_nothing(rule: Rule, news: list[Arrival]) -> None:
    book = RuleBook([rule], place=BERLIN, memory=RuleMemory())
    for batch in batches(in_order(news), [3]):
        events = [event for _, event in batch]
        first = book.step(batch[-1][0], events)
        again = book.step(batch[-1][0], events)
        assert first == again
        book.accept(again)


@given(rule=any_rule, news=arrivals())
def test_events_of_a_self_test_are_never_counted_as_real(rule: Rule, news: list[Arrival]) -> None:
    tests = [(at_ns, msgspec.structs.replace(event, id=f"test/{event.id}", test=True)) for at_ns, event in news]
    assert tell(rule, news + tests) == tell(rule, news)
    assert tell(rule, tests) == ([], {})


@pytest.mark.parametrize("stage", RuleStage)
def test_the_laws_are_not_kept_by_saying_nothing(stage: RuleStage) -> None:
    event = opened()
    news = arrive([event, updated(event, after_s=1.1), ended(event, after_s=2.0)], [0])
    assert len(tell(Rule("rule", ("robin",), stage=stage), news)[0]) == 1
