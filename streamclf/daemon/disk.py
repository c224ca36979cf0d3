"""What there is in the store's folder, for `GET /v1/status`. Counting files takes time, so one look holds for long."""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from streamclf import metrics
from streamclf.alerts import outbox
from streamclf.config import Config
from streamclf.daemon.samples import total
from streamclf.errors import StoreError
from streamclf.protocol.status import StoreStatus
from streamclf.store import clips, scores
from streamclf.store.database import FILE_NAME, reader
from streamclf.store.files import journal_of, seen

HOLDS_S = 10.0


@dataclass(frozen=True, slots=True)
class Found:
    """store: None where nothing is kept. waiting: sink -> state of a delivery -> how many."""

    store: StoreStatus | None = None
    waiting: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class Disk:
    """folder: of the store, None where nothing is kept."""

    def __init__(self, folder: Path | None, config: Config) -> None:
        self._folder = folder
        self._config = config
        self._read_s = 0.0
        self._found: Found | None = None

    def use(self, config: Config) -> None:
        """What is kept from now on."""
        self._config, self._read_s = config, 0.0
        self._found = None

    def look(self, now_s: float) -> Found:
        """At most every `HOLDS_S`; else what was found last. Of a store that cannot be read, no events are found."""
        if self._found is None or now_s >= self._read_s + HOLDS_S:
            self._read_s = now_s
            try:
                self._found = Found() if self._folder is None else self._look(self._folder)
            except (StoreError, sqlite3.Error, OSError):
                self._found = Found(self._status(0, 0))
        return self._found

    def _look(self, folder: Path) -> Found:
        with closing(reader(folder)) as connection:
            events, clip_count = connection.execute("SELECT COUNT(*), COUNT(NULLIF(clip, '')) FROM events").fetchone()
            return Found(self._status(events, clip_count), outbox.waiting(connection))

    def _status(self, events: int, clip_count: int) -> StoreStatus:
        folder = self._folder or Path()
        database = folder / FILE_NAME
        beside = [found for found in (seen(database), seen(journal_of(database))) if found is not None]
        try:
            disk = os.statvfs(folder)
            free = disk.f_bavail * disk.f_frsize
        except OSError:
            free = 0
        keeps_clips, keeps_scores = self._config.clips.enabled, self._config.scores.enabled
        return StoreStatus(
            folder=str(folder),
            free_bytes=free,
            database_bytes=sum(found.size for found in beside),
            events=events,
            written_ms=max(found.changed_ns for found in beside) // 1_000_000 if beside else None,
            waiting=total(metrics.STORE_BACKLOG),
            lost=total(metrics.STORE_LOST),
            scores_bytes=_size(folder / scores.FOLDER) if keeps_scores else None,
            clips=clip_count if keeps_clips else None,
            clips_bytes=_size(folder / clips.FOLDER) if keeps_clips else None,
            clips_lost=total(metrics.CLIPS_LOST) if keeps_clips else None,
        )


def _size(folder: Path) -> int:
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # renamed or deleted since it was listed
                size += os.stat(os.path.join(path, name)).st_size
    return size
