"""Log-mel spectrum of frames, as TensorFlow (YAMNet), librosa and torchaudio compute it."""

from collections.abc import Iterator

import numpy as np

from streamclf.features.mel import bank_of
from streamclf.features.power import Spectra
from streamclf.features.spec import LevelControl, LogMel
from streamclf.features.taper import periodic_taper
from streamclf.types import F32, F64

# Times the natural logarithm; a decibel is a tenth of a bel of power and a twentieth of one of magnitude.
_UNIT = {"ln": 1.0, "log10": 1.0 / np.log(10.0), "db": 10.0 / np.log(10.0)}

_LEAST = 1e-12  # so that silence has a level
_NOTHING_DB = -240.0  # before the first frame
_MANY = 16  # rows of a product from which on four smaller ones take less


class LevelGain:
    """The state of a `LevelControl` on one stream. power: whether the bands are powers, not magnitudes."""

    def __init__(self, control: LevelControl, *, power: bool, shift_s: float) -> None:
        self._control = control
        self._unit = 10.0 if power else 20.0
        self._fall_db = control.rate_db_s * shift_s  # from one feature frame to the next
        self._level_db = _NOTHING_DB

    def restart(self) -> None:
        """Forget the level."""
        self._level_db = _NOTHING_DB

    def apply(self, rows: F64) -> F64:
        """rows: (n, bands) of the next frames, any n. Returns them with their gains."""
        control, fall = self._control, self._fall_db * np.arange(1, len(rows) + 1)
        own = self._unit * np.log10(rows.max(axis=1) + _LEAST)
        # the largest so far, each as it has fallen since
        level = np.maximum(np.maximum.accumulate(own + fall), self._level_db) - fall
        self._level_db = float(level[-1])
        gain_db = (control.target_db - level).clip(control.down_db, control.up_db)
        return np.asarray(rows * (10.0 ** (gain_db / self._unit))[:, None])


def decibels(features: LogMel) -> float:
    """How many dB it is that two values of a band differ by 1."""
    of_power = _UNIT["db"] if features.spectrum == "power" else 2.0 * _UNIT["db"]
    return float(features.scale * of_power / _unit(features))


def _unit(features: LogMel) -> float:
    """What a natural logarithm is multiplied by."""
    return float(_UNIT[features.log]) * (2.0 if features.log == "db" and features.spectrum == "magnitude" else 1.0)


def _parts(bank: F64) -> Iterator[tuple[slice, slice, F64]]:
    """A quarter of the bands, the bins that any of them is made of, and their weights: of the whole product three parts
    in four are by 0. It sums in the same order, so that rows are the same."""
    bands = bank.shape[1]
    for first in range(0, bands, width := -(-bands // 4)):
        some = bank[:, first : first + width]
        used = np.flatnonzero(np.any(some, axis=1))
        low, end = (int(used[0]) // 8 * 8, int(used[-1]) + 1) if len(used) else (0, 1)
        yield slice(first, first + width), slice(low, end), np.ascontiguousarray(some[low:end])


class LogMelSpectrum:
    """Frames to log-mel rows. One serves every stream; rows do not depend on how many are computed at once."""

    def __init__(self, features: LogMel, rate: int) -> None:
        self.bands = features.bands
        self._log_offset = features.log_offset
        self._log_floor = features.log_floor
        window = periodic_taper(features.window, features.frame_length)
        self._spectra = Spectra(window, features.fft_size, power=features.spectrum == "power")
        self._bank = bank_of(features, rate)
        self._quarters = list(_parts(self._bank))
        self._slope = _unit(features) / features.scale
        self._intercept = -features.mean / features.scale

    def __call__(self, frames: F32) -> F32:
        """frames: (n, frame_length) float32 -> (n, bands) float32."""
        return self.logarithm(self.mel(frames))

    def mel(self, frames: F32) -> F64:
        """frames: (n, frame_length) float32 -> (n, bands), what the triangles sum up."""
        return self._spectra(frames, self._banded)

    def _banded(self, values: F64) -> F64:
        if len(values) < _MANY:
            return np.asarray(values @ self._bank)
        rows = np.empty((len(values), self.bands))
        for bands, bins, weights in self._quarters:
            np.matmul(values[:, bins], weights, out=rows[:, bands])
        return rows

    def logarithm(self, rows: F64) -> F32:
        """rows: (n, bands) of `mel`, which are used up -> (n, bands) float32."""
        rows += self._log_offset
        np.log(np.maximum(rows, self._log_floor, out=rows), out=rows)
        rows *= self._slope
        rows += self._intercept
        return rows.astype(np.float32)
