"""The newest rows of an endless sequence, addressed by absolute 64-bit index, one contiguous view at a time.

Theory of operation. The buffer is twice as long as the capacity. Rows are written once, behind one another; when the
end is reached the newest ones slide to the front. A slide of `capacity` rows thus happens at most once in `capacity`
rows, and neither a frame nor a window ever has to be put together from two parts. One thread; nothing is shared.
"""

import numpy as np

from streamclf.errors import Overrun
from streamclf.types import F32


class Rows:
    """A history of float32 rows: samples, or spectra of some bands.

    capacity: rows held; the oldest are dropped (policy: newest wins, a late reader gets `Overrun`).
    dims: shape of one row, () for samples.
    shift: samples from one row to the next, for messages; row j belongs to sample j * shift.
    """

    def __init__(self, capacity: int, *, dims: tuple[int, ...] = (), shift: int = 1) -> None:
        if capacity <= 0:
            raise ValueError(f"capacity must be positive, got {capacity}")
        self.capacity = capacity
        self.shift = shift
        self.origin = 0
        """Index of the first row since the last restart."""
        self.available = 0
        """Index of the next row to be appended."""
        self._end = 0  # where in the buffer row `available` will go
        self._size = 2 * capacity
        self._buffer = np.zeros((self._size, *dims), dtype=np.float32)

    @property
    def first_valid(self) -> int:
        """Index of the oldest row held."""
        return max(self.origin, self.available - self.capacity)

    def restart(self, index: int) -> None:
        """Forget every row; the next one appended has this index."""
        self.origin = self.available = index
        self._end = 0

    def append(self, rows: F32) -> None:
        """Append rows: (n, *dims), any n. Of more than `capacity` the newest are kept."""
        count = len(rows)
        self.available += count
        if count > self.capacity:
            rows = rows[-self.capacity :]
            count = self.capacity
        end = self._end + count
        if end > self._size:
            keep = self.capacity - count
            self._buffer[:keep] = self._buffer[self._end - keep : self._end]
            self._end, end = keep, self.capacity
        self._buffer[self._end : end] = rows
        self._end = end

    def view(self, first: int, count: int) -> F32:
        """Rows [first, first + count) as a view, good until the next `append`: (count, *dims) float32.

        Raises `Overrun` where the first has been dropped, ValueError where the last is not there yet.
        """
        available = self.available
        if first + count > available:
            raise ValueError(f"rows [{first}, {first + count}) are not there yet; the next to come is {available}")
        if first < self.origin or first < available - self.capacity:
            raise Overrun(first * self.shift, self.first_valid * self.shift)
        at = self._end - (available - first)
        return self._buffer[at : at + count]

    def read(self, first: int, out: F32, *, before: F32) -> None:
        """Fill `out`, (n, *dims), with rows [first, first + n); those before the last restart are `before`, (*dims).

        Raises as `view` does.
        """
        if first >= self.origin:
            out[...] = self.view(first, len(out))
            return
        missing = min(self.origin - first, len(out))
        held = self.view(first + missing, len(out) - missing) if missing < len(out) else out[:0]
        out[:missing] = before
        out[missing:] = held
