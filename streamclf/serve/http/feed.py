"""`GET /v1/live`: events as they are kept, live, as server-sent events, for who cannot have the websocket.

    labels, streams   lists by commas or repetition; a label is an id or group:NAME
    after             go on from this number; without it from now on

Each message is an event as /v1/events has it, and its id is the event's `seq`: a browser's EventSource sends the last
one it had by itself (`Last-Event-ID`) when it comes back, also to a daemon that was restarted, and misses nothing. The
first message is of the type `hello` and says from which number on it goes. Nothing comes twice, but each later stage of
an event comes as a message of its own. Where nothing happens a comment keeps the connection alive.

Theory of operation. What is committed to the store is what is sent, so the number is that of the store. A commit wakes
all followers; each reads on from where it is, and those that are at the same place share one look into the database.
Nothing is queued for a follower: who reads slowly reads on later, and is cut off where its connection stands still.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from streamclf import __version__, metrics
from streamclf.errors import ServeError, StreamclfError
from streamclf.protocol.kept import StoredEvent
from streamclf.protocol.wire import PROTOCOL
from streamclf.serve.connection import ServedConnection
from streamclf.serve.query import asked
from streamclf.serve.subscriber import STALL_LIMIT_S
from streamclf.store.database import reader
from streamclf.store.events import page_after

PATH = "/v1/live"
LISTS = ("labels", "streams")
KEEP_ALIVE_S = 15.0
RETRY_MS = 2000
PAGE = 64  # events read and written at once: 40 KB
MAX_PAGES = 16
_HEAD = (
    "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    "Connection: close\r\nX-Accel-Buffering: no\r\n{more}\r\n"
)

logger = logging.getLogger("streamclf.serve")


class FeedQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. See the module's text."""

    labels: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    after: Annotated[int, msgspec.Meta(ge=0)] | None = None

    def takes(self, event: StoredEvent) -> bool:
        """Whether it asks for this event."""
        named = not self.labels or event.label in self.labels or f"group:{event.group}" in self.labels
        return named and (not self.streams or event.stream in self.streams)


class Page(NamedTuple):
    """Events after a number. after: read on from here; more: there is more already."""

    events: Sequence[StoredEvent]
    after: int
    more: bool


class Feed:
    """folder: of the store. instance: of the daemon. Lives on the loop's thread; the disk is read in others."""

    def __init__(self, folder: Path, instance: str) -> None:
        self._folder = folder
        self._instance = instance
        self._news = asyncio.Event()
        # bound: MAX_PAGES; forgotten with each commit
        self._pages: dict[int | None, asyncio.Future[Page]] = {}
        self._stopping = False
        self.followers = 0
        """How many follow now. Any thread may read it."""

    def committed(self) -> None:
        """Something is on the disk now."""
        self._pages = {}
        self._news.set()
        self._news = asyncio.Event()

    def stop(self) -> None:
        """Send what is kept, and end all connections."""
        self._stopping = True
        self.committed()

    async def page(self, after: int | None) -> Page:
        """What comes after this number, None for now. Raises `StreamclfError` and sqlite3's own errors."""
        if after not in self._pages:
            if len(self._pages) >= MAX_PAGES:
                self._pages = {}
            self._pages[after] = asyncio.ensure_future(asyncio.to_thread(self._read, after))
        try:
            return await asyncio.shield(self._pages[after])
        except (StreamclfError, sqlite3.Error):
            self._pages.pop(after, None)
            raise

    def _read(self, after: int | None) -> Page:
        with closing(reader(self._folder)) as connection:
            return Page(*page_after(connection, after, limit=PAGE))

    async def follow(self, connection: ServedConnection, wish: FeedQuery, headers: Mapping[str, str]) -> None:
        """Send on `connection` until it, or the daemon, ends. Raises as `page`, before anything was sent."""
        look = self._stopping, self._news
        page = await self.page(wish.after)
        connection.only_sends()
        metrics.SUBSCRIBERS.inc()
        self.followers += 1
        try:
            connection.transport.write(_head(headers) + self._hello(wish, page))
            await self._send(connection, wish, page, look)
        except (StreamclfError, sqlite3.Error) as fault:
            logger.error("events could not be sent on: %s", fault)
        except ConnectionError:
            pass  # gone
        finally:
            metrics.SUBSCRIBERS.dec()
            self.followers -= 1
            connection.transport.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(STALL_LIMIT_S):
                    await asyncio.shield(connection.connection_lost_waiter)
            connection.transport.abort()

    async def _send(
        self, connection: ServedConnection, wish: FeedQuery, page: Page, look: tuple[bool, asyncio.Event]
    ) -> None:
        """From `page` on. look: whether the end has come, and what rings at news, as they were before that was read."""
        stopping, news = look
        while not connection.transport.is_closing():
            wanted = [event for event in page.events if wish.takes(event)]
            connection.transport.write(b"".join(map(_message, wanted)))
            metrics.MESSAGES_SENT.labels("events").inc(len(wanted))
            await _drained(connection)
            if not page.more:
                if stopping:
                    return
                await _wait(connection, news, page.after)
            stopping, news = self._stopping, self._news
            page = await self.page(page.after)

    def _hello(self, wish: FeedQuery, page: Page) -> bytes:
        """A number that the store has not given yet is of another one: then all that it has follows."""
        first = page.events[0].seq - 1 if page.events else page.after
        after = first if wish.after is None or wish.after > page.after else wish.after
        said = {"type": "hello", "protocol": PROTOCOL, "version": __version__, "instance": self._instance}
        body = msgspec.json.encode({**said, "after": after})
        return f"retry: {RETRY_MS}\nevent: hello\nid: {after}\ndata: ".encode() + body + b"\n\n"


class Following:
    """Somebody who may follow, and what was asked for. headers: of the answer, besides its own."""

    def __init__(self, feed: Feed, fields: Mapping[str, Sequence[str]], last_ids: Sequence[str]) -> None:
        """last_ids: values of `Last-Event-ID`. Raises `ServeError` for what cannot be asked for."""
        wish = asked({name: list(values) for name, values in fields.items()}, FeedQuery, lists=LISTS)
        if last_ids and last_ids[0]:
            if not last_ids[0].isdecimal() or len(last_ids[0]) > 18:
                raise ServeError("Last-Event-ID is no number of this feed; expected that of the last message you had")
            wish = msgspec.structs.replace(wish, after=int(last_ids[0]))
        self.headers: dict[str, str] = {}
        self._feed = feed
        self._wish = wish

    async def run(self, connection: ServedConnection) -> None:
        """See `Feed.follow`."""
        await self._feed.follow(connection, self._wish, self.headers)


def _head(headers: Mapping[str, str]) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return _HEAD.format(date=formatdate(usegmt=True), more=more).encode()


def _message(event: StoredEvent) -> bytes:
    return b"id: %d\ndata: %s\n\n" % (event.seq, msgspec.json.encode(event))


async def _drained(connection: ServedConnection) -> None:
    """Once its write buffer has room again. Raises `ConnectionError` where it is gone, or was cut off."""
    while connection.paused:
        waiting = connection.transport.get_write_buffer_size()
        try:
            async with asyncio.timeout(STALL_LIMIT_S):
                await connection.drain()
        except TimeoutError:
            if connection.transport.get_write_buffer_size() >= waiting:
                metrics.CUT_OFF.labels("stalled").inc()
                logger.warning("a follower of events was cut off: %d bytes did not move", waiting)
                connection.transport.abort()
                raise ConnectionAbortedError("stalled") from None


async def _wait(connection: ServedConnection, news: asyncio.Event, after: int) -> None:
    """Until there is news, or the connection is gone; what keeps it alive also says how far it has come."""
    waiting = asyncio.ensure_future(news.wait())
    try:
        while not news.is_set() and not connection.transport.is_closing():
            either: set[asyncio.Future[Any]] = {waiting, connection.connection_lost_waiter}
            done, _ = await asyncio.wait(either, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                connection.transport.write(f": still here\nid: {after}\n\n".encode())
                await _drained(connection)
    finally:
        waiting.cancel()
