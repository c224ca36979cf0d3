"""One websocket connection as asyncio sees it: what comes is taken in portions, and who sends too much is cut off.

Theory of operation. A read of asyncio brings up to 256 KiB, which may be 40,000 messages; parsed at once they would
hold everybody else up for half a second. So what was read waits, and a portion of it is parsed in each turn of the
loop; nothing more is read meanwhile, nor while the messages that were parsed wait for their handler. Messages are
counted as they are parsed, control frames as well: a client that goes over its allowance, or over that of its address,
is cut off, and what it sent besides is not looked at.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import CLOSING, OPEN, Event

from streamclf.serve.limits import Allowance
from streamclf.serve.roles import Caller, Role

PORTION = 4096  # bytes parsed in one turn of the loop: 680 of the shortest messages, which take some 5 ms
MESSAGES = 250.0  # a second, of one client; a microphone sends 50
MESSAGES_BURST = 1000.0  # at once: what waited while the network stood still
ADDRESS_MESSAGES = 1000.0  # of all clients of one address, but for this machine's own
ADDRESS_BURST = 4000.0
BYTES = 2e6  # a second, of one client; a microphone of 192 kHz sends 0.77e6. More is not refused but slowed down.
BYTES_BURST = 4e6
_DATA = (Opcode.CONT, Opcode.TEXT, Opcode.BINARY)
ALIVE = b"alive?"
"""What the ping of `Subscriber` carries, and the pong brings back."""
_PONG = bytes([0x80 | Opcode.PONG, 0x80 | len(ALIVE)])
FRAGMENTS = 1000  # of one message, each of which is kept until the last one comes, empty ones as well
CLOSE_LIMIT_S = 2.0  # after a close message, for the client to end the connection
IGNORED = 16 * 1024  # bytes in all that a client may send which should only listen
BEHIND_THE_END = 1 << 20  # bytes that are read behind a close message of ours: what was on its way, and the answer


class Watcher(Protocol):
    """Who is told what happens to a connection."""

    def full(self) -> None:
        """The transport should get no more for now."""

    def leaving(self) -> None:
        """The connection is not open any more."""

    def resumed(self) -> None:
        """The transport can take more."""

    def pong(self) -> None:
        """The answer to a ping came."""

    def held_back(self, now: float) -> None:
        """What the client sends is not read just now."""

    def flooded(self, why: str) -> None:
        """The client sends too much."""


class Registry:
    """Every connection that is open, from its first byte on, and what they may do together.

    on_leave: called with the network of one that is gone.
    """

    def __init__(self, on_leave: Callable[[str], object]) -> None:
        self.open: set[ServedConnection] = set()  # bound: that of the door that lets them in
        self.emptied = asyncio.Event()
        """Set when the last one is gone."""
        self._on_leave = on_leave
        self._addresses: dict[str, tuple[Allowance, set[ServedConnection]]] = {}

    def allowance(self, connection: "ServedConnection", address: str, now_s: float) -> Allowance:
        """The messages of all clients of `address`, kept as long as one of them is there."""
        allowance, members = self._addresses.setdefault(
            address, (Allowance(ADDRESS_MESSAGES, ADDRESS_BURST, now_s=now_s), set())
        )
        members.add(connection)
        return allowance

    def leave(self, connection: "ServedConnection", address: str) -> None:
        """It is gone."""
        self.open.discard(connection)
        if address in self._addresses:
            members = self._addresses[address][1]
            members.discard(connection)
            if not members:
                del self._addresses[address]
        self._on_leave(connection.network)
        if not self.open:
            self.emptied.set()


class ServedConnection(ServerConnection):
    """A connection that tells its watcher when it can take more, when a pong came, and when too much comes.

    peer: the address that it comes from; network: that, as it counts for the door. opened_s: by the server's clock.
    """

    def __init__(self, *args: Any, registry: Registry, peer: str, network: str, opened_s: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.peer = peer
        self.network = network
        self.made = False
        """Whether it came about: over TLS that takes a handshake."""
        self.watcher: Watcher | None = None
        self.caller = Caller(Role.LABELS)  # until the request is looked at
        self.opened_s = opened_s
        self._registry = registry
        self._allowance = Allowance(MESSAGES, MESSAGES_BURST, now_s=self.loop.time())
        self._shared: Allowance | None = None
        self._address = ""
        self._unparsed = bytearray()  # bound: what one read brings; nothing is read while something is in it
        self._parsing = False
        # Whether the next byte begins a frame. The library's parser takes 20 us for a pong, of which each client sends
        # one every two seconds: a twentieth of what 1,000 clients of 50 messages a second cost.
        self._between = False
        self._fragments = 0  # of the message that is not whole yet
        self._full = False  # whether the handler has messages enough
        self._deaf = False  # whether nothing is looked at any more
        self._silenced = False  # whether it is read all the same
        self._ignored = 0  # bytes of that
        self._reading = True
        self._ending = False  # whether it was sent a close message

    def belongs_to(self, address: str) -> None:
        """It is a client of `address`, whose clients have an allowance together."""
        self._address = address
        self._shared = self._registry.allowance(self, address, self.loop.time())

    def forget_handshake(self) -> str:
        """Let go of the headers: 2 KiB as long as the connection lasts. Returns the path that was asked for."""
        assert self.request is not None
        assert self.response is not None
        self.request.headers.clear()
        self.response.headers.clear()
        return self.request.path

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self.made = True
        self._registry.open.add(self)
        super().connection_made(transport)
        self.recv_messages.pause = self._pause
        self.recv_messages.resume = self._resume

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone."""
        self._deaf = True
        self._unparsed.clear()
        super().connection_lost(exc)
        if self.watcher is not None:
            self.watcher.leaving()
        self._registry.leave(self, self._address)

    def pause_writing(self) -> None:
        """The write buffer is above its high-water mark."""
        super().pause_writing()
        if self.watcher is not None:
            self.watcher.full()

    def resume_writing(self) -> None:
        """The write buffer is below its low-water mark again."""
        super().resume_writing()
        if self.watcher is not None:
            self.watcher.resumed()

    def data_received(self, data: bytes) -> None:
        """Some bytes came."""
        if self._silenced:
            self._ignored += len(data)
            if self._ignored > IGNORED:
                self._flooded(f"more than {IGNORED} bytes came from a client that should only listen")
        elif not self._deaf:
            if self._between and not self._unparsed and len(data) == len(ALIVE) + 6 and self._is_pong(data):
                return
            if self._ending:
                self._ignored += len(data)
                if self._ignored > BEHIND_THE_END:
                    self.turn_deaf()
                    return
            self._unparsed += data
            if not self._parsing:
                self._parse()

    def process_event(self, event: Event) -> None:
        """A frame came, or the request."""
        if isinstance(event, Frame):
            if self._deaf or not self._is_allowed():
                return
            if event.opcode is Opcode.PONG and self.watcher is not None:
                self.watcher.pong()
            if event.opcode in _DATA:
                self._fragments = 0 if event.fin else self._fragments + 1
                if self._fragments > FRAGMENTS:
                    self._flooded(f"a message of more than {FRAGMENTS} fragments came from this client")
                    return
        super().process_event(event)

    @property
    def behind(self) -> bool:
        """Whether something that the client has sent waits to be looked at, and a pong may be behind it."""
        return bool(self._unparsed) or self._full

    def end_within(self, limit_s: float) -> None:
        """A close message went out: the client may answer it for so long, and not send on for ever."""
        self._ending = True
        self.loop.call_later(limit_s, self.transport.abort)

    def only_sends(self) -> None:
        """What comes is read and not looked at, so that its end is seen."""
        self._silenced = True
        self._unparsed.clear()
        self._settle()

    def turn_deaf(self) -> None:
        """Look at nothing more that comes."""
        self._deaf = True
        self._unparsed.clear()
        self._settle()

    def _parse(self) -> None:
        self._parsing = False
        if not self._full and not self._deaf:
            portion = bytes(self._unparsed[:PORTION])
            del self._unparsed[:PORTION]
            if self.request is None:
                self._between = portion.endswith(b"\r\n\r\n")
            else:
                self._between = self._between and _are_whole(portion)
            super().data_received(portion)
            if self.watcher is not None and self.protocol.state is not OPEN:
                self.watcher.leaving()
            if self.protocol.state is CLOSING and not self._ending:
                self.end_within(CLOSE_LIMIT_S)
        self._settle()

    def _is_pong(self, data: bytes) -> bool:
        """Whether that is the answer to our ping and nothing else; it is dealt with then."""
        mask = data[2:6]
        if data[:2] != _PONG or bytes(byte ^ mask[at % 4] for at, byte in enumerate(data[6:])) != ALIVE:
            return False
        if self._is_allowed() and self.watcher is not None:
            self.watcher.pong()
        return True

    def _is_allowed(self) -> bool:
        """Whether the client may send one more message now; it is cut off where not."""
        now_s = self.loop.time()
        if not self._allowance.take(1, now_s):
            self._flooded(f"more than {MESSAGES:.0f} messages a second came from this client")
            return False
        if self._shared is not None and not self._shared.take(1, now_s):
            self._flooded(f"more than {ADDRESS_MESSAGES:.0f} messages a second came from this address")
            return False
        return True

    def _settle(self) -> None:
        """Read, or parse on, or neither."""
        waits = bool(self._unparsed)
        if waits and not self._full and not self._parsing:
            self._parsing = True
            self.loop.call_soon(self._parse)
        reading = not (waits or self._full or self._deaf)
        if reading is not self._reading and not self.transport.is_closing():
            self._reading = reading
            (self.transport.resume_reading if reading else self.transport.pause_reading)()

    def _pause(self) -> None:
        self._full = True
        self._settle()

    def _resume(self) -> None:
        self._full = False
        self._settle()

    def _flooded(self, why: str) -> None:
        self.turn_deaf()
        if self.watcher is not None:
            self.watcher.flooded(why)
        else:
            self.transport.abort()


def _are_whole(data: bytes) -> bool:
    """Whether those are whole masked frames, where a frame begins."""
    at = 0
    while at + 2 <= len(data):
        length, head = data[at + 1] & 0x7F, 6
        if length == 126:
            length, head = int.from_bytes(data[at + 2 : at + 4], "big"), 8
        elif length == 127:
            return False
        at += head + length
    return at == len(data)
