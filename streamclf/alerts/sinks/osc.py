"""A datagram by UDP: Open Sound Control 1.0 (opensoundcontrol.org), or JSON. Sent in time or not at all."""

import asyncio
import socket
import struct
import time
from typing import Annotated, Literal

from msgspec import Meta

from streamclf.alerts.alert import TEST, Alert
from streamclf.alerts.sinks.body import json_of
from streamclf.alerts.sinks.config import Port, SinkConfig, Text
from streamclf.alerts.sinks.kind import SinkKind
from streamclf.alerts.sinks.sink import Permanent, Sink, Temporary

_MAX_DATAGRAM = 65_507


class OscConfig(SinkConfig, tag="osc", frozen=True):
    """A datagram for what must happen now or not at all (a light, a synthesiser): OSC, or the alert as JSON."""

    host: Text
    """Name or address of the receiver."""
    port: Port
    """Its UDP port."""
    address: Annotated[str, Meta(pattern=r"^/[^\s#*,?\[\]{}]*$")] = "/streamclf/alert"
    """OSC address of the message."""
    format: Literal["osc", "json"] = "osc"
    """An OSC message, or the alert as JSON."""
    deadline_ms: Annotated[int, Meta(ge=20, le=60_000)] = 500
    """Later than this after the sound it is not sent any more."""


class Osc(Sink):
    """Arguments: label, stream, stage, rule (strings), peak and seconds since the onset (floats)."""

    def __init__(self, config: OscConfig) -> None:
        self._config = config

    async def send(self, alert: Alert) -> None:
        """See `Sink`."""
        late_ms = (time.time_ns() - alert.at_ns) // 1_000_000
        if late_ms > self._config.deadline_ms and alert.stage != TEST:  # which tells of no sound
            raise Permanent(f"{late_ms} ms after the sound it is too late; deadline_ms is {self._config.deadline_ms}")
        data = json_of(alert) if self._config.format == "json" else message(self._config.address, alert)
        if len(data) > _MAX_DATAGRAM:
            raise Permanent(f"the alert has {len(data)} bytes, and a datagram holds {_MAX_DATAGRAM}")
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(self._config.host, self._config.port, type=socket.SOCK_DGRAM)
            family, kind, protocol, _, address = found[0]
            with socket.socket(family, kind, protocol) as sender:
                sender.setblocking(False)
                await loop.sock_sendto(sender, data, address)
        except OSError as fault:
            # by the time of another try it would be too late
            raise Permanent(f"no datagram could be sent: {fault.strerror or fault}") from None


def message(address: str, alert: Alert) -> bytes:
    """One OSC message: address, type tags, arguments, each padded to a multiple of four bytes."""
    event = alert.event
    texts = (event.label, event.stream, alert.stage, alert.rule)
    numbers = (event.peak, (alert.at_ns - event.onset_ns) / 1e9)
    return b"".join(
        [
            _padded(address),
            _padded("," + "s" * len(texts) + "f" * len(numbers)),
            *map(_padded, texts),
            struct.pack(f">{len(numbers)}f", *numbers),
        ]
    )


def _padded(text: str) -> bytes:
    data = text.replace("\0", "").encode() + b"\0"
    return data + bytes(-len(data) % 4)


async def _check(config: OscConfig) -> None:
    try:
        await asyncio.get_running_loop().getaddrinfo(config.host, config.port, type=socket.SOCK_DGRAM)
    except OSError as fault:
        raise Temporary(f"{config.host} has no address: {fault.strerror or fault}") from None


KIND = SinkKind(
    OscConfig,
    lambda config, context: Osc(config),
    does="sends a datagram, in time or never",
    examples={
        "host": '"192.168.1.20"',
        "port": "9000",
        "address": '"/birds"',
        "format": '"json"',
        "deadline_ms": "500",
    },
    check=_check,
)
