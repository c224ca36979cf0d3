"""A session that is being made in a thread of its own: that may take long, fail, or never come to an end."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from streamclf.model.fusedsession import PackSession
from streamclf.model.session import Brake

MOST_S = 120.0
"""Computing time after which a first run counts as one that never ends. The largest packs that keep up anywhere need a
sixth of it on a small machine."""
_WALL = 10  # times as long in real time, where the thread gets no time to compute, or others compute for it


@dataclass(frozen=True, slots=True)
class Made:
    """A session that works, and the measured time of a run of one row."""

    session: PackSession
    run_seconds: float


class Making:
    """make: makes the session, whose runs end where the brake is pulled. Its thread begins at once."""

    def __init__(self, name: str, make: Callable[[Brake], PackSession]) -> None:
        self._make = make
        self._brake = Brake()
        self._made: Made | Exception | None = None
        self._clock: int | None = None
        self._began_s = time.monotonic()
        self._thread = threading.Thread(target=self._main, name=f"making of {name}", daemon=True)
        self._thread.start()

    def wait(self, limit_s: float) -> bool:
        """Wait for its end. Returns whether it has come."""
        self._thread.join(limit_s)
        return not self._thread.is_alive()

    @property
    def running(self) -> bool:
        """Whether its thread has not ended."""
        return self._thread.is_alive()

    @property
    def broken_off(self) -> bool:
        """Whether it took too long."""
        return self._brake.pulled

    @property
    def outcome(self) -> Made | Exception | None:
        """What came of it, None as long as nothing has."""
        return self._made

    def look(self) -> None:
        """Break it off where it takes too long; a run that does not heed the brake goes on."""
        if not self._brake.pulled and self._spent_s() > MOST_S:
            self.break_off()

    def break_off(self) -> None:
        """End its run, if that can be ended."""
        self._brake.pull()

    def _spent_s(self) -> float:
        waited_s = (time.monotonic() - self._began_s) / _WALL
        try:
            return waited_s if self._clock is None else max(waited_s, time.clock_gettime(self._clock))
        except OSError:  # the thread has just ended
            return waited_s

    def _main(self) -> None:
        self._clock = clock_of_thread()
        try:
            session = self._make(self._brake)
            self._made = Made(session, session.warm_up())
        except Exception as fault:
            self._made = fault


def clock_of_thread() -> int | None:
    """The id of the calling thread's CPU clock, for other threads to read; None where the system has none."""
    if not hasattr(time, "pthread_getcpuclockid"):
        return None
    return time.pthread_getcpuclockid(threading.get_ident())
