"""The recurrent state of many streams, kept apart by slot and brought together for a run.

Each slot has two places for its state; a turn says which of them holds it. A run of one slot alone reads the one place
and writes the other, so that nothing is copied. A run of several takes their states to one piece of memory and back.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from streamclf.model.pack import StateTensor

Array = npt.NDArray[Any]
Places = list[tuple[Array, Array]]
"""For each state tensor the memory of the graph's input and of its output, in the graph's own shape."""

_FIRST_SLOTS = 16


class SlotStates:
    """All recurrent tensors of a pack. rows: the most that one run takes together."""

    def __init__(self, tensors: Sequence[StateTensor], rows: int) -> None:
        self.tensors = tuple(tensors)
        self.turns = [0] * _FIRST_SLOTS
        self._tensors = [_SlotTensor(tensor, rows) for tensor in tensors]

    def reach(self, slot: int) -> bool:
        """Make room for `slot`. Returns whether the places of all others have moved for it."""
        # grows by doubling with the highest slot in use; the engine bounds the slots
        moved = slot >= len(self.turns)
        while slot >= len(self.turns):
            self.turns += [0] * len(self.turns)
            for tensor in self._tensors:
                tensor.double()
        return moved

    def alone(self, slot: int) -> Places:
        """Where a run of this slot alone reads and writes, at its present turn. `turn` comes behind the run."""
        return [tensor.alone(slot, self.turns[slot]) for tensor in self._tensors]

    def turn(self, slot: int) -> None:
        """A run of this slot alone has written its new state."""
        self.turns[slot] ^= 1

    def together(self, count: int) -> Places:
        """Where a run of `count` slots reads and writes, between `gather` and `scatter`."""
        return [tensor.together(count) for tensor in self._tensors]

    def gather(self, slots: Sequence[int], places: Places) -> None:
        """Copy the states of these slots to where their run reads."""
        at = self._held(slots)
        for tensor, (before, _) in zip(self._tensors, places, strict=True):
            tensor.by_row(before)[...] = tensor.places[at]

    def scatter(self, slots: Sequence[int], places: Places) -> None:
        """Copy what the run has written back to these slots."""
        at = self._held(slots)
        for tensor, (_, after) in zip(self._tensors, places, strict=True):
            tensor.places[at] = tensor.by_row(after)

    def reset(self, slot: int) -> None:
        """Zero the state of `slot`, for which there is room."""
        for tensor in self._tensors:
            tensor.places[2 * slot : 2 * slot + 2] = 0

    def _held(self, slots: Sequence[int]) -> list[int]:
        """The place that holds the state of each of these slots."""
        return [2 * slot + self.turns[slot] for slot in slots]


class _SlotTensor:
    """One recurrent tensor. places: (2 * slots, *dims without the batch); those of a slot lie side by side."""

    def __init__(self, tensor: StateTensor, rows: int) -> None:
        self._shape = tensor.shape
        self._axis = tensor.batch_axis
        dims = tensor.shape[: self._axis] + tensor.shape[self._axis + 1 :]
        self._size = int(np.prod(dims))
        self.places = np.zeros((2 * _FIRST_SLOTS, *dims), dtype=tensor.dtype)
        self._memory = np.zeros((2, rows * self._size), dtype=tensor.dtype)

    def double(self) -> None:
        self.places = np.concatenate([self.places, np.zeros_like(self.places)])

    def alone(self, slot: int, turn: int) -> tuple[Array, Array]:
        pair = self.places[2 * slot : 2 * slot + 2]
        return self._seen(pair[turn], 1), self._seen(pair[1 - turn], 1)

    def together(self, count: int) -> tuple[Array, Array]:
        before, after = self._memory[:, : count * self._size]
        return self._seen(before, count), self._seen(after, count)

    def by_row(self, memory: Array) -> Array:
        """The same memory with the batch axis first."""
        return np.moveaxis(memory, self._axis, 0)

    def _seen(self, memory: Array, count: int) -> Array:
        return memory.reshape([count if size == 0 else size for size in self._shape])
