"""From what a graph gives to probabilities, and to logits."""

import numpy as np

from streamclf.types import F32

_ZERO, _HALF, _ONE = np.float32(0.0), np.float32(0.5), np.float32(1.0)


def probabilities(raw: F32, activation: str) -> F32:
    """raw: (n, F, classes), finite. New memory, float32 in [0, 1]."""
    if activation == "sigmoid":
        # by tanh, which never overflows
        rows: F32 = np.tanh(raw * _HALF)
        rows += _ONE
        rows *= _HALF
        return rows
    if activation == "softmax":
        rows = np.exp(raw - raw.max(axis=-1, keepdims=True))
        rows /= rows.sum(axis=-1, keepdims=True)
        return rows
    return raw.clip(_ZERO, _ONE)


def logits(raw: F32, activation: str, clip: np.float32) -> F32:
    """ln(p / (1 - p)) of the probabilities p, within +-clip. raw: (n, F, classes), finite. New memory, float32.

    Of a sigmoid it is what the graph gives, with no rounding between.
    """
    if activation == "sigmoid":
        return raw.clip(-clip, clip)
    p = probabilities(raw, activation)
    least = np.float32(1.0) / (np.float32(1.0) + np.exp(clip))  # never 0 or 1
    p = p.clip(least, _ONE - least)
    return np.log(p / (_ONE - p)).clip(-clip, clip)
