"""Marks: what people say of events that are kept, on its way to the store and to every orderer."""

import asyncio
import sqlite3
from collections.abc import Callable
from functools import partial

from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.serve.hub import Hub
from streamclf.serve.orders import Order, Orderer, Orders
from streamclf.store.events import StoredEvent, set_mark

MAX_WAITING = 256  # marks that are not on the disk yet; beyond it the next ones are refused in words

Write = Callable[[sqlite3.Connection], None]
Keep = Callable[[Write, Callable[[], object]], None]


def mark_orders(hub: Hub, keep: Keep | None) -> Orders:
    """Of a desk of its own."""
    return {wire.Mark: Order("bad-mark", "marking events", MarkDesk(hub, keep).mark)}


class MarkDesk:
    """Lives on the loop's thread. It answers once a mark is on the disk, and nothing waits for that.

    keep: runs a write in the store's next transaction and then calls back, from any thread; None: nothing is kept.
    """

    def __init__(self, hub: Hub, keep: Keep | None) -> None:
        self._hub = hub
        self._keep = keep
        self._waiting = 0

    def mark(self, orderer: Orderer, wish: wire.Mark) -> None:
        """Keep it and tell everybody, soon. Raises `ServeError` where it cannot be kept."""
        if self._keep is None:
            raise ServeError("no events are kept here, so none can be marked; [store] enabled switches it on")
        if wish.label and wish.mark != "wrong":
            raise ServeError(f"a label goes with the mark 'wrong' alone, not with '{wish.mark}'; leave it out")
        if self._waiting >= MAX_WAITING:
            raise ServeError(f"{MAX_WAITING} marks wait for the disk already; try again when some are answered")
        self._waiting += 1
        found: list[StoredEvent | None] = []

        def write(tx: sqlite3.Connection) -> None:
            found[:] = [set_mark(tx, wish.event, wish.mark, wish.label)]

        loop = asyncio.get_running_loop()
        self._keep(write, lambda: loop.call_soon_threadsafe(partial(self._kept, orderer, wish, found)))

    def _kept(self, orderer: Orderer, wish: wire.Mark, found: list[StoredEvent | None]) -> None:
        self._waiting -= 1
        if found == [None]:
            text = f"there is no event '{wish.event[:200]}' in the store; its id is the one that /v1/events gives"
            orderer.control(wire.Error(code="bad-mark", message=text))
            return
        message = self._hub.publish_mark(wish.event, wish.mark, wish.label)
        if not orderer.subscribed:
            orderer.control(message)
