"""The ring: one writer, many readers, addressed by absolute 64-bit sample index.

Theory of operation. The buffer holds `capacity` samples twice, one copy behind the other, so that any window of up
to `capacity` samples is one contiguous view. The two sides share two words: the writer moves `_reserved` first, stores
the samples, and moves `written` last; a reader looks at `written`, takes its view, and after using it asks `holds`,
which looks at `_reserved`, whether the writer has touched it meanwhile. Nothing locks, nothing waits, nothing is ever
glued: samples that were lost get their indexes too, are filled with zeros and are declared as a hole.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

from streamclf.errors import Overrun
from streamclf.types import F32

MAX_HOLES = 1024
_SILENCE = np.zeros(4096, dtype=np.float32)  # lost samples are stored from it, so that a callback allocates nothing


@dataclass(frozen=True, slots=True)
class Hole:
    """Lost samples [first, end) and why."""

    first: int
    end: int
    reason: str


class Ring:
    """Mirrored ring of mono float32 samples.

    capacity: samples held; the oldest are overwritten (policy: newest wins, readers get `Overrun`).
    """

    def __init__(self, capacity: int) -> None:
        if capacity <= 0:
            raise ValueError(f"capacity must be positive, got {capacity}")
        self.capacity = capacity
        self.written = 0
        """Samples written since the start, lost ones included: the index of the next sample."""
        self.holes: deque[Hole] = deque(maxlen=MAX_HOLES)  # oldest forgotten first; `lost` goes on counting
        self.lost = 0
        self._reserved = 0
        self._buffer = np.zeros(2 * capacity, dtype=np.float32)

    @property
    def first_valid(self) -> int:
        """Index of the oldest sample still held."""
        return max(0, self._reserved - self.capacity)

    def write(self, samples: F32) -> None:
        """Append samples: (n, ) float32, any n. Of a block longer than the ring the newest part is kept."""
        end = self.written + len(samples)
        kept = samples[-self.capacity :]
        self._reserved = end
        self._store(end - len(kept), kept)
        self.written = end

    def skip(self, count: int, reason: str) -> None:
        """Declare that the next `count` samples were lost. They read as zeros."""
        if count <= 0:
            return
        first = self.written
        end = first + count
        kept = min(count, self.capacity)
        step = min(len(_SILENCE), self.capacity)
        self._reserved = end
        for at in range(end - kept, end, step):
            self._store(at, _SILENCE[: min(step, end - at)])
        self.lost += count
        self.holes.append(Hole(first, end, reason))  # before `written`: whoever sees the zeros can see why
        self.written = end

    def _store(self, start: int, samples: F32) -> None:
        """Put samples, at most `capacity` of them, at index `start` in both copies."""
        buffer, capacity = self._buffer, self.capacity
        at = start % capacity
        end = at + len(samples)
        buffer[at:end] = samples
        if end <= capacity:
            buffer[at + capacity : end + capacity] = samples
        else:
            head = capacity - at
            buffer[at + capacity :] = samples[:head]
            buffer[: end - capacity] = samples[head:]

    def view(self, start: int, stop: int) -> F32:
        """Samples [start, stop) as one contiguous view: (stop - start, ) float32; use it before the writer laps.

        Raises `Overrun` where `start` has been overwritten, ValueError where `stop` lies
        ahead of the writer.
        """
        if not 0 <= start <= stop <= self.written:
            raise ValueError(f"samples [{start}, {stop}) are not a range of the {self.written} written so far")
        if not self.holds(start):
            raise Overrun(start, self.first_valid)
        at = start % self.capacity
        return self._buffer[at : at + (stop - start)]

    def holds(self, start: int) -> bool:
        """Whether a view that began at `start` is still whole."""
        return start >= self._reserved - self.capacity
