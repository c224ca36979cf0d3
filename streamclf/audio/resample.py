"""Streaming resampler: chunks in, chunks out, sample for sample what one call over the whole signal gives.

soxr is linear-phase and aligned: output sample i sounds at input time i * in_rate / out_rate, so its delay shows only
in *when* a sample comes out (`held_back`), never in which index it gets. An onset is therefore stamped where it sounded.
"""

import numpy as np
import soxr

from streamclf.types import F32


class Resampler:
    """Mono float32 from `in_rate` to `out_rate` (Hz). Equal rates pass through untouched and without delay."""

    def __init__(self, in_rate: int, out_rate: int) -> None:
        self.in_rate = in_rate
        self.out_rate = out_rate
        self._taken = 0
        self._given = 0
        self._stream = self._fresh()

    def push(self, samples: F32, *, last: bool = False) -> F32:
        """samples: (n, ) float32, any n. Returns (m, ) float32, those output samples that are certain by now.

        last: no more will come; the rest is flushed, and the total is round(taken * out_rate / in_rate).
        """
        if self._stream is None:
            return samples
        self._taken += len(samples)
        out: F32 = self._stream.resample_chunk(np.ascontiguousarray(samples), last=last)
        self._given += len(out)
        return out

    @property
    def held_back(self) -> float:
        """Output samples that are still inside: the present delay, in samples of `out_rate`."""
        return self._taken * self.out_rate / self.in_rate - self._given

    def restart(self) -> None:
        """Forget everything: the next sample pushed is a first one."""
        self._taken = self._given = 0
        self._stream = self._fresh()

    def _fresh(self) -> "soxr.ResampleStream | None":
        if self.in_rate == self.out_rate:
            return None
        return soxr.ResampleStream(self.in_rate, self.out_rate, 1, dtype="float32", quality="HQ")
