"""The writer: the one thread that writes the store. What the engine decided is judged by the rules and soon on disk.

Theory of operation. Other threads leave what they have in the inbox, which rings where an event came. The writer drains
it, makes stored events of what it finds, and commits all of its backlog in one transaction: an event that opened or
closed at once, the updates of events that last together with the next of these or after `_UPDATES_S`. Where the disk
does not take it, everything waits in memory and is tried again, health says so, and room is made; nobody else is held
up.

Where the store is not what it was, nothing counts as written, and it is opened again (recovery.py). Another database
than before gets what the writer knows and it does not: what waits, the events that last, the alerts that are still to
be sent, and all that the rules remember.

The rules judge every stage of every event, in order, before it is committed. What they say (alerts for the outbox, what
they remember, why not) is part of the same transaction, and holds only once that is on the disk; else the same events
are judged again. So no event is kept whose alert is lost, and no alert is sent whose event is not kept.
"""

import logging
import math
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from streamclf import metrics
from streamclf.alerts import outbox
from streamclf.alerts.rules import memory
from streamclf.alerts.rules.book import RuleBook, Verdict
from streamclf.alerts.rules.takeover import take_over
from streamclf.clock import NS_PER_SECOND, StreamClock
from streamclf.errors import StoreError
from streamclf.store import alive
from streamclf.store.database import Change, Store
from streamclf.store.events import StoredEvent, begin_seq, close_stale, put_events, raise_seq
from streamclf.store.gaps import GapsWaiting
from streamclf.store.ledger import Ledger
from streamclf.store.minutes import MinutesWaiting
from streamclf.writer.backlog import MAX_BACKLOG, Backlog
from streamclf.writer.housekeeping import Housekeeping
from streamclf.writer.inbox import Inbox
from streamclf.writer.recovery import Recovery

log = logging.getLogger("streamclf.store")

_ROUND_S = 0.5
_UPDATES_S = 5.0
_HANGS_S = 5.0  # of one round; the lock of a database is waited for as long


class Writer:
    """clocks: of each stream. book: the rules; the store has what they remember. house: score rows, clips, room there.

    missed: since when and until when (ns) no daemon ran, None where that is not known.

    on_commit: called on the writer's thread with the events that are on the disk now, each in its newest stage.
    """

    NAME = "writer"

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        clocks: Mapping[str, StreamClock],
        book: RuleBook,
        inbox: Inbox,
        house: Housekeeping | None = None,
        *,
        missed: tuple[int, int] | None = None,
        on_commit: Callable[[Sequence[StoredEvent]], object] = lambda events: None,
        on_fault: Callable[[BaseException], object] = lambda fault: None,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clocks = clocks
        self._book = book
        self._inbox = inbox
        self._house = house
        self._on_commit = on_commit
        self._on_fault = on_fault
        self._backlog = Backlog()
        self._gaps = GapsWaiting()
        self._minutes = MinutesWaiting()
        if missed is not None:
            self._gaps.not_running(clocks, *missed)
        self._noted_s = -math.inf
        self._recovery = Recovery(
            store, make_room=house.make_room if house is not None else lambda: False, again=inbox.ring
        )
        self._remembers = False
        self._another = False
        self._began = False
        self._began_s = math.inf  # the round that runs, if one does
        self._committed_s = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._main, name=self.NAME, daemon=True)

    @property
    def problem(self) -> str:
        """A sentence while the disk does not take what is given to it, "" while all is well. Any thread may read it."""
        if problem := self._recovery.problem:
            return f"{problem}, but for the oldest: there are too many" if self._backlog.lost else problem
        if time.monotonic() > self._began_s + _HANGS_S:
            return f"the disk of {self._store.folder} does not answer; events wait in memory"
        return self.notice or (self._house.problem if self._house is not None else "")

    @property
    def short(self) -> str:
        """That the disk is nearly full, a sentence; "" where it is not. Any thread may read it."""
        return self._house.short if self._house is not None else ""

    @property
    def notice(self) -> str:
        """For a while after it: that the database was set aside, or is another one; events are kept again since."""
        return self._recovery.notice

    def start(self) -> None:
        """Begin; the first transaction closes what a crash left open."""
        self._recovery.begin()
        self._thread.start()

    def stop(self, limit_s: float) -> bool:
        """Write what is there and close what lasts. Returns whether that was done in time.

        on_fault hears of what stays unwritten, as of every other fault.
        """
        self._stopping.set()
        self._inbox.ring()
        if self._thread.is_alive():
            self._thread.join(limit_s)
        if not self._thread.is_alive():
            return True
        self._on_fault(self._lost("the disk did not take it in time"))
        return False

    def _main(self) -> None:
        try:
            while not self._stopping.is_set():
                self._inbox.wait(self._patience_s())
                self._began_s = time.monotonic()
                self._round()
                self._began_s = math.inf
            self._last_round()
        except BaseException as fault:
            self._on_fault(fault)

    def _patience_s(self) -> float:
        """How long to wait for a ring: a round, or until a window of the rules is over."""
        next_ns = self._book.next_ns
        if next_ns is None or self._recovery.problem:
            return _ROUND_S
        return min(_ROUND_S, (next_ns - time.time_ns()) / NS_PER_SECOND)

    def _round(self) -> None:
        self._drain()
        if time.monotonic() >= self._noted_s + alive.NOTE_S:
            self._noted_s = time.monotonic()
            alive.note(self._store.folder)
        if self._house is not None:
            self._house.tick()
        now_s = time.monotonic()
        if now_s < self._recovery.retry_s or not self._attend(now_s):
            return
        verdict = self._judge()
        backlog = self._backlog
        due = (backlog.events or self._gaps or self._minutes) and now_s >= self._committed_s + _UPDATES_S
        if verdict or backlog.urgent or due or self._recovery.problem:
            self._commit(verdict, now_s)

    def _last_round(self) -> None:
        self._drain()
        self._hold(self._ledger.stop())
        if self._house is not None:
            self._house.close()
            self._drain()
        alive.note(self._store.folder)
        if not self._commit_last():
            raise self._lost(str(self._recovery.refusal))

    def _commit_last(self) -> bool:
        """Whether nothing stays unwritten. Where the disk was full and room could be made, a second try is due."""
        for _ in range(2):
            now_s = time.monotonic()
            attended = self._attend(now_s)
            verdict = self._judge() if attended else None
            if attended and self._commit(verdict, now_s):
                return True
            if not (verdict or self._backlog or self._gaps or self._minutes):
                return True  # what a crash left open is closed by the next run
            if self._recovery.retry_s > now_s:
                return False
        return False

    def _lost(self, reason: str) -> StoreError:
        """What to say where the end comes before all is written."""
        kept = [*self._backlog.events, *self._ledger.lasting]  # copies: the writer's thread may hang in the middle
        count = len({event_id.partition("/")[2] for event_id in kept} | self._inbox.event_ids())
        what = f"{count} event{'s' * (count != 1)}" if count else "the last notes about events"
        return StoreError(f"{what} could not be written to {self._store.folder} before the end: {reason}")

    def _attend(self, now_s: float) -> bool:
        """Whether the store can be written, as far as can be seen. Opens it again where it was not."""
        change = self._recovery.attend(now_s)
        if change is None:
            return False
        if change is not Change.SAME and self._remembers:
            self._another, self._began = True, False
            self._backlog.repeat(self._ledger.lasting)
        if self._remembers:
            return True
        try:
            self._book = self._book.remembering(memory.load(self._store.connection))
        except sqlite3.Error as fault:
            self._recovery.refused(fault, now_s)
            return False
        self._remembers = True
        return True

    def _drain(self) -> None:
        for change in self._inbox.changes():
            change()
        epochs = {name: clock.epoch_ns for name, clock in self._clocks.items()}
        for outputs in self._inbox.outputs():
            events = self._ledger.take(outputs, epochs)
            self._hold(events)
            self._gaps.take(outputs, self._clocks, now_ns=time.time_ns())
            self._minutes.take(outputs, epochs)
            if self._house is not None:
                self._house.take(outputs, epochs, events)
        for write, done in self._inbox.calls():
            self._backlog.ask(write, done)
        while self._house is not None and not self._house.writes.empty():
            self._backlog.ask(self._house.writes.get_nowait())

    def _hold(self, events: Sequence[StoredEvent]) -> None:
        before = self._backlog.lost
        self._backlog.hold(events)
        if self._backlog.lost and not before:
            log.error("more than %d events wait for the disk: the oldest are dropped, and counted", MAX_BACKLOG)

    def _judge(self) -> Verdict | None:
        """What the rules say of what is new, where it has to be written at once; why they do not tell can wait."""
        if (given := self._inbox.rules()) is not None:
            rules, place = given
            self._book = self._book.with_rules(rules, place=place)
            self._take_over()
            if self._house is not None:
                self._house.use(rules)
        now_ns, news = time.time_ns(), self._backlog.news
        if not news and (self._book.next_ns is None or now_ns < self._book.next_ns):
            return None
        # streams are read one after the other; rules take their events in the order of sound, as a replay does
        news.sort(key=lambda event: event.decided_ns)
        verdict = self._book.step(now_ns, news)
        if verdict.alerts or verdict.memory:
            return verdict
        self._accept(verdict)
        return None

    def _take_over(self) -> None:
        """New rules remember what the store has."""
        book, now_ns = self._book, time.time_ns()
        try:
            changes = take_over(self._store.connection, book.rules, book.memory, place=book.place, now_ns=now_ns)
        except sqlite3.Error as fault:
            log.warning("new rules take all for heard the first time, for the events cannot be read: %s", fault)
            return
        if changes:
            book.memory.apply(changes)
            self._backlog.ask(partial(memory.write, changes=changes))

    def _accept(self, verdict: Verdict) -> None:
        self._book.accept(verdict)
        self._backlog.judged(verdict.reasons)

    def _commit(self, verdict: Verdict | None, now_s: float) -> bool:
        """Whether the disk took it."""
        told = list(self._backlog.events.values())
        try:
            stale = self._write(told, verdict)
        except sqlite3.Error as fault:
            self._recovery.refused(fault, now_s)
            return False
        if not self._recovery.holds():
            return False
        if stale:
            log.warning("%d events were open when the last run ended without being stopped: closed", len(stale))
        self._began, self._another = True, False
        if verdict is not None:
            self._accept(verdict)
        lost = self._backlog.lost
        finished = self._backlog.written(stale)
        self._gaps.written()
        self._minutes.written()
        self._committed_s = now_s
        metrics.STORE_COMMITS.inc()
        if self._recovery.written():
            log.warning("events are written again%s", f"; {lost} were dropped" if lost else "")
        self._on_commit(told)
        for done in finished:
            done()
        return True

    def _write(self, told: Sequence[StoredEvent], verdict: Verdict | None) -> list[StoredEvent]:
        """The backlog in one transaction. Returns the events of a crashed run that it closed. sqlite3's errors pass."""
        with self._store.transaction() as tx:
            if self._another:
                raise_seq(tx, self._store.given_seq)
                memory.write_all(tx, self._book.memory)
                outbox.put_carried(tx, self._recovery.carried or outbox.Carried())
            if not self._began:
                begin_seq(tx, time.time_ns())
            stale = [] if self._began else close_stale(tx, lasting=self._ledger.lasting)
            put_events(tx, told)
            self._gaps.write(tx)
            self._minutes.write(tx)
            outbox.put_reasons(tx, self._backlog.reasons.values())
            if verdict is not None:
                outbox.put_reasons(tx, verdict.reasons)
                outbox.put(tx, verdict.alerts, now_ns=time.time_ns())
                memory.write(tx, verdict.memory)
            for write in self._backlog.writes:
                write(tx)
        return stale
