"""Who gets a connection: few are let in in each turn of the loop, and none beyond what we can hold.

Theory of operation. asyncio would accept as many connections at once as wait, into every file descriptor that there
is, before anything of ours could say no; the store, sources and alerts then find none left. So we accept ourselves, and
who comes with a number of a descriptor from which on they are reserved is refused, as is who comes beyond the limit of
all, or of its address. Refused means that 503 is written and the connection closed, at once, without a look at what was
asked. This machine's own addresses have no limit of their own: behind them may be a proxy.

To accept costs 30 us, to let in a millisecond. So who was accepted stands before the door, a socket and no more, until
its first bytes are there (a port scanner sends none), and then in a line from which a few are let in in each turn of
the loop: five hundred who come at once hold up nobody. Who asks how the daemon is does not stand in that line, and
finds room where the others find none. In a crowd, or where no room is left, who stands in the line and has hung up
meanwhile is let go: each would take a millisecond, and the place of somebody who is there.
"""

import asyncio
import errno
import logging
import selectors
import socket
import ssl
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from streamclf import metrics
from streamclf.errors import ConfigError
from streamclf.serve.connection import ServedConnection
from streamclf.serve.http.senders import HERE, network_of

logger = logging.getLogger("streamclf.serve")

TURN_S = 0.004  # of a turn of the loop, for accepting; and for looking who of those has sent something
LET_IN = 2  # in one turn of the loop
CROWD = 16  # in the line; of fewer, who has said all that it will say may still wait for the answer
_TIDY_S = 0.05  # between two looks at the whole line
_ENDED = (7, 8)  # TCP_CLOSE, TCP_CLOSE_WAIT of Linux: the other side sends nothing more
URGENT = (b"GET /healthz", b"GET /livez", b"GET /readyz")
"""How requests begin that are answered before others."""
SPARE = 64  # connections beyond `most`, for URGENT
RECEIVE_BUFFER = 64 * 1024  # of a connection (Linux doubles it): who is not read for a moment feels it soon
MOST_FILES = 65_536
LEAST_FILES = 40  # of which a daemon with one source, a store and alerts takes 20, and a third is reserved
RESERVED_FILES = 128  # for the store, sources, alerts; a third where there are few
HANDSHAKE_LIMIT_S = 5.0
_RETRY_S = 1.0
_OUT_OF_RESOURCES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


@dataclass(slots=True, eq=False)
class _Comer:
    """Who was accepted and is not let in yet. since_s: by the loop's clock. silent: nothing of it came yet."""

    socket: socket.socket
    address: str
    network: str
    since_s: float
    silent: bool = False


class Door:
    """connect: makes the connection of a client of that address and network. context: for TLS; None for none.

    Raises `ConfigError` where this process may not have files enough. most: connections in all; each: of one address.
    """

    def __init__(
        self,
        connect: Callable[[str, str], ServedConnection],
        *,
        context: Callable[[], ssl.SSLContext | None],
        most: int,
        each: int,
    ) -> None:
        self._connect = connect
        self._context = context
        self._most = most
        self._each = each
        files = allow_many_files()
        if files < LEAST_FILES:
            raise ConfigError(
                f"this process may have no more than {files} open files, and at least {LEAST_FILES} are needed; raise "
                "the limit (ulimit -n, LimitNOFILE=)"
            )
        self._reserved_from = reserved_from(files)
        self._loop = asyncio.get_running_loop()
        self._sockets: list[socket.socket] = []
        self._inside: Counter[str] = Counter()
        self.number = 0
        """Of clients that are inside or stand before the door."""
        self._silent = selectors.DefaultSelector()  # of whom nothing came yet; bound: `most`
        self._line: deque[_Comer] = deque()  # bound: `most`
        self._letting_in = False
        self._tidied_s = 0.0
        self._entering: set[asyncio.Task[None]] = set()  # bound: `most`, and HANDSHAKE_LIMIT_S each

    def open(self, sockets: Iterable[socket.socket]) -> None:
        """Accept what comes at these from now on, in place of asyncio."""
        self._loop.add_reader(self._silent, self._speak)
        for each in sockets:
            self._loop.remove_reader(each.fileno())
            own = each.dup()
            own.setblocking(False)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)  # of those that it will accept
            self._sockets.append(own)
            self._loop.add_reader(own.fileno(), self._accept, own)

    def close(self) -> None:
        """Accept nothing more. Who is not let in by now never is: a browser opens some that it may never need."""
        if not self._sockets:
            return  # it is closed
        for comer in [*self._standing(), *self._line]:
            self._turn_away(comer)
        self._line.clear()
        for own in self._sockets:
            self._loop.remove_reader(own.fileno())
            own.close()
        self._sockets.clear()
        self._loop.remove_reader(self._silent)
        self._silent.close()

    def sweep(self, lost_s: float) -> None:
        """Turn away of whom nothing comes. lost_s: in which the loop stood still since the last call."""
        limit_s = self._loop.time() - HANDSHAKE_LIMIT_S
        for comer in self._standing():
            comer.since_s += lost_s
            if comer.since_s < limit_s:
                metrics.REFUSED.labels("slow").inc()
                self._turn_away(comer)

    def left(self, network: str) -> None:
        """A connection of `network` is gone."""
        self.number -= 1
        self._inside[network] -= 1
        if not self._inside[network]:
            del self._inside[network]

    def _accept(self, listening: socket.socket) -> None:
        now_s = self._loop.time()
        ends_s = now_s + TURN_S
        while now_s < ends_s:
            try:
                accepted, peer = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as fault:
                if fault.errno in _OUT_OF_RESOURCES:
                    self._rest(listening, fault)
                    return
                raise
            accepted.setblocking(False)
            self._look(_Comer(accepted, str(peer[0]), network_of(str(peer[0])), now_s))
            now_s = self._loop.time()

    def _look(self, comer: _Comer) -> None:
        """It has just come."""
        begin = _begin_of(comer)
        urgent = begin is not None and begin.startswith(URGENT)
        if self.number >= self._most and comer.since_s > self._tidied_s + _TIDY_S:
            self._tidy(comer.since_s)
        if why := self._why_not(comer.socket.fileno(), comer.network, spare=SPARE if urgent else 0):
            metrics.REFUSED.labels("full").inc()
            logger.warning("a connection of %s was refused: %s", comer.network, why)
            _refuse(comer.socket, why, plain=self._context() is None)
            return
        self.number += 1
        self._inside[comer.network] += 1
        if begin is None:
            comer.silent = True
            self._silent.register(comer.socket, selectors.EVENT_READ, comer)
        else:
            self._hear(comer, begin)

    def _standing(self) -> list[_Comer]:
        """Of whom nothing came yet."""
        return [key.data for key in self._silent.get_map().values()] if self._sockets else []

    def _speak(self) -> None:
        """Some of them sent something, or left. The rest of those has the next turn."""
        ends_s = self._loop.time() + TURN_S
        for key, _ in self._silent.select(0):
            begin = _begin_of(key.data)
            if begin is not None:
                self._silent.unregister(key.fileobj)
                key.data.silent = False
                self._hear(key.data, begin)
            if self._loop.time() >= ends_s:
                return

    def _hear(self, comer: _Comer, begin: bytes) -> None:
        """What it sends begins like that; nothing is taken of it."""
        if not begin:
            self._turn_away(comer)
        elif begin.startswith(URGENT):
            self._let_in(comer)
        else:
            self._line.append(comer)
            if not self._letting_in:
                self._letting_in = True
                self._loop.call_soon(self._let_in_some)

    def _tidy(self, now_s: float) -> None:
        """Let go who has hung up while standing in the line."""
        self._tidied_s = now_s
        line, self._line = self._line, deque()
        for comer in line:
            if _has_hung_up(comer.socket):
                self._let_go(comer)
            else:
                self._line.append(comer)

    def _let_in_some(self) -> None:
        ends_s = self._loop.time() + TURN_S
        let_in = 0
        while self._line and let_in < LET_IN and self._loop.time() < ends_s:
            crowded = len(self._line) > CROWD
            comer = self._line.popleft()
            if crowded and _has_hung_up(comer.socket):
                self._let_go(comer)
            else:
                self._let_in(comer)
                let_in += 1
        self._letting_in = bool(self._line)
        if self._letting_in:
            self._loop.call_soon(self._let_in_some)

    def _let_in(self, comer: _Comer) -> None:
        task = self._loop.create_task(self._enter(comer.socket, comer.address, comer.network))
        self._entering.add(task)
        task.add_done_callback(self._entering.discard)

    def _let_go(self, comer: _Comer) -> None:
        metrics.REFUSED.labels("gone").inc()
        self._turn_away(comer)

    def _turn_away(self, comer: _Comer) -> None:
        if comer.silent:
            self._silent.unregister(comer.socket)
        comer.socket.close()
        self.left(comer.network)

    def _why_not(self, descriptor: int, network: str, *, spare: int) -> str:
        if self.number >= self._most + spare:
            return f"{self._most} connections are open already, as many as are held at once"
        if network != HERE and self._inside[network] >= self._each:
            return f"{self._each} connections of one address are open already, as many as each may have"
        if descriptor >= self._reserved_from:
            return "so many files are open that the rest is kept for the store, sources and alerts"
        return ""

    async def _enter(self, accepted: socket.socket, address: str, network: str) -> None:
        connection = self._connect(address, network)
        context = self._context()
        limit_s = HANDSHAKE_LIMIT_S if context is not None else None
        try:
            await self._loop.connect_accepted_socket(
                lambda: connection, accepted, ssl=context, ssl_handshake_timeout=limit_s, ssl_shutdown_timeout=limit_s
            )
        except (OSError, TimeoutError):  # no handshake came, or another one: the client's own affair
            metrics.REFUSED.labels("tls").inc()
        finally:
            # of a connection that was made, the registry hears when it is gone
            if not connection.made:
                self.left(network)

    def _rest(self, listening: socket.socket, fault: OSError) -> None:
        """No descriptor is left, for all we kept: somebody else has taken them."""
        logger.error("no connection can be accepted for %.0f s: %s", _RETRY_S, fault.strerror)
        self._loop.remove_reader(listening.fileno())
        self._loop.call_later(_RETRY_S, self._again, listening)

    def _again(self, listening: socket.socket) -> None:
        if listening in self._sockets:
            self._loop.add_reader(listening.fileno(), self._accept, listening)


def _begin_of(comer: _Comer) -> bytes | None:
    """How what it sends begins, which stays to be read; None where nothing is there yet, b"" where it has gone."""
    try:
        return comer.socket.recv(16, socket.MSG_PEEK)
    except (BlockingIOError, InterruptedError):
        return None
    except OSError:
        return b""


def _has_hung_up(accepted: socket.socket) -> bool:
    """Whether the other side sends nothing more; False where the system does not tell."""
    try:
        return accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] in _ENDED
    except (OSError, AttributeError):
        return False


def _refuse(accepted: socket.socket, why: str, *, plain: bool) -> None:
    """Over TLS without a word: there was no handshake."""
    body = f"{why[:1].upper()}{why[1:]}.\n".encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with suppress(OSError):
        if plain:
            accepted.send(head.encode() + body)
            accepted.recv(65536)  # what is not read when it is closed makes the other side lose the answer
    accepted.close()


def allow_many_files() -> int:
    """Let this process have as many open files as it may, and return how many: a thousand clients need a thousand."""
    try:
        import resource
    except ImportError:  # not a POSIX system: no such limit
        return MOST_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return MOST_FILES if soft == resource.RLIM_INFINITY else soft


def reserved_from(files: int) -> int:
    """The descriptor from which on they are not for clients, of a process that may have `files`."""
    return files - min(RESERVED_FILES, files // 3)


def bind_sentence(fault: OSError, host: str, port: int) -> str:
    """Why nobody can be let in at that place."""
    place = f"port {port} on {host or 'all addresses'}"
    # asyncio wraps the fault of one address and keeps its number
    if fault.errno == errno.EADDRINUSE:
        return f"{place} is in use by another program; stop that one, or choose another with --port"
    if fault.errno == errno.EACCES:
        return f"{place} needs rights that this user does not have; choose a port above 1023"
    if fault.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine; use one of its own, or 127.0.0.1"
    if isinstance(fault, socket.gaierror):
        return f"{host!r} is neither an address nor a known name; use an address of this machine, or 127.0.0.1"
    return f"cannot listen on {place}: {fault.strerror or fault}"
