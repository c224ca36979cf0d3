"""Where a broadcast is read from: at its newest, not at what it had sent before."""

from collections import deque
from collections.abc import Iterator

import numpy as np

from streamclf.audio.sources.base import steady_ns
from streamclf.clock import NS_PER_SECOND
from streamclf.types import F32

_EDGE_S = 0.25
MOST_BEHIND_S = 5.0
"""Taken at once: half of the ring, so that nothing in it is lost."""


def from_the_edge(blocks: Iterator[tuple[F32, int]], rate: int) -> Iterator[tuple[F32, int]]:
    """The same blocks, with what a broadcast had sent before it could be read as one.

    blocks: (samples float32, samples lost before them). Stations send seconds at once, and to open an address takes
    time. Read later, it would lie between us and them for good, and hide that they are gone.

    That is what comes in under half of the time that it lasts, over a quarter of a second at least: on a busy machine
    one block alone may be kept waiting.
    """
    held: list[F32] = []
    arrivals = deque([(steady_ns(), 0)])  # when how many samples had come
    try:
        for mono, lost in blocks:
            if lost and held:
                yield np.concatenate(held), 0
                yield mono, lost
                break
            held.append(mono.copy())  # it is valid until the next
            now_ns, count = steady_ns(), arrivals[-1][1] + len(mono)
            arrivals.append((now_ns, count))
            while len(arrivals) > 2 and count - arrivals[1][1] >= _EDGE_S * rate:
                arrivals.popleft()
            since_ns, before = arrivals[0]
            slow = 2 * (now_ns - since_ns) * rate > (count - before) * NS_PER_SECOND
            if (slow and count - before >= _EDGE_S * rate) or count > MOST_BEHIND_S * rate:
                yield np.concatenate(held), lost
                break
        else:
            if held:
                yield np.concatenate(held), 0
    except Exception:  # whatever ends it: what came before that is heard
        if held:
            yield np.concatenate(held), 0
        raise
    yield from blocks
