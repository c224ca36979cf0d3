"""Heads: all classes that were taught on one embedding, as one matrix product."""

from collections.abc import Sequence

import numpy as np

from streamclf.model.activation import normalised, probabilities
from streamclf.types import F32


class Heads:
    """labels: ids, one for each column. weights: (numbers + 1, classes) float32, the biases last."""

    def __init__(self, labels: Sequence[str], weights: F32) -> None:
        self.labels = tuple(labels)
        self._weights = np.ascontiguousarray(weights[:-1], dtype=np.float32)
        self._bias = weights[-1].astype(np.float32)

    @property
    def weights(self) -> tuple[F32, F32]:
        """(numbers, classes) and the biases (classes, ), float32."""
        return self._weights, self._bias

    def __call__(self, embedded: F32) -> F32:
        """embedded: (n, numbers) float32 as a graph gives them. Returns (n, classes) float32 in [0, 1], new memory.

        What is not finite gives zeros.
        """
        if not self.labels:
            return np.zeros((len(embedded), 0), dtype=np.float32)
        logits = normalised(embedded) @ self._weights
        logits += self._bias
        return np.nan_to_num(probabilities(logits, "sigmoid"), copy=False, nan=0.0)
