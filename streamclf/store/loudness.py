"""Levels of recent frames, in the half decibels in which they are logged, so that a replay finds the same."""

import math

import numpy as np

from streamclf.clock import FRAMES_PER_SECOND
from streamclf.types import F32, U8

SILENCE_DB = -127.5
KEPT_FRAMES = 300 * FRAMES_PER_SECOND
# power of each code: code c is c / 2 dB above SILENCE_DB, 255 is full scale
_POWER = 10.0 ** ((np.arange(256) / 2 + SILENCE_DB) / 10)


def codes_of_rms(rms: F32) -> U8:
    """rms: (frames, ) float32, full scale 1 -> (frames, ) uint8, half decibels above `SILENCE_DB`."""
    decibels = 20 * np.log10(np.maximum(rms, 1e-7))
    return np.clip(np.rint(2 * (decibels - SILENCE_DB)), 0, 255).astype(np.uint8)


def decibels_of_codes(codes: U8) -> F32:
    """dBFS of each code."""
    return (codes / np.float32(2) + np.float32(SILENCE_DB)).astype(np.float32)


class Loudness:
    """Mean level over any frames of the last five minutes; older ones are forgotten."""

    def __init__(self) -> None:
        self._codes = np.zeros(KEPT_FRAMES, dtype=np.uint8)  # ring by frame; the oldest are overwritten
        self._first = 0
        self._end = 0

    def push(self, first_frame: int, codes: U8) -> None:
        """codes: (frames, ) uint8 of frames from `first_frame` on. A jump forgets what was before it."""
        if first_frame != self._end:
            self._first = first_frame
        kept = codes[-KEPT_FRAMES:]
        self._end = first_frame + len(codes)
        self._codes[np.arange(self._end - len(kept), self._end) % KEPT_FRAMES] = kept
        self._first = max(self._first, self._end - KEPT_FRAMES)

    def level_db(self, first: int, end: int) -> float | None:
        """Mean power of frames [first, end), in dBFS; of those that are held where some are not, None where none is."""
        first, end = max(first, self._first), min(end, self._end)
        if first >= end:
            return None
        power = _POWER[self._codes[np.arange(first, end) % KEPT_FRAMES]].mean()
        return round(10 * math.log10(power), 1)
