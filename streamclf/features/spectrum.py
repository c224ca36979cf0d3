"""Spectrum columns for the eye: one for each 20 ms frame, in decibels, at the stream's own rate."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise

import numpy as np

from streamclf.clock import hop_of
from streamclf.features.mel import mel_bank
from streamclf.features.power import TOGETHER, Spectra
from streamclf.types import F32, F64, U8

BANDS = 96
LOW_HZ = 50.0
HIGH_HZ = 12_000.0  # bird song goes up to 8 or 10 kHz
FLOOR_DB = -127.5
STEP_DB = 0.5
_POWER_FLOOR = 10.0 ** (FLOOR_DB / 10.0)


def decibels(values: U8) -> F32:
    """What the steps of a column stand for: FLOOR_DB for 0, 0 dB (full scale) for 255."""
    return np.asarray(FLOOR_DB + STEP_DB * values.astype(np.float32), dtype=np.float32)


def steps(power: F32 | F64) -> U8:
    """Power relative to full scale, any shape -> half decibels above FLOOR_DB."""
    level = 10.0 * np.log10(np.maximum(power, _POWER_FLOOR))
    return np.asarray(np.clip(np.rint((level - FLOOR_DB) / STEP_DB), 0, 255), dtype=np.uint8)


class SpectrumBands:
    """Frames of sound to columns. One serves every stream of its rate.

    high_hz: the upper end of the highest band.
    """

    def __init__(self, rate: int) -> None:
        self._hop = hop_of(rate)
        self.high_hz = min(HIGH_HZ, rate / 2)
        window = np.hanning(2 * self._hop + 1)[:-1]
        fft_size = 1 << (2 * self._hop - 1).bit_length()
        bank = mel_bank(
            bands=BANDS, low_hz=LOW_HZ, high_hz=self.high_hz, fft_size=fft_size, rate=rate, scale="htk", slopes="hz"
        )
        # a sine of full scale has a peak of sum(window) / 2 in its bin, which is to read 0 dB
        self._bank = bank * (2.0 / window.sum()) ** 2
        self._spectra = Spectra(window, fft_size, power=True)

    def columns(self, sounds: Sequence[F32]) -> list[U8]:
        """sounds: of each stream (1 + n, hop) float32, consecutive. Returns of each the columns of the last n frames,
        (n, BANDS) steps of half a decibel.

        A column of all streams in one call takes a fifth of the time of one in a call of its own.
        """
        if len(sounds) == 1:
            return [self._columns(self._pairs(sounds[0]))]
        # those pairs that begin with the last frame of a stream are none
        lasts = list(accumulate(len(one) for one in sounds))
        pairs = np.delete(self._pairs(np.concatenate(sounds)), [last - 1 for last in lasts[:-1]], axis=0)
        whole = self._columns(pairs)
        begins = [0, *(last - count for count, last in enumerate(lasts, 1))]
        return [whole[begin:end] for begin, end in pairwise(begins)]

    def _pairs(self, sound: F32) -> F32:
        """(n + 1, hop) -> (n, 2 hop), overlapping views: of each frame but the first, it and the one before."""
        return np.ndarray((len(sound) - 1, 2 * self._hop), np.float32, sound, strides=(self._hop * 4, 4))

    def _columns(self, pairs: F32) -> U8:
        if len(pairs) > TOGETHER:
            return np.concatenate([self._columns(pairs[at : at + TOGETHER]) for at in range(0, len(pairs), TOGETHER)])
        return steps(self._spectra(pairs, lambda power: np.asarray(power @ self._bank)))


# bound: rates of streams in use at once
@lru_cache(maxsize=32)
def spectrum_bands(rate: int) -> SpectrumBands:
    """The one of that rate (Hz)."""
    return SpectrumBands(rate)


class Spectrogram:
    """Whole frames in, a column of BANDS mel-spaced bands for each. Column k rests on frames k - 1 and k (40 ms, Hann).

    high_hz: the upper end of the highest band.
    """

    def __init__(self, rate: int) -> None:
        self._bands = spectrum_bands(rate)
        self.high_hz = self._bands.high_hz
        self._last = np.zeros((1, hop_of(rate)), dtype=np.float32)

    def push(self, frames: F32) -> U8:
        """frames: (n, hop) float32, consecutive -> (n, BANDS) steps of half a decibel."""
        sound = np.concatenate([self._last, frames])
        self._last = sound[-1:]
        return self._bands.columns([sound])[0]
