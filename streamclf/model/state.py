"""The recurrent state of many streams, kept apart by slot and brought together for a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.model.pack import StateTensor

Array = npt.NDArray[Any]

_FIRST_SLOTS = 16


class SlotState:
    """One recurrent tensor: the state of every slot, and the memory bound to the graph's input and output."""

    def __init__(self, tensor: StateTensor, rows: int) -> None:
        self.tensor = tensor
        self._axis = tensor.batch_axis
        dims = tensor.shape[: self._axis] + tensor.shape[self._axis + 1 :]
        self._size = int(np.prod(dims))
        # grows by doubling with the highest slot in use; the engine bounds the slots
        self._slots = np.zeros((_FIRST_SLOTS, *dims), dtype=tensor.dtype)
        self._before = np.zeros(rows * self._size, dtype=tensor.dtype)
        self._after = np.zeros(rows * self._size, dtype=tensor.dtype)

    def memory(self, count: int) -> tuple[Array, Array]:
        """The graph's input and output for `count` rows, each in the graph's own shape."""
        shape = [count if size == 0 else size for size in self.tensor.shape]
        size = count * self._size
        return self._before[:size].reshape(shape), self._after[:size].reshape(shape)

    def by_row(self, memory: Array) -> Array:
        """The same memory with the batch axis first."""
        return np.moveaxis(memory, self._axis, 0)

    def gather(self, slots: Sequence[int], before: Array) -> None:
        """Copy the state of these slots into the graph's input, seen by row."""
        if len(slots) == 1:
            self._reach(slots[0])
            before[0] = self._slots[slots[0]]
        else:
            self._reach(max(slots))
            before[...] = self._slots[list(slots)]

    def scatter(self, slots: Sequence[int], after: Array) -> None:
        """Copy the graph's output, seen by row, back to these slots."""
        if len(slots) == 1:
            self._slots[slots[0]] = after[0]
        else:
            self._slots[list(slots)] = after

    def reset(self, slot: int) -> None:
        """Zero the state of `slot`."""
        self._reach(slot)
        self._slots[slot] = 0

    def _reach(self, slot: int) -> None:
        while slot >= len(self._slots):
            self._slots = np.concatenate([self._slots, np.zeros_like(self._slots)])
