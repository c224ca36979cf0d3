"""What SQLite and the system say of a store that cannot be used: is it damaged, may it pass, what is there to do."""

import errno
import sqlite3
from pathlib import Path

from streamclf.errors import StoreError, StorePlaceError

# what a configuration has to mend; anything else may pass by itself. No entry: no folder can be made there (/proc)
_NOT_A_PLACE = (
    errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG,
)  # fmt: skip
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_damage(fault: sqlite3.Error) -> bool:
    """Whether it says that the file is not a whole database, and not that it cannot be read or written now."""
    code: int = getattr(fault, "sqlite_errorcode", 0)
    return code & 0xFF in _DAMAGE or "no such table" in str(fault)


def refusal(path: Path, fault: sqlite3.Error | OSError) -> StoreError:
    """Why a store could not be opened, and what to do."""
    if isinstance(fault, sqlite3.Error):
        return StoreError(
            f"the event store {path} cannot be used: {fault}; move that file away and a new one is made, or name "
            "another folder with [store] path"
        )
    in_the_way = fault.errno == errno.EEXIST and path.parent.is_file()
    kind = StorePlaceError if fault.errno in _NOT_A_PLACE or in_the_way else StoreError
    return kind(
        f"the event store {path.parent} cannot be used: {fault.strerror}; name another folder with [store] path, or "
        "keep no events with --no-store"
    )
