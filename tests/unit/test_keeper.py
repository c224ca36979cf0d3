"""The keeper on a real database: what is put is on the disk, and nothing is lost while the disk takes nothing."""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from streamclf.alerts import keeper as keeper_module
from streamclf.alerts.keeper import Keeper
from streamclf.clock import StreamClock
from streamclf.store.database import FILE_NAME, Store, reader
from streamclf.store.events import StoredEvent, put_events, query
from streamclf.store.recorder import Recorder
from streamclf.types import Event, Stage
from tests.support.storing import FACTS, heard, stored

LIMIT_S = 20.0


@contextmanager
def keeping(folder: Path) -> Iterator[tuple[Keeper, threading.Semaphore]]:
    """A keeper that runs; the semaphore counts its commits."""
    committed = threading.Semaphore(0)
    faults: list[BaseException] = []
    running = Keeper(
        Store.open(folder),
        Recorder("run1", FACTS),
        {"mic": StreamClock(16_000)},
        on_commit=committed.release,
        on_fault=faults.append,
    )
    running.start()
    assert committed.acquire(timeout=LIMIT_S)
    try:
        yield running, committed
    finally:
        assert running.stop(LIMIT_S)
    assert not faults


def kept(folder: Path) -> list[StoredEvent]:
    with closing(reader(folder)) as connection:
        return query(connection)


def closing_event(onset: int) -> Event:
    return heard(Stage.CLOSE, onset=onset, offset=onset + 20, decided=onset + 30)


def test_an_event_is_on_the_disk_at_once_and_closed_at_the_end(tmp_path: Path) -> None:
    with keeping(tmp_path) as (running, committed):
        running.put([heard(Stage.OPEN)])
        assert committed.acquire(timeout=LIMIT_S)
        assert [e.stage for e in kept(tmp_path)] == ["open"]

    assert [(e.stage, e.ended_by) for e in kept(tmp_path)] == [("close", "stop")]


def test_what_the_last_run_left_open_is_closed(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path)) as store, store.transaction() as tx:
        put_events(tx, [stored(1, stage="open")])

    with keeping(tmp_path):
        assert [e.ended_by for e in kept(tmp_path)] == ["crash"]


def test_while_the_disk_takes_nothing_events_wait_and_the_bound_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program holds the database's write lock, as a full disk would: nothing can be committed."""
    monkeypatch.setattr(keeper_module, "MAX_BACKLOG", 5)
    monkeypatch.setattr(keeper_module, "_RETRY_S", 0.0)
    with keeping(tmp_path) as (running, committed):
        running._store.connection.execute("PRAGMA busy_timeout=0")
        tried = threading.Event()
        monkeypatch.setattr(keeper_module.log, "error", lambda *_: tried.set())
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            running.put([closing_event(100 * n) for n in range(8)])
            assert tried.wait(LIMIT_S)
            assert "they wait in memory" in running.problem
            other.execute("ROLLBACK")
        assert committed.acquire(timeout=LIMIT_S)

        assert running.problem == ""
        assert [e.onset_frame for e in kept(tmp_path)] == [300, 400, 500, 600, 700]


def test_a_call_writes_in_a_transaction_of_the_keepers(tmp_path: Path) -> None:
    with keeping(tmp_path) as (running, committed):
        running.call(lambda tx: put_events(tx, [stored(7)]))
        assert committed.acquire(timeout=LIMIT_S)
        assert [e.id for e in kept(tmp_path)] == [stored(7).id]


def test_updates_wait_for_company_but_not_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with keeping(tmp_path) as (running, committed):
        running.put([heard(Stage.OPEN)])
        assert committed.acquire(timeout=LIMIT_S)
        running.put([heard(Stage.UPDATE, decided=150)])
        running.put([heard(Stage.OPEN, onset=400, decided=405)])
        assert committed.acquire(timeout=LIMIT_S)
        assert [e.stage for e in kept(tmp_path)] == ["update", "open"]

        monkeypatch.setattr(keeper_module, "_UPDATES_S", 0.0)
        running.put([heard(Stage.UPDATE, decided=200)])
        assert committed.acquire(timeout=LIMIT_S)


def test_beyond_the_inbox_rows_are_dropped_and_events_are_not(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path)) as store:
        running = Keeper(store, Recorder("run1", FACTS), {})  # not started: nothing is taken out
        for n in range(keeper_module.MAX_INBOX + 10):
            running.put([closing_event(100 * n)])
        assert len(running._inbox) == keeper_module.MAX_INBOX + 10
        assert running.congested
