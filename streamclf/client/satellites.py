"""A server of the Wyoming protocol before a daemon: satellites send it sound, and get what the daemon hears in it.

    satellite -> describe                                   info: every label as a model of the program `streamclf`
    satellite -> detect, audio-start, audio-chunk …         detection, at every event that begins
    satellite -> audio-stop                                 not-detected, where there was none

Theory of operation. Each sound that a satellite sends takes one of the daemon's push streams for as long as it lasts;
what comes in another form is converted to 16 bits, one channel, at that stream's rate. The daemon knows nothing of
satellites, and a process of this kind holds nothing but what is being sent: kill it, and nothing is lost.

Wyoming has no token. So it listens on this machine alone, unless it is told from whom connections are taken.
"""

import asyncio
import contextlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from websockets.exceptions import ConnectionClosed
from wyoming.audio import AudioChunk, AudioChunkConverter, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, Eventable
from wyoming.info import Attribution, Describe, Info, WakeModel, WakeProgram
from wyoming.server import AsyncEventHandler, AsyncTcpServer
from wyoming.wake import Detect, Detection, NotDetected

from streamclf import __version__
from streamclf.client.link import Link, why_not
from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.protocol.announce import WYOMING, Announcement

LINGER_S = 1.0
"""After the last sample, for what the daemon has not told yet."""
_ABOUT = Attribution(name="streamclf", url="")


@dataclass
class Satellites:
    """What all connections share. streams: push streams of the daemon that they may take; labels: None for all."""

    url: str
    token: str | None
    streams: Sequence[str]
    labels: Sequence[str] | None
    network: IPv4Network | IPv6Network | None
    taken: set[str] = field(default_factory=set)

    async def serve(self, host: str, port: int, *, announce: bool = False) -> None:
        """For ever. announce: told to the local network by mDNS. Raises OSError where the address is not to be had."""
        server = AsyncTcpServer(host, port)
        announcement = Announcement(WYOMING, host, port) if announce else None
        telling = asyncio.create_task(announcement.start()) if announcement else None
        try:
            await server.run(lambda reader, writer: Satellite(self, reader, writer))
        finally:
            if announcement and telling:
                await telling
                await announcement.stop(Announcement.stop_s)

    async def hello(self, link: Link) -> wire.Hello:
        """The first message of a daemon."""
        message = await _next(link)
        if not isinstance(message, wire.Hello):
            raise ServeError(f"{self.url} did not say hello; check the address")
        return message

    def free(self, hello: wire.Hello) -> wire.StreamEntry:
        """A push stream that nobody uses. Raises `ServeError`."""
        there = [one for one in hello.streams if one.push and (not self.streams or one.name in self.streams)]
        if not there:
            names = ", ".join(one.name for one in hello.streams) or "none"
            raise ServeError(f"the daemon has no push stream for a satellite (it has {names}); add push:NAME,16000")
        for one in there:
            if one.name not in self.taken and one.state != "live":
                return one
        raise ServeError(f"all {len(there)} push streams are taken; give the daemon one for each satellite")


class Satellite(AsyncEventHandler):
    """One connection."""

    def __init__(self, shared: Satellites, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self._shared = shared
        self._names: Sequence[str] | None = None
        self._sound: _Sound | None = None
        peer = writer.get_extra_info("peername")
        network = shared.network
        self._refused = network is not None and ip_address(str(peer[0]).partition("%")[0]) not in network

    async def handle_event(self, event: Event) -> bool:
        """What the satellite says; whether the connection goes on."""
        if self._refused:
            await self._say(Error(text="satellites of this address are not heard here (--from)", code="refused"))
            return False
        try:
            await self._heed(event)
        except ServeError as fault:
            await self._end()
            await self._say(Error(text=str(fault), code="streamclf"))
        except Exception as fault:
            await self._end()
            await self._say(Error(text=_why(self._shared.url, fault), code="streamclf"))
        return True

    async def disconnect(self) -> None:
        """The satellite has gone."""
        await self._end()

    async def _heed(self, event: Event) -> None:
        if Describe.is_type(event.type):
            await self._say(await self._info())
        elif Detect.is_type(event.type):
            self._names = Detect.from_event(event).names
        elif AudioStart.is_type(event.type):
            await self._end()
            self._sound = await _Sound.begin(self._shared, self._names, self._say)
        elif AudioChunk.is_type(event.type):
            if self._sound is None:
                self._sound = await _Sound.begin(self._shared, self._names, self._say)
            await self._sound.send(AudioChunk.from_event(event))
        elif AudioStop.is_type(event.type) and self._sound is not None:
            sound = self._sound
            await sound.finish()
            await self._end()
            if not sound.detected:
                await self._say(NotDetected())

    async def _info(self) -> Info:
        async with await Link.open(self._shared.url, self._shared.token) as link:
            hello = await self._shared.hello(link)
        known = {label.id: label.name for pack in hello.packs for label in pack.labels if not label.hidden}
        chosen = known if self._shared.labels is None else {key: known.get(key, key) for key in self._shared.labels}
        models = [
            WakeModel(name=key, attribution=_ABOUT, installed=True, description=name, version=None, languages=[],
                      phrase=name)
            for key, name in chosen.items()
        ]  # fmt: skip
        program = WakeProgram(
            name="streamclf", attribution=_ABOUT, installed=True, description="Kinds of sound", version=__version__,
            models=models,
        )  # fmt: skip
        return Info(wake=[program])

    async def _say(self, what: Eventable) -> None:
        with contextlib.suppress(ConnectionError):
            await self.write_event(what.event())

    async def _end(self) -> None:
        sound, self._sound = self._sound, None
        if sound is not None:
            await sound.end()


class _Sound:
    """What one satellite sends between audio-start and audio-stop, on one push stream."""

    def __init__(self, shared: Satellites, link: Link, stream: wire.StreamEntry, say: Any) -> None:
        self.detected = 0
        self._shared = shared
        self._link = link
        self._stream = stream
        self._say = say
        self._converter = AudioChunkConverter(rate=stream.rate, width=2, channels=1)
        self._first = 0
        self._timestamp: int | None = None
        self._listening = asyncio.create_task(self._listen(), name=f"satellite on {stream.name}")

    @classmethod
    async def begin(cls, shared: Satellites, names: Sequence[str] | None, say: Any) -> "_Sound":
        """Take a stream. Raises what `Link.open` raises, and `ServeError` where none is free or the daemon refuses."""
        link = await Link.open(shared.url, shared.token)
        try:
            stream = shared.free(await shared.hello(link))
            shared.taken.add(stream.name)
            try:
                wanted = shared.labels if names is None else names
                labels = None if wanted is None else list(wanted)
                await link.send(wire.Subscribe(streams=[stream.name], labels=labels, tier="events"))
                await _answered(link, wire.Subscribed)
                await link.send(wire.Push(stream=stream.name, rate=stream.rate, sender=secrets.token_hex(8)))
                await _answered(link, wire.Pushing)
            except BaseException:
                shared.taken.discard(stream.name)
                raise
        except BaseException:
            await link.close()
            raise
        return cls(shared, link, stream, say)

    async def send(self, chunk: AudioChunk) -> None:
        """Raises `ConnectionClosed`."""
        audio = self._converter.convert(chunk).audio
        self._timestamp = chunk.timestamp
        await self._link.push(self._first, audio)
        self._first += len(audio) // 2

    async def finish(self) -> None:
        """No more comes: wait a moment for what the daemon still has to tell."""
        await asyncio.wait([self._listening], timeout=LINGER_S)

    async def end(self) -> None:
        """Give the stream back."""
        self._listening.cancel()
        with contextlib.suppress(asyncio.CancelledError, ConnectionClosed, TimeoutError):
            await self._listening
        await self._link.close()
        self._shared.taken.discard(self._stream.name)

    async def _listen(self) -> None:
        while True:
            message = await _next(self._link)
            if isinstance(message, wire.Event) and message.stage == "open":
                self.detected += 1
                await self._say(Detection(name=message.label, timestamp=self._timestamp))
            elif isinstance(message, wire.Error):
                await self._say(Error(text=message.message, code=message.code))


async def _next(link: Link) -> wire.ServerMessage | None:
    """The next message; None for a binary one, which nobody here asked for."""
    data = await link.receive()
    return wire.decode_server(data) if isinstance(data, str) else None


def _why(url: str, fault: Exception) -> str:
    try:
        return why_not(url, fault)
    except ServeError as said:
        return str(said)


async def _answered(link: Link, kind: type[wire.Message]) -> None:
    """Wait for a message of this kind. Raises `ServeError` where the daemon refuses."""
    while True:
        message = await _next(link)
        if isinstance(message, wire.Error):
            raise ServeError(message.message)
        if isinstance(message, kind):
            return


def run(satellites: Satellites, host: str, port: int, *, announce: bool = False) -> None:
    """Serve until it is interrupted. Raises `ServeError` where the address is not to be had."""
    try:
        asyncio.run(satellites.serve(host, port, announce=announce))
    except OSError as fault:
        raise ServeError(f"{host}:{port} cannot be listened on: {fault.strerror or fault}") from None
