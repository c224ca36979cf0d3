"""What is kept how long, and what goes first when space is short.

By age and size: events, score rows and clips each have their own limits. By headroom: while the disk has less free
space than is left to others, no clip and no score row is written, and clips (but the best of each label), then whole
days of score rows go, oldest first. Events only go by their own age and size. Where the disk is full all the same, the
ballast file is given up, so that there is room to store events and to delete. Until it is back, its size counts as
headroom: clips would else take the room that it needs, and keep it for good.

Times come in as arguments; the thread that writes the store calls all of this.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from streamclf.clock import NS_PER_SECOND
from streamclf.config import ClipsConfig, ScoresConfig, StoreConfig
from streamclf.store import clips, scores
from streamclf.store.database import Store
from streamclf.store.events import set_clip
from streamclf.store.minutes import forget
from streamclf.store.scorefile import SUFFIX

BALLAST = "ballast"
MEGABYTE = 1_000_000
_DAY_NS = 86_400 * NS_PER_SECOND
_EVER_NS = (1 << 63) - 1
_CHUNK = 500  # events deleted in one step, so that alerts do not wait long for it
_PAGES = 500  # given back to the disk in one step


@dataclass(slots=True)
class Trimmed:
    """What one step deleted. scores: files. more: whether there are more events to delete than one step takes."""

    events: int = 0
    clips: int = 0
    scores: int = 0
    more: bool = False


class Retention:
    """short: whether free space was below the headroom (and a missing ballast) when the last look was taken."""

    def __init__(self, store: Store, config: StoreConfig, score_limits: ScoresConfig, clip_limits: ClipsConfig) -> None:
        self.short = False
        self._store = store
        self._config = config
        self._scores = score_limits
        self._clips = clip_limits

    def use(self, config: StoreConfig, score_limits: ScoresConfig, clip_limits: ClipsConfig) -> None:
        """These limits hold from now on."""
        self._config, self._scores, self._clips = config, score_limits, clip_limits

    def look(self) -> bool:
        """How much is free: sets `short`, gets the ballast back where there is room. Whether it has become short.

        OSError passes.
        """
        before = self.short
        missing = self._missing_ballast
        self.short = self.free < self._config.headroom_mb * MEGABYTE + missing
        if missing and not self.short:
            _allocate(self._store.folder / BALLAST, missing)
        return self.short and not before

    @property
    def free(self) -> int:
        """Bytes that this user may still write."""
        disk = os.statvfs(self._store.folder)
        return disk.f_bavail * disk.f_frsize

    @property
    def wanted(self) -> str:
        """The settings that say how much is to be free."""
        return "headroom_mb and ballast_mb" if self._missing_ballast else "headroom_mb"

    def room_for(self, size: int) -> bool:
        """Whether a file of `size` bytes leaves the headroom."""
        return self.free - size >= self._config.headroom_mb * MEGABYTE + self._missing_ballast

    def give_up_ballast(self) -> bool:
        """The disk is full: make room. Whether there was any to make."""
        try:
            (self._store.folder / BALLAST).unlink()
        except OSError:
            return False
        return True

    def trim(self, now_ns: int, *, room: int = 0) -> Trimmed:
        """Delete what is too old, too much, or in the way of `room` bytes beside the headroom.

        sqlite3's errors and OSError pass through.
        """
        done = Trimmed()
        self._trim_clips(now_ns, room, done)
        self._trim_scores(now_ns, room, done)
        self._trim_events(now_ns, done)
        self.look()
        return done

    @property
    def _missing_ballast(self) -> int:
        """Bytes that the ballast still needs."""
        return 0 if (self._store.folder / BALLAST).exists() else self._config.ballast_mb * MEGABYTE

    def _trim_clips(self, now_ns: int, room: int, done: Trimmed) -> None:
        folder = self._store.folder / clips.FOLDER
        rows = self._store.connection.execute(
            "SELECT id, clip, onset_ns, row_number() OVER (PARTITION BY label ORDER BY peak DESC) FROM events "
            "WHERE clip <> '' ORDER BY onset_ns"
        ).fetchall()
        sizes = {clip: _size(folder / clip) for _, clip, *_ in rows}
        total = sum(sizes.values())
        oldest_ns = now_ns - self._clips.keep_days * _DAY_NS
        gone = [(event_id, clip) for event_id, clip, *_ in rows if not sizes[clip]]
        for event_id, clip, onset_ns, rank in rows:
            if not sizes[clip] or rank <= self._clips.keep_per_label:
                continue
            if onset_ns < oldest_ns or total > self._clips.max_mb * MEGABYTE or not self.room_for(room):
                (folder / clip).unlink(missing_ok=True)
                total -= sizes[clip]
                done.clips += 1
                gone.append((event_id, clip))
        if gone:
            with self._store.transaction() as tx:
                for event_id, _ in gone:
                    set_clip(tx, event_id, "")
        self._sweep(folder, {clip for _, clip, *_ in rows}, now_ns)

    def _sweep(self, folder: Path, known: set[str], now_ns: int) -> None:
        """Files of clips that no event names: a crash came between the two.

        Whatever else lies there is somebody's own, above all where the folder is a link to a disk that holds more.
        """
        for path in _files(folder):
            name = path.relative_to(folder).as_posix()
            if name not in known and clips.is_clip(name) and path.stat().st_mtime_ns < now_ns - 3600 * NS_PER_SECOND:
                path.unlink(missing_ok=True)

    def _trim_scores(self, now_ns: int, room: int, done: Trimmed) -> None:
        folder = self._store.folder / scores.FOLDER
        today = datetime.fromtimestamp(now_ns // NS_PER_SECOND, UTC).date()
        oldest = today - timedelta(days=self._scores.keep_days)
        days = sorted(path for path in folder.glob("????-??-??") if path.is_dir())
        sizes = {day: sum(_size(path) for path in _scores(day)) for day in days}
        total = sum(sizes.values())
        for day in days:
            begun = date.fromisoformat(day.name)
            too_much = total > self._scores.max_mb * MEGABYTE
            if begun < today and (begun < oldest or too_much or not self.room_for(room)):
                for path in _scores(day):
                    path.unlink(missing_ok=True)
                    done.scores += 1
                with suppress(OSError):  # it holds something of somebody's own
                    day.rmdir()
                total -= sizes[day]

    def _trim_events(self, now_ns: int, done: Trimmed) -> None:
        connection = self._store.connection
        oldest_ns = now_ns - self._config.keep_days * _DAY_NS
        too_much = _used(connection) > self._config.max_mb * MEGABYTE
        # what an alert that is still to be sent tells of stays
        chosen = connection.execute(
            "SELECT id, clip FROM events WHERE stage = 'close' AND onset_ns < ? AND id NOT IN "
            "(SELECT event_id FROM alerts JOIN deliveries ON alert_id = alerts.id WHERE state = 'pending') "
            "ORDER BY onset_ns LIMIT ?",
            (_EVER_NS if too_much else oldest_ns, _CHUNK),
        ).fetchall()
        for _, clip in chosen:
            if clip:
                (self._store.folder / clips.FOLDER / clip).unlink(missing_ok=True)
        ids = [(event_id,) for event_id, _ in chosen]
        with self._store.transaction() as tx:
            tx.executemany("DELETE FROM events WHERE id = ?", ids)
            tx.executemany("DELETE FROM reasons WHERE event_id = ?", ids)
            gone = tx.execute(
                "DELETE FROM alerts WHERE at_ns < ? AND id NOT IN (SELECT alert_id FROM deliveries "
                "WHERE state = 'pending')",
                (oldest_ns,),
            )
            forget(tx, before_ns=oldest_ns)
            if gone.rowcount:
                tx.execute("DELETE FROM deliveries WHERE alert_id NOT IN (SELECT id FROM alerts)")
        done.events, done.more = len(chosen), len(chosen) == _CHUNK
        # as a script: it frees one page a step, and sqlite3 takes but one step of a statement without columns
        connection.executescript(f"PRAGMA incremental_vacuum({_PAGES})")
        self._store.written()


def _allocate(path: Path, size: int) -> None:
    """Where that fails, the next look tries again."""
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return
    try:
        os.posix_fallocate(file, 0, size)
    except OSError:
        path.unlink(missing_ok=True)
    finally:
        os.close(file)


def _used(connection: sqlite3.Connection) -> int:
    """Bytes of the database that hold something."""
    pages, free, size = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
    )
    return int((pages - free) * size)


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0


def _scores(day: Path) -> Iterator[Path]:
    yield from (path for path in day.glob(f"*{SUFFIX}") if path.is_file() and not path.is_symlink())


def _files(folder: Path) -> Iterator[Path]:
    yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
