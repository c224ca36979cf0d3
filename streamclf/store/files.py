"""The files of a database as they are on the disk: which they are, what names they get when they are set aside."""

import itertools
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from streamclf.clock import NS_PER_SECOND

JOURNALS = ("-wal", "-shm")  # SQLite's own names; they belong to the database whose name stands before


class OnDisk(NamedTuple):
    """A file as it was seen. device, number: which one it is. changed_ns, size: what it looked like."""

    device: int
    number: int
    changed_ns: int
    size: int


def seen(at: Path | int) -> OnDisk | None:
    """at: a path or a descriptor. None where nothing can be seen there."""
    try:
        found = os.stat(at)
    except OSError:
        return None
    return OnDisk(found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


def same(one: OnDisk | None, other: OnDisk | None) -> bool:
    """Whether both are there and are one file, whatever has been written into it."""
    return one is not None and other is not None and one[:2] == other[:2]


def journal_of(path: Path) -> Path:
    """Where a database has what was committed last."""
    return Path(f"{path}{JOURNALS[0]}")


def set_aside(path: Path, what: str, now_ns: int, *, journals_alone: bool = False) -> str:
    """Rename a database with its journals, or these alone. Returns the new name; OSError passes.

    what: why, in a word that becomes a part of the name.
    """
    at = datetime.fromtimestamp(now_ns // NS_PER_SECOND, UTC)
    name = f"{path.name}.{what}-{at:%Y%m%dT%H%M%SZ}"
    names = (name if number == 1 else f"{name}-{number}" for number in itertools.count(1))
    free = next(name for name in names if not any(path.with_name(f"{name}{end}").exists() for end in ("", *JOURNALS)))
    for ending in JOURNALS if journals_alone else ("", *JOURNALS):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{ending}", f"{path.with_name(free)}{ending}")
    return free
