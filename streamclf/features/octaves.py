"""Levels in third-octave bands: the bands of IEC 61260-1 (base 10), taken from spectra of one second.

Windows of one second, half a second apart, sine-shaped, so that their squares add up to 1 and no power is lost or
counted twice. A bin that two bands share goes to both by its parts. It is no bank of the standard's filters: a steady
tone near a band's edge falls into its neighbour by less than a filter would let through.
"""

import numpy as np

from streamclf.clock import FRAMES_PER_SECOND, hop_of
from streamclf.types import F32, F64

_FIRST, _LAST = -16, 13  # 25 Hz to 20 kHz
_STEP_FRAMES = FRAMES_PER_SECOND // 2


def band_numbers(rate: int) -> range:
    """The bands that a stream of `rate` (Hz) has, counted from the one at 1 kHz: those that end below half of it."""
    last = _LAST
    while 1000 * 10 ** ((last + 0.5) / 10) > rate / 2:
        last -= 1
    return range(_FIRST, last + 1)


def centre_hz(number: int) -> float:
    """The exact middle of a band."""
    return float(1000 * 10 ** (number / 10))


def nominal(number: int) -> str:
    """What a band is called, in Hz: 31.5, 1000, 12500."""
    decade, place = divmod(number, 10)
    names = ("1", "1.25", "1.6", "2", "2.5", "3.15", "4", "5", "6.3", "8")
    return f"{float(names[place]) * 1000 * 10.0**decade:g}"


BAND_NAMES = tuple(nominal(number) for number in range(_FIRST, _LAST + 1))
"""Of all bands from the lowest on; a stream of a low rate has the first of them."""


class ThirdOctaves:
    """One stream's sound into power by band. Whole frames that follow each other until `restart`."""

    def __init__(self, rate: int) -> None:
        self.bands = band_numbers(rate)
        self._rate = rate
        self._hop = hop_of(rate)
        self._window = np.sin(np.pi * (np.arange(rate) + 0.5) / rate).astype(np.float32)
        edges = 1000 * 10 ** ((np.arange(self.bands.start, self.bands.stop + 1) - 0.5) / 10)
        self._edges = edges + 0.5  # bins are 1 Hz wide, and bin k reaches from k - 0.5 to k + 0.5
        self._held = np.zeros(rate, dtype=np.float32)
        self._filled = 0

    def restart(self) -> None:
        """What comes next does not follow on what was."""
        self._filled = 0

    def push(self, frames: F32) -> F64:
        """frames: (n, hop) float32. Returns (windows, bands): mean squares of each window that these make whole."""
        made = []
        samples = frames.reshape(-1)
        while len(samples):
            taken = samples[: self._rate - self._filled]
            self._held[self._filled : self._filled + len(taken)] = taken
            self._filled += len(taken)
            samples = samples[len(taken) :]
            if self._filled == self._rate:
                made.append(self._measure())
                self._filled -= _STEP_FRAMES * self._hop
                self._held[: self._filled] = self._held[-self._filled :].copy()
        return np.array(made).reshape(-1, len(self.bands))

    def _measure(self) -> F64:
        spectrum = np.fft.rfft(self._held * self._window)
        # of a real signal every bin stands for two; the window's squares add up to half of its length
        power = (spectrum.real.astype(np.float64) ** 2 + spectrum.imag**2) * (4 / self._rate**2)
        below = np.concatenate([[0.0], np.cumsum(power)])
        return np.asarray(np.diff(np.interp(self._edges, np.arange(len(below)), below)))
