"""The server: HTTP and websocket on one port, and its subscribers.

Life cycle: `start` binds and is ready on return; `post` (any thread) or `publish` (the loop's) bring what the engine
decided; `stop` lets subscribers read what waits, says good-bye, and is back within its limit whatever they do.
"""

import asyncio
import errno
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec
from websockets.asyncio.server import Server as SocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from streamclf import metrics
from streamclf.errors import PortTakenError, ServeError
from streamclf.protocol.wire import PROTOCOL
from streamclf.serve.border import Border
from streamclf.serve.connection import CLOSE_LIMIT_S, Registry, ServedConnection
from streamclf.serve.http.access import Access, ServerSettings, check_bind
from streamclf.serve.http.door import HANDSHAKE_LIMIT_S, Door, bind_sentence
from streamclf.serve.http.feed import Feed, Following
from streamclf.serve.http.pages import Face, Pages, run_following, unavailable
from streamclf.serve.http.route import Route
from streamclf.serve.http.senders import HERE, sender_of
from streamclf.serve.http.tls import CHECK_EVERY_S, Certificate, trusting
from streamclf.serve.hub import Hub
from streamclf.serve.marks import Keep, mark_orders
from streamclf.serve.orders import Orders
from streamclf.serve.problems import Problems
from streamclf.serve.push import CATCH_UP, PIECE_S, PushDesk, PushSink
from streamclf.serve.receiving import MAX_BINARY, ClientSession
from streamclf.serve.roles import Caller
from streamclf.serve.subscriber import WRITE_LIMIT, Subscriber
from streamclf.types import Output

__all__ = ["PushSink", "Server", "ServerSettings"]

logger = logging.getLogger("streamclf.serve")
# The library logs every broken request of a port scanner with a traceback; what matters we log ourselves.
_LIBRARY = logging.getLogger("streamclf.serve.websockets")
_LIBRARY.setLevel(logging.CRITICAL)

MAX_QUEUE = 4  # messages of a client that were parsed and wait; it is read no further meanwhile
_NOT_NOW = (errno.EADDRINUSE, errno.EADDRNOTAVAIL)  # the network may not be up yet
_SWEEP_S = 0.25
_NORMAL = 1000
_GOING_AWAY = 1001
_RESTART = 1012
_INTERNAL_ERROR = 1011


class Server:
    """push_sinks: stream name -> where a client's samples go. routes: addresses besides the own.

    problems, feed: see `Pages`. keep: see `MarkDesk`. orders: besides marks. faces: what those of a scope see, of whom
    `settings` has tokens; `hub` and all the rest is for those who see everything. on_fault: called where something has
    failed without which the server cannot go on.
    """

    def __init__(
        self,
        hub: Hub,
        settings: ServerSettings,
        *,
        push_sinks: Mapping[str, PushSink] | None = None,
        routes: Mapping[str, Route] | None = None,
        problems: Problems | None = None,
        keep: Keep | None = None,
        orders: Orders | None = None,
        feed: Feed | None = None,
        faces: Mapping[str, Face] | None = None,
        on_fault: Callable[[BaseException], object] = lambda fault: None,
    ) -> None:
        self.hub = hub
        self.port = settings.port
        self.orders: Orders = {**mark_orders(hub, keep), **(orders or {})}
        """What clients may order."""
        self._settings = settings
        self.routes = routes or {}
        """Besides the own."""
        self._problems = problems
        self._feed = feed
        self._faces = faces or {}
        self._on_fault = on_fault
        self._server: SocketServer | None = None
        self._sweeper: asyncio.Task[None] | None = None
        self._renewer: asyncio.Task[None] | None = None
        self._access = Access(settings)
        self._desk = PushDesk(push_sinks or {})
        self._subscribers: set[Subscriber] = set()
        self._no_audio = settings.no_audio
        self._border = Border(hub, on_fault)
        self._stopping = False
        self._lost_s = 0.0

    @property
    def address(self) -> str:
        """Where the page is; known after `start`."""
        host = self._settings.host or "0.0.0.0"
        scheme = "http" if self._settings.certificate is None else "https"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def own_url(self) -> str:
        """The websocket as a client on this machine reaches it; known after `start`."""
        host = self._settings.host or "127.0.0.1"
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
        scheme = "ws" if self._settings.certificate is None else "wss"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}/v1"

    def trust(self) -> ssl.SSLContext | None:
        """By what a client on this machine believes `own_url`; None without TLS. Reads a file."""
        return trusting(self._settings.certificate.path) if self._settings.certificate is not None else None

    async def start(self) -> None:
        """Bind and serve.

        Raises `ConfigError` for a bind that needs a token, `PortTakenError`, `ServeError`.
        """
        check_bind(self._settings)
        self._loop = asyncio.get_running_loop()
        self._border.open(self._loop)
        self._door = Door(
            self._connect, context=self._context, most=self._settings.connections, each=self._settings.connections_each
        )
        self._registry = Registry(self._door.left)
        self._pages = Pages(self.hub, self._access, self.routes, problems=self._problems, feed=self._feed)
        self._pages.scoped = {scope: self._pages.beside(face) for scope, face in self._faces.items()}
        try:
            self._server = await serve(
                self._handle,
                self._settings.host or None,
                self._settings.port,
                process_request=self._respond,
                compression=None,
                server_header="streamclf",
                logger=_LIBRARY,
                backlog=1024,
                open_timeout=None,  # the sweep sees who sends no request; an answer may go on for ever
            )
        except OSError as fault:
            kind = PortTakenError if fault.errno in _NOT_NOW else ServeError
            raise kind(bind_sentence(fault, self._settings.host, self._settings.port)) from None
        self._door.open(self._server.sockets)
        self.port = self._access.port = self._server.sockets[0].getsockname()[1]
        self._sweeper = self._loop.create_task(self._sweep())
        self._sweeper.add_done_callback(self._swept)
        if self._settings.certificate is not None:
            self._renewer = self._loop.create_task(self._renew(self._settings.certificate))

    async def stop(self, limit_s: float = 6.0) -> None:
        """End within `limit_s`: what waits may still be read, and a close message behind it, for most of that time.

        May be called where `start` failed.
        """
        self._stopping = True
        self._border.close()
        if self._server is None or self._sweeper is None:
            return
        self._door.close()
        self._server.close(close_connections=False)
        self._border.take_rest()
        self.hub.flush()
        for feed in (self._feed, *(face.feed for face in self._faces.values())):
            if feed is not None:
                feed.stop()
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
        if self._renewer is not None:
            self._renewer.cancel()
        try:
            async with asyncio.timeout(1.0):
                await self._server.wait_closed()
        except TimeoutError:
            logger.warning("a connection's handler outlived its connection")

    # From the engine

    def post(self, outputs: Sequence[Output], decided_ns: int) -> None:
        """From any one thread: publish soon. Never waits; see `Border`."""
        self._border.post(outputs, decided_ns)

    def publish(self, outputs: Sequence[Output], decided_ns: int) -> None:
        """On the loop's thread: number, keep and send. decided_ns: wall time at which the engine had decided."""
        self.hub.publish(outputs, decided_ns=decided_ns, sent_ns=time.time_ns())

    @property
    def congested(self) -> bool:
        """Whether a producer that can wait (`--fast`) should. Any thread may ask."""
        return self.hub.congested or self._border.busy

    def late_s(self) -> float:
        """How long the oldest of what was posted has waited to be published. On the loop's thread."""
        return self._border.late_s()

    # Connections

    @property
    def _connections(self) -> set[ServedConnection]:
        return self._registry.open

    def _context(self) -> ssl.SSLContext | None:
        return self._settings.certificate.context if self._settings.certificate is not None else None

    def _now_s(self) -> float:
        """The time by which the others are judged: that in which this loop stood still is not in it."""
        return self._loop.time() - self._lost_s

    def _connect(self, peer: str, network: str) -> ServedConnection:
        return ServedConnection(
            ServerProtocol(select_subprotocol=_select_subprotocol, max_size=MAX_BINARY, logger=_LIBRARY),
            self._server,
            registry=self._registry,
            peer=peer,
            network=network,
            opened_s=self._now_s(),
            ping_interval=None,  # it would wait behind a full buffer; Subscriber.check does it
            close_timeout=CLOSE_LIMIT_S,
            max_queue=MAX_QUEUE,
            write_limit=WRITE_LIMIT,
        )

    def _respond(self, connection: ServerConnection, request: Request) -> Response | Awaitable[Response | None] | None:
        if not isinstance(connection, ServedConnection):
            return unavailable("the server is just starting")  # accepted by asyncio, before the door was there
        try:
            answer = self._pages.respond(request, connection.peer)
        except Exception:
            logger.exception("a request could not be answered")  # the library makes it a 500 and is silenced above
            raise
        if isinstance(answer, Caller):
            connection.caller = answer
            sender = sender_of(request.headers, connection.peer)
            if sender.address != HERE:
                connection.belongs_to(sender.address)
            return None
        return run_following(answer, connection) if isinstance(answer, Following) else answer

    async def _handle(self, connection: ServerConnection) -> None:
        assert isinstance(connection, ServedConnection)
        caller = connection.caller
        hub = self._faces[caller.scope].hub if caller.scope else self.hub
        subscriber = Subscriber(connection, hub, now=self._now_s(), phase=len(self._subscribers) % 16 / 16)
        connection.watcher = subscriber
        session = ClientSession(
            subscriber, self._desk, self.orders, role=caller.role, now_s=self._loop.time(), no_audio=self._no_audio
        )
        self._subscribers.add(subscriber)
        metrics.SUBSCRIBERS.inc()
        try:
            subscriber.control(msgspec.structs.replace(hub.hello(), no_audio=session.no_audio))
            subscriber.ping(self._now_s())
            session.query(connection.forget_handshake())
            async for message in connection:
                session.receive(message, self._loop.time())
                await self._keep_pace(session, connection)
        except ConnectionClosed:
            pass
        except Exception:
            logger.exception("connection of %s failed", subscriber.name)
            subscriber.close(_INTERNAL_ERROR, "internal error")
        finally:
            # a browser's page that is closed says so, a telephone without a network does not
            session.close(left=bool(connection.protocol.close_rcvd_then_sent))
            self._subscribers.discard(subscriber)
            metrics.SUBSCRIBERS.dec()
            subscriber.close(_NORMAL, "")
            hub.detach(subscriber)

    async def _keep_pace(self, session: ClientSession, connection: ServedConnection) -> None:
        """Take the rest of a message, and no further one, until the client is no faster than it may be."""
        while True:
            if wait_s := session.ahead_s(self._loop.time()):
                if connection.state is State.OPEN:
                    if connection.watcher is not None:
                        connection.watcher.held_back(self._now_s())
                    await asyncio.sleep(min(wait_s, _SWEEP_S))
                    continue
                session.gone()
                # what was read already, a few messages, goes on as after a network that stood still
                if not self._stopping:
                    await asyncio.sleep(PIECE_S / CATCH_UP)
            if not session.more(self._loop.time()):
                return

    def forbid_audio(self, why: str) -> None:
        """Nobody may listen live from now on, or everybody with the role where `why` is empty.

        Clients connect again where that has changed: what they were told does not hold any more.
        """
        if why != self._no_audio:
            self._no_audio = why
            self.greet_anew("who may listen live has changed")

    def greet_anew(self, why: str) -> None:
        """Send all clients away to come again: what they were told does not hold any more."""
        for subscriber in list(self._subscribers):
            subscriber.close(_RESTART, f"{why}; connect again")

    async def _sweep(self) -> None:
        """Liveness of all subscribers. Time in which this loop stood still is nobody's fault and does not count."""
        before = self._loop.time()
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = self._loop.time()
            lost_s = max(0.0, now - before - 2 * _SWEEP_S)
            self._lost_s += lost_s
            self._door.sweep(lost_s)
            before, now = now, now - self._lost_s
            for connection in list(self._connections):
                if connection.request is None and now - connection.opened_s > HANDSHAKE_LIMIT_S:
                    metrics.REFUSED.labels("slow").inc()
                    connection.transport.abort()
            for subscriber in list(self._subscribers):
                try:
                    subscriber.check(now)
                except Exception:  # one bad connection must not leave the others unwatched
                    logger.exception("subscriber %s could not be checked", subscriber.name)
                    subscriber.close(_INTERNAL_ERROR, "internal error")

    async def _renew(self, certificate: Certificate) -> None:
        """Files are looked at in a thread: their disk may hang."""
        while True:
            await asyncio.sleep(CHECK_EVERY_S)
            await asyncio.to_thread(certificate.refresh)

    def _swept(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._on_fault(fault)

    async def _all_gone(self, limit_s: float) -> bool:
        deadline = self._loop.time() + limit_s
        while self._connections:
            self._registry.emptied.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._registry.emptied.wait()
            except TimeoutError:
                return False
        return True


def _select_subprotocol(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return Subprotocol(PROTOCOL) if PROTOCOL in offered else None
