"""The gate of a member of a fused pack: it runs only over windows in which the member that says when hears something.

A window of samples [start, end) is opened by those of that member's rows that are complete by `end` and stand for sound
from `start` on. So it depends on what was heard alone, never on how blocks were cut. A window that stays shut costs
nothing, and its row is what the member would say of silence.
"""

from collections import deque

from streamclf.engine.strand import Strand
from streamclf.types import F32


class RunGate:
    """source: the strand that says when; the last number of its rows is its largest logit of what opens the gate.

    member: the strand that is held back. over: the logit that opens it.
    """

    def __init__(self, source: Strand, member: Strand, *, over: float) -> None:
        self._source = source
        self._member = member
        self._over = over
        self._open: deque[int] = deque()  # bounded by the member's window: where rows that open it are complete
        source.heard = self._hear
        member.gate = self

    def restart(self) -> None:
        """Forget what was heard."""
        self._open.clear()

    def known(self, end: int) -> bool:
        """Whether all rows that decide of a window up to sample `end` (of the member) have been made."""
        return self._source.made(self._of_source(end))

    def passes(self, start: int, end: int) -> bool:
        """Whether the window of samples [start, end) of the member is worth a run; windows are asked for in order."""
        first = self._of_source(start) + self._source.manifest.look_ahead
        while self._open and self._open[0] <= first:
            self._open.popleft()
        return bool(self._open) and self._open[0] <= self._of_source(end)

    def _of_source(self, sample: int) -> int:
        # whole frames of both
        return sample // self._member.hop * self._source.hop

    def _hear(self, complete: int, row: F32) -> None:
        if row[-1] >= self._over:
            self._open.append(complete)
