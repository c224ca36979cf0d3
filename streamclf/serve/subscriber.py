"""One connection's sending side: straight to the transport, or by way of the mailbox, or from the replay ring.

Theory of operation. While the transport takes what it is given (`paused` is false: under 64 KiB wait in it) and
nothing waits, a message is written at once: no task, no await. Otherwise it goes to the mailbox, and `pump` empties
that when the transport says that it can take more. A subscriber with a cursor reads from the replay ring instead,
portion by portion, and goes live when the ring has no more; meanwhile `deliver` has nothing to do, because what it
would bring is in the ring. In a lossless run a full transport leads to a cursor too, never to the mailbox.

A client that does not read is found in two ways. No pong within 8 s of a ping (every 4 s): this works however little
is sent, while kernel buffers hide for megabytes that nobody reads. No progress of a full write buffer for 10 s. Both
end in `abort`: a close handshake would wait behind the same full buffer.
"""

import asyncio
import logging
import socket
import time
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Event

from streamclf import metrics
from streamclf.protocol import wire
from streamclf.serve.hub import Hub
from streamclf.serve.mailbox import Mailbox, Outgoing, answer
from streamclf.serve.roles import Role
from streamclf.serve.subscription import Channel

logger = logging.getLogger("streamclf.serve")

PING_EVERY_S = 4.0
PONG_LIMIT_S = 8.0
STALL_LIMIT_S = 10.0
CLOSE_LIMIT_S = 2.0
CODE_TRY_AGAIN = 1013
# high and low water mark of asyncio's write buffer, and the kernel's send buffer (Linux doubles it): what a client
# that never reads can cost, besides its mailbox
WRITE_LIMIT = (64 * 1024, 16 * 1024)
SEND_BUFFER = 64 * 1024

_PING = Frame(Opcode.PING, b"alive?").serialize(mask=False)


class ServedConnection(ServerConnection):
    """A connection that tells its subscriber when it can take more and when a pong came.

    registry: every connection that is open, from its first byte on. emptied: set when the last one is gone.
    """

    def __init__(self, *args: Any, registry: "set[ServedConnection]", emptied: asyncio.Event, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.subscriber: Subscriber | None = None
        self.role = Role.LABELS  # until the request is looked at
        self._registry = registry
        self._emptied = emptied

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepted."""
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        self._registry.add(self)
        super().connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone."""
        super().connection_lost(exc)
        self._registry.discard(self)
        if not self._registry:
            self._emptied.set()

    def resume_writing(self) -> None:
        """The write buffer is below its low-water mark again."""
        super().resume_writing()
        if self.subscriber is not None:
            self.subscriber.resumed()

    def process_event(self, event: Event) -> None:
        """A frame came."""
        if isinstance(event, Frame) and event.opcode is Opcode.PONG and self.subscriber is not None:
            self.subscriber.pong()
        super().process_event(event)


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
        self._channel: Channel | None = None
        self._cursor: int | None = None
        self._direct = True
        self._scheduled = False
        self.ended = False
        self._farewell: tuple[int, str, float] | None = None
        self._next_ping = now + PING_EVERY_S * (1 - phase)
        self._pinged_at: float | None = None
        self._progressed = False
        self._stuck_at: float | None = None
        self._stuck_bytes = 0

    # Sending

    def deliver(self, message: Outgoing) -> None:
        """From the hub: what everybody on the channel gets."""
        if self._direct and not self.connection.paused:
            if self._protocol.state is OPEN:
                self._transport.write(message.frame)
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
            self._transport.write(frame)
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
        self._channel, self._cursor = channel, None
        for message in answers:
            self.control(message)
        if cursor is not None:
            self._read_from(cursor)

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
                self._transport.write(message.frame)
                continue
            if self._cursor is None or self._channel is None:
                break
            portion, self._cursor = self._hub.read(self._channel, self._cursor, sent_ns=time.time_ns())
            for message in portion:
                self._transport.write(message.frame)
            metrics.MESSAGES_SENT.labels(self._channel.spec.tier).inc(len(portion))
            if self._cursor is not None:
                self._pump_soon()  # the others' turn first
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
        if not self.ended:
            self._hub.press(self, self._cursor is not None or self._mailbox.half_full)

    def _pump_soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._pump_now)

    def _pump_now(self) -> None:
        self._scheduled = False
        if not self.ended:
            self.pump()

    # Life and end

    def pong(self) -> None:
        """The client has read our last ping, and so everything before it."""
        self._pinged_at = None

    def check(self, now: float) -> None:
        """Called a few times a second: ping, and cut off who does not read."""
        if self.ended or self._protocol.state is not OPEN:
            return
        if self.connection.paused:
            waiting = self._transport.get_write_buffer_size()
            if self._stuck_at is None or waiting < self._stuck_bytes:
                self._stuck_at, self._stuck_bytes = now, waiting
            elif now - self._stuck_at > STALL_LIMIT_S:
                self.cut("stalled", None, f"{waiting} bytes did not move for {STALL_LIMIT_S:.0f} s")
                return
        if self._pinged_at is not None:
            if self._progressed and self._hub.lossless:
                # megabytes may lie before the ping in the kernels' buffers, and nobody waits for this client in vain
                self._pinged_at = now
            if now - self._pinged_at > PONG_LIMIT_S:
                self.cut("silent", None, f"no answer to a ping for {PONG_LIMIT_S:.0f} s")
        elif now >= self._next_ping:
            self._pinged_at, self._next_ping = now, now + PING_EVERY_S
            self._transport.write(_PING)
        self._progressed = False

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
        self._loop.call_later(limit_s, self._transport.abort)

    def end(self) -> None:
        """Take no more from the hub. Whoever delivers is walking through the recipients, so leaving comes soon."""
        if not self.ended:
            self.ended = True
            self._direct = False
            self._mailbox.clear()
            self._loop.call_soon(self._hub.detach, self)


def _name_of(connection: ServerConnection) -> str:
    address = connection.remote_address
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) and len(address) >= 2 else str(address)
