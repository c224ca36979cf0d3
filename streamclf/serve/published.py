"""The replay ring: what was published, kept for a while, in one order.

Theory of operation. Score rows of one (stream, pack, revision) form a *track*; a track is cut into *groups* of up to
five rows on frames [5m, 5m + 5), which is what a `batch` message carries. A group closes with its last frame, or
earlier when its stream has a gap or a status or when a frame was skipped. Where groups are cut depends on nothing but
what was published, never on the listeners, so a message is the same live and replayed.

Everything that can be sent has a *place*, an integer that orders it: the sequence number of the item itself, or for
a group that was closed early a place just before the item that closed it. A reader is one place: it has had
everything up to there. A reader's `since=SEQ` is the place of that item.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from streamclf.protocol import wire
from streamclf.protocol.wire import ROWS_PER_BATCH
from streamclf.types import F32

MAX_ITEMS = 8192
_SUB_BITS = 10
_ITSELF = (1 << _SUB_BITS) - 1


def place_of(seq: int) -> int:
    """Place of item `seq` itself."""
    return seq << _SUB_BITS | _ITSELF


def place_before(seq: int, number: int) -> int:
    """Place of the `number`-th group that item `seq` closed early."""
    return seq << _SUB_BITS | min(number, _ITSELF - 1)


def seq_of(place: int) -> int:
    """Sequence number of the item at `place`."""
    return place >> _SUB_BITS


@dataclass(slots=True, eq=False)
class Group:
    """Rows of consecutive frames. rows: (count, classes) float32, longer while the group is open."""

    track: "RowTrack"
    first_frame: int
    rows: F32
    seqs: list[int] = field(default_factory=list)
    captured_ns: list[int] = field(default_factory=list)
    decided_ns: list[int] = field(default_factory=list)
    place: int = 0
    """0 while open."""

    @property
    def next_frame(self) -> int:
        """The frame that would follow."""
        return self.first_frame + len(self.seqs)


class RowSlice(NamedTuple):
    """Rows [start, stop) of a group: what one score message carries."""

    place: int
    group: Group
    start: int
    stop: int


class Item(NamedTuple):
    """An event, gap, status, mark or hole. `stream` is empty for what concerns all, `pack`, `label` where none is."""

    place: int
    stream: str
    pack: str
    label: str
    message: wire.Event | wire.Gap | wire.Status | wire.Marked | wire.Taught | wire.Lagged


class ReplayHole(NamedTuple):
    """Items [from_seq, to_seq] are not held any more."""

    place: int
    from_seq: int
    to_seq: int


class RowTrack:
    """Score rows of one pack on one stream, of one revision.

    max_rows: rows kept (policy: the oldest group is forgotten; a reader that comes too late is told so).
    """

    def __init__(
        self, stream: str, pack: str, *, final: bool, stream_index: int, pack_index: int, max_rows: int
    ) -> None:
        self.stream = stream
        self.pack = pack
        self.final = final
        self.stream_index = stream_index
        self.pack_index = pack_index
        self.open: Group | None = None
        self.forgotten_seq = 0
        self.forgotten_place = 0
        self._max_rows = max_rows
        self._rows = 0
        self._groups: deque[Group] = deque()  # bound: max_rows rows; oldest forgotten first; counter: forgotten_seq

    def continues(self, frame: int) -> bool:
        """Whether a row of `frame` belongs to the open group, or there is none."""
        return self.open is None or frame == self.open.next_frame

    def add(self, frame: int, row: F32, *, seq: int, captured_ns: int, decided_ns: int) -> None:
        """Keep a row: (classes, ) float32, copied. Closes the group with its last frame."""
        group = self.open
        if group is None:
            rows = np.empty((ROWS_PER_BATCH, len(row)), dtype=np.float32)
            group = self.open = Group(self, frame, rows)
            self._groups.append(group)
        index = len(group.seqs)
        group.rows[index] = row
        group.seqs.append(seq)
        group.captured_ns.append(captured_ns)
        group.decided_ns.append(decided_ns)
        self._rows += 1
        while self._rows > self._max_rows and len(self._groups) > 1:
            self._forget()

    @property
    def newest_part(self) -> RowSlice:
        """The row that was added last."""
        group = self._groups[-1]
        end = len(group.seqs)
        return RowSlice(place_of(group.seqs[-1]), group, end - 1, end)

    def relabel(self, columns: Sequence[int | None]) -> None:
        """Rows have other columns from now on: for each the one that it was, None where it is new.

        Rows that are held follow, so that each message has the labels of now; a new column is 0 in them. No group may
        be open.
        """
        known = [at for at, column in enumerate(columns) if column is not None]
        before = [column for column in columns if column is not None]
        for group in self._groups:
            rows = np.zeros((len(group.rows), len(columns)), dtype=np.float32)
            rows[:, known] = group.rows[:, before]
            group.rows = rows

    @property
    def newest(self) -> F32 | None:
        """The last row: (classes, ) float32."""
        if not self._groups:
            return None
        group = self._groups[-1]
        return np.asarray(group.rows[len(group.seqs) - 1])

    def rows_between(self, first_frame: int, end_frame: int) -> list[tuple[int, F32]]:
        """Rows of frames [first, end) that are held, as (first frame, rows of a whole group), oldest first."""
        groups = self._groups
        start = max(0, bisect_right(groups, first_frame, key=lambda group: group.first_frame) - 1)
        found = []
        for at in range(start, len(groups)):
            group = groups[at]
            if group.first_frame >= end_frame:
                break
            if group.next_frame > first_frame:
                held = group.rows[: len(group.seqs)]
                # an open group goes on being written
                found.append((group.first_frame, held.copy() if group is self.open else held))
        return found

    def full(self) -> bool:
        """Whether the open group has had its last frame."""
        return self.open is not None and self.open.next_frame % ROWS_PER_BATCH == 0

    def close(self, place: int) -> RowSlice | None:
        """Close the open group, if there is one, and return all of it."""
        group = self.open
        if group is None:
            return None
        self.open = None
        group.place = place
        count = len(group.seqs)
        if count < len(group.rows):
            group.rows = group.rows[:count].copy()
        return RowSlice(place, group, 0, count)

    def rows_after(self, place: int) -> Iterator[RowSlice]:
        """Single rows with a later place, oldest first."""
        groups = self._groups
        start = bisect_right(groups, place, key=lambda group: place_of(group.seqs[-1]))
        for at in range(start, len(groups)):
            group = groups[at]
            for index, seq in enumerate(group.seqs):
                if place_of(seq) > place:
                    yield RowSlice(place_of(seq), group, index, index + 1)

    def groups_after(self, place: int) -> Iterator[RowSlice]:
        """Closed groups with a later place, oldest first."""
        groups = self._groups
        closed = len(groups) - (self.open is not None)
        for at in range(bisect_right(groups, place, 0, closed, key=lambda group: group.place), closed):
            yield RowSlice(groups[at].place, groups[at], 0, len(groups[at].seqs))

    def _forget(self) -> None:
        group = self._groups.popleft()
        self._rows -= len(group.seqs)
        self.forgotten_seq = group.seqs[-1]
        self.forgotten_place = group.place


class Items:
    """Events, gaps, statuses and marks of all streams, at most MAX_ITEMS (policy: the oldest is forgotten)."""

    def __init__(self) -> None:
        self.forgotten_place = 0
        self._items: deque[Item] = deque()  # bound: MAX_ITEMS; counter: forgotten_place

    def add(self, item: Item) -> None:
        """Keep an item."""
        self._items.append(item)
        if len(self._items) > MAX_ITEMS:
            self.forgotten_place = self._items.popleft().place

    def after(self, place: int) -> Iterator[Item]:
        """Items with a later place, oldest first."""
        items = self._items
        for at in range(bisect_right(items, place, key=lambda item: item.place), len(items)):
            yield items[at]
