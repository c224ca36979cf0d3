"""`GET /v1/clip?event=ID`: the sound of an event, as a file in FLAC or Opus. For the role `audio`.

The event's row says which file it is; nothing of the address gets into a path. Only a regular file below clips/ is
read, and no link below it is followed. 404, with the reason, where the event has no clip.
"""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import msgspec

from streamclf.config import ClipsConfig
from streamclf.serve.http.route import NotKeptError, Query, Reply
from streamclf.serve.query import asked
from streamclf.store.clips import FOLDER, why_none
from streamclf.store.database import reader
from streamclf.store.events import find

MAX_BYTES = 64 << 20  # the longest clip (120 s) at 192 kHz, 16 bit, has 46 MB before it is packed
_NAME = re.compile(r"(?P<day>\d{4}-\d{2}-\d{2})/(?P<file>[A-Za-z0-9_-]+\.(?P<kind>flac|opus))")
_KINDS = {"flac": "audio/flac", "opus": "audio/ogg"}


class ClipQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. event: its id, as /v1/events gives it."""

    event: Annotated[str, msgspec.Meta(max_length=1024)]


class Clips:
    """folder: of the store. config: what is kept now, to say why there is no clip. Any thread may ask."""

    def __init__(self, folder: Path, config: Callable[[], ClipsConfig]) -> None:
        self._folder = folder
        self._config = config

    def answer(self, query: Query) -> Reply:
        """The file. Raises `ServeError`, `StoreError`, and sqlite3's own errors."""
        wish = asked(query.fields, ClipQuery)
        with closing(reader(self._folder)) as connection:
            event = find(connection, wish.event)
        if event is None:
            raise NotKeptError(f"there is no event '{wish.event[:200]}' in the store")
        name = _NAME.fullmatch(event.clip)
        if name is None:
            raise NotKeptError(f"no clip is kept of this event: {why_none(event, self._config())}")
        try:
            body = _read(self._folder / FOLDER, name["day"], name["file"])
        except OSError as fault:
            raise NotKeptError(f"the clip of this event cannot be read any more: {fault.strerror}") from None
        return Reply(body, _KINDS[name["kind"]])


def _read(clips: Path, day: str, file: str) -> bytes:
    """Raises OSError: also for anything but a regular file, and beyond `MAX_BYTES`."""
    with (
        _opened(clips, os.O_DIRECTORY) as top,
        _opened(day, os.O_DIRECTORY | os.O_NOFOLLOW, top) as folder,
        # without O_NONBLOCK a pipe in the place of a file would hold the thread for ever
        _opened(file, os.O_NOFOLLOW | os.O_NONBLOCK, folder) as at,
    ):
        found = os.fstat(at)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
            raise OSError(errno.EINVAL, f"it is not a file of at most {MAX_BYTES >> 20} MiB")
        with open(at, "rb", closefd=False) as opened:
            return opened.read(MAX_BYTES)


@contextmanager
def _opened(name: str | Path, flags: int, folder: int | None = None) -> Iterator[int]:
    found = os.open(name, os.O_RDONLY | os.O_CLOEXEC | flags, dir_fd=folder)
    try:
        yield found
    finally:
        os.close(found)
