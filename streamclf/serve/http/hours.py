"""`GET /v1/hours`: how often each label was heard in each hour of the day.

    since_ns, until_ns   onset in [since, until), at most 31 days
    tz                   minutes east of UTC of the zone whose hours are meant; 0 where it is left out
    labels, streams      lists by commas or repetition; a label is an id or group:NAME

`{"labels": [{"label", "pack", "hours": [24 counts], "total", "seconds"}], "left_out": N}`, the most frequent first and
at most 500 of them; `left_out` says how many labels there were beyond. Events of the self-test are not counted.
"""

import sqlite3
from typing import Annotated

import msgspec

from streamclf.clock import NS_PER_SECOND
from streamclf.errors import ServeError
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


def hours_of(connection: sqlite3.Connection, wish: HoursQuery) -> HoursAnswer:
    """The answer. Raises `ServeError`."""
    if not 0 <= wish.until_ns - wish.since_ns <= MAX_DAYS * 86_400 * NS_PER_SECOND:
        raise ServeError(f"since_ns and until_ns must be at most {MAX_DAYS} days apart, the earlier one first")
    found = label_hours(
        connection,
        since_ns=wish.since_ns,
        until_ns=wish.until_ns,
        minutes_east=wish.tz,
        labels=wish.labels,
        streams=wish.streams,
    )
    return HoursAnswer(found[:MAX_LABELS], max(0, len(found) - MAX_LABELS))
