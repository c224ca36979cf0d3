"""The writer on a real database: what is put is on the disk, and nothing is lost while the disk takes nothing."""

import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from streamclf import metrics
from streamclf.alerts import outbox
from streamclf.alerts.rules.book import RuleBook
from streamclf.alerts.rules.memory import load
from streamclf.alerts.rules.place import Location
from streamclf.alerts.rules.rule import Rule, RuleStage
from streamclf.errors import StoreError
from streamclf.store.database import FILE_NAME, Store, reader
from streamclf.store.events import StoredEvent, put_events, query
from streamclf.types import Event, Levels, Stage
from streamclf.writer import backlog as backlog_module
from streamclf.writer import inbox as inbox_module
from streamclf.writer import recovery
from streamclf.writer import writer as writer_module
from streamclf.writer.inbox import Inbox
from tests.support.storing import heard, stored
from tests.support.writing import LIMIT_S, writing


def one_rule(folder: Path, *, cooldown_s: int = 0) -> RuleBook:
    """Robins at their opening, to the sink `here`; what was remembered in `folder` is remembered."""
    rule = Rule("robins", ("robin",), cooldown_ns=cooldown_s * 1_000_000_000, sinks=("here",))
    with closing(Store.open(folder)) as store:
        return RuleBook([rule], place=Location(), memory=load(store.connection))


def waiting(folder: Path) -> list[str]:
    with closing(reader(folder)) as connection:
        return [entry.alert.event.id for entry in outbox.entries(connection)]


def kept(folder: Path) -> list[StoredEvent]:
    with closing(reader(folder)) as connection:
        return query(connection)


def closing_event(onset: int) -> Event:
    return heard(Stage.CLOSE, onset=onset, offset=onset + 20, decided=onset + 30)


def test_an_event_is_on_the_disk_at_once_and_closed_at_the_end(tmp_path: Path) -> None:
    with writing(tmp_path) as (inbox, committed, _):
        inbox.put([heard(Stage.OPEN)])
        assert committed.acquire(timeout=LIMIT_S)
        assert [e.stage for e in kept(tmp_path)] == ["open"]

    assert [(e.stage, e.ended_by) for e in kept(tmp_path)] == [("close", "stop")]


def test_what_the_last_run_left_open_is_closed(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path)) as store, store.transaction() as tx:
        put_events(tx, [stored(1, stage="open")])

    with writing(tmp_path):
        assert [e.ended_by for e in kept(tmp_path)] == ["crash"]


def test_while_the_disk_takes_nothing_events_wait_and_the_bound_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program holds the database's write lock, as a full disk would: nothing can be committed."""
    usual, tried = recovery.Recovery.refused, threading.Event()

    def refused(found: recovery.Recovery, fault: sqlite3.Error, now_s: float) -> None:
        usual(found, fault, now_s)
        tried.set()

    monkeypatch.setattr(backlog_module, "MAX_BACKLOG", 5)
    monkeypatch.setattr(recovery, "_RETRY_S", 0.0)
    with writing(tmp_path) as (inbox, committed, running):
        running._store.connection.execute("PRAGMA busy_timeout=0")
        monkeypatch.setattr(recovery.Recovery, "refused", refused)
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            inbox.put([closing_event(100 * n) for n in range(8)])
            assert tried.wait(LIMIT_S)
            assert running.problem.endswith("they wait in memory, but for the oldest: there are too many")
            other.execute("ROLLBACK")
        assert committed.acquire(timeout=LIMIT_S)

        assert running.problem == ""
        assert [e.onset_frame for e in kept(tmp_path)] == [300, 400, 500, 600, 700]


def test_what_the_disk_does_not_take_before_the_end_is_a_failure_that_says_how_much(tmp_path: Path) -> None:
    faults: list[BaseException] = []
    with (
        writing(tmp_path, faults=faults) as (inbox, committed, running),
        closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other,
    ):
        inbox.put([heard(Stage.OPEN)])
        assert committed.acquire(timeout=LIMIT_S)
        running._store.connection.execute("PRAGMA busy_timeout=0")
        other.execute("BEGIN IMMEDIATE")
        inbox.put([closing_event(200), closing_event(300)])
        assert running.stop(LIMIT_S)
        other.execute("ROLLBACK")

    (fault,) = faults
    assert isinstance(fault, StoreError)
    assert str(fault) == f"3 events could not be written to {tmp_path} before the end: database is locked"


def test_a_disk_that_takes_its_time_at_the_end_is_told_as_well(tmp_path: Path) -> None:
    faults: list[BaseException] = []
    with writing(tmp_path, faults=faults) as (inbox, _, running):
        taken, go_on = threading.Event(), threading.Event()

        def slow(tx: sqlite3.Connection) -> None:
            taken.set()
            assert go_on.wait(LIMIT_S)

        inbox.put([closing_event(100)])
        inbox.call(slow)
        assert taken.wait(LIMIT_S)
        inbox.put([closing_event(200)])  # it comes too late to be looked at
        assert not running.stop(0.0)
        expected = f"2 events could not be written to {tmp_path} before the end: the disk did not take it in time"
        assert str(faults[0]) == expected
        go_on.set()


def test_an_end_with_nothing_to_write_is_no_failure_on_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    with (
        writing(tmp_path) as (_, _, running),
        closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other,
    ):
        running._store.connection.execute("PRAGMA busy_timeout=0")
        other.execute("BEGIN IMMEDIATE")
        assert running.stop(LIMIT_S)
        other.execute("ROLLBACK")


def test_room_that_is_made_at_the_end_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        writing(tmp_path) as (inbox, _, running),
        closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None, check_same_thread=False)) as other,
    ):

        def make() -> bool:
            if running._stopping.is_set():
                other.execute("ROLLBACK")
            return running._stopping.is_set()

        running._store.connection.execute("PRAGMA busy_timeout=0")
        monkeypatch.setattr(running._recovery, "_make_room", make)
        other.execute("BEGIN IMMEDIATE")
        inbox.put([closing_event(100)])
        assert running.stop(LIMIT_S)

    assert [event.onset_frame for event in kept(tmp_path)] == [100]


def test_a_call_writes_in_a_transaction_of_the_writers(tmp_path: Path) -> None:
    with writing(tmp_path) as (inbox, committed, _):
        inbox.call(lambda tx: put_events(tx, [stored(7)]))
        assert committed.acquire(timeout=LIMIT_S)
        assert [e.id for e in kept(tmp_path)] == [stored(7).id]


def test_who_called_hears_once_and_not_before_it_is_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_RETRY_S", 0.0)
    with writing(tmp_path) as (inbox, committed, running):
        running._store.connection.execute("PRAGMA busy_timeout=0")
        tried = threading.Event()
        monkeypatch.setattr(writer_module.log, "error", lambda *_: tried.set())
        heard_back: list[list[str]] = []
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            inbox.call(
                lambda tx: put_events(tx, [stored(7)]),
                lambda: heard_back.append([event.id for event in kept(tmp_path)]),
            )
            assert tried.wait(LIMIT_S)
            assert heard_back == []
            other.execute("ROLLBACK")
        assert committed.acquire(timeout=LIMIT_S)
        inbox.call(lambda tx: None)
        assert committed.acquire(timeout=LIMIT_S)
    assert heard_back == [[stored(7).id]]


def test_updates_wait_for_company_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with writing(tmp_path) as (inbox, committed, _):
        inbox.put([heard(Stage.OPEN)])
        assert committed.acquire(timeout=LIMIT_S)
        inbox.put([heard(Stage.UPDATE, decided=150)])
        inbox.put([heard(Stage.OPEN, onset=400, decided=405)])
        assert committed.acquire(timeout=LIMIT_S)
        assert [e.stage for e in kept(tmp_path)] == ["update", "open"]

        monkeypatch.setattr(writer_module, "_UPDATES_S", 0.0)
        inbox.put([heard(Stage.UPDATE, decided=200)])
        assert committed.acquire(timeout=LIMIT_S)


def test_beyond_the_inbox_levels_are_dropped_and_events_only_much_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inbox_module, "MAX_INBOX", 3)
    monkeypatch.setattr(inbox_module, "MAX_BACKLOG", 4)
    levels = Levels("mic", 0, np.zeros(1, dtype=np.float32), np.zeros(1, dtype=np.float32))
    lost = metrics.REGISTRY.get_sample_value("streamclf_store_lost_events_total") or 0.0
    inbox = Inbox()
    for n in range(9):
        inbox.put([levels, closing_event(100 * n)])
    assert [len(outputs) for outputs in inbox.outputs()] == [2, 2, 2, 1, 1, 1, 1]
    assert metrics.REGISTRY.get_sample_value("streamclf_store_lost_events_total") == lost + 2


def test_a_producer_that_can_wait_is_told_to() -> None:
    inbox = Inbox()
    for n in range(inbox_module.BUSY_INBOX):
        inbox.put([closing_event(100 * n)])
    assert not inbox.congested
    inbox.put([closing_event(0)])
    assert inbox.congested


def test_an_alert_is_on_the_disk_with_its_event(tmp_path: Path) -> None:
    with writing(tmp_path, one_rule(tmp_path)) as (inbox, committed, _):
        inbox.put([heard(Stage.OPEN)])
        assert committed.acquire(timeout=LIMIT_S)
        assert waiting(tmp_path) == [event.id for event in kept(tmp_path)] == ["run1/mic/birds/robin/100"]
        with closing(reader(tmp_path)) as connection:
            assert connection.execute("SELECT event_id, rule, passed FROM reasons").fetchall() == [
                ("run1/mic/birds/robin/100", "robins", 1)
            ]


def test_a_cool_down_is_remembered_over_a_restart(tmp_path: Path) -> None:
    for onset, alerts in ((100, 1), (200, 1), (100_000, 2)):
        with writing(tmp_path, one_rule(tmp_path, cooldown_s=600)) as (inbox, committed, _):
            inbox.put([heard(Stage.OPEN, onset=onset, decided=onset + 5)])
            assert committed.acquire(timeout=LIMIT_S)
            assert len(waiting(tmp_path)) == alerts


def test_what_could_not_be_committed_is_judged_again_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "_RETRY_S", 0.0)
    with writing(tmp_path, one_rule(tmp_path, cooldown_s=600)) as (inbox, committed, running):
        running._store.connection.execute("PRAGMA busy_timeout=0")
        tried = threading.Event()
        monkeypatch.setattr(writer_module.log, "error", lambda *_: tried.set())
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            inbox.put([heard(Stage.OPEN)])
            assert tried.wait(LIMIT_S)
            inbox.put([closing_event(100), heard(Stage.OPEN, onset=300, decided=305)])
            other.execute("ROLLBACK")
        assert committed.acquire(timeout=LIMIT_S)
        while len(kept(tmp_path)) < 2:
            assert committed.acquire(timeout=LIMIT_S)
        assert waiting(tmp_path) == ["run1/mic/birds/robin/100"], "the second is within the cool-down of the first"


def test_rules_are_changed_between_two_events_and_keep_what_they_remember(tmp_path: Path) -> None:
    with writing(tmp_path, one_rule(tmp_path, cooldown_s=600)) as (inbox, committed, _):
        inbox.put([heard(Stage.OPEN)])
        assert committed.acquire(timeout=LIMIT_S)
        rule = Rule("robins", ("robin",), cooldown_ns=600_000_000_000, sinks=("here", "there"))
        inbox.use([rule, Rule("others", ("robin",), sinks=("here",))], Location())
        inbox.put([heard(Stage.OPEN, onset=200, decided=205)])
        assert committed.acquire(timeout=LIMIT_S)
        with closing(reader(tmp_path)) as connection:
            assert [(e.alert.rule, e.sink) for e in outbox.entries(connection)] == [
                ("robins", "here"), ("others", "here"),
            ]  # fmt: skip


def test_an_event_that_a_crash_left_open_is_judged_when_it_is_closed(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path)) as store, store.transaction() as tx:
        put_events(tx, [stored(1, stage="open")])
    with closing(Store.open(tmp_path)) as store:
        rule = Rule("ended", ("robin",), stage=RuleStage.CLOSE, sinks=("here",))
        book = RuleBook([rule], place=Location(), memory=load(store.connection))
    with writing(tmp_path, book) as (_, committed, _):
        assert committed.acquire(timeout=LIMIT_S)
        assert waiting(tmp_path) == [stored(1).id]


def test_a_new_rule_knows_what_the_store_has(tmp_path: Path) -> None:
    day_ns = 86_400 * 1_000_000_000
    weak = Rule("first", ("group:bird",), first_days=90, min_peak=0.5, stage=RuleStage.CLOSE, sinks=("here",))
    sure = Rule("sure", ("robin",), first_days=90, min_peak=0.8, stage=RuleStage.CLOSE, sinks=("here",))
    past = stored(1, onset_ns=(at := time.time_ns() - 20 * day_ns), offset_ns=at + 1, decided_ns=at + 1, peak=0.7)
    with closing(Store.open(tmp_path)) as store, store.transaction() as tx:
        put_events(tx, [past])
    with writing(tmp_path) as (inbox, _, writer):
        writer._clocks["mic"].start(first_sample=0, wall_ns=time.time_ns())
        inbox.use([weak, sure], Location())
        inbox.put([closing_event(100)])

    with closing(reader(tmp_path)) as connection:
        # a robin of 0.7 was no robin for the rule that wants 0.8; the one that came has 0.9
        assert [entry.alert.rule for entry in outbox.entries(connection)] == ["sure"]
        assert set(load(connection).entries["read"]) == {("first", ""), ("sure", "")}
