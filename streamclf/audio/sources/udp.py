"""Sound over UDP, as RTP packets: `ffmpeg -re -i song.flac -ac 1 -ar 16000 -f rtp rtp://127.0.0.1:5004`.

Who sends needs no connection and learns nothing of us. What a packet says of its place decides: a lost one is a gap of
exactly its samples, one that comes late is put in its place as long as others wait for it (`hold` ms), and one that
comes twice is left out. Anybody who reaches the port could send, and a source's address can be forged: so it listens on
this machine alone unless it is told who sends.
"""

import os
import select
import socket
import time
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from streamclf.audio.rtp import FORMS, Arrived, Packet, Reorder, parse
from streamclf.audio.sources.base import Feeder, Intake, Mixer, check_channel
from streamclf.audio.sources.kind import MAX_CHANNELS, MAX_RATE, Option, SourceKind, whole
from streamclf.audio.sources.spec import SourceSpec
from streamclf.clock import hop_of
from streamclf.errors import SourceError, UsageError
from streamclf.types import GapReason, StreamState

SILENCE_S = 2.0
"""Without a packet, after which the sender counts as gone."""
_YIELD_S = 0.5  # so long a sender is silent before another one is heard in its place
FAR_S = 24 * 3600
"""A place that is further off is another count: how much is missing, time tells."""
HOLD_MS = 200
_BUFFER_BYTES = 1 << 20  # of the kernel: some seconds
_LARGEST = 65_536
_BATCH = 64  # packets that are read before the clock is looked at again


class UdpSource(Feeder):
    """One port, one stream, one sender at a time."""

    def __init__(self, spec: SourceSpec, *, fast: bool = False) -> None:
        super().__init__(spec)  # the world sets the pace, whatever was asked for
        self.refused = 0
        """Packets that were not what was expected, or from somebody else."""
        self._why = ""
        self._place: tuple[str, int] = ("", 0)
        self._form = FORMS[0]
        self._sender: IPv4Network | IPv6Network | None = spec.options.get("from")
        self._hold_ms: int = spec.options.get("hold", HOLD_MS)
        self._socket: socket.socket | None = None
        self._bell: tuple[int, int] | None = None

    def open(self) -> None:
        """Bind. Raises `RateError`, and `SourceError` for an address that is not to be had."""
        host, port, self.rate, self.channels, self._form = udp_format(self.spec.argument)
        hop_of(self.rate)
        check_channel(self.spec, self.channels)
        if not ip_address(host).is_loopback and self._sender is None:
            raise SourceError(
                f"udp:{host} hears whoever reaches this machine; say who sends, as in #from=192.168.1.20 or "
                "#from=192.168.1.0/24, or listen on 127.0.0.1"
            )
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_BYTES)
        self._socket.setblocking(False)
        try:
            self._socket.bind((host, port))
        except OSError as fault:
            self._close()
            raise SourceError(f"udp port {port} of {host} cannot be listened on: {fault.strerror}") from None
        self._place = self._socket.getsockname()[:2]
        self._bell = os.pipe()
        at = f"[{host}]" if ":" in host else host
        self.description = f"RTP on {at}:{self._place[1]}, {self.rate} Hz, {self.channels} ch, {self._form}"

    @property
    def port(self) -> int:
        """The port in use."""
        return self._place[1]

    def _feed(self, intake: Intake) -> str:
        order = Reorder(hold=self._hold_ms * self.rate // 1000, far=FAR_S * self.rate)
        mix = Mixer(self.channels, self.spec.channel, self.rate)
        live, told = False, False
        last_s = time.monotonic()
        intake.notify(StreamState.WAITING, f"nobody has sent anything to {self.description} yet")
        while not self._stopping.is_set():
            pieces: list[Arrived] = []
            packets = self._receive(self._hold_ms / 1000 if order.holds else SILENCE_S)
            now_s = time.monotonic()
            for packet in packets:
                if packet.sender != order.sender and live and now_s - last_s < _YIELD_S:
                    self._refuse("two send at once, and the one that was there is heard")
                    continue
                if not live:
                    live = True
                    intake.notify(StreamState.LIVE, self.description)
                pieces += order.push(packet)
                last_s = now_s
            if order.holds and now_s - last_s >= self._hold_ms / 1000:
                pieces += order.give_up()  # its sender has stopped, or what it sends is all lost
            self._write(intake, mix, pieces)
            if live and now_s - last_s >= SILENCE_S:
                live = False
                intake.notify(StreamState.LOST, f"nothing came to {self.description} for {SILENCE_S:g} s")
            if self.refused and not told:
                told = True
                intake.notify(StreamState.LIVE if live else StreamState.WAITING,
                              f"{self.description}; some packets are refused: {self._why}")  # fmt: skip
        return "stopped"

    def _write(self, intake: Intake, mix: Mixer, pieces: list[Arrived]) -> None:
        arrived_ns = time.time_ns()
        for index, piece in enumerate(pieces):
            if piece.anew:
                intake.resume(len(piece.samples))
            elif piece.lost:
                self.xruns += 1
                intake.lose(piece.lost, GapReason.LOST)
            # what waited for another tells nothing of time
            newest = index == len(pieces) - 1
            intake.write(mix(piece.samples), arrived_ns if newest else None)

    def _receive(self, limit_s: float) -> list[Packet]:
        """What has come; waits for it up to `limit_s`."""
        assert self._socket is not None
        assert self._bell is not None
        select.select([self._socket.fileno(), self._bell[0]], [], [], limit_s)
        found: list[Packet] = []
        for _ in range(_BATCH):
            try:
                data, (host, *_) = self._socket.recvfrom(_LARGEST)
            except BlockingIOError:
                break
            except OSError as fault:
                raise SourceError(f"{self.description} cannot be read: {fault.strerror}") from None
            if self._sender is not None and ip_address(host.partition("%")[0]) not in self._sender:
                self._refuse(f"one came from {host}, which #from does not name")
                continue
            try:
                found.append(parse(data, channels=self.channels, form=self._form))
            except ValueError as fault:
                self._refuse(str(fault))
        return found

    def _refuse(self, why: str) -> None:
        self.refused += 1
        self._why = why

    def _interrupt(self) -> None:
        if self._bell is not None:
            os.write(self._bell[1], b"\0")

    def _close(self) -> None:
        opened, self._socket = self._socket, None
        if opened is not None:
            opened.close()
        bell, self._bell = self._bell, None
        for fd in bell or ():
            os.close(fd)


def udp_format(argument: str) -> tuple[str, int, int, int, str]:
    """`[HOST:]PORT,RATE[,CHANNELS[,l16|l24]]` -> (host, port, rate in Hz, channels, form). Raises `UsageError`."""
    parts = [part.strip() for part in argument.split(",")]
    if not parts[0] or not 2 <= len(parts) <= 4:
        raise UsageError(f"udp:{argument} is not udp:[HOST:]PORT,RATE[,CHANNELS[,FORMAT]]; such as udp:5004,16000")
    host, _, port = parts[0].rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    try:
        ip_address(host)
    except ValueError:
        raise UsageError(f"udp listens on an address of this machine, such as 0.0.0.0, got {host!r}") from None
    channels = whole("udp channel count", parts[2], 1, MAX_CHANNELS) if len(parts) > 2 else 1
    form = parts[3].lower() if len(parts) > 3 else FORMS[0]
    if form not in FORMS:
        raise UsageError(f"{form!r} is not a sample format RTP has here; use {' or '.join(FORMS)}")
    return host, whole("udp port", port, 0, 65_535), whole("udp rate", parts[1], 1, MAX_RATE), channels, form


def _argument(text: str) -> str:
    udp_format(text)
    return text.strip()


def _sender(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text)
    except ValueError:
        raise UsageError(f"from={text} is no address or network; write such as 192.168.1.20 or 10.0.0.0/8") from None


KIND = SourceKind(
    name="udp",
    usage="udp:[HOST:]PORT,RATE[,CHANNELS[,l16|l24]]",
    summary="RTP packets: of ffmpeg, of a microcontroller",
    example="udp:5004,16000",
    make=UdpSource,
    argument=_argument,
    default_name=lambda argument: f"udp {udp_format(argument)[1]}",
    options=(
        Option("from", _sender, "of whom packets are taken: an address or a network"),
        Option("hold", lambda text: whole("hold", text, 0, 5000), "ms that others wait for a packet that is late"),
    ),
)
