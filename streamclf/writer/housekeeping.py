"""What the writer does besides events: score rows, clips, and room on the disk for all of it.

On the writer's thread, but for the writing of clips: that takes a tenth of a second and may wait for the disk, and no
alert is to wait for it.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from streamclf import metrics
from streamclf.alerts.rules.rule import Rule, clip_ms
from streamclf.config import ClipsConfig, ScoresConfig, StoreConfig
from streamclf.store.clips import FOLDER, Clipper, Cut, write_clip
from streamclf.store.database import Store
from streamclf.store.events import StoredEvent, set_clip
from streamclf.store.moments import MomentLog
from streamclf.store.packfacts import PackFacts
from streamclf.store.retention import MEGABYTE, Retention
from streamclf.store.scores import ScoreLog
from streamclf.types import FrameScores, Output
from streamclf.writer.backlog import Write

log = logging.getLogger("streamclf.store")

MAX_WRITING = 8  # clips that wait for the disk; beyond it the next ones are not kept, and counted
_LOOK_S = 1.0
_TRIM_S = 60.0
_ROOM = 8  # where a clip has no room, it is made for so many
_FORGET_S = 10.0  # after a write that failed, and none since


class Housekeeping:
    """scores, clipper: None where score rows or clips are not kept. make_clipper: where those may begin later.

    writes: what the next transaction has to do.
    """

    def __init__(
        self,
        store: Store,
        retention: Retention,
        *,
        scores: ScoreLog | None,
        clipper: Clipper | None,
        make_clipper: Callable[[ClipsConfig], Clipper] | None = None,
        moments: MomentLog | None = None,
    ) -> None:
        self.writes: queue.SimpleQueue[Write] = queue.SimpleQueue()  # bounded by the clips that are written
        self.short = ""
        """A sentence while the disk has less room than it should have, whatever that keeps from being kept; else ""."""
        self._store = store
        self._retention = retention
        self._scores = scores
        self._clipper = clipper
        self._make_clipper = make_clipper
        self._moments = moments
        self._rules: Sequence[Rule] = ()
        self._keeps_sound = scores is not None or clipper is not None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="clips")
        self._places = threading.BoundedSemaphore(MAX_WRITING)
        self._missed = 0
        self._more = False
        self._shortage = ""
        self._failure = ""
        self._failed_s = 0.0
        self._looked_s = 0.0
        self._trimmed_s = 0.0

    @property
    def problem(self) -> str:
        """A sentence while something cannot be kept, else ""."""
        return self._shortage or self._failure

    def use(self, rules: Sequence[Rule]) -> None:
        """These rules say how long clips are from now on."""
        self._rules = rules
        if self._clipper is not None:
            self._clipper.wanted_ms = partial(clip_ms, rules)

    def keep(self, store: StoreConfig, scores: ScoresConfig, clips: ClipsConfig) -> None:
        """Other limits, and other settings of clips; whether there are score rows stays as it is."""
        self._retention.use(store, scores, clips)
        before, self._clipper = self._clipper, None
        if clips.enabled and self._make_clipper is not None:
            self._clipper = self._make_clipper(clips)
            self._missed = 0
            if before is not None:
                self._clipper.follow(before)
                self._missed = before.missed
            self.use(self._rules)
        self._keeps_sound = self._scores is not None or self._clipper is not None

    def decided(self, packs: Mapping[str, PackFacts]) -> None:
        """Packs decide otherwise from now on."""
        if self._scores is not None:
            self._log(partial(self._scores.use, packs))

    def take(self, outputs: Sequence[Output], epochs: Mapping[str, int], events: Sequence[StoredEvent]) -> None:
        """What the engine said, and the events in it."""
        if self._clipper is not None:
            self._clipper.take(outputs)
            self._clipper.plan(events)
        if self._moments is not None:
            self._moments.take(outputs, epochs)
        if self._scores is not None:
            if self._retention.short or not self._store.is_open:
                metrics.STORE_PASSED.inc(sum(isinstance(output, FrameScores) for output in outputs))
            else:
                self._log(partial(self._scores.take, outputs, epochs))

    def tick(self) -> None:
        """Once a round: clips that are due, and now and then a look at the disk."""
        self._cut()
        now_s = time.monotonic()
        write = None if self._moments is None else self._moments.due(now_s, time.time_ns())
        if write is not None and not self._retention.short:
            self.writes.put(write)
        if now_s < self._looked_s + _LOOK_S:
            return
        self._looked_s = now_s
        if not self._store.is_open:
            return
        try:
            became_short = self._retention.look()
        except OSError as fault:
            self._trouble(f"{self._store.folder} cannot be looked at: {fault.strerror}")
            return
        if became_short or self._more or now_s >= self._trimmed_s + _TRIM_S:
            self._trimmed_s = now_s
            self.trim()
        if became_short and self._keeps_sound:
            log.error("little space is left in %s: no clips and no score rows are kept", self._store.folder)
        self.short = self._shortage = ""
        if self._retention.short:
            self.short = (
                f"{self._retention.free / MEGABYTE:.0f} MB are free in {self._store.folder}, less than [store] "
                f"{self._retention.wanted}"
            )
            self._shortage = f"{self.short}: no clips and no score rows are kept" if self._keeps_sound else ""
        if now_s >= self._failed_s + _FORGET_S:
            self._failure = ""

    def trim(self, *, room: int = 0) -> None:
        """Delete what is too old or in the way of `room` more bytes."""
        try:
            done = self._retention.trim(time.time_ns(), room=room)
        except (OSError, sqlite3.Error) as fault:
            if isinstance(fault, sqlite3.Error):
                self._store.suspect(fault)
            self._trouble(f"nothing can be deleted in {self._store.folder}: {fault}")
            return
        self._more = done.more
        for kind, count in (("events", done.events), ("clips", done.clips), ("scores", done.scores)):
            metrics.STORE_DELETED.labels(kind).inc(count)
        if not room and (done.events or done.clips or done.scores):
            log.info("deleted: %d events, %d clips, %d files of score rows", done.events, done.clips, done.scores)

    def make_room(self) -> bool:
        """The disk is full. Whether there is more room than before."""
        gave = self._retention.give_up_ballast()
        with suppress(OSError):
            self._retention.look()
        if self._store.is_open:
            self.trim()
        return gave

    def close(self) -> None:
        """Nothing more will be heard: write what is due and gathered."""
        self._cut(last=True)
        self._writer.shutdown()
        if self._scores is not None:
            self._log(self._scores.close)

    def _log(self, note: Callable[[], None]) -> None:
        try:
            note()
        except OSError as fault:
            metrics.STORE_LOST_BLOCKS.inc()
            self._trouble(f"score rows cannot be written in {self._store.folder}: {fault.strerror}; they are lost")

    def _cut(self, *, last: bool = False) -> None:
        if self._clipper is None:
            return
        for cut in self._clipper.due(last=last):
            size = 2 * len(cut.samples)  # at most, and it has to fit beside the headroom
            if self._store.is_open and not self._room_for(size):
                self.trim(room=_ROOM * size)
            if not self._room_for(size) or not self._places.acquire(blocking=False):
                metrics.CLIPS_LOST.inc()
                continue
            self._writer.submit(self._write, cut)
        metrics.CLIPS_LOST.inc(self._clipper.missed - self._missed)
        self._missed = self._clipper.missed

    def _room_for(self, size: int) -> bool:
        """Whether a clip of so many bytes can be written."""
        try:
            return self._store.is_open and self._retention.room_for(size)
        except OSError:
            return False

    def _write(self, cut: Cut) -> None:
        """On the clips' thread."""
        try:
            write_clip(self._store.folder, cut)
        except OSError as fault:
            metrics.CLIPS_LOST.inc()
            self._trouble(f"clips cannot be written in {self._store.folder}: {fault.strerror or fault}")
            return
        finally:
            self._places.release()
        metrics.CLIPS.inc()
        self.writes.put(partial(_name_clip, cut))
        if cut.replaces is not None:
            with suppress(OSError):  # nobody names it any more: it is swept later
                (self._store.folder / FOLDER / cut.replaces[1]).unlink(missing_ok=True)

    def _trouble(self, sentence: str) -> None:
        """From either thread."""
        if sentence != self._failure:
            log.error("%s", sentence)
        self._failure, self._failed_s = sentence, time.monotonic()


def _name_clip(cut: Cut, tx: sqlite3.Connection) -> None:
    set_clip(tx, cut.event.id, cut.name)
    if cut.replaces is not None:
        set_clip(tx, cut.replaces[0], "")
