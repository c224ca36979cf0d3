"""Keeps what sound libraries print on standard error out of the log: many lines at each try to open what is not there.

ALSA and PortAudio print them past every log, PortAudio without a way to stop it, and a status tells the reason as well.
So for the time of a call standard error is a file in memory, and what others have written meanwhile goes to where it
belongs. A call that hangs is not waited for, lest a frozen sound server hold back the log.
"""

import fcntl
import os
import threading
import time
from contextlib import suppress

_ERRORS = 2
_NOISE = (b"ALSA lib ", b"Expression '", b"Cannot connect to server", b"jack server is not", b"JackShm")
_LIMIT_S = 2.0
_SETTLE_S = 0.001  # for a write of another thread that had begun


class Hush:
    """Use as a context manager, for one call at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._real = -1
        self._memory = -1
        self._timer: threading.Timer | None = None

    def __enter__(self) -> None:
        """Hold back what is printed, where this system can."""
        if not hasattr(os, "memfd_create"):
            return
        with self._lock, suppress(OSError):
            if self._real >= 0:
                return
            memory = os.memfd_create("stderr", os.MFD_CLOEXEC)
            try:
                real = os.dup(_ERRORS)
            except OSError:  # there is no standard error
                os.close(memory)
                return
            # two threads that write into such a file at once would else write over each other
            fcntl.fcntl(memory, fcntl.F_SETFL, os.O_APPEND)
            os.dup2(memory, _ERRORS)
            self._real, self._memory = real, memory
            self._timer = threading.Timer(_LIMIT_S, self._end)
            self._timer.daemon = True
            self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        """Let through what is no noise."""
        with self._lock:
            if self._real < 0:
                return
            if self._timer is not None:
                self._timer.cancel()
            os.dup2(self._real, _ERRORS)
            os.close(self._real)
            time.sleep(_SETTLE_S)
            said = os.pread(self._memory, os.fstat(self._memory).st_size, 0)
            os.close(self._memory)
            self._real = self._memory = -1
        kept = b"".join(line for line in said.splitlines(keepends=True) if line.strip() and not line.startswith(_NOISE))
        with suppress(OSError):
            while kept:
                kept = kept[os.write(_ERRORS, kept) :]
