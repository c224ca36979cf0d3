"""The gain of a quiet stream: a fixed one in decibels, or normalisation.

Normalisation is causal, per frame, and the same whatever the blocks. A frame's gain follows from the frames before it
alone; within a frame it moves linearly from the last value, so that no step is heard. It only ever lifts (a loud
microphone is left as it is) and by `MAX_GAIN` at most, so that the noise of an empty room stays noise.
"""

import re

import numpy as np

from streamclf.errors import UsageError
from streamclf.types import F32

OFF = "off"
NORMALISE = "normalise"
MOST_DB = 60.0
_DECIBELS = re.compile(r"([+-]?\d+(?:\.\d+)?) ?db", re.IGNORECASE)

TARGET_RMS = 0.05  # -26 dBFS: where speech of a well-set microphone lies
MAX_GAIN = 50.0  # 34 dB; covers a microphone at 0.02 of full level
_RELEASE = 0.5 ** (1 / (50 * 10))  # the level estimate halves in 10 s of quiet
_FLOOR_RMS = 1e-4  # -80 dBFS; below it is converter noise


class GainNormaliser:
    """State of one stream. hop: samples of a 20 ms frame."""

    def __init__(self, hop: int) -> None:
        self._hop = hop
        self.restart()

    def restart(self) -> None:
        """Forget the level; the next sample begins a frame."""
        self._level = 0.0
        self._gain = self._target = 1.0
        self._at = 0
        self._energy = 0.0

    def apply(self, samples: F32) -> F32:
        """samples: (n, ) float32, any n. Returns as many, scaled."""
        out = np.empty_like(samples)
        done = 0
        while done < len(samples):
            n = min(self._hop - self._at, len(samples) - done)
            part = samples[done : done + n]
            ramp = (np.arange(self._at, self._at + n, dtype=np.float32) + 1) / np.float32(self._hop)
            gain = np.float32(self._gain) + np.float32(self._target - self._gain) * ramp
            np.multiply(part, gain, out=out[done : done + n])
            self._energy += float(np.dot(part.astype(np.float64), part.astype(np.float64)))
            self._at += n
            done += n
            if self._at == self._hop:
                self._close_frame()
        return out

    def _close_frame(self) -> None:
        rms = (self._energy / self._hop) ** 0.5
        self._level = max(rms, self._level * _RELEASE, _FLOOR_RMS)
        self._gain = self._target
        self._target = min(MAX_GAIN, max(1.0, TARGET_RMS / self._level))
        self._at = 0
        self._energy = 0.0


class FixedGain:
    """Every sample times `factor`; what comes out may be beyond full scale."""

    def __init__(self, factor: float) -> None:
        self._factor = np.float32(factor)

    def restart(self) -> None:
        """There is nothing to forget."""

    def apply(self, samples: F32) -> F32:
        """samples: (n, ) float32, any n. Returns as many, scaled."""
        out: F32 = samples * self._factor
        return out


def read_gain(text: str) -> str:
    """A gain as a user writes it, in the one way in which it is known: off, normalise or +20dB. Raises `UsageError`."""
    if text in (OFF, NORMALISE):
        return text
    found = _DECIBELS.fullmatch(text.strip())
    if found is None or abs(float(found[1])) > MOST_DB:
        raise UsageError(
            f"gain={text} is not known; use off, normalise, or decibels from -{MOST_DB:g}dB to +{MOST_DB:g}dB, such as "
            "+20dB"
        )
    return f"{float(found[1]):+g}dB" if float(found[1]) else OFF


def decibels_of(gain: str) -> float:
    """What a fixed gain adds (dB), 0 for others. gain: as `read_gain` gives it."""
    found = _DECIBELS.fullmatch(gain)
    return float(found[1]) if found else 0.0


def make_gain(gain: str, hop: int) -> GainNormaliser | FixedGain | None:
    """What applies it, None for none. gain: as `read_gain` gives it. hop: samples of a 20 ms frame."""
    if gain == NORMALISE:
        return GainNormaliser(hop)
    decibels = decibels_of(gain)
    return FixedGain(10 ** (decibels / 20)) if decibels else None
