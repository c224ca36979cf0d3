"""The window over a frame of samples."""

from typing import Literal

import numpy as np

from streamclf.types import F64


def periodic_taper(shape: Literal["hann", "hamming"], length: int) -> F64:
    """(length, ), as TensorFlow, librosa and torch have it: its period is `length`."""
    base = 0.5 if shape == "hann" else 0.54
    turn = 2.0 * np.pi * np.arange(length) / length
    return np.asarray(base - (1.0 - base) * np.cos(turn))
