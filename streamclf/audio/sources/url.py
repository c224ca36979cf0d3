"""Audio from the network through FFmpeg (PyAV): RTSP, RTMP, HTTP, HLS; reconnected for as long as it takes.

A *finite* address (a recording, a finished HLS list) is played at real time like a file and ends with it; after a
break it goes on where it was. Any other is a broadcast: its sender sets the pace and its end is a break. A break is a
hole in the stream as long as time says it lasted. What a URL holds of passwords and queries is never shown.

A length that a server or a header claims does not make a recording: small boards send an endless WAV that states 2 GiB.
What after a break comes from its beginning on no faster than time goes by is a broadcast, and is heard at once.
"""

import errno
import ipaddress
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from streamclf.audio.sources import ffmpeg
from streamclf.audio.sources.base import Feeder, Intake, Mixer, Pace, check_channel, not_there, steady_ns
from streamclf.audio.sources.edge import MOST_BEHIND_S, from_the_edge
from streamclf.audio.sources.kind import QUOTING, UNQUOTED, Option, SourceKind, as_name
from streamclf.audio.sources.spec import SourceSpec
from streamclf.clock import FRAMES_PER_SECOND, NS_PER_SECOND, hop_of
from streamclf.errors import AbsentError, SourceError, UsageError
from streamclf.retry import Backoff
from streamclf.text import public_url
from streamclf.types import F32, GapReason, StreamState

STALL_S = 10.0
# A camera of one's own is heard again soon after it is back; other people's servers are asked less and less often.
_OWN = Backoff(first_s=1.0, most_s=2.0)
_RETRY = Backoff(first_s=1.0, most_s=30.0)
_OWN_NAMES = (".local", ".localhost", ".lan", ".home", ".internal", ".home.arpa")
_STABLE_S = 30.0
_OTHER_RATE = 48_000
# Segments of HLS come many seconds at a time. A broadcast may run this far ahead of real time, not further; its pace
# is a little faster than real time, so that a sender whose clock is fast is not held back for ever.
_AHEAD_S = 1.0
_BROADCAST_SPEED = 1.001
# a jump between two frames' times that is a loss, not rounding and not a sender that set its clock
_LEAST_JUMP_S, _MOST_JUMP_S = 0.05, 60.0
_MOST_BAD_PACKETS = 100
# for so long what comes again after a break is weighed, and it has to come so much faster than time goes by
_WEIGHED_S, _FASTER = 2.0, 2.0
# how much shorter than announced a finite stream may be and still count as whole
_TOLERANCE_S = 0.5
# By how an address begins: the protocols that may be spoken behind it, and what may come. `file`, `concat`, `data` and
# the like are left out, and so is all that opens what it names (sdp, concat, image2) but play lists of http: what a
# server sends must not read files here, nor speak to others in any way but theirs.
_WEB = ("http,https,httpproxy,tcp,tls,crypto", f"{ffmpeg.RECORDINGS},hls,dash")
_ALLOWED = {
    "http": _WEB,
    "https": _WEB,
    "rtsp": ("rtsp,rtp,srtp,udp,tcp,tls", "rtsp"),
    "rtsps": ("rtsp,rtp,srtp,udp,tcp,tls", "rtsp"),
    "rtmp": ("rtmp,rtmpt,rtmpe,ffrtmphttp,ffrtmpcrypt,http,tcp", "flv,live_flv"),
    "rtmps": ("rtmps,tcp,tls", "flv,live_flv"),
    "srt": ("srt", ffmpeg.RECORDINGS),
}
SCHEMES = tuple(_ALLOWED)
_SECONDS_LEFT = "trying again in {:g} s"


def is_near(url: str) -> bool:
    """Whether the address is of this machine or of its own network, by what is written there; no name is looked up."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith(_OWN_NAMES)


class UrlSource(Feeder):
    """A network address as a stream."""

    def __init__(self, spec: SourceSpec, *, fast: bool = False) -> None:
        super().__init__(spec, fast=fast)
        _av()
        self._connection: _Connection | None = None
        # samples taken of a finite stream, over all connections
        self._position = 0
        self._endless = False  # whatever its length is said to be
        self._expected = ""
        self._retry = _OWN if is_near(spec.argument) else _RETRY

    @property
    def finite(self) -> bool:
        """It ends by itself only where its address is that of a recording."""
        return True

    def open(self) -> None:
        """Connect. Raises `AbsentError` and `SourceError` with the reason, without the URL's secrets."""
        connection = _Connection(self.spec, rate=None)
        self._connection = connection
        self.rate = connection.rate
        # a broadcast cannot wait for its reader, whatever was asked for
        self.live = self.live or not connection.finite
        self._describe(connection)

    def expect(self, reason: str) -> None:
        """It does not answer, for `reason`: `start` waits until it does. Its sound is resampled to the usual rate."""
        self.rate = _OTHER_RATE
        self.live = True
        self._expected = reason

    def _describe(self, connection: "_Connection") -> None:
        self.channels = connection.channels
        self.description = f"{public_url(self.spec.argument)}, {self.rate} Hz, {self.channels} ch"

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _feed(self, intake: Intake) -> str:
        tries = 0
        if self._expected:
            self._tell_absent(intake, self._expected, tries)
        while not self._stopping.is_set():
            if self._connection is None:
                connected = self._reconnect(intake, tries)
                tries += 1
                if not connected:
                    continue
            before, begun_ns = self._position, steady_ns()
            reason = self._play(intake)
            finite = self._connection is not None and self._connection.finite
            self._close()
            if not reason or (tries and finite and 0 < self._position == before):
                return f"{public_url(self.spec.argument)} was played to its end"
            if self._stopping.is_set():
                break
            tries = 0 if steady_ns() - begun_ns > _STABLE_S * NS_PER_SECOND else tries
            intake.notify(StreamState.LOST, f"{self.description}: {reason}")
            intake.notify(StreamState.RECONNECTING, _SECONDS_LEFT.format(self._retry.delay_s(tries)))
        return "stopped"

    def _reconnect(self, intake: Intake, tries: int) -> bool:
        self._stopping.wait(self._retry.delay_s(tries))
        if self._stopping.is_set():
            return False
        try:
            connection = _Connection(self.spec, rate=self.rate)
        except SourceError as fault:
            if self._expected:
                self._tell_absent(intake, str(fault), tries + 1)
            else:
                intake.notify(
                    StreamState.RECONNECTING, f"{fault}; " + _SECONDS_LEFT.format(self._retry.delay_s(tries + 1))
                )
            return False
        self._connection = connection
        if self._expected:
            self._expected = ""
            self._describe(connection)
        return True

    def _tell_absent(self, intake: Intake, reason: str, tries: int) -> None:
        intake.notify(StreamState.LOST, not_there(f"in {self._retry.delay_s(tries):g} s", reason))

    def _play(self, intake: Intake) -> str:
        """Write one connection's audio; returns why it broke, "" at the end of a finite stream."""
        connection = self._connection
        assert connection is not None
        if self._endless:
            connection.finite = False
        heard = self._position if connection.finite else 0
        again_ns, again = 0, 0
        behind = 0  # samples that had come before a broadcast could be read: they are late already
        pace: Pace | None = None
        samples = 0
        blocks = connection.blocks()
        try:
            for mono, lost in blocks if connection.finite else from_the_edge(blocks, self.rate):
                if self._stopping.is_set():
                    return "stopped"
                if heard:
                    again_ns = again_ns or steady_ns()
                    again += len(mono)
                    weighed_s = (steady_ns() - again_ns) / NS_PER_SECOND
                    if weighed_s > _WEIGHED_S and again < _FASTER * weighed_s * self.rate:
                        self._endless, connection.finite, heard = True, False, 0
                if heard:
                    known = min(heard, len(mono))
                    heard -= known
                    mono = mono[known:]
                if not len(mono):
                    continue
                if pace is None:
                    pace = Pace(self.rate, self._stopping, speed=1.0 if connection.finite else _BROADCAST_SPEED)
                    self._begin(intake, len(mono))
                    behind = 0 if connection.finite else len(mono)
                if lost:
                    intake.lose(lost, GapReason.LOST)
                samples += lost + len(mono)
                self._position += len(mono)
                if not connection.finite:
                    behind += self._late(intake, pace, samples - behind, behind)
                self._write(intake, mono, pace, samples - behind)
        except _av().FFmpegError as fault:
            return _why(fault)
        if not connection.finite:
            return "the sender ended the stream"
        if self._position < connection.samples - _TOLERANCE_S * self.rate:
            return f"it broke off after {self._position / self.rate:.1f} s of {connection.samples / self.rate:.1f} s"
        return ""

    def _late(self, intake: Intake, pace: Pace, samples: int, behind: int) -> int:
        """How many more of a broadcast's samples are late: on a busy machine the edge is not found at once.

        A sender that is at the world's pace cannot be far ahead of it. One that is faster is taken at its word for a
        few seconds in all, `behind` of which are used up, and then held back.
        """
        most = int(MOST_BEHIND_S * self.rate) - behind
        late = max(0, min(most, int((pace.ahead_s(samples) - _AHEAD_S) * self.rate)))
        if late:
            intake.begin_anew()
        return late

    def _begin(self, intake: Intake, block: int) -> None:
        if self.live:
            intake.resume(block)
        elif not intake.clock.started:
            intake.begin(time.time_ns())
        intake.notify(StreamState.LIVE, self.description)

    def _write(self, intake: Intake, mono: F32, pace: Pace, samples: int) -> None:
        if not self.live:
            self._give(intake, mono)
            return
        finite = self._connection is not None and self._connection.finite
        on_time = pace.wait(samples, ahead_s=0.0 if finite else _AHEAD_S)
        if not self._stopping.is_set():
            tells = on_time or not finite or samples == len(mono)
            intake.write(mono, time.time_ns() if tells else None)


class _Connection:
    """An open address. rate: Hz to deliver, None for the stream's own where that has a 20 ms frame."""

    def __init__(self, spec: SourceSpec, *, rate: int | None) -> None:
        av = _av()
        self._spec = spec
        shown = public_url(spec.argument)
        try:
            self._container = ffmpeg.open_input(av, spec.argument, options=_options(spec), timeout_s=STALL_S)
        except (av.FFmpegError, OSError, ValueError) as fault:
            raise AbsentError(f"{shown} cannot be opened: {_why(fault)}; check the address and the network") from None
        try:
            streams = self._container.streams.audio
            if not streams:
                raise SourceError(f"{shown} carries no audio; give an address that does")
            self._stream = streams[0]
            own = self._stream.codec_context.sample_rate
            if not own:
                raise SourceError(f"{shown} does not tell its sample rate; it cannot be used")
            self.rate: int = rate or (own if own % FRAMES_PER_SECOND == 0 else _OTHER_RATE)
            hop_of(self.rate)
            self.channels: int = self._stream.codec_context.layout.nb_channels
            check_channel(spec, self.channels)
        except BaseException:
            self.close()
            raise
        length_us = self._container.duration
        self.finite = bool(length_us and length_us > 0)
        self.samples = int(length_us * self.rate // 1_000_000) if self.finite else 0

    def close(self) -> None:
        """Disconnect."""
        self._container.close()

    def blocks(self) -> Iterator[tuple[F32, int]]:
        """(mono float32 block of any length, valid until the next; samples lost before it). Raises FFmpegError."""
        av = _av()
        mix: Mixer | None = None
        resampler: Any = None
        shape: tuple[Any, ...] = ()
        due_s = 0.0
        for frame in self._frames():
            if shape != (frame.format.name, frame.layout.name, frame.sample_rate):
                shape = (frame.format.name, frame.layout.name, frame.sample_rate)
                resampler = av.AudioResampler(format="fltp", rate=self.rate)
                check_channel(self._spec, frame.layout.nb_channels)
                mix = Mixer(frame.layout.nb_channels, self._spec.channel, 0)
            lost = 0
            if not self.finite and frame.time is not None:
                jump_s = frame.time - due_s
                if due_s and _LEAST_JUMP_S < jump_s < _MOST_JUMP_S:
                    lost = int(jump_s * self.rate)
                due_s = frame.time + frame.samples / frame.sample_rate
            for out in resampler.resample(frame):
                assert mix is not None
                yield mix(out.to_ndarray().T), lost
                lost = 0
        for out in resampler.resample(None) if resampler is not None else ():
            assert mix is not None
            yield mix(out.to_ndarray().T), 0

    def _frames(self) -> Iterator[Any]:
        av = _av()
        bad = 0
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                bad += 1
                if bad > _MOST_BAD_PACKETS:
                    raise
                continue
            bad = 0
            yield from frames


def _options(spec: SourceSpec) -> dict[str, str]:
    """FFmpeg's. Of a camera the audio alone is asked for; over TCP, and over UDP where it has no other."""
    protocols, formats = _ALLOWED[spec.argument.partition("://")[0].lower()]
    options = {"protocol_whitelist": protocols, "format_whitelist": formats}
    if spec.argument.lower().startswith("rtsp"):
        options["allowed_media_types"] = "audio"
        transport = spec.options.get("transport")
        options |= {"rtsp_transport": str(transport)} if transport else {"rtsp_flags": "prefer_tcp"}
    return options


def _transport(text: str) -> str:
    if text not in ("tcp", "udp"):
        raise UsageError(f"transport={text} is neither tcp nor udp")
    return text


def _why(fault: Exception) -> str:
    """The reason without the URL, which FFmpeg's own messages repeat with its password."""
    av = _av()
    if isinstance(fault, av.ExitError):
        return f"nothing came for {STALL_S:g} s"
    if isinstance(fault, av.InvalidDataError):
        return "what came is not audio that FFmpeg knows"
    if getattr(fault, "errno", None) == errno.EIO:
        return "the connection failed"  # FFmpeg's word for a name that does not resolve and for a reset alike
    return getattr(fault, "strerror", None) or type(fault).__name__


def _av() -> Any:
    av = ffmpeg.load()
    if av is None:
        raise SourceError("url: sources need PyAV; run: pip install 'streamclf[url]'")
    return av


def _argument(text: str) -> str:
    url = text.strip()
    scheme, mark, _ = url.partition("://")
    if not mark or scheme.lower() not in SCHEMES:
        shown = f"{scheme}:" if mark else "that"
        raise UsageError(f"{shown} is not an address streamclf opens; use url: and one of {', '.join(SCHEMES)}")
    if "@" in url.partition("#")[2]:
        raise UsageError(UNQUOTED)
    if len(url.split()) > 1:
        raise UsageError("the address after url: holds a space; write it as %20")
    if not _host(url):
        raise UsageError(f"the address after url: has no host, or no number as its port; {QUOTING}")
    return url


def _host(url: str) -> str:
    """Its host, or "" where it has none, or none that can be told from a password."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return ""
    return host or ""


def _name(url: str) -> str:
    return "" if public_url(url).endswith("://…") else as_name(_host(url))


KIND = SourceKind(
    name="url",
    usage="url:ADDRESS",
    summary="RTSP, RTMP, SRT, HTTP, HLS (extra url)",
    example="url:rtsp://camera.local/stream",
    make=UrlSource,
    argument=_argument,
    default_name=_name,
    shown=public_url,
    means=lambda text: text.partition(":")[0].lower() in SCHEMES,
    options=(Option("transport", _transport, "tcp or udp: how a camera (RTSP) is asked to send; else what it offers"),),
)
