"""Audio from the network through FFmpeg (PyAV): RTSP, RTMP, HTTP, HLS; reconnected for as long as it takes.

A *finite* address (a recording, a finished HLS list) is played at real time like a file and ends with it; after a
break it goes on where it was. Any other is a broadcast: its sender sets the pace and its end is a break. A break is a
hole in the stream as long as time says it lasted. What a URL holds of passwords and queries is never shown.

A length that a server or a header claims does not make a recording: small boards send an endless WAV that states 2 GiB.
What after a break comes from its beginning on no faster than time goes by is a broadcast, and is heard at once.
"""

import ipaddress
import time
from urllib.parse import urlsplit

from streamclf.audio.sources.base import Feeder, Intake, Pace, not_there, steady_ns
from streamclf.audio.sources.edge import MOST_BEHIND_S, from_the_edge
from streamclf.audio.sources.kind import QUOTING, UNQUOTED, Option, SourceKind, as_name
from streamclf.audio.sources.openaddress import ALLOWED, OTHER_RATE, MisledError, OpenAddress, pyav
from streamclf.audio.sources.spec import SourceSpec
from streamclf.clock import NS_PER_SECOND
from streamclf.errors import SourceError, UsageError
from streamclf.retry import Backoff
from streamclf.text import public_url
from streamclf.types import F32, GapReason, StreamState

# A camera of one's own is heard again soon after it is back; other people's servers are asked less and less often.
_OWN = Backoff(first_s=1.0, most_s=2.0)
_RETRY = Backoff(first_s=1.0, most_s=30.0)
_OWN_NAMES = (".local", ".localhost", ".lan", ".home", ".internal", ".home.arpa")
_STABLE_S = 30.0
# Segments of HLS come many seconds at a time. A broadcast may run this far ahead of real time, not further; its pace
# is a little faster than real time, so that a sender whose clock is fast is not held back for ever.
_AHEAD_S = 1.0
_BROADCAST_SPEED = 1.001
# for so long what comes again after a break is weighed, and it has to come so much faster than time goes by
_WEIGHED_S, _FASTER = 2.0, 2.0
# how much shorter than announced a finite stream may be and still count as whole
_TOLERANCE_S = 0.5
SCHEMES = tuple(ALLOWED)
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
        pyav()
        self._connection: OpenAddress | None = None
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
        connection = OpenAddress(self.spec, rate=None)
        self._connection = connection
        self.rate = connection.rate
        # a broadcast cannot wait for its reader, whatever was asked for
        self.live = self.live or not connection.finite
        self._describe(connection)

    def expect(self, reason: str) -> None:
        """It does not answer, for `reason`: `start` waits until it does. Its sound is resampled to the usual rate."""
        self.rate = OTHER_RATE
        self.live = True
        self._expected = reason

    def _describe(self, connection: "OpenAddress") -> None:
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
            connection = OpenAddress(self.spec, rate=self.rate)
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
        except pyav().FFmpegError as fault:
            return connection.why(fault)
        except MisledError as fault:
            return str(fault)
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


def _transport(text: str) -> str:
    if text not in ("tcp", "udp"):
        raise UsageError(f"transport={text} is neither tcp nor udp")
    return text


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
