"""Heads: all classes that were taught on one embedding, as one matrix product."""

from collections.abc import Sequence

import numpy as np

from streamclf.model.activation import probabilities
from streamclf.types import F32


def normalised(embedded: F32) -> F32:
    """What heads are made for: square roots of (n, numbers) float32 that are not negative, each row then of length 1.

    A root keeps one strong number from deciding alone, and the length says how loud it was, which is no matter of what.
    """
    roots: F32 = np.sqrt(np.maximum(embedded, 0.0)) if _positive(embedded) else embedded
    length = np.sqrt(np.einsum("nd,nd->n", roots, roots))
    rows: F32 = roots / np.maximum(length, 1e-6)[:, None]
    return rows


def _positive(embedded: F32) -> bool:
    return bool(len(embedded)) and float(embedded.min()) >= 0.0


class Heads:
    """labels: ids, one for each column. weights: (numbers + 1, classes) float32, the biases last."""

    def __init__(self, labels: Sequence[str], weights: F32) -> None:
        self.labels = tuple(labels)
        self._weights = np.ascontiguousarray(weights[:-1], dtype=np.float32)
        self._bias = weights[-1].astype(np.float32)

    def __call__(self, embedded: F32) -> F32:
        """embedded: (n, numbers) float32 as a graph gives them. Returns (n, classes) float32 in [0, 1], new memory.

        What is not finite gives zeros.
        """
        if not self.labels:
            return np.zeros((len(embedded), 0), dtype=np.float32)
        logits = normalised(embedded) @ self._weights
        logits += self._bias
        return np.nan_to_num(probabilities(logits, "sigmoid"), copy=False, nan=0.0)
