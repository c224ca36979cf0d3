"""The Python client: every message of a running daemon, typed, over reconnections, without a silent loss.

    async for message in Client("127.0.0.1:8765", tier="frame", labels=["speech"]).messages():
        if isinstance(message, wire.Scores):
            ...

Theory of operation. `Reader` (no I/O) decodes what comes and keeps the place reached: the largest sequence number and
the instance that counted it. `Messages` connects, subscribes, and when the connection is lost subscribes again with
that place as `since`, so that the daemon sends what was missed. What cannot be sent any more comes as `lagged`, a
restarted daemon as `hello` with another instance and `lagged` with the reason `restart`; both are yielded like
everything else.

Leaving early is clean in every way: `break`, `return`, an exception, a cancelled task, the end of the loop. `Messages`
is an object and no async generator: who drops it closes its connection at once (link.py), where a generator has
to be resumed for that, by an event loop that may be ending. A cancelled wait for a message loses nothing.
"""

import asyncio
import logging
import os
import random
import re
import weakref
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack

import msgspec
from websockets.exceptions import ConnectionClosed, WebSocketException

from streamclf.client.link import OPEN_LIMIT_S, Link, authorization, why_closed, why_not
from streamclf.client.options import Bookmark, Reconnect, Subscription, Wish
from streamclf.client.reader import Reader
from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.protocol.address import DEFAULT_URL, TOKEN_VARIABLE, parse_url
from streamclf.text import one_line

Answer = TypeVar("Answer", wire.Marked, wire.Taught)

if TYPE_CHECKING:
    import ssl

    from streamclf.protocol.sound import SoundBlock

__all__ = [
    "DEFAULT_URL",
    "Bookmark",
    "Client",
    "Messages",
    "Reconnect",
    "Subscription",
    "parse_url",
]

logger = logging.getLogger("streamclf.client")

T = TypeVar("T")
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_GOOD_BYE = (1000, 1001)
_SOUND = b"SA"  # as protocol/sound.py has it, which needs numpy


class Client:
    """A subscription to a running daemon. One iteration at a time; a further one goes on where the last one ended.

    url: as `parse_url` takes it. subscription: what to be told; or its fields as keywords, as in
    `Client(url, labels=["speech"])`. token: else the one in the address, else STREAMCLF_TOKEN. trust: by what
    a wss daemon is believed, the system's authorities unless given. reconnect: whether, and
    how, a lost connection is tried again. on_sound: called with each 20 ms of what `audio` asks for.

    Raises `ServeError`, here for what cannot be asked for, and while iterating where trying again is no use: a refused
    token or origin, no streamclf daemon, a stream or label that does not exist; without `reconnect` for every failure
    but a daemon that says good-bye, which ends the iteration.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        subscription: Subscription | None = None,
        *,
        token: str | None = None,
        trust: "ssl.SSLContext | None" = None,
        reconnect: Reconnect | bool = True,
        on_sound: "Callable[[SoundBlock], object] | None" = None,
        **wish: Unpack[Wish],
    ) -> None:
        self.url, given = parse_url(url)
        self._trust = trust
        self._token = token or given or os.environ.get(TOKEN_VARIABLE)
        if self._token and not _TOKEN.fullmatch(self._token):
            raise ServeError("the token holds something else than printable ASCII characters; check where it came from")
        if subscription is not None and wish:
            raise ServeError(f"give {', '.join(wish)} as a field of the subscription, or no subscription")
        self.subscription = subscription or Subscription(**wish)
        if self.subscription.encoding != "json" or self.subscription.audio is not None:
            _need_numpy()
        self._reader = Reader(bookmark=self.subscription.bookmark)
        self._on_sound = on_sound
        self._reconnect = Reconnect() if reconnect is True else reconnect or None
        self._latest: weakref.ref[Messages[Any]] | None = None

    @property
    def hello(self) -> wire.Hello | None:
        """The last `hello`: streams, packs and their labels."""
        return self._reader.hello

    @property
    def bookmark(self) -> Bookmark | None:
        """How far this client has come, for `since` of a later one; None before anything was promised."""
        return self._reader.bookmark

    @property
    def token(self) -> str | None:
        """The token in use, if there is one."""
        return self._token

    @property
    def headers(self) -> dict[str, str]:
        """What shows the token in a request of plain HTTP."""
        return authorization(self._token)

    def messages(self) -> "Messages[wire.ServerMessage]":
        """Every message, from `hello` and `subscribed` on."""
        return Messages(self, lambda message, data: message)

    def received(self) -> "Messages[tuple[wire.ServerMessage, str | bytes]]":
        """As `messages`, each with the text (or, in a binary encoding, the bytes) that came."""
        return Messages(self, lambda message, data: (message, data))

    def blocking(self) -> Iterator[wire.ServerMessage]:
        """As `messages`, for programs without an event loop.

        Pings are answered only while the next message is awaited: who takes longer than some seconds for one is cut
        off by the daemon, and resumes.
        """
        with asyncio.Runner() as runner:
            messages = self.messages()

            async def following() -> wire.ServerMessage | None:
                return await anext(messages, None)

            try:
                while (message := runner.run(following())) is not None:
                    yield message
            finally:
                runner.run(messages.aclose())

    async def mark(self, event: str, mark: wire.Verdict, label: str = "") -> wire.Marked:
        """Say whether an event that the daemon keeps was right, over a connection of its own. Fields: `wire.Mark`.

        Raises `ServeError`, too where the daemon does not answer within 10 s.
        """
        try:
            wish = msgspec.convert({"type": "mark", "event": event, "mark": mark, "label": label}, wire.Mark)
        except msgspec.ValidationError as fault:
            raise ServeError(f"this is not a mark: {fault}") from None
        return await self._order(wish, wire.Marked, "refuses the mark")

    async def teach(self, label: str, **fields: object) -> wire.Taught:
        """Show the daemon an example of a class, over a connection of its own. Fields: `wire.Teach`.

        Raises `ServeError`, too where the daemon does not answer within 10 s.
        """
        try:
            wish = msgspec.convert({"type": "teach", "label": label, **fields}, wire.Teach)
        except msgspec.ValidationError as fault:
            raise ServeError(f"this is no lesson: {fault}") from None
        return await self._order(wish, wire.Taught, "learns nothing from that")

    async def streams(self) -> list[str]:
        """Names of the daemon's streams, over a connection of its own. Raises `ServeError`."""
        try:
            async with asyncio.timeout(OPEN_LIMIT_S), await self._open() as link:
                hello = wire.decode_server(await link.receive())
        except (OSError, WebSocketException, ImportError) as fault:
            why = why_not(self.url, fault)
        else:
            return [stream.name for stream in hello.streams] if isinstance(hello, wire.Hello) else []
        raise ServeError(why)

    async def forget(self, label: str, example: str = "") -> wire.Taught:
        """Have the daemon forget a class, or one example of it. Fields: `wire.Forget`. Raises as `teach` does."""
        return await self._order(wire.Forget(label=label, example=example), wire.Taught, "forgets nothing")

    async def _order(self, wish: wire.Mark | wire.Teach | wire.Forget, kind: type[Answer], refused: str) -> Answer:
        try:
            async with asyncio.timeout(OPEN_LIMIT_S), await self._open() as link:
                await link.send(wish)
                while True:
                    # without a subscription nothing comes but hello and the answer
                    answer = wire.decode_server(await link.receive())
                    if isinstance(answer, wire.Error):
                        raise ServeError(f"{self.url} {refused}: {one_line(answer.message)}")
                    if isinstance(answer, kind):
                        return answer
        except (OSError, WebSocketException, ImportError) as fault:
            why = why_not(self.url, fault)
        raise ServeError(why)

    async def _open(self) -> Link:
        return await Link.open(self.url, self._token, self._trust)

    async def _subscribe(self) -> Link:
        link = await self._open()
        try:
            self._reader.connected()
            await link.send(self.subscription.message(self._reader.bookmark))
        except BaseException:
            link.abort()
            raise
        return link

    def _take(self, data: str | bytes) -> wire.ServerMessage | None:
        if isinstance(data, bytes) and data.startswith(_SOUND):
            if self._on_sound is not None:
                from streamclf.protocol import sound

                self._on_sound(sound.decode(data))
            return None
        return self._reader.take(data)

    def _begin(self, newer: "Messages[Any]") -> None:
        """There is one place to go on from, so there is one iteration that goes on."""
        older = None if self._latest is None else self._latest()
        if older is not None and older is not newer:
            older.end()
        self._latest = weakref.ref(newer)


class Messages(Generic[T]):
    """What a client yields: an async iterator, and an async context manager that closes its connection politely.

    Without the context manager the connection is closed at once when the iterator is dropped, as by a `break`.
    """

    def __init__(self, client: Client, pick: Callable[[wire.ServerMessage, str | bytes], T]) -> None:
        self._client = client
        self._pick = pick
        self._link: Link | None = None
        self._failures = 0
        self._waiting = False
        self._ended = asyncio.Event()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if self._waiting:
            raise RuntimeError("somebody waits for the next of these messages already; one task at a time can")
        self._waiting = True
        try:
            return await self._next()
        except asyncio.CancelledError:
            raise  # of this wait alone: the next one goes on
        except BaseException:
            self.end()
            raise
        finally:
            self._waiting = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection politely, within a second; there are no further messages. May be called again."""
        self._ended.set()
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    def end(self) -> None:
        """As `aclose`, at once."""
        self._ended.set()
        self._drop()

    def _drop(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.abort()

    async def _next(self) -> T:
        while not self._ended.is_set():
            try:
                message, data = await self._receive()
            except ConnectionClosed as closed:
                self._drop()
                if self._client._reconnect is None and closed.rcvd is not None and closed.rcvd.code in _GOOD_BYE:
                    break
                why = "" if self._ended.is_set() else why_closed(self._client.url, closed)
            except (OSError, WebSocketException, ImportError) as fault:  # ImportError: of a SOCKS proxy's helper
                self._drop()
                why = why_not(self._client.url, fault)
            else:
                if message is not None:
                    return self._pick(message, data)
                continue
            await self._wait(why)
        raise StopAsyncIteration

    async def _receive(self) -> tuple[wire.ServerMessage | None, str | bytes]:
        if self._link is None:
            self._client._begin(self)
            link = await self._client._subscribe()
            if self._ended.is_set():
                link.abort()
                raise StopAsyncIteration
            self._link = link
        data = await self._link.receive()
        message = self._client._take(data)
        if isinstance(message, wire.Subscribed):
            self._failures = 0
        return message, data

    async def _wait(self, why: str) -> None:
        """Before the next try. Raises `ServeError` where there is to be none."""
        if self._ended.is_set():
            return
        policy = self._client._reconnect
        if policy is None:
            raise ServeError(why)
        delay_s = policy.delay_s(self._failures, chance=random.random())
        self._failures += 1
        if policy.on_wait is None:
            logger.warning("%s; trying again in %.1f s", why, delay_s)
        else:
            policy.on_wait(why, delay_s)
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._ended.wait()


def _need_numpy() -> None:
    try:
        import numpy  # noqa: F401
    except ImportError:
        raise ServeError("binary encodings and live sound need numpy; install it, or take encoding='json'") from None
