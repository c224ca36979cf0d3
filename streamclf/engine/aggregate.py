"""From native rows to one score row per 20 ms frame. Pure arithmetic on integer sample indexes of the pack's rate.

`HoldRows` and `ReviseRows` live by one clock, `heard`: the number of samples the features have seen. `take` gives the
rows of the grid that are due by it, so they depend on what was heard alone, never on how the blocks were cut.
`FuseRows` puts such rows together.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np

from streamclf.model.fusion import Fusion
from streamclf.types import F32

Rows = tuple[int, F32, bool]
"""(first frame, rows (frames, classes) float32, final)"""


class HoldRows:
    """Stateful and window-row packs: row of frame k = newest native row complete by (k + 1) * hop + look_ahead.

    backfill: frames before the first native row's own take that row too, which its window covers; else they have none.
    """

    def __init__(self, *, hop: int, look_ahead: int, backfill: bool) -> None:
        self._hop = hop
        self._look_ahead = look_ahead
        self._backfill = backfill
        self._pending: deque[tuple[int, F32]] = deque()  # bounded by a tick, at the end by the look-ahead
        self._current: F32 | None = None
        self._next = 0

    def restart(self, frame: int) -> None:
        """Forget all rows; `frame` is the first one that can get a row."""
        self._pending.clear()
        self._current = None
        self._next = frame

    def add(self, complete: int, row: F32) -> None:
        """row: (classes, ) of a run, complete at sample `complete`, which is more than that of the row before."""
        self._pending.append((complete, row))

    def take(self, heard: int, next_complete: int) -> Iterator[Rows]:
        """All rows due by `heard`. next_complete: where the next run is complete, so that none is given too early."""
        due = self.due(heard, next_complete)
        if due is not None:
            yield due

    def due(self, heard: int, next_complete: int) -> Rows | None:
        """What `take` gives, None where that is nothing."""
        limit = min((heard - self._look_ahead) // self._hop, _before(next_complete, self._look_ahead, self._hop))
        first = self._next
        if first >= limit:
            return None
        if limit == first + 1 and self._current is not None:
            # live it is nearly always one row
            bound = limit * self._hop + self._look_ahead
            while self._pending and self._pending[0][0] <= bound:
                self._current = self._pending.popleft()[1]
            self._next = limit
            return first, self._current[None], True
        out = []
        while self._next < limit:
            bound = (self._next + 1) * self._hop + self._look_ahead
            while self._pending and self._pending[0][0] <= bound:
                self._current = self._pending.popleft()[1]
            if self._current is None:
                if not self._backfill or not self._pending:
                    if self._backfill:
                        break
                    self._next += 1
                    first = self._next
                    continue
                out.append(self._pending[0][1])
            else:
                out.append(self._current)
            self._next += 1
        return (first, _stacked(out), True) if out else None


def _stacked(rows: list[F32]) -> F32:
    # live, it is nearly always one row, and a view of it costs a tenth of a copy
    return rows[0][None] if len(rows) == 1 else np.stack(rows)


def _before(next_complete: int, look_ahead: int, hop: int) -> int:
    """Frames whose row cannot change any more: those k with (k + 1) * hop + look_ahead < next_complete."""
    return (next_complete - look_ahead - 1) // hop


class ReviseRows:
    """Window packs with frame output: a provisional row at once, one final revision `latency` samples later.

    The final row of frame k comes from the newest window that was complete by (k + 1) * hop + latency, or from the
    first one that holds k where that is later; with `average` it is the mean of all windows up to then that hold k.
    """

    def __init__(self, *, hop: int, latency: int, average: bool) -> None:
        self._hop = hop
        self._latency = latency
        self._average = average
        self._rows: deque[tuple[F32, int]] = deque()  # (sum or newest row, windows summed); bounded by window + latency
        self._next_final = 0
        self._next_provisional = 0
        self._fresh: list[Rows] = []

    def restart(self, frame: int) -> None:
        """Forget all rows; `frame` is the first one that can get a row."""
        self._rows.clear()
        self._fresh.clear()
        self._next_final = self._next_provisional = frame

    def add(self, first_frame: int, complete: int, rows: F32) -> None:
        """rows: (F, classes) of a window complete at sample `complete`, whose first row belongs to `first_frame`."""
        for offset, row in enumerate(rows):
            at = first_frame + offset - self._next_final
            if at < 0:
                continue
            if at >= len(self._rows):
                # between two far windows no row is missing: windows overlap or touch, the runner sees to it
                self._rows.append((row, 1))
                continue
            if complete > (first_frame + offset + 1) * self._hop + self._latency:
                continue
            old, count = self._rows[at]
            self._rows[at] = (old + row, count + 1) if self._average else (row, 1)
        end = first_frame + len(rows)
        start = max(self._next_provisional, first_frame)
        if start < end:
            self._fresh.append((start, rows[start - first_frame :], False))
            self._next_provisional = end

    def take(self, heard: int, next_complete: int) -> Iterator[Rows]:
        """Provisional rows of the runs since the last call, then all final rows due by `heard`."""
        yield from self._fresh
        self._fresh.clear()
        first, out = self._next_final, []
        while self._rows:
            deadline = (self._next_final + 1) * self._hop + self._latency
            if deadline > heard or next_complete <= deadline:
                break
            row, count = self._rows.popleft()
            out.append(row / np.float32(count) if count > 1 else row)
            self._next_final += 1
        if out:
            yield first, _stacked(out), True


class FuseRows:
    """Fused packs: the row of frame k, once every member has its own. Frames of which a member has none get none."""

    def __init__(self, fusion: Fusion) -> None:
        self._fusion = fusion
        self._waiting: list[deque[F32]] = [deque() for _ in fusion.heads]  # bounded by what the last member waits for
        self._begins: dict[int, int] = {}  # member -> the first frame that it gave a row for
        self._next: int | None = None  # once all have given one

    def restart(self) -> None:
        """Forget all rows."""
        for rows in self._waiting:
            rows.clear()
        self._begins.clear()
        self._next = None

    def add(self, member: int, first: int, rows: F32) -> None:
        """rows: (frames, width of its head), final ones, which follow on those before."""
        if self._next is None:
            self._begins.setdefault(member, first)
        self._waiting[member].extend(rows)

    def take(self) -> tuple[int, F32, F32 | None] | None:
        """(first frame, rows (frames, classes), margins as of `Fusion`) of the frames that are due, or None."""
        if self._next is None:
            self._align()
        count = min(map(len, self._waiting))
        if not count or self._next is None:
            return None
        first, self._next = self._next, self._next + count
        rows, margins = self._fusion([_stacked([each.popleft() for _ in range(count)]) for each in self._waiting])
        return first, rows, margins

    def _align(self) -> None:
        """Begin where the last member does, once it has."""
        if len(self._begins) < len(self._waiting):
            return
        begin = max(self._begins.values())
        early = [(self._waiting[member], begin - first) for member, first in self._begins.items()]
        if any(len(rows) < count for rows, count in early):
            return
        for rows, count in early:
            for _ in range(count):
                rows.popleft()
        self._next = begin
