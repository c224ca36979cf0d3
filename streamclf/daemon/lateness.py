"""Is the event loop late? It carries health, pages and all subscribers, so nobody else could tell.

Theory of operation. Ten times a second it is seen how late the loop is: how late this look itself comes, or, where that
is more, how long the oldest waits of what the model thread has handed over. It counts as late once it was that for a
second of the last three, so that a single hiccup, which is over before anyone is told, does not; and no more after
three seconds without. Told it is in the log, among the problems, in metrics, and, for `why`, in the store.
"""

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from streamclf import metrics
from streamclf.clock import NS_PER_SECOND
from streamclf.protocol.status import DaemonProblem
from streamclf.store.gaps import StoredGap, keep_gap

log = logging.getLogger("streamclf")

LOOK_S = 0.1
LATE_S = 0.25
"""What is told so much later than it could be is late."""
MUCH_S, SPAN_S = 1.0, 3.0
_KEPT_S = 5.0  # so often it is written down while it lasts
_TO_DO = "see what else keeps this machine busy, and how many clients there are; score rows are dropped from 20 s on"


@dataclass(slots=True)
class Lateness:
    """late: whether it is. worst_s: at worst in the last SPAN_S. No clock, no I/O."""

    late: bool = False
    worst_s: float = 0.0
    _looks: deque[tuple[float, float, float]] = field(default_factory=deque)
    """(when, how long before that the last look was, how late), of the last SPAN_S."""
    _before_s: float | None = None

    def look(self, now_s: float, late_s: float) -> bool:
        """Once. late_s: how late the loop is now. Returns whether `late` has changed."""
        lasted_s = 0.0 if self._before_s is None else now_s - self._before_s
        self._before_s = now_s
        self._looks.append((now_s, lasted_s, late_s))
        while now_s - self._looks[0][0] > SPAN_S:
            self._looks.popleft()
        self.worst_s = max(late for _, _, late in self._looks)
        much_s = sum(lasted for _, lasted, late in self._looks if late >= LATE_S)
        before, self.late = self.late, much_s > 0 if self.late else much_s >= MUCH_S
        return self.late is not before


class LoopWatch:
    """Watches the loop that it runs on. waits_s: how long the oldest waits of what was handed over.

    keep: writes into the store; None where nothing is kept.
    """

    def __init__(
        self, waits_s: Callable[[], float], keep: Callable[[Callable[[sqlite3.Connection], None]], object] | None
    ) -> None:
        self._waits_s = waits_s
        self._keep = keep
        self._lateness = Lateness()
        self._since_s = self._kept_s = self._worst_s = 0.0
        self._since_ns = 0

    async def watch(self) -> None:
        """For ever."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LOOK_S
            await asyncio.sleep(LOOK_S)
            now_s = loop.time()
            self.look(now_s, max(now_s - due_s, self._waits_s()), time.time_ns())

    def look(self, now_s: float, late_s: float, now_ns: int) -> None:
        """Once, at those moments of the loop's clock and of the wall's."""
        changed = self._lateness.look(now_s, late_s)
        metrics.LOOP_LATE.set(self._lateness.worst_s)
        if not (self._lateness.late or changed):
            return
        if changed and self._lateness.late:
            metrics.LOOP_LATE_SPELLS.inc()
            self._since_s, self._kept_s, self._worst_s = now_s, now_s, 0.0
            self._since_ns = now_ns - round(SPAN_S * NS_PER_SECOND)
            log.warning("the event loop is late, by up to %.1f s: %s", self._lateness.worst_s, _TO_DO)
        self._worst_s = max(self._worst_s, self._lateness.worst_s)
        if changed and not self._lateness.late:
            lasted_s = now_s - self._since_s
            log.info("the event loop keeps up again: for %.0f s it was late, by up to %.1f s", lasted_s, self._worst_s)
        if self._keep is not None and (changed or now_s >= self._kept_s + _KEPT_S):
            self._kept_s = now_s
            reason = f"the event loop was up to {self._worst_s:.1f} s late with health, pages and subscribers"
            self._keep(partial(keep_gap, gap=StoredGap("", self._since_ns, now_ns, reason)))

    def found(self) -> Iterator[DaemonProblem]:
        """That it is late, from any thread."""
        if self._lateness.late:
            what = (
                f"the event loop is late: health, pages and subscribers are told everything more than {LATE_S:g} s late"
            )
            yield DaemonProblem(what, [], 0, _TO_DO)
