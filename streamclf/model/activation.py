"""From what a graph gives to probabilities, to logits, and to what heads on embeddings take."""

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


def logits(scores: F32, activation: str, clip: np.float32) -> F32:
    """ln(p / (1 - p)) of probabilities p, within +-clip. New memory, float32.

    scores: finite; of a sigmoid as the graph gives them, which are such logits with no rounding between, else p itself.
    """
    if activation == "sigmoid":
        return scores.clip(-clip, clip)
    least = np.float32(1.0) / (np.float32(1.0) + np.exp(clip))  # never 0 or 1
    p = scores.clip(least, _ONE - least)
    p /= _ONE - p
    np.log(p, out=p)
    np.minimum(p, clip, out=p)  # near 1, float32 is coarse
    return p


def normalised(embedded: F32) -> F32:
    """What heads are made for: roots of the sizes of (n, numbers) float32, signs as they were, each row of length 1.

    A root keeps one strong number from deciding alone, and the length says how loud it was, not what.
    """
    roots: F32 = np.sqrt(np.abs(embedded))
    np.copysign(roots, embedded, out=roots)
    length = np.sqrt(np.einsum("nd,nd->n", roots, roots))
    roots /= np.maximum(length, 1e-6)[:, None]
    return roots
