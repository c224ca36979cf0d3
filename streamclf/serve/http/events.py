"""`GET /v1/events`: events that are kept, a page at a time.

    labels, streams   lists by commas or repetition; a label is an id or group:NAME
    since_ns, until_ns, min_peak, test=true; or since, until in words such as yesterday
    limit             events of a page, 1 to 1000, default 100
    after             only events whose newest stage was stored after this one, in that order

Without `after` a page holds the newest events, by onset. Every page says where to go on: `after` is the next request's,
`more` whether there is more already. A client that goes on with it sees each later stage of each event, once, over all
restarts of the daemon. One that has never asked begins with `after=0`. Where the store has been begun anew, all that it
has follows; its numbers lie above those of the one before.
"""

import sqlite3
from typing import Annotated

import msgspec

from streamclf.protocol.kept import EventPage
from streamclf.store.events import begin_after, query


class HistoryQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. See the module's text."""

    labels: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    since_ns: int | None = None
    until_ns: int | None = None
    min_peak: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] | None = None
    test: bool = False
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    after: Annotated[int, msgspec.Meta(ge=0)] | None = None


def page_of(connection: sqlite3.Connection, wish: HistoryQuery) -> EventPage:
    """The page."""
    connection.execute("BEGIN")  # both reads see the same moment
    (last,) = connection.execute("SELECT seq FROM last_seq").fetchone()
    events = query(
        connection,
        since_ns=wish.since_ns,
        until_ns=wish.until_ns,
        labels=wish.labels,
        streams=wish.streams,
        min_peak=wish.min_peak,
        after_seq=None if wish.after is None else begin_after(wish.after, last),
        limit=wish.limit + (wish.after is not None),
        test=wish.test,
    )
    connection.execute("ROLLBACK")
    more = wish.after is not None and len(events) > wish.limit
    page = events[: wish.limit]
    return EventPage(page, page[-1].seq if more else last, more)
