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
from streamclf.reader import Reader, one_line
from streamclf.serve import wire
from streamclf.serve.access import is_loopback
from streamclf.serve.sound import SoundBlock, is_sound
from streamclf.serve.sound import decode as decode_sound
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

    Without a scheme the port is 8765, without a path it is /v1; one that ends in / is a page's. Raises `ServeError`.
    """
    expected = f"; expected something like {DEFAULT_URL} or birds.local:{DEFAULT_PORT}"
    shown = one_line(text)
    if not text or " " in text or not text.isprintable():
        raise ServeError(f"the address '{shown}' cannot be used{expected}")
    scheme, found, _ = text.partition("://")
    if found and scheme.lower() not in _SCHEMES:
        raise ServeError(f"the address '{shown}' begins with {one_line(scheme)}://{expected}")
    try:
        parts = urlsplit(text if found else f"ws://{text}")
        host, port = parts.hostname, parts.port
        query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=8)
    except ValueError as fault:
        raise ServeError(f"the address '{shown}' cannot be used: {one_line(str(fault))}{expected}") from None
    if not host or host.isdigit():
        raise ServeError(f"the address '{shown}' names no host{expected}")
    if parts.username is not None or parts.password is not None:
        raise ServeError("an address cannot carry a name and a password; give the token on its own")
    if set(query) - {"token"} or len(query.get("token", [])) > 1:
        raise ServeError("the only thing that an address may carry behind ? is one token; subscribe by options")
    if port is None and not found:
        port = DEFAULT_PORT
    place = f"[{host}]" if ":" in host else host
    path = f"{parts.path}v1" if parts.path.endswith("/") else parts.path or DEFAULT_PATH
    url = f"{_SCHEMES[parts.scheme]}://{place}{'' if port is None else f':{port}'}{path}"
    return Address(url, query["token"][0] if "token" in query else None)


def backoff_s(failures: int, chance: float) -> float:
    """Seconds to wait after so many failures in a row (0: the first): doubling from 0.2 to 10, less up to a half.

    chance: in [0, 1); spreads the clients of a daemon that was restarted.
    """
    longest: float = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(failures, 16))
    return longest * (1 - 0.5 * chance)


class Client:
    """A subscription to a running daemon. One iteration at a time; a further one goes on where the last one ended.

    url: as `parse_url` takes it. token: else the one in the address, else STREAMCLF_TOKEN. streams, packs, labels (ids
    and `group:NAME`), groups, top_k, min_prob, tier, encoding, final: see `wire.Subscribe`; messages are the same in
    every encoding. since, instance: `seq` and `instance` of an earlier client, to go on from there. audio: the live
    sound of this stream as well, for who may listen; on_sound is called with each 20 ms of it.

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
        audio: str | None = None,
        on_sound: Callable[[SoundBlock], object] = lambda heard: None,
        since: int | None = None,
        instance: str | None = None,
        reconnect: bool = True,
        on_wait: Callable[[str, float], None] | None = None,
    ) -> None:
        self.url, given = parse_url(url)
        token = token or given or os.environ.get(TOKEN_VARIABLE)
        if token and not _TOKEN.fullmatch(token):
            raise ServeError("the token holds something else than printable ASCII characters; check where it came from")
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}
        lists = {"streams": streams, "packs": packs, "labels": labels, "groups": groups}
        wish = {name: None if value is None else list(value) for name, value in lists.items()}
        rest = {
            "top_k": top_k,
            "min_prob": min_prob,
            "tier": tier,
            "encoding": encoding,
            "final": final,
            "audio": audio,
        }
        try:
            self._wish = msgspec.convert({"type": "subscribe", "since": since, **wish, **rest}, wire.Subscribe)
        except msgspec.ValidationError as fault:
            raise ServeError(f"this cannot be subscribed to: {fault}") from None
        self._reader = Reader(since=since, instance=instance)
        self._on_sound = on_sound
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
                        message = self._take(data)
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

    def _take(self, data: str | bytes) -> wire.ServerMessage | None:
        if isinstance(data, bytes) and is_sound(data):
            self._on_sound(decode_sound(data))
            return None
        return self._reader.take(data)

    async def mark(self, event: str, mark: wire.Verdict, label: str = "") -> wire.Marked:
        """Say whether an event that the daemon keeps was right, over a connection of its own. Fields: `wire.Mark`.

        Raises `ServeError`, too where the daemon does not answer within 10 s.
        """
        try:
            wish = msgspec.convert({"type": "mark", "event": event, "mark": mark, "label": label}, wire.Mark)
        except msgspec.ValidationError as fault:
            raise ServeError(f"this is no mark: {fault}") from None
        try:
            async with asyncio.timeout(OPEN_LIMIT_S), self._open() as socket:
                self._check(socket)
                await socket.send(wire.encode(wish).decode())
                while True:
                    # without a subscription nothing comes but hello and the answer
                    answer = wire.decode_server(await socket.recv())
                    if isinstance(answer, wire.Error):
                        raise ServeError(f"{self.url} keeps no such mark: {one_line(answer.message)}")
                    if isinstance(answer, wire.Marked):
                        return answer
        except ConnectionClosed as closed:
            why = self._why_closed(closed)
        except (OSError, WebSocketException, ImportError) as fault:
            why = self._why_not(fault)
        raise ServeError(why)

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
        host = urlsplit(self.url).hostname or ""
        return _Connect(
            self.url,
            subprotocols=[Subprotocol(wire.PROTOCOL)],
            compression=None,
            additional_headers=self.headers,
            user_agent_header=f"streamclf/{__version__}",
            proxy=None if is_loopback(host) else True,  # a proxy setting must not catch loopback
            open_timeout=OPEN_LIMIT_S,
            ping_interval=PING_EVERY_S,
            ping_timeout=PING_EVERY_S,
            close_timeout=CLOSE_LIMIT_S,
            max_size=MAX_MESSAGE,
            max_queue=MAX_QUEUE,
        )

    def _check(self, socket: ClientConnection) -> None:
        if socket.subprotocol != wire.PROTOCOL:
            raise ServeError(f"{self.url} is a websocket, but does not speak {wire.PROTOCOL}; check the address")

    async def _subscribe(self, socket: ClientConnection) -> None:
        self._check(socket)
        self._reader.connected()
        wish = msgspec.structs.replace(self._wish, since=self._reader.seq, instance=self._reader.instance)
        await socket.send(wire.encode(wish).decode())

    def _why_closed(self, closed: ConnectionClosed) -> str:
        if closed.sent is not None and closed.sent.code == _TOO_BIG and not closed.rcvd_then_sent:
            raise ServeError(f"{self.url} sent a message of over {MAX_MESSAGE >> 20} MiB, which is none of ours")
        if closed.rcvd is None:
            return f"the connection to {self.url} was lost"
        return f"{self.url} closed the connection: {one_line(closed.rcvd.reason) or f'code {closed.rcvd.code}'}"

    def _why_not(self, fault: Exception) -> str:
        """Why there is no connection, in a sentence. Raises `ServeError` where trying again is no use."""
        if isinstance(fault, InvalidStatus):
            return self._why_status(fault)
        if isinstance(fault, TimeoutError):
            return f"{self.url} did not answer within {OPEN_LIMIT_S:.0f} s"
        if isinstance(fault, ssl.SSLError) and not isinstance(fault, ssl.SSLEOFError):
            raise ServeError(f"no safe connection to {self.url}: {one_line(fault.reason or str(fault))}")
        if isinstance(fault, OSError):
            return f"nothing answers at {self.url} ({_os_reason(fault)}); is `streamclf run` up there?"
        if isinstance(fault, ProxyError):
            return f"the proxy gave no connection to {self.url}: {one_line(str(fault))}"
        if isinstance(fault, InvalidMessage) and isinstance(fault.__cause__, EOFError):
            return f"{self.url} closed the connection without an answer"
        raise ServeError(f"no streamclf daemon answers at {self.url} ({one_line(str(fault))}); check the address")

    def _why_status(self, fault: InvalidStatus) -> str:
        response = fault.response
        said = f"{response.status_code} {one_line(response.reason_phrase)}"
        if response.headers.get("Content-Type", "").startswith("text/plain") and response.body:
            said = one_line(bytes(response.body[:400]).decode(errors="replace")).rstrip(".") or said
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
    return one_line(fault.strerror or str(fault) or type(fault).__name__)
