"""The thread that watches the model thread: a run that takes too long is ended, or given up.

Theory of operation. It looks twenty times a second whether the model thread is in the same run as before. How long that
run lasts is told by what the model thread has computed in it, by its own CPU clock: so neither busy neighbours nor a
machine that sleeps make a run look hung. Where a run waits and computes nothing (a lock, another device), the looks are
counted: each stands for the time between two, also where more has gone by because this thread was stopped as well.

Over its limit a run is asked to end, which ONNX Runtime heeds between two nodes of a graph: it raises, and the pack has
failed like any other. Where it does not end soon either, it is given up: see guard.py.
"""

import threading
import time
from collections.abc import Callable

from streamclf.audio.wake import Halt
from streamclf.engine.guard import Guard

LOOK_S = 0.05
_WALL = 10  # times the limit that a run may wait for something and not compute
_GRACE_S = 0.2  # for a run that was asked to end
_GRACE = 0.1  # of its limit: a node of a large model takes its time


class RunWatch:
    """give_up: called with the number of a run that must be given up. on_fault: called with what ended the thread."""

    def __init__(self, give_up: Callable[[int], None], *, on_fault: Callable[[BaseException], None]) -> None:
        self._give_up = give_up
        self._on_fault = on_fault
        self._guard = Guard()
        self._number = 0
        self._looks = 0
        self._asked: int | None = None  # looks since it was asked to end
        self._began_cpu_s = 0.0
        self._stopping = Halt()
        self._thread = threading.Thread(target=self._main, name="watch", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; what it does now comes to its end."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def follow(self, guard: Guard) -> None:
        """From now on look at the thread of that guard."""
        self._guard = guard

    def _main(self) -> None:
        try:
            while not self._stopping.wait(LOOK_S):
                self.look()
        except BaseException as fault:
            self._on_fault(fault)

    def look(self) -> None:
        """Once every `LOOK_S`."""
        guard = self._guard
        present = guard.present()
        if present is None:
            self._number = 0
            return
        number, note = present
        if number != self._number:
            self._number, self._looks, self._asked = number, 0, None
            self._began_cpu_s = _cpu_s(guard)
            return
        self._looks += 1
        if self._asked is None:
            waited_s = self._looks * LOOK_S
            computed_s = _cpu_s(guard) - self._began_cpu_s if guard.clock is not None else waited_s
            if computed_s > note.limit_s or waited_s > _WALL * note.limit_s:
                note.brake.pull()
                self._asked = 0
            return
        self._asked += 1
        if self._asked * LOOK_S >= max(_GRACE_S, note.limit_s * _GRACE):
            self._number = 0
            self._give_up(number)


def _cpu_s(guard: Guard) -> float:
    try:
        return 0.0 if guard.clock is None else time.clock_gettime(guard.clock)
    except OSError:  # its thread has ended
        return 0.0
