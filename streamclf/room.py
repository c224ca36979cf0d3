"""Room that is left where a process may take so much address space and no more, as by `ulimit -v`."""

import mmap
import sys
from contextlib import suppress
from pathlib import Path

from streamclf.errors import LimitError

_MIB = 1 << 20
_KEPT = 4 * _MIB
_STATM = Path("/proc/self/statm")


def left() -> float:
    """Bytes of address space that may still be taken; infinite where there is no limit, or none that holds."""
    limit = _limit()
    if limit is None:
        return float("inf")
    with suppress(OSError):
        return limit - int(_STATM.read_text().split()[0]) * mmap.PAGESIZE
    return float("inf")


def need(mib: int) -> None:
    """Raise `LimitError` where less is left: libraries in C and C++ end a process that runs out, without a word."""
    if left() < mib * _MIB:
        raise LimitError


class Reserve:
    """A little room that is kept for the last words of a process that has none left; nothing without a limit."""

    def __init__(self) -> None:
        self._kept: mmap.mmap | None = None
        if _limit() is not None:
            with suppress(OSError, MemoryError):
                self._kept = mmap.mmap(-1, _KEPT)

    def give(self) -> None:
        """It may be taken now."""
        if self._kept is not None:
            self._kept.close()
            self._kept = None


def _limit() -> int | None:
    if sys.platform != "linux":  # no other holds to it
        return None
    import resource

    soft: int = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if soft == resource.RLIM_INFINITY else soft
