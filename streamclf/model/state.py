"""The recurrent state of many streams, kept apart by slot and brought together for a run.

Each slot has two places for its state; a turn says which of them holds it. A run of one slot alone reads the one place
and writes the other, so that nothing is copied. Slots that run together are *seated* beside each other, in memory that
has two sides as well: while the same slots run in the same order, a run reads the one side and writes the other. Where
others run, or one of them alone, those that sit elsewhere are taken back to their places first.
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
_BENCHES = 4  # groups that stay seated: more streams than one run takes are run in turns


class Bench:
    """Where a group of slots is seated. number: of the bench. turn: the side that holds the states."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.turn = 0
        self.slots: tuple[int, ...] = ()
        self.sides: list[Array] = []
        """Of each tensor (2, rows, values): bound by the largest group that sat here."""


class SlotStates:
    """All recurrent tensors of a pack."""

    def __init__(self, tensors: Sequence[StateTensor]) -> None:
        self.tensors = tuple(tensors)
        self.turns = [0] * _FIRST_SLOTS
        self._tensors = [_SlotTensor(tensor) for tensor in tensors]
        self._benches: list[Bench] = []  # bound: `_BENCHES`; the one that ran least lately comes first
        self._seated: dict[int, Bench] = {}  # slot -> where it sits

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

    def rise(self, slot: int) -> None:
        """The slot is to run alone: it does not sit with others."""
        bench = self._seated.get(slot)
        if bench is not None:
            self._clear(bench)

    def seat(self, slots: Sequence[int]) -> tuple[Bench, bool]:
        """Seat these slots beside each other. Returns where, and whether its memory is new.

        A run of them turns the bench behind it.
        """
        group = tuple(slots)
        bench = self._seated.get(group[0])
        if bench is not None and bench.slots == group:
            return bench, False
        there = {self._seated[slot].number: self._seated[slot] for slot in group if slot in self._seated}
        for one in there.values():
            self._clear(one)
        free = next((one for one in self._benches if not one.slots), None)
        if free is None and len(self._benches) < _BENCHES:
            free = Bench(len(self._benches))
            self._benches.append(free)
        if free is None:
            free = self._benches[0]
            self._clear(free)
        self._benches.remove(free)
        self._benches.append(free)
        fresh = not free.sides or len(free.sides[0][0]) < len(group)
        if fresh:
            free.sides = [tensor.sides(len(group)) for tensor in self._tensors]
        held = np.array(self._held(group))
        for tensor, side in zip(self._tensors, free.sides, strict=True):
            tensor.gather(held, side[free.turn])
        free.slots = group
        self._seated.update(dict.fromkeys(group, free))
        return free, fresh

    def together(self, bench: Bench, count: int) -> Places:
        """Where a run of the `count` slots on that bench reads and writes, at its present turn."""
        turn, pairs = bench.turn, zip(self._tensors, bench.sides, strict=True)
        return [(tensor.seen(side[turn], count), tensor.seen(side[1 - turn], count)) for tensor, side in pairs]

    def scratch(self, count: int) -> Places:
        """Memory of nobody's state, for a run of `count` rows."""
        made = [(tensor, tensor.sides(count)) for tensor in self._tensors]
        return [(tensor.seen(side[0], count), tensor.seen(side[1], count)) for tensor, side in made]

    def reset(self, slot: int) -> None:
        """Zero the state of `slot`, for which there is room."""
        bench = self._seated.get(slot)
        if bench is None:
            for tensor in self._tensors:
                tensor.places[2 * slot : 2 * slot + 2] = 0
            return
        row = bench.slots.index(slot)
        for tensor, side in zip(self._tensors, bench.sides, strict=True):
            tensor.by_row(side[bench.turn], len(bench.slots))[row] = 0

    def _clear(self, bench: Bench) -> None:
        """Take all that sit there back to their places."""
        held = np.array(self._held(bench.slots))
        for tensor, side in zip(self._tensors, bench.sides, strict=True):
            tensor.places[held] = tensor.by_row(side[bench.turn], len(bench.slots))
        for slot in bench.slots:
            del self._seated[slot]
        bench.slots = ()

    def _held(self, slots: Sequence[int]) -> list[int]:
        """The place that holds the state of each of these slots."""
        return [2 * slot + self.turns[slot] for slot in slots]


class _SlotTensor:
    """One recurrent tensor. places: (2 * slots, *dims without the batch); those of a slot lie side by side."""

    def __init__(self, tensor: StateTensor) -> None:
        self._shape = tensor.shape
        self._axis = tensor.batch_axis
        dims = tensor.shape[: self._axis] + tensor.shape[self._axis + 1 :]
        self._size = int(np.prod(dims))
        self.places = np.zeros((2 * _FIRST_SLOTS, *dims), dtype=tensor.dtype)

    def double(self) -> None:
        self.places = np.concatenate([self.places, np.zeros_like(self.places)])

    def sides(self, rows: int) -> Array:
        """(2, rows, values), of zeros."""
        return np.zeros((2, rows, self._size), dtype=self.places.dtype)

    def alone(self, slot: int, turn: int) -> tuple[Array, Array]:
        pair = self.places[2 * slot : 2 * slot + 2]
        return self.seen(pair[turn : turn + 1], 1), self.seen(pair[1 - turn : 2 - turn], 1)

    def gather(self, held: Array, side: Array) -> None:
        """Copy what those places hold to the first rows of a side."""
        self.by_row(side, len(held))[...] = self.places[held]

    def by_row(self, side: Array, count: int) -> Array:
        """The first rows of a side with the batch axis first, the others as in `places`."""
        return np.moveaxis(self.seen(side, count), self._axis, 0)

    def seen(self, side: Array, count: int) -> Array:
        """The first rows of a side in the graph's own shape."""
        flat = side.reshape(-1)[: count * self._size]
        return flat.reshape([count if size == 0 else size for size in self._shape])
