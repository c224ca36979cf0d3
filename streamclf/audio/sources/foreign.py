"""A recording by FFmpeg (PyAV): what phones, cameras and browsers write, and what lies behind damage.

A piece that is damaged counts as silence of its length, so that what follows stays in its place. A FLAC says of each of
its frames where it belongs; an mp3 does not, so all that is missing of its stated length is taken to be missing at its
first damage.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from streamclf.audio.sources import ffmpeg
from streamclf.types import F32

# containers that state their length; what FFmpeg says of others (adts, mp3, ac3) is bytes by bit rate
_STATING = {"mov", "mp4", "m4a", "matroska", "webm", "asf", "caf", "wv", "ape", "wav", "aiff", "flac", "ogg", "avi"}
SLACK_S = 0.5
"""By so much a stated length may be off: it may count the encoder's padding."""
_FLAC_SYNC = 0xFFF8  # 14 bits, then a reserved 0; the last bit: whether frames vary in length
_FLAC_BLOCK_AT = 2  # byte of STREAMINFO's largest block, 16 bits


class BrokenError(Exception):
    """The rest cannot be read, and why."""


class Decoder(Protocol):
    """rate: Hz; samples: of one channel, as stated, 0 where that is unknown or a guess.

    lost: what was damaged in its middle, in words, once all parts were read; "" where nothing was.
    """

    rate: int
    channels: int
    samples: int

    @property
    def lost(self) -> str:
        """As above."""
        ...

    def parts(self, block: int) -> Iterator[F32]:
        """(n, channels) float32, valid until the next; n about `block`. Raises `BrokenError`."""
        ...

    def missing(self, count: int) -> str:
        """What the file says is not among the `count` samples that came: "" or words behind "is cut off after N s"."""
        ...

    def close(self) -> None:
        """Close the file; may be called twice."""
        ...


class ByFfmpeg:
    """An open file. first: sample from which on parts are wanted, because what is before it was read already.

    whole: samples that it states, of one channel.
    """

    def __init__(self, av: Any, path: Path, *, first: int = 0, whole: int = 0) -> None:
        self._av = av
        options = {"protocol_whitelist": "file", "format_whitelist": ffmpeg.RECORDINGS}
        self._container = ffmpeg.open_input(av, f"file:{path}", options=options)
        try:
            streams = self._container.streams.audio
            if not streams:
                raise BrokenError("it holds no sound")
            self._stream = streams[0]
            if self._stream.codec_context is None:
                raise BrokenError("FFmpeg knows no codec of its kind")
            self.rate: int = self._stream.codec_context.sample_rate or 0
            self.channels: int = self._stream.codec_context.layout.nb_channels
            if not self.rate or not self.channels:
                raise BrokenError("it does not tell its rate or its channels")
        except BaseException:
            self.close()
            raise
        length_us = self._container.duration or 0
        stated = _STATING & set(self._container.format.name.split(","))
        self.samples = max(0, length_us * self.rate // 1_000_000) if stated else 0
        self._flac = self._container.format.name == "flac"
        if self._flac:  # a frame whose sum is wrong is noise, and FFmpeg would give it all the same
            self._stream.codec_context.options = {"err_detect": "crccheck+explode"}
        self._first = self._at = first
        self._whole = whole
        self._silent = 0
        self._damage_at: int | None = None

    @property
    def lost(self) -> str:
        """What was damaged, and where it began."""
        if self._damage_at is None:
            return ""
        where = f"from {self._damage_at / self.rate:.2f} s on"
        if not self._silent:
            return f"{where} something is missing, and what lies behind it was used"
        return f"{where} {self._silent / self.rate:.2f} s are missing and count as silence; all else was used"

    def parts(self, block: int) -> Iterator[F32]:
        """(n, channels) float32, valid until the next; n about `block`. Raises `BrokenError`."""
        try:
            parts = self._joined(block)
            if self._first and not self._flac:
                there = self._there()
                if there < self._first + SLACK_S * self.rate:
                    return  # its end is not there, and nothing lies behind the damage
                yield from self._hole(max(0, self._whole - there), block)
                parts = _behind(parts, self._first)
            yield from parts
        except (self._av.FFmpegError, OSError, ValueError) as fault:
            raise BrokenError(getattr(fault, "strerror", None) or str(fault)) from None

    def _joined(self, block: int) -> Iterator[F32]:
        """What was decoded, in parts of `block`, with silence where there are holes."""
        resampler, form = self._resampler(block), None
        for hole, frames in self._decoded():
            if hole:
                yield from self._samples(resampler.resample(None))
                resampler = self._resampler(block)
                yield from self._hole(hole, block)
            for frame in frames:
                # recordings that were joined may have rates and channels of their own
                before, form = form, (frame.sample_rate, frame.layout.name, frame.format.name)
                if before not in (None, form):
                    yield from self._samples(resampler.resample(None))
                    resampler = self._resampler(block)
                frame.pts = None
                self._at += frame.samples * self.rate // (frame.sample_rate or self.rate)
                yield from self._samples(resampler.resample(frame))
        yield from self._samples(resampler.resample(None))

    def _decoded(self) -> Iterator[tuple[int, list[Any]]]:
        """(samples that are missing before them, frames)."""
        for packet in self._container.demux(self._stream):
            place = self._place(packet)
            if place is not None and place < self._first:
                continue
            try:
                frames = packet.decode()
            except self._av.InvalidDataError:  # one damaged piece; its neighbours are whole
                if not self._flac:  # whose next frame says what is missing
                    self._note_damage()
                    yield round((packet.duration or 0) * packet.time_base * self.rate), []
                continue
            yield 0 if place is None or not frames else max(0, place - self._at), frames

    def _place(self, packet: Any) -> int | None:
        """The sample at which a FLAC's frame says that it begins (RFC 9639, 9.1), None where it says nothing."""
        head = bytes(packet)[:11] if self._flac and packet.size else b""
        if len(head) < 11 or int.from_bytes(head[:2], "big") & 0xFFFE != _FLAC_SYNC:
            return None
        ones = 8 - (head[4] ^ 0xFF).bit_length()  # a number as UTF-8 writes it, of up to seven bytes
        number = head[4] & (0x7F >> ones)
        for byte in head[5 : 4 + ones]:
            number = number << 6 | byte & 0x3F
        varies = head[1] & 1
        place = number if varies else number * self._flac_block()
        return place if not self.samples or place < self.samples else None

    def _flac_block(self) -> int:
        """Samples of each frame, as STREAMINFO has it."""
        info = self._stream.codec_context.extradata or b""
        return int.from_bytes(info[_FLAC_BLOCK_AT : _FLAC_BLOCK_AT + 2], "big")

    def _there(self) -> int:
        """Samples in all of its packets."""
        there = sum(packet.duration or 0 for packet in self._container.demux(self._stream))
        self._container.seek(0)
        return int(there * self._stream.time_base * self.rate)

    def _hole(self, samples: int, block: int) -> Iterator[F32]:
        self._note_damage()
        self._at += samples
        self._silent += samples
        while samples > 0:
            yield np.zeros((min(block, samples), self.channels), np.float32)
            samples -= block

    def _note_damage(self) -> None:
        if self._damage_at is None:
            self._damage_at = self._at

    def _resampler(self, block: int) -> Any:
        layout = self._stream.codec_context.layout
        return self._av.AudioResampler(format="flt", layout=layout, rate=self.rate, frame_size=block)

    def _samples(self, frames: list[Any]) -> Iterator[F32]:
        for frame in frames:
            yield frame.to_ndarray().reshape(-1, self.channels)

    def missing(self, count: int) -> str:
        """What the file says is not among the `count` samples that came: "" or words behind "is cut off after N s"."""
        return f" of {self.samples / self.rate:.2f} s" if count < self.samples - SLACK_S * self.rate else ""

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._container.close()


def _behind(parts: Iterator[F32], skip: int) -> Iterator[F32]:
    """What is left without the first `skip` samples."""
    for part in parts:
        if skip < len(part):
            yield part[skip:]
        skip = max(0, skip - len(part))
