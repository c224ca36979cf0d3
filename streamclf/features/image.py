"""Pictures of mel spectrograms, as image classifiers take them: each of its window alone, made anew for each.

What makes a picture of it (the loudest value, its lowest and highest, padding, a size) rests on all of the window, so
nothing of it can be kept from one window to the next.
"""

from functools import lru_cache
from typing import Literal

import numpy as np

from streamclf.features.mel import bank_of
from streamclf.features.resize import resized, resizing
from streamclf.features.spec import Image, Waveform
from streamclf.features.taper import periodic_taper
from streamclf.features.waveform import WaveformFrontend, normalise
from streamclf.types import F32, F64

_BELS = {"ln": 1.0, "log10": 1.0 / np.log(10.0), "db": 10.0 / np.log(10.0), "log1p": 1.0}
_WHITE = 255.0
_DELTA_WIDTH = 9  # librosa's default


class ImageFrontend(WaveformFrontend):
    """A history of samples; a window of it is a picture, (channels, bands, frames). history: as of `make_frontend`."""

    def __init__(self, features: Image, rate: int, *, history: int) -> None:
        super().__init__(Waveform(), history=history)
        self._features = features
        self._draw = drawer(features, rate)
        self._samples = np.zeros(0, dtype=np.float32)

    def window(self, first_sample: int, samples: int, out: F32) -> None:
        """Fill `out`, (channels, bands, frames) float32, with the picture of samples [first_sample, first_sample +
        samples). Those before the last restart read as zeros; raises as `WaveformFrontend.window` does."""
        if len(self._samples) != samples:
            self._samples = np.zeros(samples, dtype=np.float32)
        super().window(first_sample, samples, self._samples)
        out[...] = self._draw(self._samples)


def frames_of(features: Image, samples: int) -> int:
    """Frames of the spectrogram of so many samples, before it is resized."""
    if features.padding != "none":
        samples += 2 * (features.fft_size // 2)
    return max(0, (samples - features.fft_size) // features.frame_shift + 1)


def picture_shape(features: Image, samples: int) -> tuple[int, int, int]:
    """(channels, bands, frames) of the picture of so many samples."""
    high, wide = features.pixels or (features.bands, frames_of(features, samples))
    return 3 if features.deltas else features.channels, high, wide


class Drawer:
    """Samples of a window to its picture. Immutable: one serves every stream. Computed in float64."""

    def __init__(self, features: Image, rate: int) -> None:
        self._features = features
        self._bank = bank_of(features, rate)
        channels = 3 if features.deltas else features.channels
        self._mean = np.array(features.channel_mean or (0.0,) * channels)[:, None, None]
        self._scale = np.array(features.channel_scale or (1.0,) * channels)[:, None, None]

    def __call__(self, samples: F32) -> F64:
        """samples: (n, ) float32, used up. Returns (channels, bands, frames)."""
        features = self._features
        normalise(samples, features.samples)
        levels = self._logarithm(self.mel(samples))
        levels -= features.mean
        levels /= features.scale
        picture = np.stack([levels, _delta(levels, 1), _delta(levels, 2)]) if features.deltas else levels[None]
        picture = _normalised(picture, features)
        if features.bytes:
            picture = np.floor((picture * _WHITE).clip(0.0, _WHITE))
        if features.flip:
            picture = picture[:, ::-1]
        if features.pixels is not None:
            high, wide = (
                resizing(size, wanted, features.resize, antialias=features.antialias)
                for size, wanted in zip(picture.shape[1:], features.pixels, strict=True)
            )
            picture = resized(picture, high=high, wide=wide, whole=features.bytes)
        if features.bytes:
            picture = picture / _WHITE
        return np.asarray((picture - self._mean) / self._scale)

    def mel(self, samples: F32) -> F64:
        """samples: (n, ) float32. Returns (bands, frames), what the triangles sum up."""
        power = self.spectrum(self._features, samples)
        return np.asarray(((power if self._features.spectrum == "power" else np.sqrt(power)) @ self._bank).T)

    @staticmethod
    def spectrum(features: Image, samples: F32) -> F64:
        """Power of the frames of `samples`, (n, ) float32: (frames, bins)."""
        size = features.fft_size
        if features.padding != "none":
            samples = np.pad(samples, size // 2, mode="constant" if features.padding == "zeros" else "reflect")
        cut = np.lib.stride_tricks.sliding_window_view(samples, size)[:: features.frame_shift]
        spectrum = np.fft.rfft(cut * _taper(features.window, features.frame_length, size))
        return np.asarray(spectrum.real**2 + spectrum.imag**2)

    def _logarithm(self, values: F64) -> F64:
        features = self._features
        if features.log == "none":
            return values
        values += features.log_offset + (features.log == "log1p")
        loudest = max(values.max(), features.log_floor) if features.ref == "max" else 1.0
        np.log(np.maximum(values, features.log_floor, out=values), out=values)
        values -= np.log(loudest)
        values *= _BELS[features.log] * (2.0 if features.log == "db" and features.spectrum == "magnitude" else 1.0)
        return np.maximum(values, values.max() - features.top_db) if features.top_db > 0 else values


@lru_cache(maxsize=32)
def _taper(shape: Literal["hann", "hamming"], length: int, size: int) -> F64:
    """(size, ), zero at the ends where `length` is shorter."""
    before = (size - length) // 2
    return np.pad(periodic_taper(shape, length), (before, size - length - before))


# bound: packs in use at once; the least recently used is built again
@lru_cache(maxsize=32)
def drawer(features: Image, rate: int) -> Drawer:
    """What makes pictures of samples at `rate` (Hz)."""
    return Drawer(features, rate)


def _normalised(picture: F64, features: Image) -> F64:
    """Each channel by itself. One that is the same all over comes out as zeros."""
    how, eps = features.normalise, features.normalise_eps
    if how.startswith("standard"):
        picture = picture - picture.mean(axis=(1, 2), keepdims=True)
        picture = _divided(picture, picture.std(axis=(1, 2), keepdims=True) + eps)
    if how.endswith("min-max"):
        picture = picture - picture.min(axis=(1, 2), keepdims=True)
        picture = _divided(picture, picture.max(axis=(1, 2), keepdims=True) + eps)
    return picture


def _divided(picture: F64, by: F64) -> F64:
    return np.asarray(picture / np.where(by > 0.0, by, 1.0))


def _delta(levels: F64, order: int) -> F64:
    """Savitzky and Golay's derivative in time, by a polynomial of that order; at the ends that of the last frames."""
    return np.asarray(levels @ _derivative(levels.shape[1], order).T)


@lru_cache(maxsize=16)
def _derivative(frames: int, order: int) -> F64:
    """(frames, frames): the derivative at each frame, of the polynomial through the nine around it.

    At the ends it is that of the first or last nine.
    """
    half = _DELTA_WIDTH // 2
    matrix = np.zeros((frames, frames))
    powers = np.vander(np.arange(_DELTA_WIDTH), order + 1, increasing=True).astype(np.float64)
    fit = np.linalg.pinv(powers)  # (order + 1, 9): coefficients of the polynomial through nine values
    for frame in range(frames):
        first = min(max(frame - half, 0), frames - _DELTA_WIDTH)
        # of order 1 the slope; of order 2 twice the leading coefficient: neither depends on where it is asked
        matrix[frame, first : first + _DELTA_WIDTH] = fit[order] * (1.0 if order == 1 else 2.0)
    return matrix
