"""One opening of a network address by FFmpeg: what may be spoken behind it, its blocks, and why it broke."""

import errno
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from streamclf.audio.sources import ffmpeg
from streamclf.audio.sources.base import Mixer, check_channel
from streamclf.audio.sources.escort import MOST_LED, Escort, take_over
from streamclf.audio.sources.spec import SourceSpec
from streamclf.clock import FRAMES_PER_SECOND, hop_of
from streamclf.errors import AbsentError, SourceError
from streamclf.text import public_url
from streamclf.types import F32

STALL_S = 10.0
OTHER_RATE = 48_000
"""Hz, where the sender's own rate has no 20 ms frame."""
# a jump between two frames' times that is a loss, not rounding and not a sender that set its clock
_LEAST_JUMP_S, _MOST_JUMP_S = 0.05, 60.0
_MOST_BAD_PACKETS = 100
_LISTS = (".pls", ".m3u", ".xspf", ".asx")
# By how an address begins: the protocols that may be spoken behind it, and what may come. `file`, `concat`, `data` and
# the like are left out, and so is all that opens what it names (sdp, concat, image2) but play lists of http: what a
# server sends must not read files here, nor speak to others in any way but theirs.
_WEB = ("http,https,httpproxy,tcp,tls,crypto", f"{ffmpeg.RECORDINGS},hls,dash")
ALLOWED = {
    "http": _WEB,
    "https": _WEB,
    "rtsp": ("rtsp,rtp,srtp,udp,tcp,tls", "rtsp"),
    "rtsps": ("rtsp,rtp,srtp,udp,tcp,tls", "rtsp"),
    "rtmp": ("rtmp,rtmpt,rtmpe,ffrtmphttp,ffrtmpcrypt,http,tcp", "flv,live_flv"),
    "rtmps": ("rtmps,tcp,tls", "flv,live_flv"),
    "srt": ("srt", ffmpeg.RECORDINGS),
}


class MisledError(Exception):
    """Something that a server led to was refused."""


class OpenAddress:
    """An open address. rate: Hz to deliver, None for the stream's own where that has a 20 ms frame."""

    def __init__(self, spec: SourceSpec, *, rate: int | None) -> None:
        av = pyav()
        self._spec = spec
        self._opened = False
        shown = public_url(spec.argument)
        self._escort = Escort() if spec.argument.lower().startswith("http") else None
        options = _options(spec, self._escort)
        try:
            self._container = ffmpeg.open_input(av, spec.argument, options=options, timeout_s=STALL_S)
        except (av.FFmpegError, OSError, ValueError) as fault:
            reason = self.why(fault)
            self._part()
            raise AbsentError(f"{shown} cannot be opened: {reason}; check the address and the network") from None
        try:
            streams = self._container.streams.audio
            if not streams:
                raise SourceError(f"{shown} carries no audio; give an address that does")
            self._stream = streams[0]
            own = self._stream.codec_context.sample_rate
            if not own:
                raise SourceError(f"{shown} does not tell its sample rate; it cannot be used")
            self.rate: int = rate or (own if own % FRAMES_PER_SECOND == 0 else OTHER_RATE)
            hop_of(self.rate)
            self.channels: int = self._stream.codec_context.layout.nb_channels
            check_channel(spec, self.channels)
        except BaseException:
            self.close()
            raise
        self._opened = True
        length_us = self._container.duration
        self.finite = bool(length_us and length_us > 0)
        self.samples = int(length_us * self.rate // 1_000_000) if self.finite else 0

    def close(self) -> None:
        """Disconnect."""
        self._container.close()
        self._part()

    def why(self, fault: Exception) -> str:
        """The reason that it broke or could not be opened."""
        escort = self._escort
        if escort is not None and (escort.refused or escort.failed):
            return escort.refused or escort.failed
        if escort is not None and escort.asked > MOST_LED and not self._opened:
            return f"it leads on more than {MOST_LED} times"
        refused = getattr(fault, "errno", None) == errno.EINVAL  # by the two lists of what may come
        if (refused or isinstance(fault, pyav().InvalidDataError)) and urlsplit(
            self._spec.argument
        ).path.lower().endswith(_LISTS):
            return "it is a play list of another kind than m3u8; give the address that stands in it"
        if refused and escort is not None and not self._opened:
            return "what it sends or leads to is neither audio that FFmpeg knows nor a play list (m3u8) of http"
        return _why(fault)

    def _part(self) -> None:
        if self._escort is not None:
            self._escort.close()

    def blocks(self) -> Iterator[tuple[F32, int]]:
        """(mono float32 block of any length, valid until the next; samples lost before it). Raises FFmpegError."""
        av = pyav()
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
        av = pyav()
        bad = 0
        for packet in self._container.demux(self._stream):
            if self._escort is not None and self._escort.refused:
                raise MisledError(self._escort.refused)
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                bad += 1
                if bad > _MOST_BAD_PACKETS:
                    raise
                continue
            bad = 0
            yield from frames


def _options(spec: SourceSpec, escort: Escort | None) -> dict[str, str]:
    """FFmpeg's. Of a camera the audio alone is asked for; over TCP, and over UDP where it has no other."""
    protocols, formats = ALLOWED[spec.argument.partition("://")[0].lower()]
    options = {"protocol_whitelist": protocols, "format_whitelist": formats}
    if escort is not None:  # which judges connections: each request is one
        options |= {"http_proxy": escort.proxy, "http_persistent": "0", "http_multiple": "0", "multiple_requests": "0"}
    if spec.argument.lower().startswith("rtsp"):
        options["allowed_media_types"] = "audio"
        transport = spec.options.get("transport")
        options |= {"rtsp_transport": str(transport)} if transport else {"rtsp_flags": "prefer_tcp"}
    return options


def _why(fault: Exception) -> str:
    """The reason without the URL, which FFmpeg's own messages repeat with its password."""
    av = pyav()
    if isinstance(fault, av.ExitError):
        return f"nothing came for {STALL_S:g} s"
    if isinstance(fault, av.InvalidDataError):
        return "what came is not audio that FFmpeg knows"
    if getattr(fault, "errno", None) == errno.EIO:
        return "the connection failed"  # FFmpeg's word for a name that does not resolve and for a reset alike
    return getattr(fault, "strerror", None) or type(fault).__name__


def pyav() -> Any:
    """The package. Raises `SourceError` where it is not installed."""
    take_over()
    av = ffmpeg.load()
    if av is None:
        raise SourceError("url: sources need PyAV; run: pip install 'streamclf[url]'")
    return av
