"""Brings microphones back that were lost, and brings those that were not there at the start.

Theory of operation. The supervisor's thread never calls PortAudio. Four times a second it looks at every source:

    NEW --opened--> STARTING --first block--> LIVE --stream ended, or no block for 1 s--> LOST --reopened--> STARTING
    NEW --not there at the start--> LOST

A lost source is closed and reopened by its name, with a growing time between tries. A try costs a millisecond and
disturbs nobody. But it knows only what PortAudio listed as it was initialised, and initialising it anew ends every open
stream. Where no other source runs, that is done. Where others run, a process of its own lists the devices (lister.py),
and all are closed, and at once reopened, only if that list has the device and the old one has not, or has it elsewhere;
what the others missed by it is declared by their next first block. Interfaces of which a new list may show the same
name and yet mean another device are believed so ever more seldom. A change of the sound cards, or of a sound server's
address, is seen on the disk, and brings the next try forward.

All calls of PortAudio run on the worker, which may hang in one as long as a sound server is frozen.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import Enum, auto
from typing import Protocol

from streamclf.audio.sources.lister import Lister
from streamclf.audio.sources.portaudio import DeviceInfo
from streamclf.audio.sources.surroundings import surroundings
from streamclf.audio.sources.worker import Worker
from streamclf.errors import SourceError
from streamclf.retry import Backoff

_WATCH_S = 0.25
_ANEW = Backoff(first_s=0.25, most_s=1.0)  # PortAudio anew where no other source runs: 20 ms of computing, measured
_LIST = Backoff(first_s=0.25, most_s=5.0)  # a look by another process: 60 ms of computing, measured
# how often running sources are disturbed where it is uncertain whether that helps
_DISTURB = Backoff(first_s=60.0, most_s=600.0)


class DeviceState(Enum):
    """Life of a device source; see the module's text."""

    NEW = auto()
    STARTING = auto()
    LIVE = auto()
    LOST = auto()


class Use(Enum):
    """Whether PortAudio started anew would find the device of a lost source."""

    NONE = auto()
    PERHAPS = auto()
    SURE = auto()


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

    def bring_back(self) -> str:
        """Try once to reopen it (worker). Why it could not be, "" where it was."""
        ...

    def put_off(self, reason: str) -> None:
        """It could not be brought back: tell why, and set the time of the next try (worker)."""
        ...

    def use_of_anew(self, there: Sequence[DeviceInfo]) -> Use:
        """there: what a new list has (worker)."""
        ...


class _Turns:
    """When something is due that is done ever more seldom."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._done = 0
        self._next_s = 0.0

    def due(self, now_s: float) -> bool:
        return now_s >= self._next_s

    def taken(self, now_s: float) -> None:
        self._next_s = now_s + self._backoff.delay_s(self._done)
        self._done += 1

    def reset(self) -> None:
        self._done, self._next_s = 0, 0.0


class Supervisor:
    """Watches sources; its thread lives while there is one. start_anew: initialise PortAudio again (worker)."""

    def __init__(self, worker: Worker, start_anew: Callable[[], None], lister: Lister | None = None) -> None:
        self._worker = worker
        self._start_anew = start_anew
        self._lister = lister or Lister()
        self._lock = threading.Lock()
        self._bell = threading.Event()
        self._sources: list[Watched] = []
        self._thread: threading.Thread | None = None
        self._recovering = False
        self._anew = _Turns(_ANEW)
        self._list = _Turns(_LIST)
        self._disturb = _Turns(_DISTURB)
        self._listed: list[DeviceInfo] | None = None
        self._seen: object = None

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
                thread = threading.Thread(target=self._watch, name="devices", daemon=True)
                thread.start()
                self._thread = thread

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
                    self._lister.close()
                    self._thread = None
                    return
            self._look(sources, time.monotonic())

    def _look(self, sources: Sequence[Watched], now_s: float) -> None:
        for source in sources:
            source.check(now_s)
        lost = [source for source in sources if source.lost]
        if not lost:
            self._calm()
            return
        changed = self._changed()
        if self._lister.busy and self._listed is None:
            self._listed = self._lister.answer()
        due = changed or self._listed is not None or any(now_s >= source.next_try_s for source in lost)
        if due and not self._recovering:
            self._recovering = True
            self._worker.submit(self._recover)

    def _calm(self) -> None:
        """No source is lost."""
        self._lister.close()
        self._seen = self._listed = None
        for turns in (self._anew, self._list, self._disturb):
            turns.reset()

    def _changed(self) -> bool:
        """Whether a sound card or a sound server has come or gone since the last look; then all tries are due."""
        now = surroundings()
        before, self._seen = self._seen, now
        if before is None or before == now:
            return False
        self._anew.reset()
        self._list.reset()
        return True

    def _recover(self) -> None:
        """On the worker: one try for every lost source."""
        listed, self._listed = self._listed, None
        try:
            with self._lock:
                sources = list(self._sources)
            lost = [source for source in sources if source.lost]
            for source in lost:
                source.drop()
            refused = _bring_back(lost)
            if refused and self._restarted(refused, [source for source in sources if source.running], listed):
                refused = _bring_back([source for source in sources if source.lost])
            for source, reason in refused.items():
                source.put_off(reason)
        finally:
            self._recovering = False

    def _restarted(
        self, refused: "dict[Watched, str]", others: Sequence[Watched], listed: Sequence[DeviceInfo] | None
    ) -> bool:
        """Whether PortAudio was started anew for those that could not be brought back.

        others: that run. listed: what another process has listed, where it has.
        """
        now_s = time.monotonic()
        if not others:
            if not self._anew.due(now_s):
                return False
            self._anew.taken(now_s)
        elif not self._worth_it(refused, listed, now_s):
            return False
        for source in others:
            source.lose("closed for a moment, to bring in the device of another source", now_s)
            source.drop()
        with suppress(SourceError):  # the tries that follow find nothing then, and tell so
            self._start_anew()
        return True

    def _worth_it(self, refused: "dict[Watched, str]", listed: Sequence[DeviceInfo] | None, now_s: float) -> bool:
        """Whether those that run are to be disturbed. Asks for a list where none has come."""
        if listed is None:
            if self._list.due(now_s) and not self._lister.busy:
                self._list.taken(now_s)
                self._lister.ask()
            return False
        uses = [source.use_of_anew(listed) for source in refused]
        if Use.SURE in uses:
            return True
        if Use.PERHAPS not in uses or not self._disturb.due(now_s):
            return False
        self._disturb.taken(now_s)
        return True


def _bring_back(lost: Sequence[Watched]) -> "dict[Watched, str]":
    """Those that could not be, and why."""
    reasons = {source: source.bring_back() for source in lost}
    return {source: reason for source, reason in reasons.items() if reason}
