"""Probabilities in one byte each, so that a decision about a threshold comes out as it did live.

Codes are cells between *edges*. The edges are all multiples of 0.005, a few very close to 0 and 1, and every threshold
in force: a probability and the middle of its cell lie on the same side of each of them. Of a threshold that is not an
edge, rows nearer to it than 0.0025 may fall on its other side.
"""

from collections.abc import Iterable

import numpy as np

from streamclf.engine.segment import Decision
from streamclf.types import F32, U8

_STEPS = 200
_CODES = 256
_FINE = (0.0002, 0.0005, 0.001, 0.002, 0.003, 0.004)


def edges_of(decisions: Iterable[Decision]) -> F32:
    """(edges, ) float32, ascending, at most 255. Thresholds beyond that number are left out, the rarest first."""
    grid = {np.float32(k / _STEPS) for k in range(1, _STEPS)}
    counts: dict[np.float32, int] = {}
    for decision in decisions:
        # the segmenter compares `enter` in single precision first, then both thresholds in double
        for edge in (np.float32(decision.enter), _ceil(decision.enter), _ceil(decision.leave)):
            counts[edge] = counts.get(edge, 0) + 1
    wanted = sorted((edge for edge in counts if 0 < edge <= 1), key=lambda edge: -counts[edge])
    fine = [np.float32(value) for low in _FINE for value in (low, 1 - low)]
    for edge in [*wanted, *fine]:
        if len(grid) < _CODES - 1:
            grid.add(edge)
    return np.array(sorted(grid), dtype=np.float32)


def values_of(edges: F32) -> F32:
    """What each code stands for: 0 for the lowest, else the middle of its cell. (edges + 1, ) float32."""
    ends = np.append(edges[1:], np.float32(1))
    middles = (edges + ends) / 2
    # between neighbouring float32 numbers there is no middle
    return np.concatenate([[np.float32(0)], np.where(middles < ends, middles, edges)]).astype(np.float32)


def encode(rows: F32, edges: F32) -> U8:
    """rows: (frames, classes) float32 in [0, 1] -> codes of the same shape."""
    return np.searchsorted(edges, rows, side="right").astype(np.uint8)


def keep_top(codes: U8, rows: F32, count: int) -> U8:
    """codes with 0 for all but the `count` highest probabilities of each row."""
    if count <= 0 or count >= rows.shape[1]:
        return codes
    kept = np.zeros_like(codes)
    columns = np.argpartition(rows, -count, axis=1)[:, -count:]
    np.put_along_axis(kept, columns, np.take_along_axis(codes, columns, axis=1), axis=1)
    return kept


def _ceil(threshold: float) -> np.float32:
    """The lowest float32 that reaches `threshold` in double precision."""
    edge = np.float32(threshold)
    return edge if float(edge) >= threshold else np.nextafter(edge, np.float32(np.inf))
