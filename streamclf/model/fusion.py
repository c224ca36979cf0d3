"""How the rows of a fused pack come of its members' rows. Pure arithmetic; what a term means is told in model/pack.py.

Each member has a head, which turns what its graph gives into its share of every label's sum; that is done once a run,
for all streams of the run together. Of each frame only the shares are added up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np

from streamclf.model.activation import logits, probabilities
from streamclf.types import F32


@dataclass(frozen=True, slots=True)
class Fusion:
    """bias: (classes,). heads: one for each member, in order. when: index of the member that says when, or None."""

    bias: F32
    heads: tuple["Head", ...]
    when: int | None

    def __call__(self, shares: Sequence[F32]) -> tuple[F32, F32 | None]:
        """shares: of each member (frames, its head's width).

        Returns probabilities (frames, classes), zeros where a member's row was not finite, and of the member that says
        when how far its own scores are over what it leaves at (frames, classes), NaN for labels that it does not know.
        """
        classes = len(self.bias)
        total = self.bias + shares[0][:, :classes]
        for share in shares[1:]:
            total += share[:, :classes]
        rows = probabilities(total, "sigmoid")
        if not isfinite(np.add.reduce(rows, axis=None)):
            np.nan_to_num(rows, copy=False, nan=0.0)
        return rows, None if self.when is None else shares[self.when][:, classes:]


class Head:
    """A member's share: from (n, F, its classes) as its graph gives them to (n, F, width).

    columns: of each term (there is one) the member's classes that it is of. weights: (terms, classes of the pack).
    margins: for the member that says when: of each label the terms' classes and where each leaves, as a logit.
    """

    def __init__(
        self,
        columns: Sequence[Sequence[int]],
        weights: F32,
        *,
        activation: str,
        clip: float,
        margins: Sequence[Sequence[tuple[int, float]]] | None = None,
    ) -> None:
        self._weights = weights
        self._terms, self._classes = weights.shape
        self.width = self._classes if margins is None else 2 * self._classes
        self._activation = activation
        self._clip = np.float32(clip)
        # terms and margins are read together, because for one row each call of numpy costs more than what it computes
        over = [(column, some) for column, some in enumerate(margins or ()) if some]
        self._known = np.array([self._classes + column for column, _ in over], dtype=np.intp)
        groups = [*columns, *([one for one, _ in some] for _, some in over)]
        self._columns = np.array([one for group in groups for one in group], dtype=np.intp)
        self._starts = np.cumsum([0, *map(len, groups)])[:-1].astype(np.intp)
        leaves = [0.0] * sum(map(len, columns)) + [leave for _, some in over for _, leave in some]
        self._leave = np.array(leaves, dtype=np.float32) if over else None

    def __call__(self, raw: F32) -> F32:
        """raw: finite. New memory, float32."""
        if self._activation == "softmax":
            raw = probabilities(raw, self._activation)
        scores = logits(raw.take(self._columns, axis=-1), self._activation, self._clip)
        if self._leave is not None:
            scores -= self._leave
        most: F32 = np.maximum.reduceat(scores, self._starts, axis=-1)
        share: F32 = most[..., : self._terms] @ self._weights
        if self.width == self._classes:
            return share
        told = np.full((*raw.shape[:-1], self.width), np.nan, dtype=np.float32)
        told[..., : self._classes] = share
        told[..., self._known] = most[..., self._terms :]
        return told
