"""The border between the thread that scores and the event loop: what was decided crosses it, a tick at a time.

The thread never waits. Where the loop stands still or falls behind for too long, score rows are dropped until it has
caught up, counted, and told as a gap; events stay. Where it is merely slow, a producer that can wait is asked to. The
loop is not woken for what nobody would be told of before more comes, and gives others their turn where there is much
to take.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

from streamclf import metrics
from streamclf.clock import FRAMES_PER_SECOND
from streamclf.serve.hub import Hub
from streamclf.text import some
from streamclf.types import FrameScores, Gap, GapReason, Levels, Output, Picture, Sound

log = logging.getLogger("streamclf.serve")

MAX_POSTED = 1024  # ticks handed over and not yet taken, 20 s of them; from then on score rows are dropped
BUSY_POSTED = 16
TURN_S = 0.02  # of the loop, for what was posted


class Border:
    """on_fault: called on the loop's thread with what `hub` raises."""

    def __init__(self, hub: Hub, on_fault: Callable[[BaseException], object]) -> None:
        self._hub = hub
        self._on_fault = on_fault
        # (outputs, decided_ns, when they were posted)
        # bound: MAX_POSTED; score rows beyond are dropped; counter: BORDER_ROWS
        self._posted: deque[tuple[Sequence[Output], int, float]] = deque()
        self._taking = False
        self._dropping = False
        self._missed: dict[str, tuple[int, int]] = {}  # stream -> (first frame, after the last)
        self._closed = False

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        """What is posted from now on is taken by that loop."""
        self._loop = loop

    def close(self) -> None:
        """Nothing more is let in."""
        self._closed = True

    def take_rest(self) -> None:
        """On the loop's thread, as the last thing: take all that was posted."""
        while self._posted:
            self._publish()
        if self._missed:
            self._hub.publish(self._told(), decided_ns=time.time_ns(), sent_ns=time.time_ns())

    def post(self, outputs: Sequence[Output], decided_ns: int) -> None:
        """From any one thread: publish soon. decided_ns: wall time at which the engine had decided."""
        if self._closed:
            return
        # no hole for each tick that it takes meanwhile, but one
        self._dropping = len(self._posted) >= (BUSY_POSTED if self._dropping else MAX_POSTED)
        if self._dropping:
            for output in outputs:
                if isinstance(output, FrameScores):
                    self._miss(output)
            outputs = [output for output in outputs if not isinstance(output, FrameScores | Levels | Picture | Sound)]
            if not outputs:
                return
        elif self._missed:
            outputs = [*self._told(), *outputs]
        self._posted.append((outputs, decided_ns, time.monotonic()))
        if not self._taking and self._hub.presses(outputs):
            self._taking = True
            self._loop.call_soon_threadsafe(self._take)

    def late_s(self) -> float:
        """How long the oldest has waited that the loop should have taken. On the loop's thread."""
        return time.monotonic() - self._posted[0][2] if self._taking and self._posted else 0.0

    @property
    def busy(self) -> bool:
        """Whether more waits than a loop that has nothing else to do would leave. Any thread may ask."""
        return len(self._posted) > BUSY_POSTED

    def _take(self) -> None:
        """What was posted, for a turn. Others have theirs then: clients that cost too much hold up nobody."""
        end_s = self._loop.time() + TURN_S
        while self._posted and self._loop.time() < end_s:
            self._publish()
        if not self._posted:
            self._taking = False
        if self._posted:  # also where something was posted just now by somebody who saw that it is taken
            self._taking = True
            self._loop.call_soon(self._take)

    def _publish(self) -> None:
        outputs, decided_ns, _ = self._posted.popleft()
        try:
            self._hub.publish(outputs, decided_ns=decided_ns, sent_ns=time.time_ns())
        except Exception as fault:
            self._on_fault(fault)
            raise

    def _miss(self, scores: FrameScores) -> None:
        after = scores.first_frame + len(scores.rows)
        first, last = self._missed.get(scores.stream, (scores.first_frame, after))
        self._missed[scores.stream] = min(first, scores.first_frame), max(last, after)
        metrics.BORDER_ROWS.labels(scores.stream).inc(len(scores.rows))

    def _told(self) -> list[Gap]:
        """What was dropped, of all packs of a stream together."""
        gaps = []
        for name, (first, after) in self._missed.items():
            hop = self._hub.streams[name].rate // FRAMES_PER_SECOND
            gaps.append(Gap(name, first * hop, after * hop - 1, GapReason.UNTOLD))
        longest_frames = max(after - first for first, after in self._missed.values())  # streams differ in their rates
        self._missed = {}
        log.warning(
            "subscribers of %s did not get rows of %.1f s: the event loop was too far behind, and is not any more",
            some([gap.stream for gap in gaps]),
            longest_frames / FRAMES_PER_SECOND,
        )
        return gaps
