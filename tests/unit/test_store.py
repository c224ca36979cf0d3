"""The event store on real files: what is committed stays, who may open it, what a query finds."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamclf.errors import StoreError
from streamclf.store.database import FILE_NAME, Store, reader
from streamclf.store.events import StoredEvent, close_stale, find, put_events, query, set_clip, set_mark
from streamclf.store.schema import STEPS, VERSION
from tests.support.storing import START_NS, stored

SECOND = 1_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path)) as opened:
        yield opened


def read(folder: Path, **wish: Any) -> list[StoredEvent]:
    with closing(reader(folder)) as connection:
        return query(connection, **wish)


def test_an_event_comes_back_as_it_was_put(store: Store) -> None:
    changes: dict[str, Any] = {"level_db": -31.5, "test": True, "group": "", "label": "=1+1\n'"}
    with store.transaction() as tx:
        put_events(tx, [stored(1, **changes)])

    assert read(store.folder, test=True) == [stored(1, **changes, seq=1)]
    assert read(store.folder) == []


def test_the_folder_and_its_files_are_the_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with closing(Store.open(folder)):
        modes = {path.name: path.stat().st_mode & 0o777 for path in [folder, *folder.iterdir()]}
    assert modes["b"] == 0o700
    assert all(mode & 0o077 == 0 for mode in modes.values())


def test_a_later_stage_replaces_the_row_and_moves_it_to_the_end_of_the_order_of_stages(store: Store) -> None:
    with store.transaction() as tx:
        put_events(tx, [stored(1, stage="open"), stored(2, stage="open")])
        set_clip(tx, stored(1).id, "a.flac")
    with store.transaction() as tx:
        put_events(tx, [stored(1, peak=0.95)])

    assert [(e.seq, e.stage, e.peak, e.clip) for e in read(store.folder)] == [
        (3, "close", 0.95, "a.flac"),
        (2, "open", 0.9, ""),
    ]
    assert [e.seq for e in read(store.folder, after_seq=0)] == [2, 3]
    assert [e.seq for e in read(store.folder, after_seq=2)] == [3]


def test_a_mark_is_news_of_its_event_and_later_stages_leave_it(store: Store) -> None:
    with store.transaction() as tx:
        put_events(tx, [stored(1, stage="open"), stored(2)])
        marked = set_mark(tx, stored(1).id, "wrong", "wren")
        assert set_mark(tx, "run/none", "right") is None
        put_events(tx, [stored(1)])

    assert marked is not None
    assert (marked.seq, marked.mark, marked.mark_label) == (3, "wrong", "wren")
    assert [(e.stage, e.mark, e.mark_label) for e in read(store.folder, after_seq=3)] == [("close", "wrong", "wren")]


def test_the_order_of_stages_never_goes_back_after_a_deletion(store: Store) -> None:
    with store.transaction() as tx:
        put_events(tx, [stored(n) for n in range(3)])
        tx.execute("DELETE FROM events")
        put_events(tx, [stored(9)])

    assert [e.seq for e in query(store.connection)] == [4]


def test_what_a_crash_left_open_is_closed_where_it_was_last_known(store: Store) -> None:
    with store.transaction() as tx:
        put_events(tx, [stored(1, stage="open", frames=75), stored(2)])
        assert [event.id for event in close_stale(tx)] == [stored(1).id]
        assert close_stale(tx) == []

    found = find(store.connection, stored(1).id)
    assert found is not None
    assert (found.stage, found.ended_by, found.offset_frame, found.offset_ns) == (
        "close",
        "crash",
        50 + 75,
        START_NS + int(2.5 * SECOND),
    )
    assert found.seq == 3


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"since_ns": START_NS + SECOND}, [1, 2, 3, 4]),
        ({"until_ns": START_NS + 2 * SECOND}, [0, 1]),
        ({"since_ns": START_NS + SECOND, "until_ns": START_NS + 3 * SECOND}, [1, 2]),
        ({"labels": ["owl"]}, [1]),
        ({"labels": ["group:bird"]}, [0, 1, 4]),
        ({"labels": ["speech", "owl"]}, [1, 2]),
        ({"streams": ["garden"]}, [3]),
        ({"min_peak": 0.9}, [0, 2, 3, 4]),
        ({"limit": 2}, [3, 4]),
        ({"limit": 2, "after_seq": 1}, [1, 2]),
        ({"labels": ["'; DROP TABLE events; --"]}, []),
    ],
)
def test_queries(store: Store, wish: dict[str, Any], found: list[int]) -> None:
    events = [
        stored(0),
        stored(1, label="owl", peak=0.6),
        stored(2, label="speech", group="voice"),
        stored(3, stream="garden", group="", label="car"),
        stored(4),
    ]
    with store.transaction() as tx:
        put_events(tx, events)

    assert [e.onset_frame // 50 for e in query(store.connection, **wish)] == found


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    def fail_half_way() -> None:
        with store.transaction() as tx:
            put_events(tx, [stored(1)])
            raise ValueError("half way")

    with pytest.raises(ValueError, match="half way"):
        fail_half_way()
    with store.transaction() as tx:
        put_events(tx, [stored(2)])
    assert [e.id for e in query(store.connection)] == [stored(2).id]


def test_a_second_daemon_is_told_whose_folder_it_is(tmp_path: Path) -> None:
    first = Store.open(tmp_path)
    with pytest.raises(StoreError, match=r"another daemon keeps its events in .*\[store\] path.*--no-store"):
        Store.open(tmp_path)
    first.close()
    Store.open(tmp_path).close()


def test_a_database_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    Store.open(tmp_path).close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute(f"PRAGMA user_version={VERSION + 1}")

    for act in (Store.open, reader):
        with pytest.raises(StoreError, match=f"newer streamclf .version {VERSION + 1}"):
            act(tmp_path)


@pytest.mark.parametrize("version", range(1, VERSION))
def test_a_database_of_an_older_version_is_read_once_the_daemon_has_opened_it(tmp_path: Path, version: int) -> None:
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        for step in STEPS[:version]:
            connection.executescript(step)
        known = {row[1] for row in connection.execute("PRAGMA table_info(events)")}
        fields = msgspec.to_builtins(stored(1, seq=1))
        fields["grp"] = fields.pop("group")
        row = {name: value for name, value in fields.items() if name in known}
        marks = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO events ({', '.join(row)}) VALUES ({marks})", list(row.values()))
        connection.execute("UPDATE last_seq SET seq = 1")
        connection.execute(f"PRAGMA user_version={version}")
        connection.commit()

    with pytest.raises(StoreError, match=f"older streamclf .version {version} .* start the daemon"):
        reader(tmp_path)
    with closing(Store.open(tmp_path)) as store, store.transaction() as tx:
        put_events(tx, [stored(2)])
    assert read(tmp_path) == [stored(1, seq=1), stored(2, seq=2)]


def test_a_damaged_database_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"this is not a database at all" * 100)
    for act in (Store.open, reader):
        with pytest.raises(StoreError, match="not a database"):
            act(tmp_path)


@pytest.mark.parametrize("share", [0.5, 0.1, 0.001])
def test_a_database_that_was_cut_off_is_refused_in_a_sentence(tmp_path: Path, share: float) -> None:
    with closing(Store.open(tmp_path)) as store, store.transaction() as tx:
        put_events(tx, map(stored, range(1000)))
    path = tmp_path / FILE_NAME
    os.truncate(path, int(path.stat().st_size * share))
    with pytest.raises(StoreError, match="malformed; move that file away"):
        Store.open(tmp_path)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot be used: Not a directory"):
        Store.open(tmp_path / "file" / "store")


def test_reading_where_nothing_was_kept_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no events have been kept in"):
        reader(tmp_path)


def test_a_reader_cannot_write(store: Store) -> None:
    with closing(reader(store.folder)) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM events")
