"""Smoothing of score rows, before they are compared with thresholds."""

import numpy as np

from streamclf.types import F32


class Smoother:
    """Smooths some columns of each row. Median state is bounded by its own length; ema keeps one row."""

    def __init__(self, kind: str, frames: int, columns: np.ndarray) -> None:
        self._median = kind == "median"
        self._alpha = np.float32(1.0 - np.exp(-1.0 / frames))
        self._columns = columns
        self._past = np.zeros((frames if self._median else 1, len(columns)), dtype=np.float32)
        self._count = 0

    def push(self, row: F32) -> F32:
        """(classes, ) float32 of the next frame. Returns new memory, smoothed."""
        picked, out = row[self._columns], row.copy()
        if self._median:
            self._past[self._count % len(self._past)] = picked
            self._count += 1
            out[self._columns] = np.median(self._past[: min(self._count, len(self._past))], axis=0)
        else:
            self._past[0] = picked if self._count == 0 else self._past[0] + self._alpha * (picked - self._past[0])
            self._count += 1
            out[self._columns] = self._past[0]
        return out

    def reset(self) -> None:
        """Forget the rows before."""
        self._count = 0
