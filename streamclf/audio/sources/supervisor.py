"""Brings lost microphones back.

Theory of operation. The supervisor's thread never calls PortAudio. Four times a second it looks at every source:

    NEW --opened--> STARTING --first block--> LIVE --stream ended, or no block for 1 s--> LOST --reopened--> STARTING

A lost source is closed, PortAudio is initialised anew (its device list is as old as its last initialisation), and the
source is reopened by its name, with a growing time between tries. All this runs on the worker, which may hang in it as
long as a sound server is frozen. Initialising ends every open stream; so while other sources run, a plain reopening is
tried, and only seldom are all closed and reopened. What each of them missed is declared by its next first block.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Protocol

from streamclf.audio.sources.worker import Worker
from streamclf.errors import SourceError
from streamclf.retry import Backoff

_WATCH_S = 0.25
# how often running sources are disturbed for the sake of a lost one
_DISTURB = Backoff(first_s=60.0, most_s=600.0)


class DeviceState(Enum):
    """Life of a device source; see the module's text."""

    NEW = auto()
    STARTING = auto()
    LIVE = auto()
    LOST = auto()


class Watched(Protocol):
    """What the supervisor needs of a source. Times are monotonic seconds."""

    next_try_s: float

    @property
    def running(self) -> bool:
        """A stream is open for it."""
        ...

    @property
    def lost(self) -> bool:
        """It waits to be brought back."""
        ...

    def check(self, now_s: float) -> None:
        """Follow its progress; may become lost by it."""
        ...

    def lose(self, reason: str, now_s: float) -> None:
        """Become lost."""
        ...

    def drop(self) -> None:
        """Close its stream (worker)."""
        ...

    def bring_back(self) -> None:
        """Try once to reopen it (worker)."""
        ...


class Supervisor:
    """Watches sources; its thread lives while there is one. start_anew: initialise PortAudio again (worker)."""

    def __init__(self, worker: Worker, start_anew: Callable[[], None]) -> None:
        self._worker = worker
        self._start_anew = start_anew
        self._lock = threading.Lock()
        self._bell = threading.Event()
        self._sources: list[Watched] = []
        self._thread: threading.Thread | None = None
        self._recovering = False
        self._disturb_s = 0.0
        self._disturbed = 0

    @property
    def busy(self) -> bool:
        """Whether initialising PortAudio anew would end somebody's stream."""
        return bool(self._sources)

    def ring(self) -> None:
        """Look now: a stream has ended."""
        self._bell.set()

    def add(self, source: Watched) -> None:
        """Watch it from now on."""
        with self._lock:
            self._sources.append(source)
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="devices", daemon=True)
                self._thread.start()

    def remove(self, source: Watched) -> None:
        """Watch it no more."""
        with self._lock:
            if source in self._sources:
                self._sources.remove(source)
            thread = self._thread if not self._sources else None
        self._bell.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join(_WATCH_S)

    def _watch(self) -> None:
        while True:
            self._bell.wait(_WATCH_S)
            self._bell.clear()
            with self._lock:
                sources = list(self._sources)
                if not sources:
                    self._thread = None
                    return
            now_s = time.monotonic()
            for source in sources:
                source.check(now_s)
            due = any(source.lost and now_s >= source.next_try_s for source in sources)
            if due and not self._recovering:
                self._recovering = True
                self._worker.submit(self._recover)

    def _recover(self) -> None:
        """On the worker: one try for every lost source."""
        try:
            with self._lock:
                sources = list(self._sources)
            lost = [source for source in sources if source.lost]
            for source in lost:
                source.drop()
            others = [source for source in sources if source.running]
            if not others:
                self._anew()
            for source in lost:
                source.bring_back()
            if not others or not any(source.lost for source in lost):
                self._disturbed = 0
            elif self._may_disturb(time.monotonic()):
                for source in others:
                    source.lose("closed for a moment, to look for the device of another source", time.monotonic())
                    source.drop()
                self._anew()
                for source in (*others, *lost):
                    source.bring_back()
        finally:
            self._recovering = False

    def _anew(self) -> None:
        with suppress(SourceError):  # the tries that follow find nothing then, and tell so
            self._start_anew()

    def _may_disturb(self, now_s: float) -> bool:
        if not self._disturbed:
            self._disturb_s = now_s + _DISTURB.delay_s(0)
            self._disturbed = 1
        if now_s < self._disturb_s:
            return False
        self._disturb_s = now_s + _DISTURB.delay_s(self._disturbed)
        self._disturbed += 1
        return True
