"""An open recording: whatever libsndfile or FFmpeg reads, in mono blocks, whole or with a word on what is missing.

libsndfile comes first: it is exact and quick for wav, flac, ogg, opus and mp3. What it cannot open, an mp3 whose
length it only guesses (no Xing, Info or VBRI frame: it would stop where its guess ends), recordings that were joined to
one ogg or mp3, and a wav whose length was never filled in go to FFmpeg, by PyAV.
Behind damage in a FLAC or an mp3, where libsndfile stops, FFmpeg goes on. A length that is estimated is never taken for
the true one, neither to stop nor to say that something is missing.
"""

import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from streamclf.audio.mix import ChannelWatch
from streamclf.audio.resample import Resampler, framed_rate
from streamclf.audio.sources import ffmpeg
from streamclf.audio.sources.base import Mixer, check_channel
from streamclf.audio.sources.foreign import SLACK_S, BrokenError, ByFfmpeg, Decoder
from streamclf.audio.sources.kind import MAX_RATE
from streamclf.audio.sources.lengths import mp3_states_length, ogg_ends, ogg_is_chained, wav_is_unfinished
from streamclf.audio.sources.spec import SourceSpec
from streamclf.errors import SourceError
from streamclf.text import spelt
from streamclf.types import F32

SUFFIXES = frozenset(
    {".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".w64", ".rf64", ".au", ".caf"}
)
"""Of recordings that are read everywhere."""
FFMPEG_SUFFIXES = frozenset(
    {".m4a", ".aac", ".wma", ".webm", ".wv", ".ape", ".mp4", ".mov", ".mkv", ".amr", ".3gp", ".ac3", ".mka", ".mp2"}
)
"""Of those that FFmpeg reads."""
# what a writer that could not seek back leaves in a wav header in place of the true length
_UNKNOWN_LENGTH = 0x7FFF_0000
_MOST_SAMPLES = 1 << 48  # libsndfile's word for a length that it does not know is beyond
MIN_RATE = 100
"""Hz; of infrasound. A recording of 1 Hz would last for days."""
_WAV_DATA = re.compile(r"^data *: *(\d+) \(should be (\d+)\)", re.MULTILINE)
_OGG_CUT = "File ended unexpectedly"
_NO_RATE = "{} holds raw samples, which carry no rate; make a wav of it first"
_MPEG = ("MP3", "MPEG")  # libsndfile's words for it
_EXTRA = "streamclf[url]"


def readable() -> frozenset[str]:
    """Suffixes of the recordings that are read here, lower case, with the dot."""
    return SUFFIXES | FFMPEG_SUFFIXES if ffmpeg.is_there() else SUFFIXES


class AudioFile:
    """An open file. Use as a context manager.

    rate: Hz of its blocks: the file's own, or, where that has no whole number of samples in 20 ms, a higher one that
    it is resampled to. samples: of one channel at `rate` (0: unknown).
    """

    def __init__(self, path: Path, spec: SourceSpec) -> None:
        self.path = path
        self._decoder = _open(path)
        self.channels: int = self._decoder.channels
        self.chatty: bool = isinstance(self._decoder, _Libsndfile) and self._decoder.mpeg
        """Whether its decoder prints on standard error where the file is damaged."""
        try:
            own = self._decoder.rate
            if not MIN_RATE <= own <= MAX_RATE:  # memory and time go by it, and a damaged header states anything
                raise SourceError(
                    f"{spelt(path)} states a rate of {own} Hz; {MIN_RATE} to {MAX_RATE} are expected, so its header is "
                    "damaged"
                )
            self.rate: int = framed_rate(own)
            self.samples: int = round(self._decoder.samples * self.rate / own)
            check_channel(spec, self.channels)
        except BaseException:
            self._decoder.close()
            raise

    def __enter__(self) -> "AudioFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; may be called twice."""
        self._decoder.close()

    def blocks(
        self, spec: SourceSpec, block: int, problem: Callable[[str], None], notice: Callable[[str], None]
    ) -> Iterator[F32]:
        """Mono blocks of about `block` samples at `rate`, each valid until the next.

        problem: is told what is damaged; notice: what the mix of the channels hides.
        """
        own = self._decoder.rate
        resampler = Resampler(own, self.rate) if own != self.rate else None
        mix = Mixer(self.channels, spec.channel, block)
        watch = ChannelWatch(self.channels) if self.channels > 1 and spec.channel is None else None
        count = bad = 0
        broken = ""
        parts = self._decoder.parts(max(1, block * own // self.rate))
        while not broken:
            try:
                got = next(parts)
            except StopIteration:
                break
            except BrokenError as fault:
                broken = str(fault)
                break
            count += len(got)
            if watch is not None and (said := watch.note(got, own)):
                notice(f"{spelt(self.path)}: {said}")
            mono = mix(got)
            if not (finite := np.isfinite(mono)).all():
                bad += int(len(mono) - np.count_nonzero(finite))
            yield mono if resampler is None else resampler.push(_finite(mono))
        if resampler is not None and len(rest := resampler.push(np.zeros(0, np.float32), last=True)):
            yield rest
        if watch is not None and (said := watch.end()):
            notice(f"{spelt(self.path)}: {said}")
        if bad:
            problem(f"{spelt(self.path)} has {bad} samples that are not numbers (NaN, infinite); they count as silence")
        if self._decoder.lost:
            problem(f"{spelt(self.path)} is damaged: {self._decoder.lost}")
        if broken:
            more = "" if ffmpeg.is_there() else f"; install {_EXTRA} (PyAV), which may read what lies behind"
            problem(f"{spelt(self.path)} cannot be read beyond {count / own:.2f} s ({broken}); the rest is lost{more}")
        elif missing := self._decoder.missing(count):
            problem(f"{spelt(self.path)} is cut off after {count / own:.2f} s{missing}; what is there was used")


class _SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # the package has no types
    """One that is read from its first sample to its last.

    soundfile seeks after each block, to where it is already. From there mpg123 has no more of the bits that an mp3's
    frames borrow of those before them, and gives noise or silence.
    """

    def seekable(self) -> bool:
        return False


class _Libsndfile:
    """By libsndfile."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.mpeg: bool = file.format in _MPEG
        self.lost = ""
        self.rate: int = file.samplerate
        self.channels: int = file.channels
        self.samples: int = file.frames if file.frames < _MOST_SAMPLES else 0

    def parts(self, block: int) -> Iterator[F32]:
        buffer = np.empty((block, self.channels), dtype=np.float32)
        count = 0
        try:
            while len(got := self._file.read(out=buffer)):
                count += len(got)
                yield got
        except soundfile.LibsndfileError as fault:
            got = buffer[: max(0, min(self._file.tell() - count, block))]  # read before it failed
            if len(got):
                yield got
            raise BrokenError(_reason(fault)) from None

    def missing(self, count: int) -> str:
        # an mp3 in a wav is padded, and its length is that of the padding as well
        slack = SLACK_S * self.rate if self._file.subtype.startswith("MPEG") and not self.mpeg else 0
        if count < self.samples - slack:
            return f" of {self.samples / self.rate:.2f} s"
        info = self._file.extra_info
        told = _WAV_DATA.search(info)
        if told and int(told[2]) < int(told[1]) < _UNKNOWN_LENGTH:
            return f" of {count * int(told[1]) / max(1, int(told[2])) / self.rate:.2f} s"
        # libsndfile says it of every Ogg file whose sound fits in one page, which is one of under a second
        cut = _OGG_CUT in info and not ogg_ends(Path(os.fsdecode(self._file.name)))
        return ", without the end its format demands" if cut else ""

    def close(self) -> None:
        self._file.close()


class _Resumed(_Libsndfile):
    """A FLAC or an mp3: FFmpeg finds its place again behind damage, where libsndfile stops."""

    def __init__(self, file: Any, av: Any, path: Path) -> None:
        super().__init__(file)
        self._av = av
        self._path = path

    def parts(self, block: int) -> Iterator[F32]:
        count, fault = 0, None
        try:
            for got in super().parts(block):
                count += len(got)
                yield got
        except BrokenError as broken:
            fault = broken
        if fault is None and count >= self.samples - SLACK_S * self.rate:
            return
        try:
            rest = ByFfmpeg(self._av, self._path, first=count, whole=self.samples)
        except (BrokenError, self._av.FFmpegError, OSError, ValueError):
            rest = None
        if rest is not None:
            with closing(rest):
                for got in rest.parts(block):
                    fault = None  # what was lost before it is told by `lost`
                    yield got
                self.lost = rest.lost
        if fault is not None:
            raise fault

    def missing(self, count: int) -> str:
        near = self.lost and count >= self.samples - SLACK_S * self.rate  # what FFmpeg counts may differ by the padding
        return "" if near else super().missing(count)


class _Guessed(_Libsndfile):
    """An mp3 that does not state its length, where FFmpeg is not there to read on beyond libsndfile's guess."""

    def missing(self, count: int) -> str:
        return (
            f", which is a guess: it does not state the length of all of it, and there may be more; install {_EXTRA} "
            "(PyAV), which hears all of it"
        )


class _FirstOfSeveral(_Libsndfile):
    """Recordings that follow each other in one Ogg file, where FFmpeg is not there to read more than the first."""

    def missing(self, count: int) -> str:
        return f": another recording follows in it; install {_EXTRA} (PyAV), which hears all of it"


def _open(path: Path) -> Decoder:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SourceError(f"{spelt(path)} is a folder; give an audio file in it")
        if not stat.S_ISREG(mode):
            raise SourceError(f"{spelt(path)} is not a regular file; raw audio from a pipe is --source pipe:RATE")
        if path.stat().st_size == 0:
            raise SourceError(f"{spelt(path)} is empty (0 bytes); give an audio file")
        with path.open("rb"):
            pass
        decoder = _best(path)
    except FileNotFoundError:
        raise SourceError(f"{spelt(path)} does not exist; check the path") from None
    except (OSError, ValueError) as fault:
        reason = getattr(fault, "strerror", None) or str(fault)
        raise SourceError(f"{spelt(path)} cannot be read: {reason}; check the path and its permissions") from None
    return decoder


def _best(path: Path) -> Decoder:
    try:
        file = _SoundFile(os.fsencode(path))  # names need not be UTF-8
    except TypeError:  # soundfile's word for names that end in .raw
        raise SourceError(_NO_RATE.format(spelt(path))) from None
    except soundfile.LibsndfileError as fault:
        return _by_ffmpeg(path, _reason(fault))
    if file.format == "XI":  # a tracker's instrument: libsndfile makes up a rate
        file.close()
        raise SourceError(_NO_RATE.format(spelt(path)))
    if file.frames == 0:
        file.close()
        if wav_is_unfinished(path):
            return _by_ffmpeg(path, "its header states a length of 0, as where a recorder lost its power")
        raise SourceError(f"{spelt(path)} holds no samples; give a recording with sound in it")
    av = ffmpeg.load() if file.format in ("FLAC", "OGG", *_MPEG) else None
    if file.format == "OGG":
        if not ogg_is_chained(path):
            return _Libsndfile(file)
        if av is None:
            return _FirstOfSeveral(file)
        file.close()
        return _by_ffmpeg(path, "several recordings follow each other in it")
    if file.format not in _MPEG or mp3_states_length(path):
        return _Libsndfile(file) if av is None else _Resumed(file, av, path)
    if av is None:
        return _Guessed(file)
    file.close()
    return _by_ffmpeg(path, "it does not state its length")


def _by_ffmpeg(path: Path, reason: str) -> Decoder:
    """reason: why libsndfile does not read it."""
    av = ffmpeg.load()
    if av is None:
        raise SourceError(
            f"{spelt(path)} is not audio that libsndfile can read ({reason}); use wav, flac, ogg, opus or mp3, or "
            f"install {_EXTRA} (PyAV), which reads m4a, mp4, webm, wma and others"
        )
    try:
        return ByFfmpeg(av, path)
    except BrokenError as fault:
        reason = str(fault)
    except (av.FFmpegError, OSError, ValueError):
        pass
    raise SourceError(
        f"{spelt(path)} is not audio that libsndfile or FFmpeg can read ({reason}); use wav, flac, ogg, opus, mp3 or "
        "m4a, or convert it first"
    )


def _reason(fault: Any) -> str:
    said = str(fault.error_string).strip().rstrip(".")
    return "it is no MPEG audio" if said.startswith("File does not exist") else said  # which was looked at before


def _finite(mono: F32) -> F32:
    return mono if np.isfinite(mono).all() else np.nan_to_num(mono, nan=0.0, posinf=0.0, neginf=0.0)
