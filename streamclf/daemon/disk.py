"""What there is in the store's folder, for `GET /v1/status`. Counting files takes time, so one look holds for long."""

import os
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from streamclf import metrics
from streamclf.alerts import outbox
from streamclf.config import Config
from streamclf.daemon.samples import total
from streamclf.protocol.status import StoreStatus
from streamclf.store import clips, scores
from streamclf.store.database import FILE_NAME, reader

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

    def look(self, now_s: float) -> Found:
        """At most every `HOLDS_S`; else what was found last. Raises `StoreError`; sqlite3's errors pass."""
        if self._found is None or now_s >= self._read_s + HOLDS_S:
            self._found, self._read_s = self._look(), now_s
        return self._found

    def _look(self) -> Found:
        if self._folder is None:
            return Found()
        database = self._folder / FILE_NAME
        beside = [path for path in (database, Path(f"{database}-wal")) if path.exists()]
        with closing(reader(self._folder)) as connection:
            events, clip_count = connection.execute("SELECT COUNT(*), COUNT(NULLIF(clip, '')) FROM events").fetchone()
            waiting = outbox.waiting(connection)
        free = os.statvfs(self._folder)
        keeps_clips, keeps_scores = self._config.clips.enabled, self._config.scores.enabled
        store = StoreStatus(
            folder=str(self._folder),
            free_bytes=free.f_bavail * free.f_frsize,
            database_bytes=sum(path.stat().st_size for path in beside),
            events=events,
            written_ms=max(path.stat().st_mtime_ns for path in beside) // 1_000_000 if beside else None,
            waiting=total(metrics.STORE_BACKLOG),
            lost=total(metrics.STORE_LOST),
            scores_bytes=_size(self._folder / scores.FOLDER) if keeps_scores else None,
            clips=clip_count if keeps_clips else None,
            clips_bytes=_size(self._folder / clips.FOLDER) if keeps_clips else None,
            clips_lost=total(metrics.CLIPS_LOST) if keeps_clips else None,
        )
        return Found(store, waiting)


def _size(folder: Path) -> int:
    size = 0
    for path, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):  # renamed or deleted since it was listed
                size += os.stat(os.path.join(path, name)).st_size
    return size
