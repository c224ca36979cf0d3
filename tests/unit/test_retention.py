"""What goes first and what stays, on a real folder with a real database."""

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamclf.config import ClipsConfig, ScoresConfig, StoreConfig
from streamclf.store import retention as module
from streamclf.store.clips import FOLDER, clip_name
from streamclf.store.database import Store
from streamclf.store.events import put_events, query
from streamclf.store.retention import BALLAST, Retention, Trimmed
from tests.support.storing import START_NS, stored

DAY_NS = 86_400 * 10**9
MEGABYTE = 1_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path)) as opened:
        yield opened


def retention(store: Store, *, scores: Any = None, clips: Any = None, **config: Any) -> Retention:
    given = {"ballast_mb": 0, "headroom_mb": 1}
    return Retention(
        store, StoreConfig(**{**given, **config}), ScoresConfig(**(scores or {})), ClipsConfig(**(clips or {}))
    )


def put(store: Store, *events: Any) -> None:
    with store.transaction() as tx:
        put_events(tx, events)


def clip(store: Store, number: int, *, size: int = 1000, **changes: Any) -> Path:
    """Event `number`, a day after the one before, with a clip."""
    name = f"2023/{number}.flac"
    at_ns = START_NS + number * DAY_NS
    put(store, stored(number, clip=name, onset_ns=at_ns, decided_ns=at_ns, **changes))
    path = store.folder / FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(size))
    return path


def score_day(store: Store, day: str, *, size: int = 1000) -> Path:
    path = store.folder / "scores" / day / "mic~p~000000-run1.scores"
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes(size))
    return path


def numbers(store: Store) -> list[int]:
    return [event.onset_frame // 50 for event in query(store.connection)]


def test_old_events_go_with_their_reasons_and_alerts(store: Store) -> None:
    for number in (0, 1, 5):
        put(store, stored(number, onset_ns=START_NS + number * DAY_NS))
        with store.transaction() as tx:
            tx.execute(
                "INSERT INTO reasons VALUES (?, 'r', ?, 0, '[]')", (stored(number).id, START_NS + number * DAY_NS)
            )
    done = retention(store, keep_days=3).trim(START_NS + 5 * DAY_NS)
    assert (done.events, numbers(store)) == (2, [5])
    assert store.connection.execute("SELECT count(*) FROM reasons").fetchone() == (1,)


def test_what_an_alert_that_waits_tells_of_stays_until_it_is_sent(store: Store) -> None:
    put(store, stored(0), stored(1))
    with store.transaction() as tx:
        for number, state in ((0, "pending"), (1, "sent")):
            tx.execute(
                "INSERT INTO alerts (id, rule, event_id, label, stage, at_ns, test, payload) "
                "VALUES (?, 'r', ?, 'robin', 'open', ?, 0, '{}')",
                (str(number), stored(number).id, START_NS),
            )
            tx.execute(
                "INSERT INTO deliveries (alert_id, sink, rule, at_ns, state, attempts, next_ns, first_ns, last_error) "
                "VALUES (?, 's', 'r', ?, ?, 0, 0, 0, '')",
                (str(number), START_NS, state),
            )
    trimmer = retention(store, keep_days=1)
    trimmer.trim(START_NS + 9 * DAY_NS)
    assert numbers(store) == [0]
    assert store.connection.execute("SELECT alert_id FROM deliveries").fetchall() == [("0",)]
    with store.transaction() as tx:
        tx.execute("UPDATE deliveries SET state = 'sent'")
    trimmer.trim(START_NS + 9 * DAY_NS)
    assert numbers(store) == []


def test_a_database_that_grew_too_large_gives_its_oldest_events_and_its_space_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CHUNK", 200)
    put(store, *(stored(number, mark="x" * 1000) for number in range(2000)))
    before = (store.folder / "streamclf.db").stat().st_size + (store.folder / "streamclf.db-wal").stat().st_size
    assert before > 2 * MEGABYTE
    trimmer = retention(store, max_mb=1)
    while trimmer.trim(START_NS).more:
        pass
    trimmer.trim(START_NS)
    kept = numbers(store)
    assert 300 < len(kept) < 1000
    assert kept == list(range(2000 - len(kept), 2000))
    pages, size = (store.connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    assert pages * size < 1.1 * MEGABYTE


def test_open_events_are_never_deleted(store: Store) -> None:
    put(store, stored(0, stage="open"))
    retention(store, keep_days=1).trim(START_NS + 99 * DAY_NS)
    assert numbers(store) == [0]


def test_old_clips_go_but_the_best_of_each_label_stay_and_so_do_the_events(store: Store) -> None:
    paths = [clip(store, n, peak=peak) for n, peak in enumerate((0.5, 0.9, 0.6, 0.7))]
    owl = clip(store, 4, label="owl", peak=0.1)
    done = retention(store, clips={"keep_days": 1, "keep_per_label": 1}).trim(START_NS + 99 * DAY_NS)
    assert done.clips == 3
    assert [path.exists() for path in paths] == [False, True, False, False]
    assert owl.exists()
    assert [event.clip for event in query(store.connection)] == ["", "2023/1.flac", "", "", "2023/4.flac"]


def test_clips_beyond_their_size_go_oldest_first(store: Store) -> None:
    paths = [clip(store, n, size=400_000) for n in range(5)]
    retention(store, clips={"max_mb": 1, "keep_per_label": 0}).trim(START_NS + 5 * DAY_NS)
    assert [path.exists() for path in paths] == [False, False, False, True, True]


def test_the_clip_of_a_deleted_event_is_deleted_too(store: Store) -> None:
    path = clip(store, 0)
    retention(store, keep_days=1).trim(START_NS + 9 * DAY_NS)
    assert not path.exists()


def test_a_clip_that_no_event_names_is_swept_after_an_hour(store: Store) -> None:
    name = clip_name(stored(5), "flac")
    lost, named = store.folder / FOLDER / name, clip(store, 0)
    lost.parent.mkdir(parents=True)
    lost.write_bytes(b"x")
    os.utime(lost, ns=(START_NS, START_NS))
    os.utime(named, ns=(START_NS, START_NS))
    trimmer = retention(store)
    trimmer.trim(START_NS + 3599 * 10**9)
    assert lost.exists()
    trimmer.trim(START_NS + 3601 * 10**9)
    assert not lost.exists()
    assert named.exists()


@pytest.mark.parametrize(
    "name", ["letter.txt", "2023-11-14/song.flac", "2023-11-14/101112_mic_robin_12345678.wav", "a/b/101112.opus"]
)
def test_what_is_no_clip_of_ours_is_left_alone_also_behind_a_link(store: Store, tmp_path: Path, name: str) -> None:
    disk = tmp_path / "disk"
    foreign = disk / name
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"x")
    os.utime(foreign, ns=(START_NS, START_NS))
    (store.folder / FOLDER).symlink_to(disk)
    retention(store, clips={"max_mb": 1, "keep_per_label": 0}).trim(START_NS + 99 * DAY_NS)
    assert foreign.exists()


def test_a_file_of_somebody_else_in_a_day_of_scores_stays(store: Store) -> None:
    rows = score_day(store, "2023-11-10")
    note = rows.with_name("note.txt")
    note.write_text("mine")
    assert retention(store, scores={"keep_days": 1}).trim(START_NS).scores == 1
    assert note.exists()
    assert not rows.exists()


def test_a_clip_that_somebody_deleted_is_no_longer_named(store: Store) -> None:
    clip(store, 0).unlink()
    retention(store).trim(START_NS)
    assert [event.clip for event in query(store.connection)] == [""]


def test_score_days_go_by_age_and_by_size_but_never_today(store: Store) -> None:
    days = [score_day(store, f"2023-11-{day}", size=400_000) for day in (10, 11, 12, 13, 14)]
    retention(store, scores={"keep_days": 3}).trim(START_NS)  # 2023-11-14
    assert [path.parent.exists() for path in days] == [False, True, True, True, True]
    retention(store, scores={"max_mb": 1}).trim(START_NS)
    assert [path.exists() for path in days] == [False, False, False, True, True]
    retention(store, scores={"max_mb": 1, "keep_days": 1}).trim(START_NS + 99 * DAY_NS)
    assert not any(path.exists() for path in days)


def free(trimmer: Retention, monkeypatch: pytest.MonkeyPatch, *megabytes: int) -> None:
    """The disk has so much free at each look, the last for ever. A disk that is really full is in tests/fault."""
    left = list(megabytes)
    monkeypatch.setattr(Retention, "free", property(lambda _: (left.pop(0) if len(left) > 1 else left[0]) * MEGABYTE))


def test_short_of_space_clips_and_score_days_go_until_there_is_enough(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [clip(store, n, peak=0.9 - n / 10) for n in range(4)]
    day, today = score_day(store, "2023-11-10"), score_day(store, "2023-11-14")
    trimmer = retention(store, headroom_mb=100, clips={"keep_per_label": 1})
    free(trimmer, monkeypatch, 50, 60, 70, 120)
    assert trimmer.look()
    assert trimmer.short
    done = trimmer.trim(START_NS)
    assert not trimmer.short
    assert [path.exists() for path in paths] == [True, False, False, True]
    assert (done.clips, done.scores, day.exists()) == (2, 0, True)

    free(trimmer, monkeypatch, 50)
    assert trimmer.look()
    assert not trimmer.look()
    trimmer.trim(START_NS)
    assert [path.exists() for path in paths] == [True, False, False, False]
    assert (day.exists(), today.exists(), numbers(store)) == (False, True, [0, 1, 2, 3])


def test_room_is_made_beside_the_headroom(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [clip(store, n) for n in range(3)]
    trimmer = retention(store, headroom_mb=100, clips={"keep_per_label": 0})
    free(trimmer, monkeypatch, 104, 108, 112)
    assert trimmer.trim(START_NS).clips == 0
    free(trimmer, monkeypatch, 104, 108, 112)
    assert trimmer.trim(START_NS, room=10 * MEGABYTE).clips == 2
    assert [path.exists() for path in paths] == [False, False, True]


def test_a_file_must_leave_the_headroom(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    trimmer = retention(store, headroom_mb=100)
    free(trimmer, monkeypatch, 110)
    assert trimmer.room_for(9 * MEGABYTE)
    assert not trimmer.room_for(11 * MEGABYTE)


def test_the_ballast_is_there_is_given_up_once_and_comes_back_with_space(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    trimmer = retention(store, ballast_mb=2)
    ballast = store.folder / BALLAST
    trimmer.look()
    assert ballast.stat().st_size == 2 * MEGABYTE
    assert ballast.stat().st_blocks * 512 >= 2 * MEGABYTE
    assert trimmer.give_up_ballast()
    assert not trimmer.give_up_ballast()
    with monkeypatch.context() as patch:
        free(trimmer, patch, 2)
        trimmer.look()
        assert not ballast.exists()
    trimmer.look()
    assert ballast.exists()


def test_clips_do_not_take_the_room_of_a_ballast_that_was_given_up(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They grew up to the headroom as soon as the disk had room again, and the ballast never came back."""
    paths = [clip(store, n) for n in range(3)]
    trimmer = retention(store, headroom_mb=100, ballast_mb=10, clips={"keep_per_label": 0})
    free(trimmer, monkeypatch, 105)
    assert not trimmer.room_for(MEGABYTE)
    assert trimmer.look()
    assert trimmer.wanted == "headroom_mb and ballast_mb"
    assert not (store.folder / BALLAST).exists()

    free(trimmer, monkeypatch, 105, 108, 120)
    assert trimmer.trim(START_NS).clips == 2
    assert [path.exists() for path in paths] == [False, False, True]
    assert (store.folder / BALLAST).stat().st_size == 10 * MEGABYTE
    assert (trimmer.wanted, trimmer.short) == ("headroom_mb", False)
    free(trimmer, monkeypatch, 105)
    assert trimmer.room_for(4 * MEGABYTE)


def test_nothing_to_do_does_nothing(store: Store) -> None:
    put(store, stored(1))
    assert retention(store).trim(START_NS) == Trimmed()
    assert numbers(store) == [1]
