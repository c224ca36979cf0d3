"""The server: HTTP and websocket on one port, subscribers, the border to the model thread.

Life cycle: `start` binds and is ready on return; `post` (any thread) or `publish` (the loop's) bring what the engine
decided; `stop` lets subscribers read what waits, says good-bye, and is back within its limit whatever they do.
"""

import asyncio
import errno
import logging
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec
from websockets.asyncio.server import Server as SocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from streamclf import metrics
from streamclf.errors import PortTakenError, ServeError
from streamclf.protocol.wire import PROTOCOL
from streamclf.serve.http.access import Access, ServerSettings, check_bind
from streamclf.serve.http.pages import Pages, unavailable
from streamclf.serve.http.route import Route
from streamclf.serve.hub import Hub
from streamclf.serve.marks import Keep, MarkDesk
from streamclf.serve.push import PushDesk, PushSink
from streamclf.serve.roles import Role
from streamclf.serve.session import MAX_BINARY, ClientSession
from streamclf.serve.subscriber import CLOSE_LIMIT_S, WRITE_LIMIT, ServedConnection, Subscriber
from streamclf.types import FrameScores, Levels, Output, Picture, Sound, Status, StreamState

__all__ = ["PushSink", "Server", "ServerSettings"]

logger = logging.getLogger("streamclf.serve")
# The library logs every broken request of a port scanner with a traceback; what matters we log ourselves.
logging.getLogger("streamclf.serve.websockets").setLevel(logging.CRITICAL)

MAX_CONNECTIONS = 4096
MAX_POSTED = 1024  # ticks handed over and not yet taken: 20 s; score rows beyond are dropped, counted and told
BUSY_POSTED = 16
_NOT_NOW = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)  # the network may not be up yet
_SWEEP_S = 0.25
_NORMAL = 1000
_GOING_AWAY = 1001
_INTERNAL_ERROR = 1011


class Server:
    """push_sinks: stream name -> where a client's samples go. routes: addresses besides the own.

    problems: those that are of no stream, in words. keep: see `MarkDesk`. on_fault: called where something has
    failed without which the server cannot go on.
    """

    def __init__(
        self,
        hub: Hub,
        settings: ServerSettings,
        *,
        push_sinks: Mapping[str, PushSink] | None = None,
        routes: Mapping[str, Route] | None = None,
        problems: Callable[[], Sequence[str]] = tuple,
        keep: Keep | None = None,
        on_fault: Callable[[BaseException], object] = lambda fault: None,
    ) -> None:
        self.hub = hub
        self.port = settings.port
        self._marks = MarkDesk(hub, keep)
        self._settings = settings
        self._routes = routes
        self._problems = problems
        self._on_fault = on_fault
        self._server: SocketServer | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._access = Access(settings)
        self._desk = PushDesk(push_sinks or {})
        self._connections: set[ServedConnection] = set()  # bound: MAX_CONNECTIONS; more are answered 503
        self._subscribers: set[Subscriber] = set()
        self._posted = 0
        self._taken = 0
        self._missed: dict[str, int] = {}
        self._stopping = False

    @property
    def address(self) -> str:
        """Where the page is; known after `start`."""
        host = self._settings.host or "0.0.0.0"
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def own_url(self) -> str:
        """The websocket as a client on this machine reaches it; known after `start`."""
        host = self._settings.host or "127.0.0.1"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        return f"ws://{f'[{host}]' if ':' in host else host}:{self.port}/v1"

    async def start(self) -> None:
        """Bind and serve.

        Raises `ConfigError` for a bind that needs a token, `PortTakenError`, `ServeError`.
        """
        check_bind(self._settings)
        _allow_many_files()
        self._loop = asyncio.get_running_loop()
        self._emptied = asyncio.Event()
        self._pages = Pages(self.hub, self._access, self._routes, problems=self._problems)
        try:
            self._server = await serve(
                self._handle,
                self._settings.host or None,
                self._settings.port,
                create_connection=self._connect,  # type: ignore[arg-type]  # a factory does as well as a class
                process_request=self._respond,
                select_subprotocol=_select_subprotocol,
                compression=None,
                max_size=MAX_BINARY,
                write_limit=WRITE_LIMIT,
                ping_interval=None,  # it would wait behind a full buffer; Subscriber.check does it
                close_timeout=CLOSE_LIMIT_S,
                server_header="streamclf",
                logger=logging.getLogger("streamclf.serve.websockets"),
                backlog=1024,
            )
        except OSError as fault:
            kind = PortTakenError if fault.errno in _NOT_NOW else ServeError
            raise kind(_bind_sentence(fault, self._settings)) from None
        self.port = self._access.port = self._server.sockets[0].getsockname()[1]
        self._sweeper = self._loop.create_task(self._sweep())
        self._sweeper.add_done_callback(self._swept)

    async def stop(self, limit_s: float = 6.0) -> None:
        """End within `limit_s`: what waits may still be read, and a close message behind it, for most of that time.

        May be called where `start` failed.
        """
        self._stopping = True
        if self._server is None or self._sweeper is None:
            return
        self._server.close(close_connections=False)
        self.hub.flush()
        for subscriber in list(self._subscribers):
            subscriber.finish(_GOING_AWAY, "the daemon is stopping", limit_s=limit_s)
        for connection in list(self._connections):
            if connection.request is None:  # a browser opens some in advance and never asks for anything
                connection.transport.abort()
        if not await self._all_gone(0.7 * limit_s):
            for connection in list(self._connections):
                connection.transport.abort()
            await self._all_gone(0.2 * limit_s)
        self._sweeper.cancel()
        try:
            async with asyncio.timeout(1.0):
                await self._server.wait_closed()
        except TimeoutError:
            logger.warning("a connection's handler outlived its connection")

    # From the engine

    def post(self, outputs: Sequence[Output], decided_ns: int) -> None:
        """From any one thread: publish soon. Never waits; a loop that stands still costs score rows, never events."""
        if self._stopping:
            return
        if self._posted - self._taken >= MAX_POSTED:
            for output in outputs:
                if isinstance(output, FrameScores):
                    self._missed[output.stream] = self._missed.get(output.stream, 0) + len(output.rows)
                    metrics.BORDER_ROWS.labels(output.stream).inc(len(output.rows))
            outputs = [output for output in outputs if not isinstance(output, FrameScores | Levels | Picture | Sound)]
            if not outputs:
                return
        elif self._missed:
            told = [
                Status(name, StreamState.BEHIND, f"{rows} score rows were dropped: the server stood still")
                for name, rows in self._missed.items()
            ]
            self._missed = {}
            outputs = [*told, *outputs]
        self._posted += 1
        self._loop.call_soon_threadsafe(self._take, outputs, decided_ns)

    def publish(self, outputs: Sequence[Output], decided_ns: int) -> None:
        """On the loop's thread: number, keep and send. decided_ns: wall time at which the engine had decided."""
        self.hub.publish(outputs, decided_ns=decided_ns, sent_ns=time.time_ns())

    @property
    def congested(self) -> bool:
        """Whether a producer that can wait (`--fast`) should. Any thread may ask."""
        return self.hub.congested or self._posted - self._taken > BUSY_POSTED

    def _take(self, outputs: Sequence[Output], decided_ns: int) -> None:
        self._taken += 1
        try:
            self.publish(outputs, decided_ns)
        except Exception as fault:
            self._on_fault(fault)
            raise

    # Connections

    def _connect(self, *args: Any, **kwargs: Any) -> ServedConnection:
        return ServedConnection(*args, registry=self._connections, emptied=self._emptied, **kwargs)

    def _respond(self, connection: ServerConnection, request: Request) -> Response | Awaitable[Response] | None:
        assert isinstance(connection, ServedConnection)
        if len(self._connections) > MAX_CONNECTIONS:
            return unavailable(f"{MAX_CONNECTIONS} connections are open already, as many as are held at once")
        try:
            answer = self._pages.respond(request, connection.remote_address[0])
        except Exception:
            logger.exception("a request could not be answered")  # the library makes it a 500 and is silenced above
            raise
        if isinstance(answer, Role):
            connection.role = answer
            return None
        return answer

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, ServedConnection)
        assert connection.request is not None
        subscriber = Subscriber(connection, self.hub, now=self._loop.time(), phase=len(self._subscribers) % 16 / 16)
        connection.subscriber = subscriber
        session = ClientSession(
            subscriber, self._desk, self._marks, role=connection.role, no_audio=self._settings.no_audio
        )
        self._subscribers.add(subscriber)
        metrics.SUBSCRIBERS.inc()
        try:
            subscriber.control(msgspec.structs.replace(self.hub.hello(), no_audio=session.no_audio))
            session.query(connection.request.path)
            async for message in connection:
                session.receive(message)
        except ConnectionClosed:
            pass
        except Exception:
            logger.exception("connection of %s failed", subscriber.name)
            subscriber.close(_INTERNAL_ERROR, "internal error")
        finally:
            session.close()
            self._subscribers.discard(subscriber)
            metrics.SUBSCRIBERS.dec()
            subscriber.close(_NORMAL, "")
            self.hub.detach(subscriber)

    async def _sweep(self) -> None:
        """Liveness of all subscribers. Time in which this loop stood still is nobody's fault and does not count."""
        lost_s = 0.0
        before = self._loop.time()
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self._loop.time()
            lost_s += max(0.0, now - before - 2 * _SWEEP_S)
            before = now
            for subscriber in list(self._subscribers):
                try:
                    subscriber.check(now - lost_s)
                except Exception:  # one bad connection must not leave the others unwatched
                    logger.exception("subscriber %s could not be checked", subscriber.name)
                    subscriber.close(_INTERNAL_ERROR, "internal error")

    def _swept(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._on_fault(fault)

    async def _all_gone(self, limit_s: float) -> bool:
        deadline = self._loop.time() + limit_s
        while self._connections:
            self._emptied.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._emptied.wait()
            except TimeoutError:
                return False
        return True


def _select_subprotocol(connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol(PROTOCOL) if PROTOCOL in offered else None


def _bind_sentence(fault: OSError, settings: ServerSettings) -> str:
    place = f"port {settings.port} on {settings.host or 'all addresses'}"
    # asyncio wraps the fault of one address and keeps its number
    if fault.errno == errno.EADDRINUSE:
        return f"{place} is in use by another program; stop that one, or choose another with --port"
    if fault.errno == errno.EACCES:
        return f"{place} needs rights that this user does not have; choose a port above 1023"
    if fault.errno == errno.EADDRNOTAVAIL:
        return f"{settings.host} is not an address of this machine; use one of its own, or 127.0.0.1"
    if isinstance(fault, socket.gaierror):
        return f"{settings.host!r} is neither an address nor a known name; use an address of this machine, or 127.0.0.1"
    return f"cannot listen on {place}: {fault.strerror or fault}"


def _allow_many_files() -> None:
    """A thousand subscribers need more open files than many systems allow at first."""
    try:
        import resource
    except ImportError:  # not a POSIX system: no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS + 1024
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY:
            wanted = min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
