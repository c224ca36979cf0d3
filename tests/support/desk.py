"""A store, a dispatcher on it, and what writes for it; the clock alone is ours."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

from streamclf.alerts import outbox
from streamclf.alerts.alert import Alert
from streamclf.alerts.dispatch import Dispatcher, Write
from streamclf.alerts.sinks import Sink
from streamclf.store.database import Store, reader
from tests.support.alerts import AT_NS


class Desk:
    """A store, a dispatcher on it, and what a writer does for it: write at once, then say so."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now_ns = AT_NS
        self.held: list[Write] | None = None
        """Where it is a list, writes wait in it: a disk that takes its time."""
        self.dispatcher = Dispatcher(partial(reader, store.folder), self.record, now_ns=lambda: self.now_ns)

    def record(self, write: Write) -> None:
        if self.held is not None:
            self.held.append(write)
            return
        self.write(write)

    def write(self, write: Callable[[sqlite3.Connection], object]) -> None:
        with self.store.transaction() as tx:
            write(tx)
        self.dispatcher.committed()

    def put(self, *alerts: Alert) -> None:
        self.write(lambda tx: outbox.put(tx, alerts, now_ns=self.now_ns))

    def states(self) -> list[str]:
        return [entry.state for entry in outbox.entries(self.store.connection)]

    async def until(self, there: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not there():
                await asyncio.sleep(0.005)


@asynccontextmanager
async def desk_of(store: Store, **openers: Callable[[], Sink]) -> AsyncIterator[Desk]:
    desk = Desk(store)
    desk.dispatcher.use(openers)
    try:
        yield desk
    finally:
        await desk.dispatcher.stop()
