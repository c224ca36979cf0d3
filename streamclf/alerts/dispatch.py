"""The dispatcher: takes what is due from the outbox to the sinks. One task a sink, so that a slow one delays no other.

Theory of operation. A task reads the heads of its sink's queues (the oldest pending delivery of each rule), sends the
first that is due, and hands the result to the writer, which keeps it. While the outbox shows the delivery as it was
before, it is *settling* and left alone. Then the task looks again, or sleeps: until the next one is due, the writer has
committed something, or a few seconds are over. So an alert is sent at least once: where the process dies between
sending and writing, the next one sends it again with the same id.

Of an alert that other sites may tell as well, `claim` is asked before the first try. Where another site tells, it is
taken out of the outbox, and the reason kept.
"""

import asyncio
import logging
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from typing import Any

from streamclf import metrics
from streamclf.alerts import outbox
from streamclf.alerts.alert import TEST, Alert, Gate
from streamclf.alerts.outbox import Delivery
from streamclf.alerts.sinks.sink import Permanent, Sink, Temporary
from streamclf.clock import NS_PER_SECOND
from streamclf.errors import StoreError, StreamclfError
from streamclf.store.events import StoredEvent
from streamclf.text import hide_secrets, one_line
from streamclf.types import LoudnessMinute

log = logging.getLogger("streamclf.alerts")

Write = Callable[[sqlite3.Connection], None]
Claim = Callable[[Alert], Awaitable[Gate | None]]
"""Asked once of an alert that other sites may tell as well: why this one leaves it to them, None where it tells."""

LOOK_S = 2.0  # also without news: `alerts send`, or a clock that was set, may have made something due
CLOSE_LIMIT_S = 2.0
_MOST_CLAIMS = 256  # some for each sink, which may be slow


class Dispatcher:
    """read: opens the store for reading. record: has a write done in the writer's next transaction. now_ns: UTC.

    on_fault: called where the task of a sink has failed, which is a fault of ours. Lives on the event loop's thread;
    `committed` may be called from there alone.
    """

    def __init__(
        self,
        read: Callable[[], sqlite3.Connection],
        record: Callable[[Write], object],
        *,
        now_ns: Callable[[], int],
        on_fault: Callable[[BaseException], object] = lambda fault: None,
    ) -> None:
        self._read = read
        self._record = record
        self._now_ns = now_ns
        self._on_fault = on_fault
        self._sinks: dict[str, Sink] = {}
        self._openers: dict[str, Callable[[], Sink]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._news: dict[str, asyncio.Event] = {}
        self._closing: set[asyncio.Future[None]] = set()
        self._settling: dict[str, dict[str, Delivery]] = {}  # sink -> alert id; bound: one of each rule
        self._urgent: dict[str, list[Delivery]] = {}  # by sink; bound: what can be wrong with a daemon at once
        self._sent_urgently: deque[str] = deque(maxlen=256)  # alert ids, until the store says that they are sent
        self.claim: Claim | None = None
        self._claims: dict[str, asyncio.Future[Gate | None]] = {}  # alert id -> answer; bound: _MOST_CLAIMS, the newest
        self._unread: set[str] = set()  # sinks whose problem is the outbox
        self.problems: dict[str, str] = {}
        """Sink -> why its last try failed; a sink that takes what it gets is not in it."""

    def use(self, openers: Mapping[str, Callable[[], Sink]]) -> None:
        """These are the sinks from now on. One whose opener is the same object as before goes on undisturbed."""
        for name in [name for name in self._tasks if self._openers.get(name) is not openers.get(name)]:
            self._tasks.pop(name).cancel()
            self._news.pop(name)
            self.problems.pop(name, None)
            sink = self._sinks.pop(name, None)
            if sink is not None:
                # in a task of its own: a sink may take a moment to say good-bye
                closing = asyncio.ensure_future(_close(sink))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
        self._openers = dict(openers)
        for name in openers:
            if name not in self._tasks:
                self._news[name] = asyncio.Event()
                self._tasks[name] = asyncio.create_task(self._deliver(name))
                self._tasks[name].add_done_callback(self._ended)

    def committed(self) -> None:
        """The writer has written something."""
        for news in self._news.values():
            news.set()

    def urge(self, alert: Alert) -> None:
        """Send it at once, out of memory: the outbox, in which it is put as well, may not be written for a while."""
        for name in alert.sinks:
            if name in self._news:
                self._urgent.setdefault(name, []).append(Delivery(alert, name, 0, alert.at_ns, alert.at_ns))
                self._news[name].set()

    def heard(self, events: Sequence[StoredEvent]) -> None:
        """Events that opened, went on or closed, for the sinks that show states."""
        for sink in self._sinks.values():
            sink.heard(events)

    def scores(self, probabilities: Mapping[tuple[str, str], float]) -> None:
        """(stream, label) -> probability now, for the sinks that show them."""
        for sink in self._sinks.values():
            sink.scores(probabilities)

    def loudness(self, minutes: Mapping[str, LoudnessMinute]) -> None:
        """Stream -> how loud its newest whole minute was, for the sinks that show that."""
        for sink in self._sinks.values():
            sink.loudness(minutes)

    async def stop(self) -> None:
        """What is being sent is given up, and sent again by the next run."""
        tasks: list[asyncio.Future[Any]] = [*self._tasks.values(), *self._claims.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(_close(sink) for sink in self._sinks.values()), *self._closing)
        self._tasks.clear()
        self._sinks.clear()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._on_fault(fault)

    async def _deliver(self, name: str) -> None:
        news = self._news[name]
        while True:
            news.clear()
            try:
                sink = self._open(name)
                wait_s = await self._next(name, sink)
            except (sqlite3.Error, StoreError) as fault:
                self._unread.add(name)
                self._trouble(name, f"the outbox cannot be read: {fault}")
                wait_s = LOOK_S
            if wait_s > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await news.wait()

    async def _next(self, name: str, sink: Sink | None) -> float:
        """Send what is due first. Returns how long there is nothing to do (s).

        Without a sink only tests are answered.
        """
        now_ns = self._now_ns()
        for number, urgent in enumerate(self._urgent.get(name, [])):
            if sink is not None and urgent.next_ns <= now_ns:
                del self._urgent[name][number]
                await self._send(name, sink, urgent, urgent=True)
                return 0.0
        with closing(self._read()) as connection:  # a new one each time: the database may be another one by now
            heads = outbox.heads(connection, name)
        if name in self._unread:
            self._unread.discard(name)
            self.problems.pop(name, None)
        held = {head.alert.id for head in heads}
        self._urgent[name] = [urgent for urgent in self._urgent.get(name, []) if urgent.alert.id not in held]
        heads = [head for head in heads if head.alert.id not in self._sent_urgently]
        before = self._settling.get(name, {})
        self._settling[name] = {head.alert.id: head for head in heads if before.get(head.alert.id) == head}
        due = [head for head in heads if head.alert.id not in self._settling[name]]
        if sink is None:
            due = [head for head in due if head.alert.stage == TEST]
        if not due:
            return LOOK_S
        delivery = due[0]
        wait_ns = delivery.next_ns - self._now_ns()
        if wait_ns > 0:
            return min(LOOK_S, wait_ns / NS_PER_SECOND)
        if (gate := await self._left(delivery)) is None:
            await self._send(name, sink, delivery)
        else:
            self._settling[name][delivery.alert.id] = delivery
            self._record(partial(outbox.leave, alert=delivery.alert, gate=gate))
        return 0.0

    async def _left(self, delivery: Delivery) -> Gate | None:
        """Why another site tells of it; None where this one does. All sinks have the same answer."""
        alert = delivery.alert
        if self.claim is None or not alert.shared_ns or delivery.attempts:  # what was tried is this site's
            return None
        if alert.id not in self._claims:
            self._claims[alert.id] = asyncio.ensure_future(self.claim(alert))
            if len(self._claims) > _MOST_CLAIMS:
                del self._claims[next(iter(self._claims))]
        # another sink may wait for it, while this one is closed
        return await asyncio.shield(self._claims[alert.id])

    async def _send(self, name: str, sink: Sink | None, delivery: Delivery, *, urgent: bool = False) -> None:
        """urgent: out of memory, where it also stays until it is sent."""
        result: Write
        try:
            if sink is None:
                raise Temporary(self.problems.get(name, "it cannot be opened"))
            await hand_over(sink, delivery.alert)
        except Temporary as fault:
            reason, after_s, now_ns = reason_of(fault), fault.retry_after_s, self._now_ns()
            self._trouble(name, reason)
            metrics.DELIVERIES.labels(name, "failed").inc()
            if urgent:
                wait_ns = round(max(after_s, outbox.RETRY.delay_s(delivery.attempts)) * NS_PER_SECOND)
                again = replace(delivery, attempts=delivery.attempts + 1, next_ns=now_ns + wait_ns)
                self._urgent[name].append(again)
                return

            def result(tx: sqlite3.Connection) -> None:
                outbox.failed(tx, delivery, reason, now_ns=now_ns, after_s=after_s)

        except Permanent as fault:
            reason = reason_of(fault)
            log.error("sink %s will never take alert %s: %s", name, delivery.alert.id, reason)
            metrics.DELIVERIES.labels(name, "refused").inc()

            def result(tx: sqlite3.Connection) -> None:
                outbox.refused(tx, delivery, reason)

        else:
            now_ns = self._now_ns()
            if self.problems.pop(name, None) is not None:
                log.info("sink %s takes alerts again", name)
            metrics.DELIVERIES.labels(name, "sent").inc()

            def result(tx: sqlite3.Connection) -> None:
                outbox.sent(tx, delivery, now_ns=now_ns)

        if urgent:
            self._sent_urgently.append(delivery.alert.id)
        else:
            self._settling[name][delivery.alert.id] = delivery
        self._record(result)

    def _open(self, name: str) -> Sink | None:
        sink = self._sinks.get(name)
        if sink is None:
            try:
                sink = self._sinks[name] = self._openers[name]()
            except StreamclfError as fault:
                self._trouble(name, reason_of(fault))
            except Exception as fault:  # of a library, or of ours: the other sinks go on
                self._trouble(name, f"it cannot be opened: {reason_of(fault) or type(fault).__name__}")
        return sink

    def _trouble(self, name: str, reason: str) -> None:
        if self.problems.get(name) != reason:
            log.warning("sink %s: %s", name, reason)
        self.problems[name] = reason


def reason_of(fault: Exception) -> str:
    """For the log, the outbox and `/healthz`: a receiver's or a program's own words are in it."""
    return one_line(hide_secrets(str(fault), paths=False))


async def hand_over(sink: Sink, alert: Alert) -> None:
    """Have `sink` send `alert`. Raises `Temporary` or `Permanent`, whatever went wrong."""
    try:
        await sink.send(alert)
    except (Temporary, Permanent):
        raise
    except Exception as fault:
        # a fault of ours, or of a library: the alert must not be lost by it, nor the other sinks' alerts
        log.exception("sending alert %s failed", alert.id)
        raise Temporary(repr(fault)) from fault


async def _close(sink: Sink) -> None:
    try:
        async with asyncio.timeout(CLOSE_LIMIT_S):
            await sink.close()
    except Exception as fault:
        log.warning("a sink could not be closed: %r", fault)
