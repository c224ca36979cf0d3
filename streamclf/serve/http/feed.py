"""`GET /v1/live`: events as they are kept, live, as server-sent events, for who cannot have the websocket.

    labels, streams   lists by commas or repetition; a label is an id or group:NAME
    after             go on from this number; without it from now on

Each message is an event as /v1/events has it, and its id is the event's `seq`: a browser's EventSource sends the last
one it had by itself (`Last-Event-ID`) when it comes back, also to a daemon that was restarted, and misses nothing. The
first message is of the type `hello` and says from which number on it goes. Nothing comes twice, but each later stage of
an event comes as a message of its own. Where nothing happens a comment keeps the connection alive.

At a gateway of many sites the id is a text, as `after` is at its /v1/events. A message of the type `silent` names the
sites that do not answer, each time that they are others: `{"silent": ["barn"]}`; what they have follows once they do.

Theory of operation. What is committed to the store is what is sent, so the number is that of the store. A commit wakes
all followers; each reads on from where it is, and those that are at the same place share one look into the database.
Nothing is queued for a follower: who reads slowly reads on later, and is cut off where its connection stands still.
"""

import asyncio
import logging
import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any, NamedTuple

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
KEEP_ALIVE_S = 15.0
RETRY_MS = 2000
PAGE = 64  # events read and written at once: 40 KB
MAX_PAGES = 16
_NUMBER = re.compile("[0-9]{1,18}")
_HEAD = (
    "HTTP/1.1 200 OK\r\nDate: {date}\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    "Connection: close\r\nX-Accel-Buffering: no\r\n{more}\r\n"
)

logger = logging.getLogger("streamclf.serve")


class FeedQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. See the module's text."""

    labels: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    after: str | None = None

    def takes(self, event: StoredEvent) -> bool:
        """Whether it asks for this event."""
        named = not self.labels or event.label in self.labels or f"group:{event.group}" in self.labels
        return named and (not self.streams or event.stream in self.streams)


class FeedPage(NamedTuple):
    """Events after a place, and the place behind each of them. begins: where that was; after: read on from here.

    more: there is more already. silent: sites that did not answer.
    """

    events: Sequence[StoredEvent]
    places: Sequence[str]
    begins: str
    after: str
    more: bool
    silent: tuple[str, ...] = ()


class Feed:
    """read: what comes after a place, None for now; called in threads. instance: of the daemon.

    place: what one looks like. Lives on the loop's thread. `read` raises `StreamclfError` and sqlite3's own errors.
    """

    def __init__(
        self, read: Callable[[str | None], FeedPage], instance: str, *, place: re.Pattern[str] = _NUMBER
    ) -> None:
        self._look = read
        self._instance = instance
        self._place = place
        self._news = asyncio.Event()
        # bound: MAX_PAGES; forgotten with each commit
        self._pages: dict[str | None, asyncio.Future[FeedPage]] = {}
        self._stopping = False
        self.on_committed: Callable[[], object] = lambda: None
        """Told of it as well."""
        self.followers = 0
        """How many follow now. Any thread may read it."""

    def committed(self) -> None:
        """Something is kept that was not before."""
        self.on_committed()
        self._pages = {}
        self._news.set()
        self._news = asyncio.Event()

    def stop(self) -> None:
        """Send what is kept, and end all connections."""
        self._stopping = True
        self.committed()

    def is_place(self, text: str) -> bool:
        """Whether somebody may go on from there."""
        return self._place.fullmatch(text) is not None

    async def page(self, after: str | None) -> FeedPage:
        """What comes after this place, None for now. Raises as `read` does."""
        if after not in self._pages:
            if len(self._pages) >= MAX_PAGES:
                self._pages = {}
            self._pages[after] = asyncio.ensure_future(asyncio.to_thread(self._look, after))
        try:
            return await asyncio.shield(self._pages[after])
        except (StreamclfError, sqlite3.Error):
            self._pages.pop(after, None)
            raise

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
        self, connection: ServedConnection, wish: FeedQuery, page: FeedPage, look: tuple[bool, asyncio.Event]
    ) -> None:
        """From `page` on. look: whether the end has come, and what rings at news, as they were before that was read."""
        stopping, news = look
        silent: tuple[str, ...] = ()
        while not connection.transport.is_closing():
            placed = zip(page.events, page.places, strict=True)
            said = [_message(event, place) for event, place in placed if wish.takes(event)]
            if page.silent != silent:
                silent = page.silent
                connection.transport.write(b"event: silent\ndata: " + msgspec.json.encode({"silent": silent}) + b"\n\n")
            connection.transport.write(b"".join(said))
            metrics.MESSAGES_SENT.labels("events").inc(len(said))
            await _drained(connection)
            if not page.more:
                if stopping:
                    return
                await _wait(connection, news, page.after)
            stopping, news = self._stopping, self._news
            page = await self.page(page.after)

    def _hello(self, wish: FeedQuery, page: FeedPage) -> bytes:
        said = {"type": "hello", "protocol": PROTOCOL, "version": __version__, "instance": self._instance}
        after: int | str = int(page.begins) if page.begins.isdecimal() else page.begins
        body = msgspec.json.encode({**said, "after": after})
        return f"retry: {RETRY_MS}\nevent: hello\nid: {page.begins}\ndata: ".encode() + body + b"\n\n"


def stored_page(folder: Path, after: str | None) -> FeedPage:
    """What the store in `folder` has. A number that it has not given yet is of another one: then all follows."""
    with closing(reader(folder)) as connection:
        events, end, more = page_after(connection, None if after is None else int(after), limit=PAGE)
    return numbered_page(events, end, more=more, after=after)


def numbered_page(events: Sequence[StoredEvent], end: int, *, more: bool, after: str | None) -> FeedPage:
    """Events of one store behind `after`. end: the number to read on from."""
    begins = events[0].seq - 1 if events else end
    if after is not None and int(after) <= end:
        begins = int(after)
    return FeedPage(events, [str(event.seq) for event in events], str(begins), str(end), more)


class Following:
    """Somebody who may follow, and what was asked for. headers: of the answer, besides its own."""

    def __init__(self, feed: Feed, fields: Mapping[str, Sequence[str]], last_ids: Sequence[str]) -> None:
        """last_ids: values of `Last-Event-ID`. Raises `ServeError` for what cannot be asked for."""
        wish = asked({name: list(values) for name, values in fields.items()}, FeedQuery)
        if wish.after is not None and not feed.is_place(wish.after):
            raise ServeError(f"after {wish.after[:60]!r} is no number of this feed; expected an id of its messages")
        if last_ids and last_ids[0]:
            if not feed.is_place(last_ids[0]):
                raise ServeError("Last-Event-ID is no number of this feed; expected that of the last message you had")
            wish = msgspec.structs.replace(wish, after=last_ids[0])
        self.headers: dict[str, str] = {}
        self._feed = feed
        self._wish = wish

    async def run(self, connection: ServedConnection) -> None:
        """See `Feed.follow`."""
        await self._feed.follow(connection, self._wish, self.headers)


def _head(headers: Mapping[str, str]) -> bytes:
    more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return _HEAD.format(date=formatdate(usegmt=True), more=more).encode()


def _message(event: StoredEvent, place: str) -> bytes:
    return b"id: %s\ndata: %s\n\n" % (place.encode(), msgspec.json.encode(event))


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


async def _wait(connection: ServedConnection, news: asyncio.Event, after: str) -> None:
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
