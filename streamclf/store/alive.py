"""When a daemon was last at work in a store's folder: the time of its lock file, into which it writes now and then.

So it can be said later that nothing was heard at a time because no daemon ran. A lock file of an older version is empty
and says nothing.
"""

import os
from contextlib import suppress
from pathlib import Path

from streamclf.clock import NS_PER_SECOND

NOTE_S = 10.0
"""So often a daemon notes that it is at work, and so far off what is found may be after a crash."""
NOT_RUNNING = "no daemon ran"
_FILE = "lock"
_WORD = b"at work\n"


def note(folder: Path) -> None:
    """A daemon is at work there now."""
    with suppress(OSError):  # a full disk, or one that is gone: that is told elsewhere
        handle = os.open(folder / _FILE, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.pwrite(handle, _WORD, 0)
        finally:
            os.close(handle)


def last_ns(folder: Path) -> int | None:
    """When that was noted last (ns since 1970); None where it never was."""
    try:
        found = os.stat(folder / _FILE)
    except OSError:
        return None
    return found.st_mtime_ns if found.st_size else None


def missed(folder: Path, now_ns: int) -> tuple[int, int] | None:
    """The time up to now in which no daemon ran, None where that is not known or too short to speak of."""
    last = last_ns(folder)
    return None if last is None or now_ns - last < NS_PER_SECOND else (last, now_ns)
