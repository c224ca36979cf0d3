"""A folder takes the place of another: whoever is killed meanwhile leaves the old one or the new one, whole.

A file system has no step that puts one folder in the place of another that is not empty. So the old one steps aside,
under a hidden name beside its place, the new one takes the place, and the old one goes. What a kill leaves aside is
put back, or removed, by whoever next comes to that place, for reading or for writing.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


def put(made: Path, place: Path) -> None:
    """Let the folder `made`, of the same file system, take the place of what stands at `place`, if anything does.

    Raises OSError where that cannot be; what was at `place` is then there again.
    """
    aside = _aside(place)
    with _alone(place.parent):
        _mend(place, aside)
        if not place.exists():
            made.rename(place)
            return
        place.rename(aside)
        try:
            made.rename(place)
        except OSError:
            aside.rename(place)
            raise
        _drop(aside)


def recover(place: Path) -> None:
    """Put back what a killed `put` left beside `place`, or remove it where the new folder stands there already."""
    aside = _aside(place)
    if aside.is_dir():
        # where nothing may be written, nothing is mended, and the reader says what it misses
        with contextlib.suppress(OSError), _alone(place.parent):
            _mend(place, aside)


def recover_all(root: Path) -> None:
    """`recover` for every place in a folder."""
    for aside in root.glob(".*.old"):
        recover(root / aside.name[1:].removesuffix(".old"))


def _aside(place: Path) -> Path:
    return place.with_name(f".{place.name}.old")


def _mend(place: Path, aside: Path) -> None:
    if not aside.is_dir():
        return
    if place.exists():
        _drop(aside)
    else:
        aside.rename(place)


def _drop(aside: Path) -> None:
    if aside.is_symlink():
        aside.unlink()
    else:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One process at a time; the lock ends with whoever holds it."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)
