"""Recordings: wav, flac, ogg, opus, mp3 through libsndfile, read in blocks, never as a whole.

`FileSource` plays one into a ring, at real time or as fast as the reader goes; `open_blocks` yields the same blocks
to offline work with no thread. What is readable of a damaged file is used, and what is missing is said.
"""

import re
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import soundfile

from streamclf.audio.sources.base import Feeder, Intake, Mixer, Pace, check_channel
from streamclf.audio.sources.kind import MAX_RATE, Option, SourceKind, as_name, yes_no
from streamclf.audio.sources.spec import SourceSpec
from streamclf.clock import hop_of
from streamclf.errors import SourceError, UsageError
from streamclf.types import F32, StreamState

_HOPS_A_BLOCK = 10
# what a writer that could not seek back leaves in a wav header in place of the true length
_UNKNOWN_LENGTH = 0x7FFF_0000
_WAV_DATA = re.compile(r"^data *: *(\d+) \(should be (\d+)\)", re.MULTILINE)
_OGG_CUT = "File ended unexpectedly"
_OGG_PAGE = 65_307
"""Bytes of the largest page there is."""
# something with a dot or a slash: a path, unless it holds what paths hold seldom and addresses often
_LIKE_A_PATH = re.compile(r"[^:@]*[./\\][^:@]*")


class AudioFile:
    """An open file. `rate` in Hz, `samples` a channel (0: unknown). Use as a context manager."""

    def __init__(self, path: Path, spec: SourceSpec) -> None:
        self.path = path
        self._file = _open(path)
        self.rate: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.samples: int = self._file.frames
        try:
            if self.rate > MAX_RATE:  # memory goes by it, and a damaged header states anything
                raise SourceError(
                    f"{path} states a rate of {self.rate} Hz; at most {MAX_RATE} are expected, so its header is damaged"
                )
            hop_of(self.rate)
            check_channel(spec, self.channels)
            if self.samples == 0:
                raise SourceError(f"{path} holds no samples; give a recording with sound in it")
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "AudioFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._file.close()

    def blocks(self, spec: SourceSpec, block: int, problem: Callable[[str], None]) -> Iterator[F32]:
        """Mono blocks of `block` samples, the last one shorter; each is valid until the next. Says what is damaged."""
        mix = Mixer(self.channels, spec.channel, block)
        buffer = np.empty((block, self.channels), dtype=np.float32)
        count = 0
        try:
            while len(got := self._file.read(out=buffer)):
                count += len(got)
                yield mix(got)
        except soundfile.LibsndfileError as fault:
            got = buffer[: max(0, min(self._file.tell() - count, block))]  # read before it failed
            count += len(got)
            if len(got):
                yield mix(got)
            problem(f"{self.path} cannot be read beyond {self._seconds(count)} ({_reason(fault)}); the rest is lost")
            return
        if missing := self._missing(count):
            problem(f"{self.path} is cut off after {self._seconds(count)}{missing}; what is there was used")

    def _missing(self, count: int) -> str:
        if count < self.samples:
            return f" of {self._seconds(self.samples)}"
        info = self._file.extra_info
        told = _WAV_DATA.search(info)
        if told and int(told[2]) < int(told[1]) < _UNKNOWN_LENGTH:
            return f" of {self._seconds(count * int(told[1]) // max(1, int(told[2])))}"
        # libsndfile says it of every Ogg file whose sound fits in one page, which is one of under a second
        cut = _OGG_CUT in info and not _ogg_ends(self.path)
        return ", without the end its format demands" if cut else ""

    def _seconds(self, samples: int) -> str:
        return f"{samples / self.rate:.2f} s"


class FileSource(Feeder):
    """A recording as a stream. fast: as fast as the reader makes room; else one second a second, without drift."""

    def __init__(self, spec: SourceSpec, *, fast: bool = False) -> None:
        super().__init__(spec, fast=fast)
        self.path = Path(spec.argument).expanduser()
        self.loop = bool(spec.options.get("loop"))
        self._recording: AudioFile | None = None

    @property
    def finite(self) -> bool:
        """Unless it is to loop."""
        return not self.loop

    def open(self) -> None:
        """Open it. Raises `SourceError` with the reason, `RateError` for a rate that has no 20 ms frame."""
        self._recording = AudioFile(self.path, self.spec)
        self.rate = self._recording.rate
        self.channels = self._recording.channels
        length_s = self._recording.samples / self.rate
        self.description = f"{self.path}, {self.rate} Hz, {self.channels} ch, {length_s:.1f} s"

    def _close(self) -> None:
        if self._recording is not None:
            self._recording.close()

    def _feed(self, intake: Intake) -> str:
        hop = hop_of(self.rate)
        pace = Pace(self.rate, self._stopping)
        intake.begin(time.time_ns())
        intake.notify(StreamState.LIVE, self.description)
        samples = 0
        # read in long blocks also where they are given out in short ones: libsndfile's calls cost more than its work
        for block in self._passes(hop * _HOPS_A_BLOCK, lambda text: intake.notify(StreamState.PROBLEM, text)):
            if not self.live:
                self._give(intake, block)
            for at in range(0, len(block) if self.live else 0, hop):
                part = block[at : at + hop]
                samples += len(part)
                on_time = pace.wait(samples)
                if self._stopping.is_set():
                    break
                intake.write(part, time.time_ns() if on_time else None)
            if self._stopping.is_set():
                break
        return f"{self.path} was played to its end"

    def _passes(self, block: int, problem: Callable[[str], None]) -> Iterator[F32]:
        """Blocks of one pass, or of one after another without end where the file is to loop."""
        recording = self._recording
        assert recording is not None
        while True:
            empty = True
            with recording:
                for mono in recording.blocks(self.spec, block, problem):
                    empty = False
                    yield mono
            if not self.loop or empty:
                return
            problem = _said_before
            # opened anew, because libsndfile does not come back to the first sample of every mp3
            recording = AudioFile(self.path, self.spec)
            if (recording.rate, recording.channels) != (self.rate, self.channels):
                recording.close()
                raise SourceError(f"{self.path} has become another recording while it was played; start it anew")


def _ogg_ends(path: Path) -> bool:
    """Whether the last page of an Ogg file says that it is the last, and is whole."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _OGG_PAGE))
        tail = file.read(_OGG_PAGE)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page[5] & 4:
        return False
    return len(page) == 27 + page[26] + sum(page[27 : 27 + page[26]])


def open_blocks(
    path: Path, *, spec: SourceSpec | None = None, problem: Callable[[str], None] | None = None
) -> tuple[int, int, Iterator[F32]]:
    """(rate in Hz, samples it says it has, mono float32 blocks of it). The errors of opening come here and now.

    spec: channel to take; None mixes down. problem: is told what of the file could not be read.
    """
    spec = spec or SourceSpec("file", str(path), path.name)
    recording = AudioFile(path, spec)

    def blocks() -> Iterator[F32]:
        with recording:
            size = hop_of(recording.rate) * _HOPS_A_BLOCK
            for mono in recording.blocks(spec, size, problem or _said_before):
                yield mono if np.isfinite(mono).all() else np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0)

    return recording.rate, recording.samples, blocks()


def blocks(spec: SourceSpec) -> Iterator[tuple[int, F32]]:
    """(rate in Hz, mono float32 block) of a file source, in order, without a thread."""
    rate, _, mono = open_blocks(Path(spec.argument).expanduser(), spec=spec)
    return ((rate, block) for block in mono)


def _open(path: Path) -> Any:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SourceError(f"{path} is a folder; give an audio file in it")
        if not stat.S_ISREG(mode):
            raise SourceError(f"{path} is not a regular file; raw audio from a pipe is --source pipe:RATE")
        if path.stat().st_size == 0:
            raise SourceError(f"{path} is empty (0 bytes); give an audio file")
        with path.open("rb"):
            pass
        return soundfile.SoundFile(path)
    except FileNotFoundError:
        raise SourceError(f"{path} does not exist; check the path") from None
    except (OSError, ValueError) as fault:
        reason = getattr(fault, "strerror", None) or str(fault)
        raise SourceError(f"{path} cannot be read: {reason}; check the path and its permissions") from None
    except (soundfile.LibsndfileError, TypeError) as fault:
        raise SourceError(
            f"{path} is not audio that libsndfile can read ({_reason(fault)}); "
            "use wav, flac, ogg, opus or mp3, or convert it first"
        ) from None


def _reason(fault: Exception) -> str:
    if isinstance(fault, soundfile.LibsndfileError):
        return str(fault.error_string).strip().rstrip(".")
    return "raw samples carry no rate"  # soundfile's TypeError for names that end in .raw


def _said_before(_: str) -> None:
    """Damage of a looped file is told once."""


def _argument(text: str) -> str:
    if not text:
        raise UsageError("file needs a path; write file:PATH")
    return text  # a path may begin and end with spaces


KIND = SourceKind(
    name="file",
    usage="file:PATH",
    summary="a recording: wav, flac, ogg, opus, mp3",
    example="file:song.flac#loop=yes",
    make=FileSource,
    argument=_argument,
    default_name=lambda argument: as_name(PurePath(argument).stem),
    means=lambda text: _LIKE_A_PATH.fullmatch(text) is not None,
    options=(Option("loop", lambda text: yes_no("loop", text), "yes: play it again and again"),),
    recorded=True,
)
