"""One thread that plays all recordings that are live, on a beat of 20 ms.

Theory of operation. A recording is read by its own thread, which a slow disk may keep waiting, up to 0.75 s
ahead. The metronome writes: at each beat every ring gets what is due, and then each reader's bell rings once.
All recordings begin on a beat, so that one waking serves them all; with a thread each, 64 of them woke the process
14,000 times a second, and the model thread for each block. A beat that comes late writes what was due meanwhile; the
next ones are where they would have been, so no error adds up.
"""

import threading
import time
from collections import deque

import numpy as np

from streamclf.audio.sources.base import Intake
from streamclf.audio.wake import Halt, Wake
from streamclf.clock import NS_PER_FRAME, NS_PER_SECOND, hop_of
from streamclf.types import F32

_READ_ON_BELOW = 12
"""Hops that wait when the recording's thread is asked for the next block: a quarter of a second."""


class Playing:
    """A recording that is played: its thread gives blocks, the metronome writes them, hop by hop, when they are due.

    start_ns: when sample 0 begins (`time.monotonic_ns`).
    """

    def __init__(self, intake: Intake, rate: int, *, start_ns: int) -> None:
        self.fault: Exception | None = None
        """What a write failed with, after which nothing more is written."""
        self.wake = intake.wake
        self._intake = intake
        self._hop = hop_of(rate)
        self._ns_per_sample = NS_PER_SECOND / rate
        self._start_ns = start_ns
        self._written = 0
        # bound: `_READ_ON_BELOW` hops and one block, for `give` waits; nothing is dropped
        self._waiting: deque[F32] = deque()
        self._rest = np.empty(0, np.float32)
        self._read_on = Wake()

    def give(self, block: F32, stop: Halt) -> None:
        """Take (n, ) float32, copied, and come back when more can be taken or `stop` is set. Raises what `fault` is."""
        samples = np.concatenate((self._rest, block))
        whole = len(samples) // self._hop * self._hop
        self._waiting.extend(samples[at : at + self._hop] for at in range(0, whole, self._hop))
        self._rest = samples[whole:]
        self._until(_READ_ON_BELOW, stop)

    def finish(self, stop: Halt) -> None:
        """Come back when all that was given is written or `stop` is set. Raises what `fault` is."""
        if len(self._rest):
            self._waiting.append(self._rest)
        self._until(0, stop)

    def interrupt(self) -> None:
        """Let `give` and `finish` look at `stop`."""
        self._read_on.set()

    def write_due(self, now_ns: int, before_ns: int) -> bool:
        """Write what is due at `now_ns`; returns whether anything was. before_ns: the last beat.

        What was due by then comes late, so the time of its arrival tells nothing.
        """
        wrote = False
        while self._waiting and self.fault is None:
            block = self._waiting[0]
            due_ns = self._start_ns + int((self._written + len(block)) * self._ns_per_sample)
            if due_ns > now_ns:
                break
            try:
                self._intake.write(block, time.time_ns() if due_ns > before_ns else None, ring=False)
            except Exception as fault:  # the other recordings play on
                self.fault = fault
            self._written += len(block)
            self._waiting.popleft()
            wrote = True
            if len(self._waiting) in (0, _READ_ON_BELOW) or self.fault is not None:
                self._read_on.set()
        return wrote

    def _until(self, most: int, stop: Halt) -> None:
        while len(self._waiting) > most and not stop.is_set() and self.fault is None:
            self._read_on.wait()
        if self.fault is not None:
            raise self.fault


class Metronome:
    """All recordings that are played now, and the thread that lives as long as there is one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._playing: list[Playing] = []  # bound: the sources of the configuration
        self._thread: threading.Thread | None = None
        self._beat_ns = 0

    def play(self, intake: Intake, rate: int) -> Playing:
        """Begin with the next beat; that is when sample 0 of `intake` begins, on its clock too."""
        with self._lock:
            now_ns = time.monotonic_ns()
            start_ns = _next_beat(now_ns)
            playing = Playing(intake, rate, start_ns=start_ns)
            intake.begin(time.time_ns() + start_ns - now_ns)
            self._playing.append(playing)
            if self._thread is None:
                self._beat_ns = now_ns
                self._thread = threading.Thread(target=self._run, name="metronome", daemon=True)
                self._thread.start()
        return playing

    def leave(self, playing: Playing) -> None:
        """Write nothing more of it, from now on."""
        with self._lock:
            self._playing.remove(playing)

    def beat(self, now_ns: int) -> None:
        """Write what is due, and ring each bell once."""
        bells = {playing.wake for playing in self._playing if playing.write_due(now_ns, self._beat_ns)}
        for bell in bells:
            bell.set()
        self._beat_ns = now_ns

    def _run(self) -> None:
        while True:
            now_ns = time.monotonic_ns()
            time.sleep((_next_beat(now_ns) - now_ns) / NS_PER_SECOND)
            with self._lock:
                if not self._playing:
                    self._thread = None
                    return
                self.beat(time.monotonic_ns())


def _next_beat(now_ns: int) -> int:
    return (now_ns // NS_PER_FRAME + 1) * NS_PER_FRAME


METRONOME = Metronome()
"""The only one of the process."""
