"""`GET /v1/like`: moments that sounded like an event, or like a moment, out of all that are kept; the most alike first.

event             id of a kept event; or
stream, at_ns     a moment, of which one within 15 s is taken
limit             moments in the answer, 1 to 200, default 20
"""

import sqlite3
from typing import Annotated

import msgspec

from streamclf.serve.http.route import NotKeptError
from streamclf.teach.alike import find_alike


class AlikeEntry(msgspec.Struct):
    """A moment. likeness: up to 1, which is the same sound. event, label: "" where it is of no event."""

    stream: str
    at_ns: int
    event: str
    label: str
    likeness: float


class AlikeList(msgspec.Struct):
    """The most alike first."""

    moments: list[AlikeEntry]


class LikeQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. See the module's text."""

    event: str = ""
    stream: str = ""
    at_ns: int = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=200)] = 20


def alike_of(connection: sqlite3.Connection, wish: LikeQuery) -> AlikeList:
    """The list. Raises `NotKeptError`."""
    found = find_alike(connection, event=wish.event, stream=wish.stream, at_ns=wish.at_ns, limit=wish.limit)
    if found is None:
        raise NotKeptError("nothing is kept of how that sounded; name an event that has ended, or a stream and a time")
    return AlikeList([AlikeEntry(m.stream, m.at_ns, m.event, m.label, m.likeness) for m in found])
