"""One connection's sending side: straight to the transport, or by way of the mailbox, or from the replay ring.

Theory of operation. While the transport takes what it is given (`paused` is false: under 64 KiB wait in it) and
nothing waits, a message is written at once: no task, no await. What the channel brings does not even come by here then:
it has the transport's own `write` (`_route`). Otherwise it goes to the mailbox, and `pump` empties
that when the transport says that it can take more. A subscriber with a cursor reads from the replay ring instead,
portion by portion, and goes live when the ring has no more; meanwhile `deliver` has nothing to do, because what it
would bring is in the ring. In a lossless run a full transport leads to a cursor too, never to the mailbox.

A client that does not read is found in two ways, within 6 s. No pong within 3.25 s of a ping (every 2 s): this works
however little is sent, while kernel buffers hide for megabytes that nobody reads. No progress of a full write buffer
for 5 s. Both end in `abort`: a close handshake would wait behind the same full buffer. A slow link is no client that
does not read: as long as what lies before the ping moves, the ping has time. So it has where we ourselves do not read
what the client sends, since the pong comes behind that. Until the first pong, and where one takes more than a second,
little waits for the client.

A client that only sends sound need not read: its samples show that it lives, and nothing is written to it but answers.
Once it has sent none for 10 s it is held to the same rules as all others.
"""

import asyncio
import logging
import socket
import sys
import time
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN

from streamclf import metrics
from streamclf.protocol import wire
from streamclf.serve.connection import ALIVE, CLOSE_LIMIT_S, ServedConnection
from streamclf.serve.hub import Hub
from streamclf.serve.mailbox import Mailbox, Outgoing, answer
from streamclf.serve.subscription import Channel

try:
    import fcntl
    import termios
except ImportError:  # not a POSIX system
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("streamclf.serve")

PING_EVERY_S = 2.0
PONG_LIMIT_S = 3.25
DOUBT_S = 1.0
STALL_LIMIT_S = 5.0
SENDS_S = 10.0
AHEAD_S = 0.02  # between two looks whether a hub that copies another one's has come as far as the client
CODE_POLICY = 1008
CODE_TRY_AGAIN = 1013
# high and low water mark of asyncio's write buffer, and the kernel's send buffer (Linux doubles it): what a client
# that never reads can cost, besides its mailbox and one message; and what a client may that was seen to read
WRITE_LIMIT, SEND_BUFFER = (16 * 1024, 4 * 1024), 24 * 1024
READERS_WRITE_LIMIT, READERS_SEND_BUFFER = (64 * 1024, 16 * 1024), 64 * 1024

_PING = Frame(Opcode.PING, ALIVE).serialize(mask=False)


class Subscriber:
    """now: the server's clock (s). phase: in [0, 1), spreads the pings of many subscribers over time."""

    def __init__(self, connection: ServedConnection, hub: Hub, *, now: float, phase: float = 0.0) -> None:
        self.connection = connection
        self.name = _name_of(connection)
        self._hub = hub
        self._protocol = connection.protocol
        self._transport = connection.transport
        self._loop = asyncio.get_running_loop()
        self._mailbox = Mailbox()
        self._reads = True  # until the next line
        self._channel: Channel | None = None
        self._cursor: int | None = None
        self._direct = True
        self._scheduled = False
        self.ended = False
        self._farewell: tuple[int, str, float] | None = None
        self._next_ping = now + PING_EVERY_S * (1 - phase)
        self._pinged_at: float | None = None
        self._progressed = False
        self._sound_at = -SENDS_S  # when samples came last; the newest look, where it was later
        self._sent_sound = False  # since the last look
        self._stuck_at: float | None = None
        self._stuck_bytes = 0
        self._flowing = False  # whether the channel writes straight into the transport
        self._channel_bytes = 0  # what it had written when that began
        self._own_bytes = 0  # handed to the transport otherwise
        self._ping_at_byte = 0
        self._taken_bytes = 0  # of those, by the other side, when last looked at
        self._trust(False)

    # Sending

    def _write(self, frame: bytes) -> None:
        self._own_bytes += len(frame)
        if not self._transport.is_closing():  # asyncio logs what is written to one that is gone
            self._transport.write(frame)

    @property
    def _written(self) -> int:
        """Bytes handed to the transport."""
        flowed = self._channel.written - self._channel_bytes if self._flowing and self._channel is not None else 0
        return self._own_bytes + flowed

    def _route(self) -> None:
        """Let the channel write straight into the transport, or not, as things are now."""
        flows = self._direct and not self.connection.paused and self._protocol.state is OPEN
        if self._channel is None or flows is self._flowing:
            return
        if flows:
            self._channel_bytes = self._channel.written
            self._channel.open(self, self._transport)
        else:
            self._own_bytes = self._written
            self._channel.shut(self)
        self._flowing = flows

    def full(self) -> None:
        """The transport should get no more for now."""
        self._route()

    def leaving(self) -> None:
        """The connection is not open any more."""
        self._route()

    def deliver(self, message: Outgoing) -> None:
        """From the hub: what everybody on the channel gets, where it does not flow by itself."""
        if self._direct and not self.connection.paused:
            if self._protocol.state is OPEN:
                self._write(message.frame)
        elif self.ended or self._cursor is not None:
            return
        elif self._hub.lossless:
            self._read_from(message.place - 1)
        else:
            self._hold(message)

    def show(self, frame: bytes) -> bool:
        """From the hub: a picture or sound, which is sent now or not at all. Returns whether it was."""
        free = self._direct and not self.connection.paused and self._protocol.state is OPEN
        if free:
            self._write(frame)
        return free

    def control(self, message: wire.Message) -> None:
        """An answer to this client alone."""
        outgoing = answer(message)
        if self._direct and not self.connection.paused:
            self.deliver(outgoing)
        elif not self.ended:
            self._hold(outgoing)

    def subscribe(self, wish: wire.Subscribe) -> None:
        """Change the subscription. Raises `ServeError` for names that do not exist; the former one stays then."""
        channel, cursor, answers = self._hub.subscribe(self, wish)
        self._own_bytes, self._flowing = self._written, False  # the former channel has let go of it
        self._channel, self._cursor = channel, None
        for message in answers:
            self.control(message)
        if cursor is not None:
            self._read_from(cursor)
        self._route()

    def moved(self, channel: Channel, answer: wire.Subscribed) -> None:
        """From the hub: a pack has other labels, and so this is its channel now. It reads on where it was."""
        self._own_bytes, self._flowing = self._written, False
        self._channel = channel
        self.control(answer)
        self._route()

    @property
    def subscribed(self) -> bool:
        """Whether it gets what is published."""
        return self._channel is not None

    def resumed(self) -> None:
        """The transport can take more."""
        self._stuck_at = None
        self._progressed = True
        if not self.ended:
            self.pump()

    def pump(self) -> None:
        """Send what waits, as far as the transport takes it."""
        while not self.connection.paused and self._protocol.state is OPEN:
            message = self._mailbox.take()
            if message is not None:
                self._write(message.frame)
                continue
            if self._cursor is None or self._channel is None:
                break
            portion, self._cursor = self._hub.read(self._channel, self._cursor, sent_ns=time.time_ns())
            for message in portion:
                self._write(message.frame)
            metrics.MESSAGES_SENT.labels(self._channel.spec.tier).inc(len(portion))
            if self._cursor is not None:
                # the others' turn first; where there is nothing yet, for it is ahead of the hub, a little later
                self._pump_soon(0.0 if portion else AHEAD_S)
                break
        self._settle()
        if self._farewell is not None and self._direct:
            self.close(*self._farewell)

    def _read_from(self, cursor: int) -> None:
        self._cursor = cursor
        self._settle()
        self._pump_soon()

    def _hold(self, message: Outgoing) -> None:
        before = self._mailbox.dropped_rows
        if not self._mailbox.put(message):
            self.cut("mailbox", CODE_TRY_AGAIN, "too many events wait for you; resume with since=")
            return
        metrics.LAGGED_ROWS.inc(self._mailbox.dropped_rows - before)
        self._settle()

    def _settle(self) -> None:
        self._direct = self._cursor is None and not len(self._mailbox) and not self.ended
        self._route()
        if not self.ended:
            self._hub.press(self, self._cursor is not None or self._mailbox.half_full)

    def _pump_soon(self, later_s: float = 0.0) -> None:
        if not self._scheduled:
            self._scheduled = True
            if later_s:
                self._loop.call_later(later_s, self._pump_now)
            else:
                self._loop.call_soon(self._pump_now)

    def _pump_now(self) -> None:
        self._scheduled = False
        if not self.ended:
            self.pump()

    # Life and end

    def pong(self) -> None:
        """The client has read our last ping, and so everything before it."""
        self._pinged_at = None
        self._trust(True)

    def ping(self, now: float) -> None:
        """Ask whether the client reads."""
        self._pinged_at, self._next_ping = now, now + PING_EVERY_S
        self._write(_PING)
        self._ping_at_byte, self._taken_bytes = self._written, self._written - self._waiting_bytes()

    def check(self, now: float) -> None:
        """Called a few times a second: ping, and cut off who does not read."""
        if self._flowing and self._pinged_at is None and now < self._next_ping and not self._sent_sound:
            self._progressed = False
            return  # nothing is asked and nothing waits, as with nearly all of them nearly always
        if self.ended or self._protocol.state is not OPEN:
            return
        if self._sent_sound:
            self._sent_sound, self._sound_at = False, now
        if self._channel is None and now - self._sound_at < SENDS_S:
            self._stuck_at = None
            if now >= self._next_ping and not self.connection.paused:
                self.ping(now)  # who is gone is found by writing
            elif self._pinged_at is not None:
                self._pinged_at = now
            return
        if self.connection.paused:
            waiting = self._transport.get_write_buffer_size()
            if self._stuck_at is None or waiting < self._stuck_bytes:
                self._stuck_at, self._stuck_bytes = now, waiting
            elif now - self._stuck_at > STALL_LIMIT_S:
                self.cut("stalled", None, f"{waiting} bytes did not move for {STALL_LIMIT_S:.0f} s")
                return
        if self._pinged_at is not None:
            # in a lossless run megabytes may lie before the ping in the kernels' buffers
            if (self._progressed and self._hub.lossless) or self.connection.behind or self._link_is_slow():
                self._pinged_at = now
            if now - self._pinged_at > DOUBT_S:
                self._trust(False)
            if now - self._pinged_at > PONG_LIMIT_S:
                self.cut("silent", None, f"no answer to a ping for {PONG_LIMIT_S:g} s")
        elif now >= self._next_ping:
            self.ping(now)
        self._progressed = False

    def _trust(self, reads: bool) -> None:
        """reads: whether the client was seen to read just now."""
        if reads is self._reads:
            return
        self._reads = reads
        before = self._mailbox.dropped_rows
        self._mailbox.trust(reads)
        metrics.LAGGED_ROWS.inc(self._mailbox.dropped_rows - before)
        high, low = READERS_WRITE_LIMIT if reads else WRITE_LIMIT
        self._transport.set_write_buffer_limits(high, low)
        with suppress(OSError):  # of a client that has gone already
            size = READERS_SEND_BUFFER if reads else SEND_BUFFER
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)

    def sends(self) -> None:
        """Samples of the client came."""
        self._sent_sound = True

    def held_back(self, now: float) -> None:
        """What the client sends is not read just now, and its pong is behind that."""
        if self._pinged_at is not None:
            self._pinged_at = now

    def flooded(self, why: str) -> None:
        """The client sends too much."""
        self.cut("flood", CODE_POLICY, why)

    def _link_is_slow(self) -> bool:
        """Whether the last ping is still on its way, behind bytes that move."""
        taken = self._written - self._waiting_bytes()
        moved = self._taken_bytes < taken < self._ping_at_byte
        self._taken_bytes = max(taken, self._taken_bytes)
        return moved

    def _waiting_bytes(self) -> int:
        """Bytes that the other side's kernel does not have yet."""
        return self._transport.get_write_buffer_size() + _unsent(self._transport.get_extra_info("socket").fileno())

    def cut(self, reason: str, code: int | None, text: str) -> None:
        """End the connection from our side: at once without a code, else after a close message. Counted."""
        if self.ended:
            return
        metrics.CUT_OFF.labels(reason).inc()
        logger.warning("subscriber %s was cut off (%s): %s", self.name, reason, text)
        if code is None:
            self.end()
            self._transport.abort()
        else:
            self.close(code, text)

    def finish(self, code: int, text: str, *, limit_s: float) -> None:
        """As `close`, but what waits for the client goes first."""
        self._farewell = code, text, limit_s
        if self._direct:
            self.close(code, text, limit_s)

    def close(self, code: int, text: str, limit_s: float = CLOSE_LIMIT_S) -> None:
        """Send a close message (text: 123 bytes at most) and end the connection within `limit_s` in any case."""
        self.end()
        if self._protocol.state is OPEN:
            self._protocol.send_close(code, text)
            self.connection.send_data()
        self.connection.end_within(limit_s)

    def end(self) -> None:
        """Take no more from the hub. Whoever delivers is walking through the recipients, so leaving comes soon."""
        if not self.ended:
            self.ended = True
            self._direct = False
            self._route()
            self._mailbox.clear()
            self._loop.call_soon(self._hub.detach, self)


def _unsent(descriptor: int) -> int:
    """Bytes in the kernel's send buffer that were not acknowledged; 0 where it does not tell."""
    if fcntl is None or descriptor < 0:
        return 0
    try:
        return int.from_bytes(fcntl.ioctl(descriptor, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    except OSError:
        return 0


def _name_of(connection: ServerConnection) -> str:
    address = connection.remote_address
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) and len(address) >= 2 else str(address)
