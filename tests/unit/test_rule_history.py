"""What a rule that is new takes over from the events that are kept."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamclf.alerts.rules.gates import HEARD
from streamclf.alerts.rules.memory import Draft, RuleMemory
from streamclf.alerts.rules.place import Location
from streamclf.alerts.rules.rule import Per, Rule
from streamclf.alerts.rules.takeover import READ, take_over
from streamclf.store.database import Store
from streamclf.store.events import put_events
from tests.support.storing import START_NS, stored

DAY_NS = 86_400 * 1_000_000_000
NOW_NS = START_NS + 100 * DAY_NS
PLACE = Location()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path)) as opened:
        yield opened


def put(store: Store, *events: tuple[str, int, dict[str, Any]]) -> None:
    """Each: label, days before now, and what else it is."""
    with store.transaction() as tx:
        put_events(
            tx,
            [
                stored(
                    at, id=f"run/{label}/{at}", label=label, onset_ns=(ns := NOW_NS - days * DAY_NS - at),
                    offset_ns=ns + 1, decided_ns=ns + 1, **changes,
                )
                for at, (label, days, changes) in enumerate(events)
            ],
        )  # fmt: skip


def remembered(connection: sqlite3.Connection, memory: RuleMemory, *rules: Rule) -> dict[tuple[str, str], int]:
    """(rule, label) -> days since it was heard, after those rules are in force."""
    memory.apply(take_over(connection, rules, memory, place=PLACE, now_ns=NOW_NS))
    today = PLACE.day(NOW_NS)
    return {(name, key): today - day for name, key, day in Draft(memory).items(HEARD)}


def test_the_newest_of_each_label_that_the_rule_would_have_taken(store: Store) -> None:
    put(
        store,
        ("robin", 40, {}),
        ("robin", 3, {}),
        ("wren", 5, {"stream": "roof"}),
        ("crow", 2, {"peak": 0.4}),
        ("owl", 95, {}),
        ("dog", 1, {"group": "pet"}),
        ("tit", 1, {"stage": "open"}),
    )
    birds = Rule("birds", ("group:bird",), first_days=90, min_peak=0.5, streams=("mic",))
    any_of = Rule("any", ("*",), first_days=90, per=Per.RULE)
    often = Rule("often", ("*",))
    assert remembered(store.connection, RuleMemory(), birds, any_of, often) == {("birds", "robin"): 3, ("any", ""): 1}


def test_it_is_read_once_and_again_where_the_rule_was_out_meanwhile(store: Store) -> None:
    rule, memory = Rule("birds", ("robin",), first_days=90), RuleMemory()
    assert remembered(store.connection, memory, rule) == {}
    put(store, ("robin", 3, {}))
    assert remembered(store.connection, memory, rule) == {}
    assert [name for name, _ in Draft(memory).keys(READ)] == ["birds"]
    assert remembered(store.connection, memory) == {}
    assert remembered(store.connection, memory, rule) == {("birds", "robin"): 3}


def test_more_events_than_a_page_are_all_looked_at(store: Store) -> None:
    put(store, ("wren", 20, {}), *((("robin", 1, {})) for _ in range(2100)))
    found = remembered(store.connection, RuleMemory(), Rule("birds", ("*",), first_days=90))
    assert found == {("birds", "robin"): 1, ("birds", "wren"): 20}
