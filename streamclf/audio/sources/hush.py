"""Keeps what sound libraries print on standard error out of the log: many lines at each try to open what is not there.

ALSA, PortAudio and mpg123 print them past every log, without a way to stop it, and a status tells the reason as well.
So for the time of a call standard error is a file in memory, and what others have written meanwhile goes to where it
belongs. A call that hangs is not waited for, lest a frozen sound server hold back the log. A command that does nothing
else meanwhile needs no such care: `own_errors`.
"""

import fcntl
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_ERRORS = 2
_NOISE = (
    *(b"ALSA lib ", b"Expression '", b"Cannot connect to server", b"jack server is not", b"JackShm"),
    *(b"[src/libmpg123/", b"Note: ", b"Warning: "),  # mpg123 of a damaged mp3; no line of ours begins so
)
_LIMIT_S = 2.0
_SETTLE_S = 0.001  # for a write of another thread that had begun


class Hush:
    """Of this process's standard error; calls of several threads share one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._real = -1
        self._memory = -1
        self._calls = 0
        self._held: object = None  # another one each time that standard error is held back
        self._timer: threading.Timer | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Hold back what is printed until the end of the call, where this system can."""
        held = self._begin()
        try:
            yield
        finally:
            self._leave(held)

    def _begin(self) -> object:
        if not hasattr(os, "memfd_create"):
            return None
        with self._lock, suppress(OSError):
            if self._real >= 0:
                self._calls += 1
                return self._held
            memory = os.memfd_create("stderr", os.MFD_CLOEXEC)
            try:
                real = os.dup(_ERRORS)
            except OSError:  # there is no standard error
                os.close(memory)
                return None
            # two threads that write into such a file at once would else write over each other
            fcntl.fcntl(memory, fcntl.F_SETFL, os.O_APPEND)
            os.dup2(memory, _ERRORS)
            self._real, self._memory, self._calls, self._held = real, memory, 1, object()
            self._timer = threading.Timer(_LIMIT_S, self._end, (self._held,))
            self._timer.daemon = True
            self._timer.start()
            return self._held
        return None

    def _leave(self, held: object) -> None:
        with self._lock:
            if held is None or held is not self._held:
                return
            self._calls -= 1
            if self._calls:
                return
        self._end(held)

    def _end(self, held: object) -> None:
        """Let through what is not noise."""
        with self._lock:
            if held is not self._held:
                return
            if self._timer is not None:
                self._timer.cancel()
            os.dup2(self._real, _ERRORS)
            os.close(self._real)
            time.sleep(_SETTLE_S)
            said = os.pread(self._memory, os.fstat(self._memory).st_size, 0)
            os.close(self._memory)
            self._real = self._memory = -1
            self._held = None
        kept = b"".join(line for line in said.splitlines(keepends=True) if line.strip() and not line.startswith(_NOISE))
        with suppress(OSError):
            while kept:
                kept = kept[os.write(_ERRORS, kept) :]


hush = Hush()
"""The one of this process: two that do not know of each other would lose standard error between them."""


@contextmanager
def own_errors() -> Iterator[None]:
    """Standard error is Python's alone: what libraries print there past it goes nowhere.

    Only for a process that does nothing else meanwhile.
    """
    try:
        mine = sys.stderr.fileno() == _ERRORS
        real = os.dup(_ERRORS)
    except (AttributeError, OSError, ValueError):  # it is closed, or no file
        yield
        return
    before = sys.stderr
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), _ERRORS)
    try:
        if mine:
            sys.stderr = os.fdopen(os.dup(real), "w", encoding=before.encoding, errors=before.errors, buffering=1)
        yield
    finally:
        if mine:
            sys.stderr.close()
            sys.stderr = before
        os.dup2(real, _ERRORS)
        os.close(real)
