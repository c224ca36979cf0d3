"""A recording as packs hear it live: decoded, mixed down, without a constant offset, at their rate.

So a net hears in training what it will hear live. A gain is of the user's configuration, and is not here.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from streamclf.audio.offset import OffsetRemover
from streamclf.audio.resample import Resampler
from streamclf.audio.sources.file import open_blocks
from streamclf.clock import hop_of
from streamclf.types import F32


def heard(
    path: Path,
    rate: int,
    *,
    problem: Callable[[str], None] | None = None,
    notice: Callable[[str], None] | None = None,
) -> Iterator[F32]:
    """Blocks (n, ) float32 at `rate`, each valid until the next. Raises what `open_blocks` raises.

    problem: is told what of the file could not be read; notice: what the mix of its channels hides.
    """
    native, _, blocks = open_blocks(path, problem=problem, notice=notice)
    remover, resampler = OffsetRemover(hop_of(native)), Resampler(native, rate)
    for block in blocks:
        yield resampler.push(remover.apply(block))
    yield resampler.push(remover.rest(), last=True)


def read_sound(path: Path, rate: int) -> F32:
    """All of a recording: (n, ) float32."""
    # without a change of rate blocks come out as they went in
    return np.concatenate([block.copy() for block in heard(path, rate)])
