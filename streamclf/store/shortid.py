"""Short ids of events, for people: six letters that stand in the table of `streamclf events` and may be typed.

They are of the letters a to p, so that none is taken for a number or a time. Two events of a store may have the same
one, one time in sixteen million; the whole id is asked for then.
"""

import hashlib
import re
import sqlite3

from streamclf.errors import UsageError
from streamclf.store.events import StoredEvent, find

_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_SHORT = re.compile(r"[a-p]{6}")


def short_id(event_id: str) -> str:
    """Six letters."""
    return hashlib.sha256(event_id.encode("utf-8", "surrogatepass")).hexdigest()[:6].translate(_LETTERS)


def is_short(text: str) -> bool:
    """Whether it may be one."""
    return _SHORT.fullmatch(text) is not None


def the_event(connection: sqlite3.Connection, text: str) -> StoredEvent:
    """The event of that id, or of that short one. Raises `UsageError`."""
    found = [text]
    if is_short(text):
        ids = connection.execute("SELECT id FROM events ORDER BY seq DESC")
        found = [event_id for (event_id,) in ids if short_id(event_id) == text]
    if len(found) > 1:
        raise UsageError(f"more than one event has the short id {text}; give the whole one: {', '.join(found[:3])}")
    event = find(connection, found[0]) if found else None
    if event is None:
        raise UsageError(f"there is no event {text!r}; `streamclf events` shows their ids")
    return event
