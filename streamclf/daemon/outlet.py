"""Where lines of the log go: a bounded queue, and one thread that writes it to a file descriptor.

Theory of operation. `put` never waits, whoever calls it: a pipe that nobody reads, a terminal that was stopped, a disk
that hangs hold up the writing thread alone. What finds the queue full is dropped and counted. Once the reader is back
and half of the queue is free again, one line says how many were dropped, where they would have stood; so it does once a
disk that was full takes lines again. At the end `flush` waits for the reader a short while and no longer; the thread is
a daemon thread, so that the process ends.
"""

import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from streamclf import metrics

MAX_LINES = 4096
MAX_BYTES = 1024 * 1024
FLUSH_LIMIT_S = 1.0
_PORTION = 16 * 1024
_IDLE_S = 1.0


class Outlet:
    """descriptor: where lines go. missed: the line that says how many were dropped. idle: called about once a second.

    `idle` runs on the writing thread, while nothing waits to be written.
    """

    def __init__(
        self, descriptor: int, *, missed: Callable[[int], bytes], idle: Callable[[], object] = lambda: None
    ) -> None:
        self._descriptor = descriptor
        self._missed = missed
        self._idle = idle
        # bound: MAX_LINES and MAX_BYTES; the newest are dropped; counter: _dropped, streamclf_log_lines_dropped_total
        self._lines: deque[tuple[bytes, int]] = deque()
        """Each with how many dropped ones it tells of; 0 for all others."""
        self._bytes = 0
        self._dropped = 0
        self._writing_since_s: float | None = None
        self._changed = threading.Condition()
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def put(self, line: bytes) -> None:
        """Have `line` written soon; never waits."""
        with self._changed:
            # those behind a dropped one are dropped as well, until that is told: the order stays
            if self._dropped or len(self._lines) >= MAX_LINES or self._bytes + len(line) > MAX_BYTES:
                self._dropped += 1
                metrics.LOG_DROPPED.labels("unread").inc()
                return
            self._append(line)
            self._changed.notify_all()

    def flush(self, limit_s: float = FLUSH_LIMIT_S) -> bool:
        """Wait until all is written, for `limit_s` at most. Returns whether it is.

        A write that hangs has used up some of that time already: who calls twice waits once.
        """
        with self._changed:
            if self._writing_since_s is not None:
                limit_s -= time.monotonic() - self._writing_since_s
            return self._changed.wait_for(lambda: not self._lines and self._writing_since_s is None, max(0.0, limit_s))

    def _append(self, line: bytes, told: int = 0) -> None:
        self._lines.append((line, told))
        self._bytes += len(line)

    def _write(self) -> None:
        while True:
            portion, new, told = self._next()
            if not portion:
                self._idle()
                continue
            written = _written(self._descriptor, portion)
            with self._changed:
                self._writing_since_s = None
                if not written:
                    metrics.LOG_DROPPED.labels("unread").inc(new)
                    self._dropped += new + told
                self._changed.notify_all()

    def _next(self) -> tuple[bytes, int, int]:
        """What to write now, how many lines it is, and of how many dropped ones it tells; empty where nothing came."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines, _IDLE_S)
            portion: list[bytes] = []
            size = new = told = 0
            while self._lines and (not portion or size + len(self._lines[0][0]) <= _PORTION):
                line, tells = self._lines.popleft()
                portion.append(line)
                size, new, told = size + len(line), new + (not tells), told + tells
            self._bytes -= size
            if self._dropped and 2 * len(self._lines) <= MAX_LINES and 2 * self._bytes <= MAX_BYTES:
                self._append(self._missed(self._dropped), self._dropped)
                self._dropped = 0
            if portion:
                self._writing_since_s = time.monotonic()
            return b"".join(portion), new, told


def _written(descriptor: int, data: bytes) -> bool:
    """Write it all, however long that takes. Returns whether that worked: there may be no reader any more."""
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(descriptor, rest) :]
        except BlockingIOError:  # who gave us the descriptor has made it so
            with suppress(OSError):
                select.select([], [descriptor], [], _IDLE_S)
        except OSError:
            return False
    return True
