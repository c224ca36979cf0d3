"""Holds a group of processes: whatever becomes of who holds it, SIGKILL included, the group ends with it."""

import contextlib
import os
import signal
import subprocess
import sys

_WAITS = (
    "import os, signal, sys\n"
    "sys.stdin.buffer.read()\n"  # ends when nobody holds the other end any more
    "os.killpg(int(sys.argv[1]), signal.SIGKILL)\n"
)


class Leash:
    """group: of processes, which is ended where this process ends before `let_go`."""

    def __init__(self, group: int) -> None:
        self._group = group
        self._holder = subprocess.Popen(
            [sys.executable, "-S", "-c", _WAITS, str(group)], stdin=subprocess.PIPE, start_new_session=True
        )

    def kill(self) -> None:
        """End the group now."""
        self.let_go()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._group, signal.SIGKILL)

    def let_go(self) -> None:
        """What becomes of the group is no affair of this any more."""
        self._holder.kill()
        self._holder.wait()
        if self._holder.stdin is not None:
            self._holder.stdin.close()
