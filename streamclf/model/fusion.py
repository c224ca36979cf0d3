"""How the rows of a fused pack come of its members' rows. Pure arithmetic; what a term means is told in model/pack.py.

Each member has a head, which turns what its graph gives into its share of every label's sum; that is done once a run,
for all streams of the run together. Of each frame only the shares are added up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite

import numpy as np
import numpy.typing as npt

from streamclf.model.activation import logits, normalised, probabilities
from streamclf.types import F32

Columns = npt.NDArray[np.intp]


def columns_of(indexes: npt.ArrayLike) -> Columns:
    """Indexes of columns."""
    return np.array(indexes, dtype=np.intp)


@dataclass(frozen=True, slots=True)
class Fusion:
    """bias: (classes,). heads: one for each member, in order. when: index of the member that says when, or None."""

    bias: F32
    heads: tuple["Head", ...]
    when: int | None

    @property
    def known(self) -> Columns:
        """Labels of which a member says when they begin, as columns."""
        return columns_of([]) if self.when is None else self.heads[self.when].known

    def __call__(self, shares: Sequence[F32]) -> tuple[F32, F32 | None]:
        """shares: of each member (frames, its head's width).

        Returns probabilities (frames, classes), zeros where a member's row was not finite, and of the member that says
        when how far its own scores of the `known` labels are over what it leaves at: (frames, known).
        """
        classes = len(self.bias)
        total = self.bias + shares[0][:, :classes]
        for share in shares[1:]:
            total += share[:, :classes]
        rows = probabilities(total, "sigmoid")
        if not isfinite(np.add.reduce(rows, axis=None)):
            np.nan_to_num(rows, copy=False, nan=0.0)
        return rows, None if self.when is None else shares[self.when][:, classes : classes + len(self.known)]


@dataclass(frozen=True, slots=True)
class OneEach:
    """Weights where no label has more than one term of the member, as in a pack of thousands of labels.

    term: (classes,) of each label its term, any where it has none. weight: (classes,), 0 where it has none.
    """

    term: Columns
    weight: F32

    def __call__(self, logits: F32) -> F32:
        """logits: (rows, terms). Returns (rows, classes)."""
        share: F32 = logits.take(self.term, axis=1)
        share *= self.weight
        return share


class Head:
    """A member's share: from (n, F, its classes) as its graph gives them to (n, F, width).

    columns: of each term the member's classes that it is of; at least one term or one margin is there. weights: (terms,
    classes of the pack), or `OneEach`.
    margins: for the member that says when: of each label the terms' classes and where each leaves, as a logit.
    opens: of it the classes that open the gate of others; the last number of a share is their largest logit.
    embedded: (numbers + 1, classes of the pack), what its embedding adds, biases last; None where it adds nothing.
    """

    def __init__(
        self,
        columns: Sequence[Sequence[int]],
        weights: F32 | OneEach,
        *,
        activation: str,
        clip: float,
        margins: Sequence[Sequence[tuple[int, float]]] = (),
        opens: Sequence[int] = (),
        embedded: F32 | None = None,
    ) -> None:
        over = {label: some for label, some in enumerate(margins) if some}
        self.known = columns_of(list(over))
        if opens:  # one more, behind the others
            over[len(margins)] = [(one, 0.0) for one in opens]
        self._classes = len(weights.weight) if isinstance(weights, OneEach) else weights.shape[1]
        self.width = self._classes + len(over)
        self._terms = len(columns)
        self._weights = weights
        self._activation = activation
        self._clip = np.float32(clip)
        self.embedded = embedded
        # terms and margins are read together, because for one row each call of numpy costs more than what it computes
        groups = [*columns, *([one for one, _ in some] for some in over.values())]
        self._columns = columns_of([one for group in groups for one in group])
        self._starts = None if max(map(len, groups)) == 1 else columns_of(np.cumsum([0, *map(len, groups)])[:-1])
        leaves = [0.0] * sum(map(len, columns)) + [leave for some in over.values() for _, leave in some]
        self._leave = np.array(leaves, dtype=np.float32) if over else None

    def silence(self, classes: int) -> F32:
        """(F = 1, width): the share of a run in which the member hears nothing. classes: of the member."""
        nothing = 0.0 if self._activation == "none" else -1000.0
        share: F32 = self(np.full((1, 1, classes), nothing, dtype=np.float32), None)[0]
        return share

    def __call__(self, raw: F32, numbers: F32 | None = None) -> F32:
        """raw: finite. numbers: embeddings of the rows, (n, [F,] numbers); without, none is added. New memory."""
        if self._activation == "softmax":
            raw = probabilities(raw, self._activation)
        most: F32 = logits(raw.take(self._columns, axis=-1), self._activation, self._clip)
        if self._leave is not None:
            most -= self._leave
        if self._starts is not None:
            most = np.maximum.reduceat(most, self._starts, axis=-1)
        flat = most.reshape(-1, most.shape[-1])  # one product for all rows
        if not self._terms:
            share: F32 = np.zeros((len(flat), self._classes), dtype=np.float32)
        elif isinstance(self._weights, OneEach):
            share = self._weights(flat)
        else:
            share = flat[:, : self._terms] @ self._weights
        if self.embedded is not None and numbers is not None:
            share += normalised(numbers.reshape(len(flat), -1)) @ self.embedded[:-1]
            share += self.embedded[-1]
        if self._leave is not None:
            share = np.concatenate([share, flat[:, self._terms :]], axis=1)
        return share.reshape(*raw.shape[:-1], self.width)
