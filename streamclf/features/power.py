"""Spectra of frames, in memory that is kept.

Arrays of a quarter of a megabyte that are made for each call cost more than the FFT: the C library gives them back to
the system each time, and every page of them comes anew.
"""

from collections.abc import Callable

import numpy as np

from streamclf.types import F32, F64

TOGETHER = 64
"""Frames of one FFT, so that its numbers stay in a cache."""


class _Desk:
    """Memory for so many frames. Of padded the columns behind the frame stay zeros."""

    def __init__(self, frames: int, fft_size: int) -> None:
        bins = fft_size // 2 + 1
        self.padded = np.zeros((frames, fft_size))
        self.spectrum = np.empty((frames, bins), dtype=np.complex128)
        self.values, self.squares = np.empty((frames, bins)), np.empty((frames, bins))


class Spectra:
    """Magnitudes of frames in fft_size // 2 + 1 bins, or with `power` their squares. window: (frame_length, ) float64.

    Computed in float64: numpy's FFT is as fast in it, and a row does not depend on how many there are. Any thread may
    use it; one that finds the memory in use makes its own.
    """

    def __init__(self, window: F64, fft_size: int, *, power: bool) -> None:
        self._window = window
        self._fft_size = fft_size
        self._power = power
        self._desks = [_Desk(TOGETHER, fft_size)]  # bound: as many as threads that were here at once

    def __call__(self, frames: F32, use: Callable[[F64], F64]) -> F64:
        """frames: (n, frame_length) float32. Returns what `use` makes of their spectra, (n, bins), which are good until
        it is done."""
        count = len(frames)
        if count > TOGETHER:
            return use(self._computed(_Desk(count, self._fft_size), frames))
        try:
            desk = self._desks.pop()
        except IndexError:
            desk = _Desk(TOGETHER, self._fft_size)
        try:
            return use(self._computed(desk, frames))
        finally:
            self._desks.append(desk)

    def _computed(self, desk: _Desk, frames: F32) -> F64:
        count = len(frames)
        padded, values = desk.padded[:count], desk.values[:count]
        # The zeros stand behind the frame; where they stand alters phases alone. The FFT itself pads half as fast.
        np.multiply(frames, self._window, out=padded[:, : len(self._window)])
        spectrum = np.fft.rfft(padded, out=desk.spectrum[:count])
        if not self._power:
            return np.asarray(np.abs(spectrum, out=values))
        np.multiply(spectrum.real, spectrum.real, out=values)
        values += np.multiply(spectrum.imag, spectrum.imag, out=desk.squares[:count])
        return values
