"""The writer's inbox: where every other thread leaves what is to be kept, and goes on at once.

It is made before the writer and before those that give to it, so that none of them has to wait for another to be made.
"""

import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from streamclf import metrics
from streamclf.alerts.rules.place import Location
from streamclf.alerts.rules.rule import Rule
from streamclf.audio.wake import Wake
from streamclf.types import Event, FrameScores, Gap, Levels, LoudnessMinute, OtherLabels, Output, Remembered, Status
from streamclf.writer.backlog import MAX_BACKLOG, Done, Write

MAX_INBOX = 1024  # deliveries, 20 s of one stream; beyond it rows and levels are dropped, after MAX_BACKLOG more all is
BUSY_INBOX = 256
_FEW = (Status, LoudnessMinute, OtherLabels)
BUSY_INBOX_CUTTING = 4  # each is at most a second of sound, and a ring holds ten more than the longest clip


class Inbox:
    """rows: whether score rows are of any use. cuts: whether clips are cut, which cannot wait for ever.

    `put`, `use`, `call`, `ring`, `congested` and `event_ids` are for any thread; all else is for the writer's.
    """

    def __init__(self, *, rows: bool = False, cuts: bool = False) -> None:
        self.keep(rows=rows, cuts=cuts)
        self._outputs: deque[Sequence[Output]] = deque()  # bound: MAX_INBOX, see put
        # bounded by its callers, who wait for an answer
        self._calls: queue.SimpleQueue[tuple[Write, Done | None]] = queue.SimpleQueue()
        self._rules: tuple[Sequence[Rule], Location] | None = None
        self._changes: queue.SimpleQueue[Callable[[], object]] = queue.SimpleQueue()  # a person makes them
        self._wake = Wake()

    def keep(self, *, rows: bool, cuts: bool) -> None:
        """See the class. Any thread."""
        self._wanted: tuple[type, ...] = (Event, Gap, *_FEW, Levels, Remembered, *((FrameScores,) if rows else ()))
        self._busy = BUSY_INBOX_CUTTING if cuts else BUSY_INBOX

    def change(self, function: Callable[[], object]) -> None:
        """Have `function` called on the writer's thread, between two rounds. Any thread."""
        self._changes.put(function)
        self._wake.set()

    def changes(self) -> Iterator[Callable[[], object]]:
        """What was given to `change` since, taken out one by one."""
        while not self._changes.empty():
            yield self._changes.get_nowait()

    @property
    def congested(self) -> bool:
        """Whether a producer that can wait (`--fast`) should."""
        return len(self._outputs) > self._busy

    def put(self, outputs: Sequence[Output]) -> None:
        """Keep soon. Never waits."""
        wanted = [output for output in outputs if isinstance(output, self._wanted)]
        if len(self._outputs) >= MAX_INBOX:
            metrics.STORE_PASSED.inc(sum(isinstance(output, FrameScores | Levels) for output in wanted))
            wanted = [output for output in wanted if isinstance(output, (Event, Gap, *_FEW))]
        if len(self._outputs) >= MAX_INBOX + MAX_BACKLOG:
            metrics.STORE_LOST.inc(sum(isinstance(output, Event) for output in wanted))
            return
        if wanted:
            self._outputs.append(wanted)
            if self.congested or any(isinstance(output, Event) for output in wanted):
                self._wake.set()

    def use(self, rules: Sequence[Rule], place: Location) -> None:
        """These are the rules from the next event on. What they remember stays."""
        self._rules = rules, place
        self._wake.set()

    def call(self, write: Write, done: Done | None = None) -> None:
        """Run `write` in the next transaction, soon; `done` on the writer's thread once it is on the disk.

        Where the disk does not take the transaction, all of it is tried again: `write` may run more than once.
        """
        self._calls.put((write, done))
        self._wake.set()

    def ring(self) -> None:
        """Have the writer look now."""
        self._wake.set()

    def wait(self, limit_s: float) -> None:
        """Until somebody rings, at most `limit_s`."""
        self._wake.wait(limit_s)

    def outputs(self) -> Iterator[Sequence[Output]]:
        """What was put since, taken out one by one."""
        while self._outputs:
            yield self._outputs.popleft()

    def event_ids(self) -> set[str]:
        """The engine's ids of the events that were put since. For any thread."""
        return {output.id for outputs in self._outputs.copy() for output in outputs if isinstance(output, Event)}

    def calls(self) -> Iterator[tuple[Write, Done | None]]:
        """What was called for since, taken out one by one."""
        while not self._calls.empty():
            yield self._calls.get_nowait()

    def rules(self) -> tuple[Sequence[Rule], Location] | None:
        """The rules that were given last, where that was since the last look."""
        given, self._rules = self._rules, None
        return given
