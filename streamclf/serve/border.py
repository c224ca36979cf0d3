"""The border between the thread that scores and the event loop: what was decided crosses it, a tick at a time.

The thread never waits. Where the loop stands still, score rows are dropped, counted and told, and events stay; where it
is merely slow, a producer that can wait is asked to. The loop is not woken for what nobody would be told of before more
comes, and gives others their turn where there is much to take.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from streamclf import metrics
from streamclf.serve.hub import Hub
from streamclf.types import FrameScores, Levels, Output, Picture, Sound, Status, StreamState

MAX_POSTED = 1024  # ticks handed over and not yet taken: 20 s; score rows beyond are dropped, counted and told
BUSY_POSTED = 16
TURN_S = 0.02  # of the loop, for what was posted


class Border:
    """on_fault: called on the loop's thread with what `hub` raises."""

    def __init__(self, hub: Hub, on_fault: Callable[[BaseException], object]) -> None:
        self._hub = hub
        self._on_fault = on_fault
        # bound: MAX_POSTED; score rows beyond are dropped; counter: BORDER_ROWS
        self._posted: deque[tuple[Sequence[Output], int]] = deque()
        self._taking = False
        self._missed: dict[str, int] = {}
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
            self._publish(*self._posted.popleft())

    def post(self, outputs: Sequence[Output], decided_ns: int) -> None:
        """From any one thread: publish soon. decided_ns: wall time at which the engine had decided."""
        if self._closed:
            return
        if len(self._posted) >= MAX_POSTED:
            for output in outputs:
                if isinstance(output, FrameScores):
                    self._missed[output.stream] = self._missed.get(output.stream, 0) + len(output.rows)
                    metrics.BORDER_ROWS.labels(output.stream).inc(len(output.rows))
            outputs = [output for output in outputs if not isinstance(output, FrameScores | Levels | Picture | Sound)]
            if not outputs:
                return
        elif self._missed:
            told = [
                Status(name, StreamState.BEHIND, f"{rows} score rows were dropped: the server stood still")
                for name, rows in self._missed.items()
            ]
            self._missed = {}
            outputs = [*told, *outputs]
        self._posted.append((outputs, decided_ns))
        if not self._taking and self._hub.presses(outputs):
            self._taking = True
            self._loop.call_soon_threadsafe(self._take)

    @property
    def busy(self) -> bool:
        """Whether more waits than a loop that has nothing else to do would leave. Any thread may ask."""
        return len(self._posted) > BUSY_POSTED

    def _take(self) -> None:
        """What was posted, for a turn. Others have theirs then: clients that cost too much hold up nobody."""
        end_s = self._loop.time() + TURN_S
        while self._posted and self._loop.time() < end_s:
            self._publish(*self._posted.popleft())
        if not self._posted:
            self._taking = False
        if self._posted:  # also where something was posted just now by somebody who saw that it is taken
            self._taking = True
            self._loop.call_soon(self._take)

    def _publish(self, outputs: Sequence[Output], decided_ns: int) -> None:
        try:
            self._hub.publish(outputs, decided_ns=decided_ns, sent_ns=time.time_ns())
        except Exception as fault:
            self._on_fault(fault)
            raise
