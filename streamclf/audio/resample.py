"""Streaming resampler of short and constant delay: chunks in, chunks out, the same samples whatever the chunks.

A windowed-sinc low-pass, symmetric about each output sample: output i sounds at input time i * in_rate / out_rate, so
the delay shows only in *when* a sample comes out (`held_back`), never in which index it gets. An onset is therefore
stamped where it sounded.

Why not soxr: it computes in FFT blocks, and what it holds back swings from 6 to 37 ms (48 to 16 kHz), even to 115 ms
(8 to 16 kHz), which made rows come in pairs. This holds back at most 7 ms of it; `tools/bench/resample.py` prints both.
Against soxr's own output the two agree below the pass band's edge (tests/parity/test_resample.py).
"""

from functools import lru_cache
from math import ceil, floor, gcd, pi

import numpy as np

from streamclf.clock import FRAMES_PER_SECOND
from streamclf.types import F32

ATTENUATION_DB = 90.0
TRANSITION = 0.0625
"""Width of the transition band as a share of the lower rate, centred on its Nyquist frequency (16 kHz: 7.5 to 8.5)."""
_USUAL = (16_000, 48_000, 96_000, 192_000, 384_000)
_BLOCK = 64  # outputs of one matrix product, at most; a block is what can be held back besides half the filter


def framed_rate(rate: int) -> int:
    """`rate` (Hz) where 20 ms of it are a whole number of samples; else the next usual one, which loses nothing."""
    if rate % FRAMES_PER_SECOND == 0:
        return rate
    return next((usual for usual in _USUAL if usual >= rate), -(-rate // FRAMES_PER_SECOND) * FRAMES_PER_SECOND)


class _Kernel:
    """Filter matrices for two rates: output block s of a period is inputs[first[s] : first[s] + width] @ bank[s]."""

    def __init__(self, in_rate: int, out_rate: int) -> None:
        common = gcd(in_rate, out_rate)
        up, down = out_rate // common, in_rate // common
        lower = min(in_rate, out_rate)
        # Kaiser's formulas (J. F. Kaiser, 1974) for length and shape from attenuation and transition width
        length = (ATTENUATION_DB - 8) / (2.285 * 2 * pi * TRANSITION * lower / in_rate)
        beta = 0.1102 * (ATTENUATION_DB - 8.7)
        self.half = ceil(length / 2)
        period = up * max(1, _BLOCK // up)
        self.block = max(q for q in range(1, _BLOCK + 1) if period % q == 0)
        self.consumed = period // up * down
        blocks = period // self.block
        starts = [s * self.block * down / up for s in range(blocks)]
        self.first = [floor(t) - self.half + 1 for t in starts]
        self.width = max(
            floor((s + 1) * self.block * down / up - down / up) + self.half + 1 - self.first[s] for s in range(blocks)
        )
        cutoff = lower / in_rate  # pass band as a share of the input's Nyquist frequency
        self.bank: list[F32] = []
        for s in range(blocks):
            times = (s * self.block + np.arange(self.block)) * down / up
            distance = self.first[s] + np.arange(self.width)[:, None] - times[None, :]
            inside = np.clip(1 - (distance / self.half) ** 2, 0, None)
            taps = cutoff * np.sinc(cutoff * distance) * np.i0(beta * np.sqrt(inside)) / np.i0(beta) * (inside > 0)
            self.bank.append((taps / taps.sum(axis=0)).astype(np.float32))


@lru_cache(maxsize=32)
def _kernel(in_rate: int, out_rate: int) -> _Kernel:
    return _Kernel(in_rate, out_rate)


class Resampler:
    """Mono float32 from `in_rate` to `out_rate` (Hz). Equal rates pass through untouched and without delay."""

    def __init__(self, in_rate: int, out_rate: int) -> None:
        self.in_rate = in_rate
        self.out_rate = out_rate
        self._kernel = _kernel(in_rate, out_rate) if in_rate != out_rate else None
        self.restart()

    def restart(self) -> None:
        """Forget everything: the next sample pushed is a first one, and silence lay before it."""
        self._taken = self._given = 0
        self._turn = 0  # block of the period that comes next
        self._origin = -self._kernel.half if self._kernel else 0  # input index, in this period, of _past[0]
        self._past = np.zeros(-self._origin, dtype=np.float32)  # bounded by the filter's width after every push

    def push(self, samples: F32, *, last: bool = False) -> F32:
        """samples: (n, ) float32, any n. Returns (m, ) float32, those output samples that are certain by now.

        last: no more will come; the rest is given, and the total is round(taken * out_rate / in_rate).
        """
        if self._kernel is None:
            return samples
        self._taken += len(samples)
        out = self._run(self._kernel, samples)
        self._given += len(out)
        if not last:
            return out
        rest = round(self._taken * self.out_rate / self.in_rate) - self._given
        tail = self._run(self._kernel, np.zeros(self._kernel.width + self._kernel.consumed, dtype=np.float32))
        return np.concatenate([out, tail[: max(0, rest)]])

    @property
    def ahead(self) -> int:
        """Input samples behind an output sample that it rests on."""
        return self._kernel.half if self._kernel is not None else 0

    @property
    def held_back(self) -> float:
        """Output samples that are still inside: the present delay, in samples of `out_rate`."""
        return self._taken * self.out_rate / self.in_rate - self._given

    def _run(self, kernel: _Kernel, samples: F32) -> F32:
        past = np.concatenate([self._past, samples])
        parts: list[F32] = []
        while True:
            at = kernel.first[self._turn] - self._origin
            if at + kernel.width > len(past):
                break
            parts.append(past[at : at + kernel.width] @ kernel.bank[self._turn])
            self._turn += 1
            if self._turn == len(kernel.bank):
                self._turn = 0
                self._origin -= kernel.consumed
        keep = kernel.first[self._turn] - self._origin
        self._past = past[keep:]
        self._origin += keep
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
