"""The keeper: the one thread that writes the store. What the engine decided is judged by the rules and soon on disk.

Theory of operation. `put` (the model thread) appends to an inbox and rings where an event came. The keeper drains the
inbox, makes stored events of what it finds, and commits all of it in one transaction: an event that opened or closed
at once, the updates of events that last together with the next of these or after `_UPDATES_S`. Where the disk does not
take it, everything waits in memory and is tried again, health says so, and room is made; nobody else is held up.

The rules judge every stage of every event, in order, before it is committed. What they say (alerts for the outbox, what
they remember, why not) is part of the same transaction, and holds only once that is on the disk; else the same events
are judged again. So no event is kept whose alert is lost, and no alert is sent whose event is not kept.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from streamclf import metrics
from streamclf.alerts import memory, outbox
from streamclf.alerts.alert import Reason
from streamclf.alerts.housekeeping import Housekeeping
from streamclf.alerts.place import Place
from streamclf.alerts.rule import Rule
from streamclf.alerts.rules import RuleBook, Verdict
from streamclf.audio.wake import Wake
from streamclf.clock import NS_PER_SECOND, StreamClock
from streamclf.store.database import Store
from streamclf.store.events import StoredEvent, close_stale, put_events
from streamclf.store.recorder import Recorder
from streamclf.types import Event, FrameScores, Gap, Levels, Output, Status

Write = Callable[[sqlite3.Connection], None]
Done = Callable[[], object]

log = logging.getLogger("streamclf.store")

MAX_INBOX = 1024  # deliveries, 20 s of one stream; beyond it rows and levels are dropped, after MAX_BACKLOG more all is
BUSY_INBOX = 256
BUSY_INBOX_CUTTING = 4  # each is at most a second of sound, and a ring holds ten more than the longest clip
MAX_BACKLOG = 100_000  # events, and stages not judged, that the disk did not take; beyond it the oldest are dropped
_ROUND_S = 1.0
_UPDATES_S = 5.0
_RETRY_S = 1.0


class Keeper:
    """clocks: of each stream. book: the rules, with their memory. house: score rows, clips, room on the disk.

    on_commit: called on the keeper's thread with the events that are on the disk now, each in its newest stage.
    """

    NAME = "keeper"

    def __init__(
        self,
        store: Store,
        recorder: Recorder,
        clocks: Mapping[str, StreamClock],
        book: RuleBook,
        house: Housekeeping | None = None,
        *,
        on_commit: Callable[[Sequence[StoredEvent]], object] = lambda events: None,
        on_fault: Callable[[BaseException], object] = lambda fault: None,
    ) -> None:
        self._store = store
        self._recorder = recorder
        self._clocks = clocks
        self._book = book
        self._house = house
        self._problem = ""
        self._rules: tuple[Sequence[Rule], Place] | None = None
        self._on_commit = on_commit
        self._on_fault = on_fault
        self._inbox: deque[Sequence[Output]] = deque()  # bound: MAX_INBOX, see put
        # bounded by its callers, who wait for an answer
        self._calls: queue.SimpleQueue[tuple[Write, Done | None]] = queue.SimpleQueue()
        self._events: dict[str, StoredEvent] = {}  # not yet on disk, newest stage of each; bound: MAX_BACKLOG
        self._news: list[StoredEvent] = []  # every stage that was not judged yet, in order; bound: MAX_BACKLOG
        self._reasons: dict[tuple[str, str], Reason] = {}  # not yet on disk; bound: rules times events not on disk
        self._writes: list[Write] = []  # taken from _calls and the house, not yet on disk
        self._done: list[Done] = []  # to be called when they are
        self._urgent = True
        self._began = False
        self._committed_s = 0.0
        self._retry_s = 0.0
        self._busy = BUSY_INBOX_CUTTING if house is not None and house.cuts else BUSY_INBOX
        self._wanted: tuple[type, ...] = (Event, Gap, Levels, Status)
        if house is not None and house.reads_rows:
            self._wanted += (FrameScores,)
        self._wake = Wake()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name=self.NAME, daemon=True)

    @property
    def problem(self) -> str:
        """A sentence while the disk does not take what is given to it, "" while all is well. Any thread may read it."""
        return self._problem or (self._house.problem if self._house is not None else "")

    def start(self) -> None:
        """Begin; the first transaction closes what a crash left open."""
        self._thread.start()

    @property
    def congested(self) -> bool:
        """Whether a producer that can wait (`--fast`) should. Any thread may ask."""
        return len(self._inbox) > self._busy

    def put(self, outputs: Sequence[Output]) -> None:
        """From the model thread: keep soon. Never waits."""
        wanted = [output for output in outputs if isinstance(output, self._wanted)]
        if len(self._inbox) >= MAX_INBOX:
            metrics.STORE_PASSED.inc(sum(isinstance(output, FrameScores | Levels) for output in wanted))
            wanted = [output for output in wanted if isinstance(output, Event | Gap | Status)]
        if len(self._inbox) >= MAX_INBOX + MAX_BACKLOG:
            metrics.STORE_LOST.inc(sum(isinstance(output, Event) for output in wanted))
            return
        if wanted:
            self._inbox.append(wanted)
            if self.congested or any(isinstance(output, Event) for output in wanted):
                self._wake.set()

    def use(self, rules: Sequence[Rule], place: Place) -> None:
        """From any thread: these are the rules from the next event on. What they remember stays."""
        self._rules = rules, place
        self._wake.set()

    def call(self, write: Write, done: Done | None = None) -> None:
        """From any thread: run `write` in the next transaction, soon; `done` on the keeper's thread once it is on disk.

        Where the disk does not take the transaction, all of it is tried again: `write` may run more than once.
        """
        self._calls.put((write, done))
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
                self._wake.wait(self._patience_s())
                self._round()
            self._last_round()
        except BaseException as fault:
            log.exception("the keeper of events failed")
            self._on_fault(fault)

    def _patience_s(self) -> float:
        """How long to wait for a ring: a round, or until a window of the rules is over."""
        next_ns = self._book.next_ns
        if next_ns is None or self._problem:
            return _ROUND_S
        return min(_ROUND_S, (next_ns - time.time_ns()) / NS_PER_SECOND)

    def _round(self) -> None:
        self._drain()
        if self._house is not None:
            self._house.tick()
        now_s = time.monotonic()
        if now_s < self._retry_s:
            return
        verdict = self._judge()
        if verdict or self._urgent or (self._events and now_s >= self._committed_s + _UPDATES_S):
            self._commit(verdict, now_s)

    def _last_round(self) -> None:
        self._drain()
        self._hold(self._recorder.stop())
        if self._house is not None:
            self._house.close()
            self._drain()
        self._commit(self._judge(), time.monotonic())
        if self._events:
            log.error("%d events could not be written before the end: %s", len(self._events), self.problem)
        self._store.close()

    def _drain(self) -> None:
        epochs = {name: clock.epoch_ns for name, clock in self._clocks.items()}
        while self._inbox:
            outputs = self._inbox.popleft()
            events = self._recorder.take(outputs, epochs)
            self._hold(events)
            if self._house is not None:
                self._house.take(outputs, epochs, events)
        while not self._calls.empty():
            write, done = self._calls.get_nowait()
            self._writes.append(write)
            self._done += [done] if done is not None else []
            self._urgent = True
        while self._house is not None and not self._house.writes.empty():
            self._writes.append(self._house.writes.get_nowait())
            self._urgent = True

    def _hold(self, events: Sequence[StoredEvent]) -> None:
        self._news += events
        if len(self._news) > MAX_BACKLOG:
            metrics.STORE_UNJUDGED.inc(len(self._news) - MAX_BACKLOG)
            del self._news[:-MAX_BACKLOG]
        for event in events:
            # the newest stage goes to the end: what is written is in the order of change
            self._events.pop(event.id, None)
            self._events[event.id] = event
            self._urgent = self._urgent or event.stage != "update"
        while len(self._events) > MAX_BACKLOG:
            del self._events[next(iter(self._events))]
            metrics.STORE_LOST.inc()
        metrics.STORE_BACKLOG.set(len(self._events))

    def _judge(self) -> Verdict | None:
        """What the rules say of what is new, where it has to be written at once; why they do not tell can wait."""
        if self._rules is not None:
            (rules, place), self._rules = self._rules, None
            self._book = self._book.with_rules(rules, place=place)
            if self._house is not None:
                self._house.use(rules)
        now_ns = time.time_ns()
        if not self._news and (self._book.next_ns is None or now_ns < self._book.next_ns):
            return None
        # streams are read one after the other; rules take their events in the order of sound, as a replay does
        self._news.sort(key=lambda event: event.decided_ns)
        verdict = self._book.step(now_ns, self._news)
        if verdict.alerts or verdict.memory:
            return verdict
        self._accept(verdict)
        return None

    def _accept(self, verdict: Verdict) -> None:
        self._book.accept(verdict)
        self._news.clear()
        self._reasons.update({(reason.event_id, reason.rule): reason for reason in verdict.reasons})

    def _commit(self, verdict: Verdict | None, now_s: float) -> None:
        told = list(self._events.values())
        try:
            with self._store.transaction() as tx:
                stale = [] if self._began else close_stale(tx)
                put_events(tx, told)
                outbox.put_reasons(tx, self._reasons.values())
                if verdict is not None:
                    outbox.put_reasons(tx, verdict.reasons)
                    outbox.put(tx, verdict.alerts, now_ns=time.time_ns())
                    memory.write(tx, verdict.memory)
                for write in self._writes:
                    write(tx)
        except sqlite3.Error as fault:
            made_room = self._house is not None and self._house.make_room()
            self._retry_s = 0.0 if made_room else now_s + _RETRY_S
            self._trouble(f"events cannot be written to {self._store.folder}: {fault}; they wait in memory")
            return
        if stale:
            log.warning("%d events were open when the last run ended without being stopped: closed", len(stale))
        self._began = True
        if verdict is not None:
            self._accept(verdict)
        # what was closed now has to be judged, too
        self._news += stale
        self._events.clear()
        self._reasons.clear()
        self._writes.clear()
        self._urgent = bool(stale)
        self._committed_s = now_s
        metrics.STORE_BACKLOG.set(0)
        metrics.STORE_COMMITS.inc()
        if self._problem:
            log.warning("events are written again")
            self._problem = ""
        self._on_commit(told)
        finished, self._done = self._done, []
        for done in finished:
            done()

    def _trouble(self, sentence: str) -> None:
        before, self._problem = self._problem, sentence  # first, so that whoever reads the log finds it in health
        if sentence != before:
            log.error("%s", sentence)
