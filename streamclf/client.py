"""The Python client: every message of a running daemon, typed, over reconnections, without a silent loss.

    async for message in Client("127.0.0.1:8765", tier="frame", labels=["speech"]).messages():
        if isinstance(message, wire.Scores):
            ...

Theory of operation. `Reader` (no I/O) decodes what comes and keeps the place reached: the largest sequence number and
the instance that counted it. `Client` connects, subscribes, and when the connection is lost subscribes again with that
place as `since`, so that the daemon sends what was missed. What cannot be sent any more comes as `lagged`, a restarted
daemon as `hello` with another instance and `lagged` with the reason `restart`; both are yielded like everything else.
"""

import asyncio
import logging
import os
import random
import re
import ssl
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from contextlib import aclosing
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, ProxyError, WebSocketException
from websockets.typing import Subprotocol

from streamclf import __version__
from streamclf.errors import ServeError
from streamclf.serve import packed, wire
from streamclf.serve.access import is_loopback
from streamclf.serve.tokens import TOKEN_VARIABLE

__all__ = ["DEFAULT_URL", "Address", "Client", "Reader", "backoff_s", "parse_url"]

logger = logging.getLogger("streamclf.client")

DEFAULT_PORT = 8765
DEFAULT_PATH = "/v1"
DEFAULT_URL = f"ws://127.0.0.1:{DEFAULT_PORT}{DEFAULT_PATH}"

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
OPEN_LIMIT_S = 10.0
PING_EVERY_S = 10.0  # a link that died without a word is found in twice that
CLOSE_LIMIT_S = 1.0
MAX_MESSAGE = 16 << 20  # a `hello` with 100,000 labels; more is no message of ours, and the connection ends
MAX_QUEUE = 256  # messages read ahead; beyond, the socket is not read, and the daemon's mailbox takes over

_SCHEMES = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}
_TOKEN = re.compile(r"[\x21-\x7e]{1,4096}")
_GOOD_BYE = (1000, 1001)
_TOO_BIG = 1009
_BUSY = (500, 502, 503, 504)  # of a full daemon, or of a proxy whose daemon is just starting


class Address(NamedTuple):
    """Where a daemon is. token: the one that stood in the address, which `url` no longer holds."""

    url: str
    token: str | None


def parse_url(text: str) -> Address:
    """From what people write: `ws://`, `http://` or `host[:port]`, also a page's address with `?token=`.

    Without a scheme the port is 8765, without a path it is /v1. Raises `ServeError`.
    """
    expected = f"; expected something like {DEFAULT_URL} or birds.local:{DEFAULT_PORT}"
    shown = _clean(text)
    if not text or " " in text or not text.isprintable():
        raise ServeError(f"the address '{shown}' cannot be used{expected}")
    scheme, found, _ = text.partition("://")
    if found and scheme.lower() not in _SCHEMES:
        raise ServeError(f"the address '{shown}' begins with {_clean(scheme)}://{expected}")
    try:
        parts = urlsplit(text if found else f"ws://{text}")
        host, port = parts.hostname, parts.port
        query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=8)
    except ValueError as fault:
        raise ServeError(f"the address '{shown}' cannot be used: {_clean(str(fault))}{expected}") from None
    if not host or host.isdigit():
        raise ServeError(f"the address '{shown}' names no host{expected}")
    if parts.username is not None or parts.password is not None:
        raise ServeError("an address cannot carry a name and a password; give the token on its own")
    if set(query) - {"token"} or len(query.get("token", [])) > 1:
        raise ServeError("the only thing that an address may carry behind ? is one token; subscribe by options")
    if port is None and not found:
        port = DEFAULT_PORT
    place = f"[{host}]" if ":" in host else host
    path = parts.path if parts.path not in ("", "/") else DEFAULT_PATH
    url = f"{_SCHEMES[parts.scheme]}://{place}{'' if port is None else f':{port}'}{path}"
    return Address(url, query["token"][0] if "token" in query else None)


def backoff_s(failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row (0: the first): doubling from 0.2 to 10, less up to a half.

    chance: in [0, 1); spreads the clients of a daemon that was restarted.
    """
    longest: float = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures, 16))
    return longest * (1 - 0.5 * chance)


class Reader:
    """Decodes what comes from one daemon after the other and keeps the place to resume from. No I/O.

    seq: the largest number had, None before anything was promised. instance: the start of the daemon that counted it.
    """

    def __init__(self, *, since: int | None = None, instance: str | None = None) -> None:
        self.seq = since
        self.instance = instance
        self.hello: wire.Hello | None = None
        self.subscribed: wire.Subscribed | None = None
        self._connected = False
        self._rows: dict[tuple[str, str, bool], int] = {}

    def connected(self) -> None:
        """A connection begins: the next message has to be `hello`."""
        self._connected = False
        self.subscribed = None

    def take(self, data: str | bytes) -> wire.ServerMessage | None:
        """The message in a websocket message, or None for rows that were had before. Raises `ServeError`."""
        message = self._scores(packed.decode_binary(data)) if isinstance(data, bytes) else wire.decode_server(data)
        if not self._connected and not isinstance(message, wire.Hello):
            raise ServeError(f"the server began with something else than the hello of {wire.PROTOCOL}")
        if isinstance(message, wire.Hello):
            self.hello = message
            self._connected = True
        elif isinstance(message, wire.Subscribed):
            self._begin(message)
        elif isinstance(message, wire.Lagged):
            self._lag(message)
        elif isinstance(message, wire.Scores):
            # rows whose group was closed early stand behind larger numbers and are sent again on resuming there
            track = message.stream, message.pack, message.final
            if message.seq <= self._rows.get(track, -1):
                return None
            self._rows[track] = message.seq
            self._reach(message.seq)
        elif isinstance(message, wire.Event | wire.Gap | wire.Status | wire.Marked):
            self._reach(message.seq)
        elif isinstance(message, wire.Error) and message.code == "bad-subscription":
            raise ServeError(f"the daemon cannot serve this subscription: {_clean(message.message)}")
        return message

    def _begin(self, message: wire.Subscribed) -> None:
        assert self.hello is not None
        self.subscribed = message
        if self.seq is None:
            self.seq, self.instance = message.seq, self.hello.instance
        elif self.instance is None:
            self.instance = self.hello.instance

    def _lag(self, message: wire.Lagged) -> None:
        assert self.hello is not None
        if message.reason == "restart":
            self.seq, self.instance = 0, self.hello.instance
            self._rows.clear()
        else:
            self._reach(message.seq)

    def _reach(self, seq: int) -> None:
        self.seq = max(seq, self.seq or 0)

    def _scores(self, binary: packed.BinaryScores) -> wire.Scores:
        if self.hello is None or self.subscribed is None:
            raise ServeError("the server sent score rows before it answered the subscription")
        try:
            stream, pack = self.hello.streams[binary.stream].name, self.hello.packs[binary.pack]
            if binary.columns is not None:
                labels = [pack.labels[column].id for column in binary.columns]
            else:
                labels = next(entry.labels for entry in self.subscribed.packs if entry.name == pack.name)
            if len(labels) != binary.rows.shape[1]:
                raise LookupError
        except (LookupError, StopIteration):
            raise ServeError("the server sent score rows that do not fit the packs that it named") from None
        return wire.Scores(
            stream=stream,
            pack=pack.name,
            seq=binary.seq,
            first_frame=binary.first_frame,
            count=len(binary.rows),
            labels=labels,
            rows=wire.rounded(binary.rows),
            final=binary.final,
            captured_ns=binary.captured_ns,
            decided_ns=binary.decided_ns,
            sent_ns=binary.sent_ns,
        )


class Client:
    """A subscription to a running daemon. One iteration at a time; a further one goes on where the last one ended.

    url: as `parse_url` takes it. token: else the one in the address, else STREAMCLF_TOKEN. streams, packs, labels (ids
    and `group:NAME`), groups, top_k, min_prob, tier, encoding, final: see `wire.Subscribe`; messages are the same in
    every encoding. since, instance: `seq` and `instance` of an earlier client, to go on from there.

    reconnect: whether a lost connection (or one that never came) is tried again, after 0.2 s at first and up to 10 s
    later. on_wait: called with the reason and the delay (s) before each of these; without it they are logged.

    Raises `ServeError` where trying again is no use: a refused token or origin, no streamclf daemon, a stream or label
    that does not exist; and without `reconnect` for every failure but a daemon that says good-bye, which ends the
    iteration.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        token: str | None = None,
        streams: Sequence[str] | None = None,
        packs: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        top_k: int | None = None,
        min_prob: float = 0.0,
        tier: wire.Tier = "batch",
        encoding: wire.Encoding = "json",
        final: wire.Revision = "all",
        since: int | None = None,
        instance: str | None = None,
        reconnect: bool = True,
        on_wait: Callable[[str, float], None] | None = None,
    ) -> None:
        self.url, given = parse_url(url)
        self._token = token or given or os.environ.get(TOKEN_VARIABLE) or None
        if self._token is not None and not _TOKEN.fullmatch(self._token):
            raise ServeError("the token holds something else than printable ASCII characters; check where it came from")
        lists = {"streams": streams, "packs": packs, "labels": labels, "groups": groups}
        wish = {name: None if value is None else list(value) for name, value in lists.items()}
        rest = {"top_k": top_k, "min_prob": min_prob, "tier": tier, "encoding": encoding, "final": final}
        try:
            self._wish = msgspec.convert({"type": "subscribe", "since": since, **wish, **rest}, wire.Subscribe)
        except msgspec.ValidationError as fault:
            raise ServeError(f"this cannot be subscribed to: {fault}") from None
        self._reader = Reader(since=since, instance=instance)
        self._reconnect = reconnect
        self._on_wait = self._log if on_wait is None else on_wait

    @property
    def hello(self) -> wire.Hello | None:
        """The last `hello`: streams, packs and their labels."""
        return self._reader.hello

    @property
    def seq(self) -> int | None:
        """The place reached, for `since` of a later client."""
        return self._reader.seq

    @property
    def instance(self) -> str | None:
        """What `seq` belongs to, for `instance` of a later client."""
        return self._reader.instance

    async def messages(self) -> AsyncGenerator[wire.ServerMessage, None]:
        """Every message, from `hello` and `subscribed` on.

        To close the connection at a known point, iterate inside `contextlib.aclosing`.
        """
        async with aclosing(self.received()) as received:
            async for message, _ in received:
                yield message

    async def received(self) -> AsyncGenerator[tuple[wire.ServerMessage, str | bytes], None]:
        """As `messages`, each with the text (or, in a binary encoding, the bytes) that came."""
        failures = 0
        while True:
            try:
                async with self._open() as socket:
                    await self._subscribe(socket)
                    async with asyncio.timeout(OPEN_LIMIT_S):
                        data = await socket.recv()
                    while True:
                        message = self._reader.take(data)
                        if message is not None:
                            yield message, data
                        if isinstance(message, wire.Subscribed):
                            failures = 0
                        data = await socket.recv()
            except ConnectionClosed as closed:
                if not self._reconnect and closed.rcvd is not None and closed.rcvd.code in _GOOD_BYE:
                    return
                why = self._why_closed(closed)
            except (OSError, WebSocketException, ImportError) as fault:  # ImportError: of a SOCKS proxy's helper
                why = self._why_not(fault)
            if not self._reconnect:
                raise ServeError(why)
            delay_s = backoff_s(failures, random.random())
            failures += 1
            self._on_wait(why, delay_s)
            await asyncio.sleep(delay_s)

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

    def _open(self) -> "_Connect":
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else None
        host = urlsplit(self.url).hostname or ""
        return _Connect(
            self.url,
            subprotocols=[Subprotocol(wire.PROTOCOL)],
            compression=None,
            additional_headers=headers,
            user_agent_header=f"streamclf/{__version__}",
            proxy=None if is_loopback(host) else True,  # a proxy setting must not catch loopback
            open_timeout=OPEN_LIMIT_S,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_EVERY_S,
            close_timeout=CLOSE_LIMIT_S,
            max_size=MAX_MESSAGE,
            max_queue=MAX_QUEUE,
        )

    async def _subscribe(self, socket: ClientConnection) -> None:
        if socket.subprotocol != wire.PROTOCOL:
            raise ServeError(f"{self.url} is a websocket, but does not speak {wire.PROTOCOL}; check the address")
        self._reader.connected()
        wish = msgspec.structs.replace(self._wish, since=self._reader.seq, instance=self._reader.instance)
        await socket.send(wire.encode(wish).decode())

    def _why_closed(self, closed: ConnectionClosed) -> str:
        if closed.sent is not None and closed.sent.code == _TOO_BIG and not closed.rcvd_then_sent:
            raise ServeError(f"{self.url} sent a message of over {MAX_MESSAGE >> 20} MiB, which is none of ours")
        if closed.rcvd is None:
            return f"the connection to {self.url} was lost"
        return f"{self.url} closed the connection: {_clean(closed.rcvd.reason) or f'code {closed.rcvd.code}'}"

    def _why_not(self, fault: Exception) -> str:
        """Why there is no connection, in a sentence. Raises `ServeError` where trying again is no use."""
        if isinstance(fault, InvalidStatus):
            return self._why_status(fault)
        if isinstance(fault, TimeoutError):
            return f"{self.url} did not answer within {OPEN_LIMIT_S:.0f} s"
        if isinstance(fault, ssl.SSLError) and not isinstance(fault, ssl.SSLEOFError):
            raise ServeError(f"no safe connection to {self.url}: {_clean(fault.reason or str(fault))}")
        if isinstance(fault, OSError):
            return f"nothing answers at {self.url} ({_os_reason(fault)}); is `streamclf run` up there?"
        if isinstance(fault, ProxyError):
            return f"the proxy gave no connection to {self.url}: {_clean(str(fault))}"
        if isinstance(fault, InvalidMessage) and isinstance(fault.__cause__, EOFError):
            return f"{self.url} closed the connection without an answer"
        raise ServeError(f"no streamclf daemon answers at {self.url} ({_clean(str(fault))}); check the address")

    def _why_status(self, fault: InvalidStatus) -> str:
        response = fault.response
        said = f"{response.status_code} {_clean(response.reason_phrase)}"
        if response.headers.get("Content-Type", "").startswith("text/plain") and response.body:
            said = _clean(bytes(response.body[:400]).decode(errors="replace")).rstrip(".") or said
        if response.status_code == 401:
            raise ServeError(f"{self.url} refused the token: {said}; set {TOKEN_VARIABLE} or give a token")
        if response.status_code == 403:
            raise ServeError(f"{self.url} refused the connection: {said}")
        if response.status_code in _BUSY:
            return f"{self.url} takes no connection now: {said}"
        raise ServeError(f"no streamclf daemon answers at {self.url} ({said}); check the address")

    def _log(self, why: str, delay_s: float) -> None:
        logger.warning("%s; trying again in %.1f s", why, delay_s)


class _Connect(connect):
    """Follows no redirect: no daemon sends one, and the token would go along."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def _os_reason(fault: OSError) -> str:
    """The plain reason; asyncio writes addresses into it, and wraps the faults of several into one text."""
    numbers = [fault.errno] if fault.errno else [int(n) for n in re.findall(r"\[Errno (-?\d+)\]", str(fault))]
    if numbers and numbers[-1] > 0:
        return os.strerror(numbers[-1])
    return _clean(fault.strerror or str(fault) or type(fault).__name__)


def _clean(text: str) -> str:
    """Words of a stranger for one line of a terminal."""
    text = " ".join(text.split())[:300]
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
