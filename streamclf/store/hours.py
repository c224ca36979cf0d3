"""How often each label was heard in each hour of the day: what a heat map of a day, or of many, shows."""

import sqlite3
from collections.abc import Sequence

import msgspec

from streamclf.clock import NS_PER_SECOND
from streamclf.store.events import conditions

HOURS = 24


class LabelHours(msgspec.Struct):
    """Events of one label of one pack. hours: how many began in each hour of the day. seconds: how long all lasted."""

    label: str
    pack: str
    hours: list[int]
    total: int = 0
    seconds: float = 0.0


def label_hours(
    connection: sqlite3.Connection,
    *,
    since_ns: int,
    until_ns: int,
    minutes_east: int,
    labels: Sequence[str] = (),
    streams: Sequence[str] = (),
) -> list[LabelHours]:
    """Real events with an onset in [since, until), the most frequent label first. labels, streams: as `query` has it.

    minutes_east: of the zone whose hours are meant.
    """
    where, values = conditions(since_ns=since_ns, until_ns=until_ns, labels=labels, streams=streams)
    # the sum is of ms: of ns it would leave 64 bits after 292 years, which a thousand lasting labels reach in months
    rows = connection.execute(
        "SELECT label, pack, (onset_ns / ? + ?) / 3600 % 24 AS hour, COUNT(*), "
        "SUM((COALESCE(offset_ns, decided_ns) - onset_ns) / 1000000) FROM events "
        f"WHERE {where} GROUP BY label, pack, hour",
        (NS_PER_SECOND, minutes_east * 60, *values),
    )
    found: dict[tuple[str, str], LabelHours] = {}
    for label, pack, hour, count, lasted_ms in rows:
        entry = found.setdefault((label, pack), LabelHours(label, pack, [0] * HOURS))
        entry.hours[hour] += count
        entry.total += count
        entry.seconds += lasted_ms / 1000
    return sorted(found.values(), key=lambda entry: (-entry.total, entry.label, entry.pack))
