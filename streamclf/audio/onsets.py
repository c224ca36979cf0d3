"""Sounds that begin suddenly, cut out of recordings: their onset is known to a hundredth of a second."""

from pathlib import Path

import numpy as np

from streamclf.audio.resample import Resampler
from streamclf.audio.sources.file import open_blocks
from streamclf.types import F32

LONGEST_S = 2
_SHORTEST_S = 0.2
_BLOCKS_PER_SECOND = 100
_BEFORE = 10  # blocks whose level an onset is compared with
_LOUD = 0.2  # of the loudest block
_RISE = 10.0  # 20 dB


def read(path: Path, rate: int) -> F32:
    """The recording as mono at `rate`. Raises `SourceError`."""
    native, _, blocks = open_blocks(path)
    # a block is good until the next one comes
    samples = np.concatenate([*(block.copy() for block in blocks), np.zeros(0, dtype=np.float32)])
    return samples if native == rate else Resampler(native, rate).push(samples, last=True)


def sudden(samples: F32, rate: int) -> F32 | None:
    """Up to two seconds from the first sudden onset on (10 ms that exceed the 100 ms before by 20 dB), or None."""
    block = rate // _BLOCKS_PER_SECOND
    level = np.sqrt(np.mean(samples[: len(samples) // block * block].reshape(-1, block) ** 2, axis=1)) + 1e-5
    for at in np.flatnonzero(level > _LOUD * level.max(initial=0.0)):
        before = level[max(0, at - _BEFORE) : at]
        whole = at + int(_SHORTEST_S * _BLOCKS_PER_SECOND) <= len(level)
        if whole and (len(before) == 0 or level[at] > _RISE * before.mean()):
            return samples[at * block : at * block + LONGEST_S * rate]
    return None
