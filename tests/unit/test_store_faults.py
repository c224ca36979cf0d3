"""A store whose files are deleted, replaced or damaged under a writer: told, opened again, and nothing is lost.

Read-only and unmounted file systems, and the whole daemon, are in tests/fault/test_store_faults.py.
"""

import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from streamclf.alerts import outbox
from streamclf.alerts.rules.book import RuleBook
from streamclf.alerts.rules.memory import RuleMemory
from streamclf.alerts.rules.place import Location
from streamclf.alerts.rules.rule import Rule
from streamclf.daemon.diagnosis import PartProblems
from streamclf.errors import StoreError, StoreLockedError, StorePlaceError
from streamclf.store.database import FILE_NAME, Change, Store, reader
from streamclf.store.events import find, put_events, query
from streamclf.types import Event, Stage
from streamclf.writer import backlog as backlog_module
from streamclf.writer import writer as writer_module
from tests.support.storing import heard, stored
from tests.support.writing import LIMIT_S, writing

NOW_NS = 1_764_486_932 * 10**9  # 2025-11-30T07:15:32Z
GONE, SET_ASIDE = "is gone; a new one began", "it was set aside as streamclf.db.damaged-"


def until(there: Callable[[], object]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not there():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)


def ids(folder: Path) -> list[str]:
    with closing(reader(folder)) as connection:
        return [event.id.rpartition("/")[2] for event in query(connection)]


def spoil(path: Path, *, share: float = 0.0) -> None:
    """Overwrite what is behind the first page, or behind a share of the file, as a card that fails does."""
    with path.open("r+b") as file:
        file.seek(max(4096, int(path.stat().st_size * share)))
        file.write(os.urandom(path.stat().st_size - file.tell()))


def delete_database(folder: Path) -> None:
    (folder / FILE_NAME).unlink()


def delete_all_files(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def replace_by_another(folder: Path) -> None:
    """The backup of another daemon, moved over the file that is open."""
    with closing(Store.open(folder.parent / "other")) as other, other.transaction() as tx:
        put_events(tx, [stored(9)])
    (folder.parent / "other" / FILE_NAME).replace(folder / FILE_NAME)


def fill_with_noise(folder: Path) -> None:
    """In place, journal and all."""
    for name in (FILE_NAME, f"{FILE_NAME}-wal"):
        spoil(folder / name)


def overwrite_with_text(folder: Path) -> None:
    """echo > streamclf.db, and the journal is written back or gone."""
    (folder / f"{FILE_NAME}-wal").write_bytes(b"")
    (folder / FILE_NAME).write_text("not a database\n")


FAULTS = {
    delete_database: GONE,
    delete_all_files: GONE,
    shutil.rmtree: GONE,
    replace_by_another: "another file has taken the place of",
    fill_with_noise: SET_ASIDE,
    overwrite_with_text: SET_ASIDE,
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_it_is_told_and_opened_again_and_what_comes_after_it_is_kept(
    fault: Callable[[Path], None], tmp_path: Path
) -> None:
    folder = tmp_path / "store"
    with writing(folder) as (inbox, committed, writer):
        inbox.put([heard(Stage.OPEN)])
        assert committed.acquire(timeout=LIMIT_S)
        with closing(reader(folder)) as connection:
            (before,) = connection.execute("SELECT seq FROM last_seq").fetchone()
        fault(folder)
        inbox.put([heard(Stage.OPEN, onset=300, decided=305)])
        assert committed.acquire(timeout=LIMIT_S)
        until(lambda: FAULTS[fault] in writer.problem)
        (told,) = PartProblems(writer=writer, selftest=None, alerts=None).found()
        assert told.to_do.startswith("see what did that to its files: events are kept again")
        # the event that lasted is there again, beside the new one
        until(lambda: {"100", "300"} <= set(ids(folder)))
        with closing(reader(folder)) as connection:
            found = query(connection, after_seq=before)
        assert [event.id.rpartition("/")[2] for event in found] == ["100", "300"], "who reads on from there sees both"
        assert {event.stage for event in found} == {"open"}
    with closing(reader(folder)) as connection:
        assert {event.stage for event in query(connection)} == {"close"}
    damaged = [path for path in folder.iterdir() if "damaged" in path.name]
    assert bool(damaged) == (FAULTS[fault] == SET_ASIDE)
    assert ("9" in ids(folder)) == (fault is replace_by_another)


@pytest.mark.parametrize("fault", [delete_database, shutil.rmtree, fill_with_noise], ids=lambda fault: fault.__name__)
def test_alerts_that_wait_and_cool_downs_outlive_the_database(fault: Callable[[Path], None], tmp_path: Path) -> None:
    folder = tmp_path / "store"
    rule = Rule("robins", ("robin",), cooldown_ns=600_000_000_000, sinks=("here",))
    with writing(folder, RuleBook([rule], place=Location(), memory=RuleMemory())) as (inbox, committed, writer):
        inbox.put([heard(Stage.OPEN)])
        assert committed.acquire(timeout=LIMIT_S)
        fault(folder)
        inbox.put([heard(Stage.OPEN, onset=300, decided=305)])  # within the cool-down
        assert committed.acquire(timeout=LIMIT_S)
        until(lambda: (folder / FILE_NAME).exists() and "300" in ids(folder))
    with closing(reader(folder)) as connection:
        waiting = [entry.alert.event.id.rpartition("/")[2] for entry in outbox.entries(connection, states=["pending"])]
    if fault is not fill_with_noise:  # there, what can still be read is carried over
        assert waiting == ["100"]
    assert "300" not in waiting
    assert writer.problem


def test_a_journal_that_somebody_deleted_costs_nothing(tmp_path: Path) -> None:
    """What was committed last is in it alone; the connection still has it."""
    with writing(tmp_path) as (inbox, committed, _):
        inbox.put([heard(Stage.OPEN)])
        assert committed.acquire(timeout=LIMIT_S)
        for ending in ("-wal", "-shm"):
            (tmp_path / f"{FILE_NAME}{ending}").unlink()
        inbox.put([heard(Stage.OPEN, onset=300, decided=305)])
        assert committed.acquire(timeout=LIMIT_S)
        until(lambda: ids(tmp_path) == ["100", "300"])
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_another_program_that_writes_in_good_order_is_no_damage(tmp_path: Path) -> None:
    """`streamclf alerts send` does."""
    with closing(Store.open(tmp_path)) as store:
        with store.transaction() as tx:
            put_events(tx, map(stored, range(500)))
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
            other.execute("UPDATE events SET mark = 'right'")
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert store.look() == ""
        with store.transaction() as tx:
            put_events(tx, [stored(501)])
        assert store.look() == ""


def test_while_it_cannot_be_opened_everything_waits_and_what_is_dropped_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder whose place a file has taken cannot be made."""
    monkeypatch.setattr(backlog_module, "MAX_BACKLOG", 3)
    folder = tmp_path / "store"
    with writing(folder) as (inbox, committed, writer):
        shutil.rmtree(folder)
        folder.touch()
        until(lambda: "events wait in memory" in writer.problem)
        inbox.put([closing_event(100 * number) for number in range(5)])
        until(lambda: "but for the oldest: there are too many" in writer.problem)
        folder.unlink()
        assert committed.acquire(timeout=LIMIT_S)
        assert ids(folder) == ["200", "300", "400"]
        until(lambda: "events wait in memory" not in writer.problem)
    assert "the oldest are dropped, and counted" in caplog.text
    assert "events are written again; 2 were dropped" in caplog.text


def closing_event(onset: int) -> Event:
    return heard(Stage.CLOSE, onset=onset, offset=onset + 20, decided=onset + 30)


def test_a_store_that_cannot_be_opened_at_the_start_is_opened_when_it_can_be(tmp_path: Path) -> None:
    folder = tmp_path / "link"
    folder.symlink_to(tmp_path / "disk")  # which is not mounted yet
    store = Store.begin(folder, now_ns=NOW_NS)
    assert "cannot be used" in store.look()
    with pytest.raises(sqlite3.OperationalError, match="cannot be used"):
        store.connection.execute("SELECT 1")
    (tmp_path / "disk").mkdir()
    with closing(store):
        assert store.reopen(now_ns=NOW_NS) is Change.NEW
        assert store.look() == ""


def test_a_damaged_database_is_set_aside_at_the_start_and_named(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path)) as store, store.transaction() as tx:
        put_events(tx, map(stored, range(100)))
    with (tmp_path / FILE_NAME).open("r+b") as file:
        file.write(b"no database ever began like this")
    with closing(Store.begin(tmp_path, now_ns=NOW_NS)) as store:
        assert store.notice.endswith("it was set aside as streamclf.db.damaged-20251130T071532Z, and a new one began")
        with store.transaction() as tx:
            put_events(tx, [stored(1)])
    (tmp_path / FILE_NAME).write_bytes(b"and again" * 100)
    with closing(Store.begin(tmp_path, now_ns=NOW_NS)) as store:
        assert "set aside as streamclf.db.damaged-20251130T071532Z-2," in store.notice
    assert (tmp_path / "streamclf.db.damaged-20251130T071532Z").stat().st_size > 20_000


def test_damage_in_the_middle_is_found_by_the_first_look_after_the_start(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path)) as store, store.transaction() as tx:
        put_events(tx, map(stored, range(500)))
    spoil(tmp_path / FILE_NAME, share=0.5)
    with closing(Store.begin(tmp_path, now_ns=NOW_NS)) as store:
        assert "is damaged: " in store.look()
        assert store.reopen(now_ns=NOW_NS) is Change.NEW
        assert "it was set aside as" in store.notice
        assert store.look() == ""


def test_what_waiting_does_not_help_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for place in (tmp_path / "file", tmp_path / "file" / "store"):
        with pytest.raises(StorePlaceError):
            Store.begin(place, now_ns=NOW_NS)
    with closing(Store.open(tmp_path)), pytest.raises(StoreLockedError):
        Store.begin(tmp_path, now_ns=NOW_NS)
    Store.open(tmp_path).close()


def test_a_folder_that_was_made_anew_has_its_own_lock(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with closing(Store.open(folder)) as store:
        shutil.rmtree(folder)
        with closing(Store.open(folder)):  # another daemon was quicker
            with pytest.raises(StoreLockedError):
                store.reopen(now_ns=NOW_NS)
            assert "another daemon" in store.look()
        assert store.reopen(now_ns=NOW_NS) is Change.NEW
        with pytest.raises(StoreError, match="another daemon"):
            Store.open(folder)


def test_what_was_committed_to_a_file_that_is_gone_is_not_written(tmp_path: Path) -> None:
    """SQLite itself says yes."""
    with closing(Store.open(tmp_path)) as store:
        (tmp_path / FILE_NAME).unlink()
        with store.transaction() as tx:
            put_events(tx, [stored(1)])
        assert find(store.connection, stored(1).id) is not None
        assert store.look() == f"{tmp_path / FILE_NAME}, where events are kept, is gone"


def test_damage_that_is_done_in_the_middle_of_a_transaction_is_seen(tmp_path: Path) -> None:
    with closing(Store.open(tmp_path)) as store:
        with store.transaction() as tx:
            put_events(tx, map(stored, range(500)))
        with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as other:
            other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert store.look() == ""
        with store.transaction() as tx:
            put_events(tx, [stored(501)])
            spoil(tmp_path / FILE_NAME)
        assert "is damaged: " in store.look()


def test_a_disk_that_does_not_answer_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_HANGS_S", 0.1)
    with writing(tmp_path) as (inbox, committed, writer):
        go_on = threading.Event()

        def hang(tx: sqlite3.Connection) -> None:
            go_on.wait(LIMIT_S)

        inbox.call(hang)
        until(lambda: writer.problem == f"the disk of {tmp_path} does not answer; events wait in memory")
        go_on.set()
        assert committed.acquire(timeout=LIMIT_S)
        until(lambda: not writer.problem)


def test_a_writer_that_was_never_given_a_store_ends_with_a_sentence(tmp_path: Path) -> None:
    faults: list[BaseException] = []
    folder = tmp_path / "store"
    with writing(folder, faults=faults) as (inbox, _, writer):
        shutil.rmtree(folder)
        folder.touch()
        inbox.put([closing_event(100), closing_event(200)])
        until(lambda: "events wait in memory" in writer.problem)
    assert str(faults[0]).startswith(
        f"2 events could not be written to {folder} before the end: the event store {folder}"
    )
