"""What each resampler holds back and costs in blocks of 20 ms: python tools/bench/resample.py."""

import time
from collections.abc import Callable

import numpy as np
import soxr

from streamclf.audio.resample import Resampler
from streamclf.types import F32

SECONDS = 4


def measure(push: Callable[[F32], F32], rate: int, out_rate: int) -> tuple[float, float, float]:
    """Least and most ms held back after the first 100 ms, and us a block."""
    audio = np.random.default_rng(0).standard_normal(rate * SECONDS).astype(np.float32)
    hop = rate // 50
    given, lags, spent = 0, [], 0.0
    for end in range(hop, len(audio) + 1, hop):
        start = time.perf_counter()
        given += len(push(audio[end - hop : end]))
        spent += time.perf_counter() - start
        lags.append(end * 1000 / rate - given * 1000 / out_rate)
    return min(lags[5:]), max(lags[5:]), spent / len(lags) * 1e6


def main() -> None:
    """Print a table."""
    out_rate = 16_000
    print("rates (Hz)         streamclf: held back ms, us a block    soxr HQ: held back ms, us a block")
    for rate in (48_000, 44_100, 32_000, 22_050, 8_000):
        stream = soxr.ResampleStream(rate, out_rate, 1, dtype="float32", quality="HQ")
        ours = measure(Resampler(rate, out_rate).push, rate, out_rate)
        theirs = measure(stream.resample_chunk, rate, out_rate)
        print(f"{rate:6} -> {out_rate}  {ours[0]:8.1f} to {ours[1]:5.1f}, {ours[2]:5.0f} us", end="            ")
        print(f"{theirs[0]:8.1f} to {theirs[1]:5.1f}, {theirs[2]:5.0f} us")


if __name__ == "__main__":
    main()
