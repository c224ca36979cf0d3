"""What other threads ask of the model thread: functions that it runs between two ticks, and streams that end.

Made before the model thread and before those that ask, so that none of them has to wait for another to be made.
"""

import queue
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from streamclf.audio.wake import Wake
from streamclf.types import Output

Call = Callable[[], Sequence[Output]]


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """`stream` gets no more audio: once its ring is read, its last rows go out, then `told`; then `done` is called."""

    stream: str
    told: Sequence[Output]
    done: Callable[[], object]


class EngineCalls:
    """`call`, `end` and both bells are for any thread, the rest is for the model's."""

    def __init__(self) -> None:
        self.wake = Wake()
        """What the model thread waits on: rung by a source with every block."""
        self.hurry = Wake()
        """What it waits on between two ticks while nobody waits for rows: rung where something is asked of it."""
        self._asked: queue.SimpleQueue[Call | StreamEnd] = queue.SimpleQueue()  # bounded by its callers

    def call(self, function: Call) -> None:
        """Run `function` between two ticks; its outputs are delivered."""
        self._ask(function)

    def end(self, stream: str, told: Sequence[Output], done: Callable[[], object] = lambda: None) -> None:
        """See `StreamEnd`."""
        self._ask(StreamEnd(stream, told, done))

    def _ask(self, asked: Call | StreamEnd) -> None:
        self._asked.put(asked)
        self.hurry.set()
        self.wake.set()

    @property
    def waiting(self) -> bool:
        """Whether something was asked for and not taken."""
        return not self._asked.empty()

    def taken(self) -> Iterator[Call | StreamEnd]:
        """What was asked for since, in order, taken out one by one."""
        while not self._asked.empty():
            yield self._asked.get_nowait()
