"""One websocket to a daemon: opened with the token, heard until it ends, and closed in every way that Python has.

Theory of operation. There is no task in the background that could outlive what it serves, and so none to be told when
that ends: the reader that waits for the next message asks whether a silent daemon is still there. What is open is
closed by

* `close`, the polite way: a close message, the answer to it, the end of the TCP connection;
* `abort`, at once, which needs no event loop that runs on; so it is what happens when nobody holds the connection any
  more (a `break` out of the loop, an exception, a task that was cancelled);
* the end of the event loop. asyncio tells that to async generators alone, so each connection has a small one.
"""

import asyncio
import os
import re
import ssl
from collections.abc import AsyncGenerator, Awaitable, Coroutine
from contextlib import suppress
from typing import Any, Self
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, ProxyError
from websockets.typing import Subprotocol

from streamclf import __version__
from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.protocol.address import TOKEN_VARIABLE, is_loopback
from streamclf.text import one_line

OPEN_LIMIT_S = 10.0
SILENT_S = (
    10.0  # without a message for so long a daemon is pinged; a link that died without a word is found in twice that
)
CLOSE_LIMIT_S = 1.0
MAX_MESSAGE = 16 << 20  # a `hello` with 100,000 labels; the connection ends at anything larger
MAX_QUEUE = 256  # messages read ahead; beyond, the socket is not read, and the daemon's mailbox takes over

_TOO_BIG = 1009
_BUSY = (500, 502, 503, 504)  # of a full daemon, or of a proxy whose daemon is just starting


class Link:
    """An open websocket of a daemon; also an async context manager, which closes it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._heard = False
        self._guard = _abort_at_the_end(socket.transport)
        _step(anext(self._guard))

    @classmethod
    async def open(cls, url: str, token: str | None, trust: ssl.SSLContext | None = None) -> Self:
        """trust: by what a wss server is believed, the system's authorities unless given.

        Raises what `why_not` explains.
        """
        secured: dict[str, Any] = {} if trust is None else {"ssl": trust}
        socket = await _Connect(
            url,
            subprotocols=[Subprotocol(wire.PROTOCOL)],
            compression=None,
            additional_headers=authorization(token),
            user_agent_header=f"streamclf/{__version__}",
            proxy=None
            if is_loopback(urlsplit(url).hostname or "")
            else True,  # a proxy setting must not catch loopback
            open_timeout=OPEN_LIMIT_S,
            ping_interval=None,  # a task in the background, which would outlive a dropped connection; `receive` pings
            close_timeout=CLOSE_LIMIT_S,
            max_size=MAX_MESSAGE,
            max_queue=MAX_QUEUE,
            **secured,
        )
        link = cls(socket)
        if socket.subprotocol != wire.PROTOCOL:
            await link.close()
            raise ServeError(f"{url} is a websocket, but does not speak {wire.PROTOCOL}; check the address")
        return link

    async def send(self, message: wire.ClientMessage) -> None:
        """Raises `ConnectionClosed`."""
        await self._socket.send(wire.encode(message).decode())

    async def push(self, first_sample: int, samples: bytes) -> None:
        """Samples of an accepted `push`, in its format, and the index of the first. Raises `ConnectionClosed`."""
        await self._socket.send(first_sample.to_bytes(8, "little") + samples)

    async def receive(self) -> str | bytes:
        """The next message; may be cancelled and called again without a loss.

        Raises `ConnectionClosed`, and `TimeoutError` where the daemon is silent and does not answer a ping either.
        """
        pong: Awaitable[float] | None = None
        while True:
            try:
                async with asyncio.timeout(SILENT_S if self._heard else OPEN_LIMIT_S):
                    data = await self._socket.recv()
            except TimeoutError:
                if not self._heard or (isinstance(pong, asyncio.Future) and not pong.done()):
                    raise
                pong = await self._socket.ping()
            else:
                self._heard = True
                return data

    async def close(self) -> None:
        """The polite way, within CLOSE_LIMIT_S; at once where that is cancelled."""
        try:
            await self._socket.close()
        finally:
            self.abort()

    def abort(self) -> None:
        """At once."""
        _step(self._guard.aclose())

    def __del__(self) -> None:
        loop = self._socket.loop
        # where garbage is collected in another thread, asyncio ends the guard, on the loop's own
        if not loop.is_running() or asyncio._get_running_loop() is loop:
            self.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def _abort_at_the_end(transport: asyncio.Transport) -> AsyncGenerator[None, None]:
    """Nothing but its end: that of the loop, or `aclose`. It awaits nothing, so that a step takes it there."""
    try:
        yield
    finally:
        with suppress(RuntimeError):  # of a loop that is closed: there is nothing left to be done
            transport.abort()


def _step(coroutine: Coroutine[Any, Any, object]) -> None:
    """Run a coroutine that awaits nothing, whether or not a loop runs."""
    with suppress(StopIteration):
        coroutine.send(None)


class _Connect(connect):
    """Follows no redirect: no daemon sends one, and the token would go along."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


def authorization(token: str | None) -> dict[str, str]:
    """The header that shows `token`."""
    return {"Authorization": f"Bearer {token}"} if token else {}


# Why it did not work, in a sentence. All raise `ServeError` where trying again is no use.


def why_closed(url: str, closed: ConnectionClosed) -> str:
    """Why a connection ended."""
    if closed.sent is not None and closed.sent.code == _TOO_BIG and not closed.rcvd_then_sent:
        raise ServeError(f"{url} sent over {MAX_MESSAGE >> 20} MiB in a message, as no daemon does; check the address")
    if closed.rcvd is None:
        return f"the connection to {url} was lost"
    return f"{url} closed the connection: {one_line(closed.rcvd.reason) or f'code {closed.rcvd.code}'}"


def why_not(url: str, fault: Exception) -> str:
    """Why there is no connection."""
    if isinstance(fault, ConnectionClosed):
        return why_closed(url, fault)
    if isinstance(fault, InvalidStatus):
        return _why_status(url, fault)
    if isinstance(fault, TimeoutError):
        return f"{url} did not answer within {OPEN_LIMIT_S:.0f} s"
    if isinstance(fault, ssl.SSLError) and not isinstance(fault, ssl.SSLEOFError):
        raise ServeError(f"no safe connection to {url}: {one_line(fault.reason or str(fault))}")
    if isinstance(fault, OSError):
        return f"nothing answers at {url} ({_os_reason(fault)}); is `streamclf run` up there?"
    if isinstance(fault, ProxyError):
        return f"the proxy gave no connection to {url}: {one_line(str(fault))}"
    if isinstance(fault, InvalidMessage) and isinstance(fault.__cause__, EOFError):
        return f"{url} closed the connection without an answer"
    raise ServeError(f"no streamclf daemon answers at {url} ({one_line(str(fault))}); check the address")


def _why_status(url: str, fault: InvalidStatus) -> str:
    response = fault.response
    said = f"{response.status_code} {one_line(response.reason_phrase)}"
    if response.headers.get("Content-Type", "").startswith("text/plain") and response.body:
        said = one_line(bytes(response.body[:400]).decode(errors="replace")).rstrip(".") or said
    if response.status_code == 401:
        raise ServeError(f"{url} refused the token: {said}; set {TOKEN_VARIABLE} or give a token")
    if response.status_code == 403:
        raise ServeError(f"{url} refused the connection: {said}")
    if response.status_code in _BUSY:
        return f"{url} takes no connection now: {said}"
    raise ServeError(f"no streamclf daemon answers at {url} ({said}); check the address")


def _os_reason(fault: OSError) -> str:
    """The plain reason; asyncio writes addresses into it, and wraps the faults of several into one text."""
    numbers = [fault.errno] if fault.errno else [int(n) for n in re.findall(r"\[Errno (-?\d+)\]", str(fault))]
    if numbers and numbers[-1] > 0:
        return os.strerror(numbers[-1])
    return one_line(fault.strerror or str(fault) or type(fault).__name__)
