"""From samples to what a model eats, computing only what is new.

A `Transform` (log-mel, fbank) is a pure function of frames and is shared by all streams of a pack; what changes lives
in one `Frontend` per stream. Feature frame j covers samples [j * shift, j * shift + length), counted from sample 0
of the stream whatever the sizes of the pushes, and every frame is computed by itself: so a stream and a whole file, a
late start and an early one, give the same values. Only where an encoder asks for running statistics do the frames
before it count as well, back to the last restart at most.
"""

from functools import lru_cache
from typing import Protocol

import msgspec
import numpy as np

from streamclf.features.fbank import KaldiFbank
from streamclf.features.image import ImageFrontend, frames_of
from streamclf.features.logmel import LevelGain, LogMelSpectrum
from streamclf.features.rows import Rows
from streamclf.features.spec import Encoded, Fbank, Features, Image, LevelControl, LogMel, Waveform
from streamclf.features.statistics import RunningStatistics
from streamclf.features.waveform import WaveformFrontend
from streamclf.types import F32, F64

# Frames of one matrix product: bounds the memory of a push of any size.
_MAX_FRAMES = 32
# Frames that may wait for somebody to read them: where windows are far apart, ten at a time cost little more than one.
# More would wake BLAS's threads.
_LAZY_FRAMES = 32


class Transform(Protocol):
    """Frames of samples to feature rows, each row from its own frame alone."""

    bands: int

    def __call__(self, frames: F32) -> F32:
        """frames: (n, frame_length) float32 -> (n, bands) float32."""


class Encode(Protocol):
    """Frames of samples to feature rows by a pack's own graph."""

    bands: int

    def __call__(self, frames: F32, statistics: F64 | None = None) -> F32:
        """frames: (n, frame_length) float32 -> (n, bands) float32.

        statistics: (n, 1 + taps, taps), for a graph that asks for them; left out, those of silence.
        """


class Frontend(Protocol):
    """Features of one stream. All indexes are absolute: samples at the pack's rate, feature frames on their grid."""

    dims: tuple[int, ...]
    """Shape of one feature frame: () for a waveform, (bands, ) for spectra."""
    frame_shift: int
    frame_length: int

    @property
    def samples(self) -> int:
        """Index of the next sample expected."""

    @property
    def first_valid(self) -> int:
        """Index of the oldest feature frame held."""

    @property
    def available(self) -> int:
        """Index one past the newest feature frame held."""

    def push(self, samples: F32) -> None:
        """Take the next samples, (n, ) float32 in [-1, 1], any n. The feature frames they complete are computed now or
        when they are asked for."""

    def restart(self, sample: int) -> None:
        """Forget everything; the next sample pushed has this index. The grid of feature frames stays where it is."""

    def window(self, first_sample: int, samples: int, out: F32) -> None:
        """Fill `out`, (frames, *dims) float32, with the model input for samples [first_sample, first_sample + samples).

        What lies before the last restart reads as digital silence. Raises ValueError where samples are still missing,
        `Overrun` where feature frames have been dropped.
        """


class SpectralFrontend:
    """Frames cut from the samples as they come, put through a transform, kept for `history` samples."""

    _lazy_frames = _LAZY_FRAMES

    def __init__(self, transform: Transform, *, frame_length: int, frame_shift: int, history: int) -> None:
        self.dims: tuple[int, ...] = (transform.bands,)
        self.frame_length = frame_length
        self.frame_shift = frame_shift
        self.transform = transform
        self._silence = transform(np.zeros((1, frame_length), dtype=np.float32))[0]
        self._step = _MAX_FRAMES * frame_shift
        self._lazy = self._lazy_frames * frame_shift + frame_length
        # Bounds below; newest wins in both. What waits for its frame is always under lazy + shift, so no sample is ever
        # dropped unread; of the features `first_valid` tells what was dropped.
        self._pending = Rows(self._step + self._lazy + frame_shift)
        self._rows = Rows(history // frame_shift + 1, dims=self.dims, shift=frame_shift)

    @property
    def samples(self) -> int:
        """Index of the next sample expected."""
        return self._pending.available

    @property
    def first_valid(self) -> int:
        """Index of the oldest feature frame held."""
        self._compute()
        return self._rows.first_valid

    @property
    def available(self) -> int:
        """Index one past the newest feature frame held."""
        self._compute()
        return self._rows.available

    def push(self, samples: F32) -> None:
        """Take the next samples, (n, ) float32 in [-1, 1], any n. The feature frames they complete are computed now or
        when they are asked for."""
        step, pending, rows = self._step, self._pending, self._rows
        for start in range(0, len(samples), step):
            pending.append(samples[start : start + step] if len(samples) > step else samples)
            if pending.available - rows.available * self.frame_shift >= self._lazy:
                self._compute()

    def restart(self, sample: int) -> None:
        """Forget everything; the next sample pushed has this index. The grid of feature frames stays where it is."""
        self._pending.restart(sample)
        self._rows.restart(-(-sample // self.frame_shift))

    def window(self, first_sample: int, samples: int, out: F32) -> None:
        """Fill `out`, (frames, bands) float32, with the feature frames from the first that begins at `first_sample`
        or later. Frames before the last restart read as those of silence.

        Raises ValueError where samples are still missing, `Overrun` where feature frames have been dropped.
        """
        if out.shape != (_frames_in(samples, self.frame_length, self.frame_shift), *self.dims):
            raise ValueError(f"a window of {samples} samples does not fit an output of shape {out.shape}")
        self._compute()
        self._rows.read(-(-first_sample // self.frame_shift), out, before=self._silence)

    @property
    def waits(self) -> bool:
        """Whether feature frames wait to be computed."""
        return self._pending.available - self.frame_length >= self._rows.available * self.frame_shift

    def waiting(self) -> F32:
        """Those, there being some: (n, frame_length) float32, good until the next `push`."""
        first, shift, length = self._rows.available, self.frame_shift, self.frame_length
        count = (self._pending.available - length) // shift + 1 - first
        span = self._pending.view(first * shift, (count - 1) * shift + length)
        # Overlapping views of the samples; the constructor takes a tenth of as_strided's time.
        return np.ndarray((count, length), np.float32, span, strides=(shift * span.itemsize, span.itemsize))

    def take(self, rows: F32) -> None:
        """Their rows, (n, bands) float32."""
        self._rows.append(rows)

    def _compute(self) -> None:
        if self.waits:
            self._rows.append(self._rows_of(self.waiting()))

    def _rows_of(self, frames: F32) -> F32:
        return self.transform(frames)


class EncodedFrontend(SpectralFrontend):
    """Rows of an encoder, whose graph runs in `push` and nowhere else."""

    _lazy_frames = 0


class RunningFrontend(EncodedFrontend):
    """Rows of an encoder that is told the running statistics of its stream."""

    def __init__(self, encode: Encode, features: Encoded, *, history: int) -> None:
        super().__init__(encode, frame_length=features.frame_length, frame_shift=features.frame_shift, history=history)
        self._encode = encode
        self._statistics = RunningStatistics(
            taps=features.taps,
            stride=features.stride,
            span=features.span,
            decay=features.decay,
            frame_shift=features.frame_shift,
        )

    def restart(self, sample: int) -> None:
        """Forget everything; the next sample pushed has this index. The grid of feature frames stays where it is."""
        super().restart(sample)
        self._statistics.restart()

    def _rows_of(self, frames: F32) -> F32:
        return self._encode(frames, self._statistics(frames))


class LevelledFrontend(SpectralFrontend):
    """Log-mel rows behind a level control."""

    def __init__(self, spectrum: LogMelSpectrum, features: LogMel, level: LevelControl, *, rate: int, history: int):
        super().__init__(
            spectrum, frame_length=features.frame_length, frame_shift=features.frame_shift, history=history
        )
        self._spectrum = spectrum
        self._gain = LevelGain(level, power=features.spectrum == "power", shift_s=features.frame_shift / rate)

    def restart(self, sample: int) -> None:
        """Forget everything; the next sample pushed has this index. The grid of feature frames stays where it is."""
        super().restart(sample)
        self._gain.restart()

    def _rows_of(self, frames: F32) -> F32:
        return self._spectrum.logarithm(self._gain.apply(self._spectrum.mel(frames)))


def make_frontend(features: Features, rate: int, *, history: int, encode: Encode | None = None) -> Frontend:
    """A fresh frontend whose first sample has index 0.

    features: as the pack's loader has checked them. rate: the pack's, in Hz. history: samples of the past that must
    stay readable, at least the longest window. encode: what runs the graph of `encoded` features.
    """
    if isinstance(features, Waveform):
        return WaveformFrontend(features, history=history)
    if isinstance(features, Image):
        return ImageFrontend(features, rate, history=history)
    if isinstance(features, LogMel) and features.level is not None:
        plain = msgspec.structs.replace(features, level=None)
        return LevelledFrontend(_log_mel(plain, rate), plain, features.level, rate=rate, history=history)
    if isinstance(features, Encoded):
        if encode is None:
            raise ValueError("encoded features need what runs their graph")
        if features.statistics:
            return RunningFrontend(encode, features, history=history)
        length, shift = features.frame_length, features.frame_shift
        return EncodedFrontend(encode, frame_length=length, frame_shift=shift, history=history)
    return SpectralFrontend(
        _transform(features, rate),
        frame_length=features.frame_length,
        frame_shift=features.frame_shift,
        history=history,
    )


def window_feature_frames(features: Features, window: int) -> int:
    """How many feature frames a window of that many samples yields (samples, for a waveform)."""
    if isinstance(features, Waveform):
        return window
    if isinstance(features, Image):
        return frames_of(features, window)
    return _frames_in(window, features.frame_length, features.frame_shift)


def _frames_in(samples: int, frame_length: int, frame_shift: int) -> int:
    return max(0, (samples - frame_length) // frame_shift + 1)


def _transform(features: LogMel | Fbank, rate: int) -> Transform:
    return _log_mel(features, rate) if isinstance(features, LogMel) else _fbank(features, rate)


# bound: packs in use at once; the least recently used transform is built again
@lru_cache(maxsize=32)
def _log_mel(features: LogMel, rate: int) -> LogMelSpectrum:
    return LogMelSpectrum(features, rate)


@lru_cache(maxsize=32)
def _fbank(features: Fbank, rate: int) -> KaldiFbank:
    return KaldiFbank(features, rate)
