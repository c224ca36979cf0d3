"""Pictures made larger or smaller, as PIL and torch do it: a matrix over one axis, then another over the other."""

from functools import lru_cache
from typing import Literal

import numpy as np

from streamclf.types import F64

Kernel = Literal["bilinear", "bicubic", "nearest"]
_SUPPORT = {"bilinear": 1.0, "bicubic": 2.0}
_STEPS = 1 << 22  # in which PIL counts the weights of a picture of bytes
_WHITE = 255.0


# bound: pictures of the packs in use at once, two axes each; the least recently used is computed again
@lru_cache(maxsize=64)
def resizing(size: int, wanted: int, kernel: Kernel, *, antialias: bool) -> F64:
    """Weights (wanted, size) of the pixels of a line of `size` in each one of a line of `wanted`; rows sum up to 1.

    antialias: a pixel of a smaller picture rests on all that it covers, as of PIL and of torch with antialias=True; a
    bicubic kernel is then Keys' with -0.5, otherwise with -0.75, and the line goes on as it ends.
    """
    weights = np.zeros((wanted, size))
    ratio = size / wanted
    if kernel == "nearest":
        # PIL adds up from the middle of the first pixel, and torch multiplies from its beginning
        at = np.cumsum([ratio / 2, *[ratio] * (wanted - 1)]) if antialias else np.arange(wanted) * ratio
        weights[np.arange(wanted), np.minimum(at, size - 1).astype(int)] = 1.0
        return weights
    support, grown = _SUPPORT[kernel], max(1.0, ratio) if antialias else 1.0
    sharpness = -0.5 if antialias else -0.75
    for row, middle in enumerate((np.arange(wanted) + 0.5) * ratio):
        if antialias:
            first = max(0, int(middle - support * grown + 0.5))
            columns = np.arange(first, min(size, int(middle + support * grown + 0.5)))
            own = _kernel((columns - middle + 0.5) / grown, kernel, sharpness)
            weights[row, columns] = own / own.sum()
        else:
            begin = middle - 0.5 if kernel == "bicubic" else max(0.0, middle - 0.5)
            columns = np.arange(int(np.floor(begin - support + 1)), int(np.floor(begin + support)) + 1)
            np.add.at(weights[row], columns.clip(0, size - 1), _kernel(columns - begin, kernel, sharpness))
    return weights


def resized(picture: F64, *, high: F64, wide: F64, whole: bool) -> F64:
    """picture: (..., h, w). high, wide: the weights of either axis, (h', h) and (w', w). Returns (..., h', w').

    whole: of whole numbers from 0 to 255, rounded after each axis, as PIL does to a picture of bytes.
    """
    if not whole:
        return np.asarray(high @ picture @ wide.T)
    if wide.shape[0] * high.shape[1] <= high.shape[0] * wide.shape[1]:  # the axis first that leaves fewer pixels
        return _rounded(_steps(high) @ _rounded(picture @ _steps(wide).T))
    return _rounded(_rounded(_steps(high) @ picture) @ _steps(wide).T)


def _kernel(at: F64, kernel: Kernel, sharpness: float) -> F64:
    at = np.abs(at)
    if kernel == "bilinear":
        return np.maximum(0.0, 1.0 - at)
    near = ((sharpness + 2.0) * at - (sharpness + 3.0)) * at * at + 1.0
    far = (((at - 5.0) * at + 8.0) * at - 4.0) * sharpness
    return np.where(at < 1.0, near, np.where(at < 2.0, far, 0.0))


def _steps(weights: F64) -> F64:
    """In whole steps, halves away from 0: sums of them are exact in float64."""
    return np.asarray(np.trunc(weights * _STEPS + np.copysign(0.5, weights)))


def _rounded(sums: F64) -> F64:
    return np.asarray(np.floor((sums + _STEPS // 2) / _STEPS).clip(0.0, _WHITE))
