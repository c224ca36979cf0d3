"""`GET /v1/hours`: how often each label was heard in each hour of the day.

    since_ns, until_ns   onset in [since, until), at most 31 days
    tz                   minutes east of UTC of the zone whose hours are meant; 0 where it is left out
    labels, streams      lists by commas or repetition; a label is an id or group:NAME

`{"labels": [{"label", "pack", "hours": [24 counts], "total", "seconds"}], "left_out": N}`, the most frequent first and
at most 500 of them; `left_out` says how many labels there were beyond. Events of the self-test are not counted.
"""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec

from streamclf.clock import NS_PER_SECOND
from streamclf.errors import ServeError
from streamclf.serve.http.history import LISTS
from streamclf.serve.http.route import Query, Reply
from streamclf.serve.query import asked
from streamclf.store.database import reader
from streamclf.store.hours import LabelHours, label_hours

MAX_DAYS = 31
MAX_LABELS = 500


class HoursQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. See the module's text."""

    since_ns: int
    until_ns: int
    tz: Annotated[int, msgspec.Meta(ge=-900, le=900)] = 0
    labels: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()


class HoursAnswer(msgspec.Struct, frozen=True):
    """The answer."""

    labels: list[LabelHours]
    left_out: int


class Hours:
    """folder: of the store. Any thread may ask; each request has a connection of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def answer(self, query: Query) -> Reply:
        """JSON. Raises `ServeError`, `StoreError`, and sqlite3's own errors."""
        wish = asked(query.fields, HoursQuery, lists=LISTS)
        if not 0 <= wish.until_ns - wish.since_ns <= MAX_DAYS * 86_400 * NS_PER_SECOND:
            raise ServeError(f"since_ns and until_ns must be at most {MAX_DAYS} days apart, the earlier one first")
        with closing(reader(self._folder)) as connection:
            found = label_hours(
                connection,
                since_ns=wish.since_ns,
                until_ns=wish.until_ns,
                minutes_east=wish.tz,
                labels=wish.labels,
                streams=wish.streams,
            )
        left_out = max(0, len(found) - MAX_LABELS)
        return Reply(msgspec.json.encode(HoursAnswer(found[:MAX_LABELS], left_out)))
