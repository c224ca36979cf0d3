"""What was heard of each label in all that is kept: the list of a site, and the page of one species."""

import sqlite3
from collections.abc import Sequence

import msgspec

from streamclf.clock import NS_PER_SECOND
from streamclf.protocol.kept import StoredEvent
from streamclf.store.events import conditions, query

HOURS = 24
_DAY_S = 86_400
_MOST_BEST = 12


class HeardLabel(msgspec.Struct, frozen=True, omit_defaults=True):
    """A label of a pack. days: local days on which it was heard. first_ns, last_ns: onsets, UTC in ns since 1970.

    dates: those days, counted from 1970, where that was asked for.
    """

    label: str
    pack: str
    group: str
    total: int
    days: int
    first_ns: int
    last_ns: int
    best: float
    seconds: float
    dates: list[int] = []


class HeardDay(msgspec.Struct, frozen=True):
    """A local day, as YYYY-MM-DD, and how many events began on it."""

    day: str
    count: int


class SpeciesPage(msgspec.Struct, frozen=True):
    """All of one label. hours: events in each hour of the local day. streams: events of each. best: those with the
    highest peaks, with a clip first."""

    heard: list[HeardLabel]
    hours: list[int]
    days: list[HeardDay]
    streams: dict[str, int]
    best: list[StoredEvent]


def heard_labels(
    connection: sqlite3.Connection,
    *,
    minutes_east: int,
    labels: Sequence[str] = (),
    streams: Sequence[str] = (),
    since_ns: int | None = None,
    dates: bool = False,
) -> list[HeardLabel]:
    """Of real events, who came last first. labels, streams: as `query` has it. minutes_east: of the zone of days.

    dates: whether to say which days, too.
    """
    where, values = conditions(since_ns=since_ns, labels=labels, streams=streams)
    day = (NS_PER_SECOND, minutes_east * 60, _DAY_S)
    which = "GROUP_CONCAT(DISTINCT (onset_ns / ? + ?) / ?)" if dates else "''"
    rows = connection.execute(
        "SELECT label, pack, MAX(grp), COUNT(*), COUNT(DISTINCT (onset_ns / ? + ?) / ?), MIN(onset_ns), MAX(onset_ns), "
        f"MAX(peak), SUM((COALESCE(offset_ns, decided_ns) - onset_ns) / 1000000) / 1000.0, {which} FROM events "
        f"WHERE {where} GROUP BY label, pack ORDER BY MIN(onset_ns) DESC, label, pack",
        (*day, *(day if dates else ()), *values),
    )
    return [HeardLabel(*(*row[:-1], sorted(map(int, filter(None, row[-1].split(",")))))) for row in rows]


def species_page(
    connection: sqlite3.Connection,
    label: str,
    *,
    minutes_east: int,
    streams: Sequence[str] = (),
    best: int = 5,
    since_ns: int | None = None,
    dates: bool = False,
) -> SpeciesPage:
    """Of one label id; empty where it was never heard. best: how many of its events, at most 12. dates: as above."""
    where, values = conditions(since_ns=since_ns, labels=[label], streams=streams)
    local = (NS_PER_SECOND, minutes_east * 60)
    hours = [0] * HOURS
    for hour, count in connection.execute(
        f"SELECT (onset_ns / ? + ?) / 3600 % 24 AS hour, COUNT(*) FROM events WHERE {where} GROUP BY hour",
        (*local, *values),
    ):
        hours[hour] = count
    days = connection.execute(
        "SELECT date(onset_ns / ? + ?, 'unixepoch') AS day, COUNT(*) FROM events "
        f"WHERE {where} GROUP BY day ORDER BY day",
        (*local, *values),
    )
    by_stream = connection.execute(
        f"SELECT stream, COUNT(*) FROM events WHERE {where} GROUP BY stream ORDER BY COUNT(*) DESC, stream", values
    )
    ranked = connection.execute(
        f"SELECT onset_ns, id FROM events WHERE {where} AND mark <> 'wrong' "
        "ORDER BY clip = '', peak DESC, onset_ns DESC LIMIT ?",
        (*values, min(best, _MOST_BEST)),
    ).fetchall()
    found = []
    for onset_ns, event_id in ranked:
        at = query(connection, since_ns=onset_ns, until_ns=onset_ns + 1, labels=[label])
        found += [event for event in at if event.id == event_id]
    return SpeciesPage(
        heard_labels(
            connection, minutes_east=minutes_east, labels=[label], streams=streams, since_ns=since_ns, dates=dates
        ),
        hours,
        [HeardDay(day, count) for day, count in days],
        dict(by_stream.fetchall()),
        found,
    )
