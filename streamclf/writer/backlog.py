"""The writer's backlog: what is not on the disk yet, with a bound and a counter for what goes beyond it."""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence

from streamclf import metrics
from streamclf.alerts.alert import Reason
from streamclf.store.events import StoredEvent

Write = Callable[[sqlite3.Connection], None]
Done = Callable[[], object]

MAX_BACKLOG = 100_000  # events, and stages not judged, that the disk did not take; beyond it the oldest are dropped


class Backlog:
    """Lives on the writer's thread.

    events: in their newest stage, in the order of change. news: every stage that no rule has judged, in order.
    urgent: whether it has to be written at once. lost: how many were dropped since the disk took some.
    """

    def __init__(self) -> None:
        self.events: dict[str, StoredEvent] = {}  # bound: MAX_BACKLOG
        self.news: list[StoredEvent] = []  # bound: MAX_BACKLOG
        self.reasons: dict[tuple[str, str], Reason] = {}  # bound: rules times events
        self.writes: list[Write] = []  # bounded by those that ask for them
        self.urgent = True
        self.lost = 0
        self._done: list[Done] = []

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self.events or self.reasons or self.writes)

    def hold(self, events: Sequence[StoredEvent]) -> None:
        """New stages of events."""
        self.news += events
        if len(self.news) > MAX_BACKLOG:
            metrics.STORE_UNJUDGED.inc(len(self.news) - MAX_BACKLOG)
            del self.news[:-MAX_BACKLOG]
        for event in events:
            # the newest stage goes to the end: what is written is in the order of change
            self.events.pop(event.id, None)
            self.events[event.id] = event
            self.urgent = self.urgent or event.stage != "update"
        while len(self.events) > MAX_BACKLOG:
            del self.events[next(iter(self.events))]
            self.lost += 1
            metrics.STORE_LOST.inc()
        metrics.STORE_BACKLOG.set(len(self.events))

    def repeat(self, lasting: Mapping[str, StoredEvent]) -> None:
        """Events that go on, which the rules know: another database has to get them, too."""
        self.events = {**lasting, **self.events}
        self.urgent = True

    def ask(self, write: Write, done: Done | None = None) -> None:
        """Have `write` run in the next transaction, and `done` once that is on the disk."""
        self.writes.append(write)
        self._done += [done] if done is not None else []
        self.urgent = True

    def judged(self, reasons: Iterable[Reason]) -> None:
        """The rules have judged the news; why they said what they did can wait for the next transaction."""
        self.news.clear()
        self.reasons.update({(reason.event_id, reason.rule): reason for reason in reasons})

    def written(self, stale: Sequence[StoredEvent]) -> list[Done]:
        """All of it is on the disk. stale: events that this closed, to be judged, too. Returns what is to be called."""
        self.news += stale
        self.events.clear()
        self.reasons.clear()
        self.writes.clear()
        self.urgent = bool(stale)
        self.lost = 0
        metrics.STORE_BACKLOG.set(0)
        done, self._done = self._done, []
        return done
