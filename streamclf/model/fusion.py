"""How the rows of a fused pack come of its members' rows. Pure arithmetic; what a term means is told in model/pack.py.

Each member has a head, which turns what its graph gives into its share of every label's sum; that is done once a run,
for all streams of the run together. Of each frame only the shares are added up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import numpy.typing as npt

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
        self._activation = activation
        self._clip = np.float32(clip)
        self._columns, self._starts = _flat(columns)
        self.width = weights.shape[1] * (1 if margins is None else 2)
        self._margins: _Margins | None = None if margins is None else _Margins(margins)

    def __call__(self, raw: F32) -> F32:
        """raw: finite. New memory, float32."""
        scores = logits(raw, self._activation, self._clip)
        share: F32 = np.maximum.reduceat(scores[..., self._columns], self._starts, axis=-1) @ self._weights
        return share if self._margins is None else np.concatenate([share, self._margins(scores)], axis=-1)


class _Margins:
    def __init__(self, margins: Sequence[Sequence[tuple[int, float]]]) -> None:
        self._known = np.array([column for column, some in enumerate(margins) if some], dtype=np.intp)
        self._classes = len(margins)
        self._columns, self._starts = _flat([[column for column, _ in some] for some in margins if some])
        self._leave = np.array([leave for some in margins for _, leave in some], dtype=np.float32)

    def __call__(self, scores: F32) -> F32:
        out = np.full((*scores.shape[:-1], self._classes), np.nan, dtype=np.float32)
        if len(self._known):
            over = scores[..., self._columns] - self._leave
            out[..., self._known] = np.maximum.reduceat(over, self._starts, axis=-1)
        return out


def _flat(groups: Sequence[Sequence[int]]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """All indexes behind one another, and where each group begins."""
    flat = np.array([index for group in groups for index in group], dtype=np.intp)
    return flat, np.cumsum([0, *(len(group) for group in groups)])[:-1].astype(np.intp)
