"""The keeper: the one thread that writes the store. Takes what the engine decided and has it on disk soon after.

Theory of operation. `put` (the model thread) appends to an inbox and rings where an event came. The keeper drains the
inbox, makes stored events of what it finds, and commits all of it in one transaction: an event that opened or closed
at once, the updates of events that last together with the next of these or after `_UPDATES_S`. Where the disk does not
take it, everything waits in memory and is tried again, health says so, and room is made; nobody else is held up.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from streamclf import metrics
from streamclf.audio.wake import Wake
from streamclf.clock import StreamClock
from streamclf.store.database import Store
from streamclf.store.events import StoredEvent, close_stale, put_events
from streamclf.store.recorder import Recorder
from streamclf.types import Event, FrameScores, Gap, Levels, Output

Write = Callable[[sqlite3.Connection], None]

log = logging.getLogger("streamclf.store")

MAX_INBOX = 1024  # deliveries, 20 s of one stream; beyond it rows and levels are dropped and counted, events are not
BUSY_INBOX = 256
MAX_BACKLOG = 100_000  # events that the disk did not take; beyond it the oldest are dropped and counted
_ROUND_S = 1.0
_UPDATES_S = 5.0
_RETRY_S = 1.0


class Keeper:
    """clocks: of each stream. on_commit: called on the keeper's thread when something new is on the disk.

    problem: a sentence while the disk does not take what is given to it, "" while all is well; any thread may read it.
    """

    NAME = "keeper"

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        clocks: Mapping[str, StreamClock],
        *,
        on_commit: Callable[[], object] = lambda: None,
        on_fault: Callable[[BaseException], object] = lambda fault: None,
    ) -> None:
        self.problem = ""
        self._store = store
        self._recorder = recorder
        self._clocks = clocks
        self._on_commit = on_commit
        self._on_fault = on_fault
        self._inbox: deque[Sequence[Output]] = deque()  # bound: MAX_INBOX, see put
        self._calls: queue.SimpleQueue[Write] = queue.SimpleQueue()  # bounded by its callers, who wait for an answer
        self._events: dict[str, StoredEvent] = {}  # not yet on disk, newest stage of each; bound: MAX_BACKLOG
        self._writes: list[Write] = []  # taken from _calls, not yet on disk
        self._urgent = True
        self._began = False
        self._committed_s = 0.0
        self._retry_s = 0.0
        self._wake = Wake()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name=self.NAME, daemon=True)

    def start(self) -> None:
        """Begin; the first transaction closes what a crash left open."""
        self._thread.start()

    @property
    def congested(self) -> bool:
        """Whether a producer that can wait (`--fast`) should. Any thread may ask."""
        return len(self._inbox) > BUSY_INBOX

    def put(self, outputs: Sequence[Output]) -> None:
        """From the model thread: keep soon. Never waits."""
        wanted = [output for output in outputs if isinstance(output, Event | Gap | Levels)]
        if len(self._inbox) >= MAX_INBOX:
            metrics.STORE_PASSED.inc(sum(isinstance(output, FrameScores | Levels) for output in wanted))
            wanted = [output for output in wanted if isinstance(output, Event | Gap)]
        if wanted:
            self._inbox.append(wanted)
            if self.congested or any(isinstance(output, Event) for output in wanted):
                self._wake.set()

    def call(self, write: Write) -> None:
        """From any thread: run `write` in the next transaction, soon."""
        self._calls.put(write)
        self._wake.set()

    def stop(self, timeout_s: float) -> bool:
        """Write what is there, close what lasts, let go of the store. Returns whether that was done in time."""
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _main(self) -> None:
        try:
            while not self._stopping.is_set():
                self._wake.wait(_ROUND_S)
                self._round()
            self._last_round()
        except BaseException as fault:
            log.exception("the keeper of events failed")
            self._on_fault(fault)

    def _round(self) -> None:
        self._drain()
        now_s = time.monotonic()
        due = self._urgent or (self._events and now_s >= self._committed_s + _UPDATES_S)
        if due and now_s >= self._retry_s:
            self._commit(now_s)

    def _last_round(self) -> None:
        self._drain()
        self._hold(self._recorder.stop())
        self._commit(time.monotonic())
        if self._events:
            log.error("%d events could not be written before the end: %s", len(self._events), self.problem)
        self._store.close()

    def _drain(self) -> None:
        epochs = {name: clock.epoch_ns for name, clock in self._clocks.items()}
        while self._inbox:
            self._hold(self._recorder.take(self._inbox.popleft(), epochs))
        while not self._calls.empty():
            self._writes.append(self._calls.get_nowait())
            self._urgent = True

    def _hold(self, events: Sequence[StoredEvent]) -> None:
        for event in events:
            # the newest stage goes to the end: what is written is in the order of change
            self._events.pop(event.id, None)
            self._events[event.id] = event
            self._urgent = self._urgent or event.stage != "update"
        while len(self._events) > MAX_BACKLOG:
            del self._events[next(iter(self._events))]
            metrics.STORE_LOST.inc()
        metrics.STORE_BACKLOG.set(len(self._events))

    def _commit(self, now_s: float) -> None:
        try:
            with self._store.transaction() as tx:
                stale = 0 if self._began else close_stale(tx)
                put_events(tx, self._events.values())
                for write in self._writes:
                    write(tx)
        except sqlite3.Error as fault:
            self._retry_s = now_s + _RETRY_S
            self._trouble(f"events cannot be written to {self._store.folder}: {fault}; they wait in memory")
            return
        if stale:
            log.warning("%d events were open when the last run ended without being stopped; they are closed", stale)
        self._began = True
        self._events.clear()
        self._writes.clear()
        self._urgent = False
        self._committed_s = now_s
        metrics.STORE_BACKLOG.set(0)
        metrics.STORE_COMMITS.inc()
        if self.problem:
            log.warning("events are written again")
            self.problem = ""
        self._on_commit()

    def _trouble(self, sentence: str) -> None:
        if sentence != self.problem:
            log.error("%s", sentence)
        self.problem = sentence
