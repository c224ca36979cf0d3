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
        self._dims = tensor.shape[: self._axis] + tensor.shape[self._axis + 1 :]
        dtype = np.dtype(tensor.dtype)
        # grows by doubling with the highest slot in use; the engine bounds the slots
        self._slots = np.zeros((_FIRST_SLOTS, *self._dims), dtype=dtype)
        size = int(np.prod(self._dims))
        self._before = np.zeros(rows * size, dtype=dtype)
        self._after = np.zeros(rows * size, dtype=dtype)
        self._size = size
        self._views: dict[int, tuple[Array, Array]] = {}  # bound: one entry a batch size

    def before(self, count: int) -> Array:
        """The graph's input for `count` rows."""
        return self._shaped(self._before, count)

    def after(self, count: int) -> Array:
        """The graph's output for `count` rows."""
        return self._shaped(self._after, count)

    def gather(self, slots: Sequence[int]) -> None:
        """Copy the state of these slots into the graph's input."""
        self._reach(max(slots))
        view, _ = self._by_row(len(slots))
        if len(slots) == 1:
            view[0] = self._slots[slots[0]]
        else:
            view[...] = self._slots[list(slots)]

    def scatter(self, slots: Sequence[int]) -> None:
        """Copy the graph's output back to these slots."""
        _, view = self._by_row(len(slots))
        if len(slots) == 1:
            self._slots[slots[0]] = view[0]
        else:
            self._slots[list(slots)] = view

    def reset(self, slot: int) -> None:
        """Zero the state of `slot`."""
        self._reach(slot)
        self._slots[slot] = 0

    def _reach(self, slot: int) -> None:
        while slot >= len(self._slots):
            self._slots = np.concatenate([self._slots, np.zeros_like(self._slots)])

    def _by_row(self, count: int) -> tuple[Array, Array]:
        views = self._views.get(count)
        if views is None:
            views = self._views[count] = (
                np.moveaxis(self.before(count), self._axis, 0),
                np.moveaxis(self.after(count), self._axis, 0),
            )
        return views

    def _shaped(self, memory: Array, count: int) -> Array:
        shape = [count if size == 0 else size for size in self.tensor.shape]
        return memory[: count * self._size].reshape(shape)
