"""How long questions about a year of many sites take in PostgreSQL, with the indexes that each of them used.

    python -m tools.bench.postgres [--events 1000000] [--sites 100] [--url postgresql://...] [--there]

Makes up so many events, spread over a year, sites, streams and labels of which some are much more frequent, in the
tables that a daemon makes, and asks each question three times: the first one, and the best. Without --url in a server
of its own with PostgreSQL's own settings, in a temporary folder: 36 million events take 14 GB there. --there: they are
made already, and are only asked for.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from streamclf.store import postgres
from tools.lab.pgserver import PostgresServer

if TYPE_CHECKING:
    from psycopg import Connection

LABELS = 60
STREAMS = 4
_PORTION = 500_000
_TIMES = 3
# the square of an even number lies near 0 more often: some labels are frequent, most are rare
_MAKE = f"""
INSERT INTO streamclf.events
SELECT 'site' || mod(n, %(sites)s), 'run/' || n, n, 'mic' || mod(n / %(sites)s, {STREAMS}), 'birds', repeat('0', 64),
    'label_' || floor({LABELS} * x * x), 'bird', 'close', n * 100, n * 100 + 100, at, at + interval '2 s',
    at + interval '2 s', 0.5 + 0.5 * x, 0.5, -30, 0.5, 0.35, 100, 200, 'quiet',
    CASE WHEN mod(n, 1000) = 0 THEN 'wrong' ELSE '' END, ''
FROM (
    SELECT n, random() AS x, timestamptz '2025-01-01 UTC' + n * (interval '365 days' / %(events)s) AS at
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS n
) AS made
"""
_COUNT = """
INSERT INTO streamclf.days
SELECT label, (onset_at AT TIME ZONE 'UTC')::date, site, count(*) FROM streamclf.events GROUP BY 1, 2, 3
"""
_COUNT_HOURS = """
INSERT INTO streamclf.hours
SELECT label, date_trunc('hour', onset_at, 'UTC'), count(*) FROM streamclf.events GROUP BY 1, 2
"""
_SHOWN = "site, id, stream, label, stage, onset_at, offset_at, peak, mark"
_DAY = "onset_at >= '2025-07-20 UTC' AND onset_at < '2025-07-21 UTC'"
_MONTH = "onset_at >= '2025-07-01 UTC' AND onset_at < '2025-08-01 UTC'"
_YEAR = "day >= '2025-01-01' AND day < '2026-01-01'"
_HOUR = "hour >= '2025-07-01 UTC' AND hour < '2025-08-01 UTC'"
_SUMS = "SELECT label, extract(hour FROM hour AT TIME ZONE 'UTC'), sum(events) FROM streamclf.hours WHERE"
_HOURS = "SELECT label, extract(hour FROM onset_at AT TIME ZONE 'UTC'), count(*) FROM streamclf.events WHERE"
QUESTIONS = {
    "the newest 100 of all sites": f"SELECT {_SHOWN} FROM streamclf.events ORDER BY onset_at DESC LIMIT 100",
    "the newest 100 of two labels": f"SELECT {_SHOWN} FROM streamclf.events WHERE label IN ('label_3', 'label_40') "
    "ORDER BY onset_at DESC LIMIT 100",
    "an hour of all sites, 1000 of it": f"SELECT {_SHOWN} FROM streamclf.events WHERE "
    "onset_at >= '2025-07-20 06:00 UTC' AND onset_at < '2025-07-20 07:00 UTC' ORDER BY onset_at DESC LIMIT 1000",
    "a day of one stream": f"SELECT {_SHOWN} FROM streamclf.events WHERE site = 'site7' AND stream = 'mic1' AND {_DAY} "
    "ORDER BY onset_at",
    "what was on at a moment": f"SELECT {_SHOWN} FROM streamclf.events WHERE site = 'site7' AND stream = 'mic1' AND "
    "onset_at > timestamptz '2025-07-20 06:30 UTC' - interval '7 days' AND onset_at < '2025-07-20 06:30:05 UTC' AND "
    "offset_at > '2025-07-20 06:30 UTC'",
    "hours of a day, all sites": f"{_HOURS} {_DAY} GROUP BY 1, 2",
    "hours of 31 days, one site": f"{_HOURS} {_MONTH} AND site = 'site7' GROUP BY 1, 2",
    "hours of 31 days of one label, all sites": f"{_SUMS} {_HOUR} AND label = 'label_3' GROUP BY 1, 2",
    "hours of 31 days, all labels and sites": f"{_SUMS} {_HOUR} GROUP BY 1, 2",
    "the same, counted anew": f"{_HOURS} {_MONTH} GROUP BY 1, 2",
    "the year of one label by day": f"SELECT day, sum(events) FROM streamclf.days WHERE label = 'label_3' AND {_YEAR} "
    "GROUP BY day",
    "the year of all labels, all sites": "SELECT label, sum(events), min(day), max(day) "
    f"FROM streamclf.days WHERE {_YEAR} GROUP BY label",
    "the newest 100 that somebody marked": f"SELECT {_SHOWN} FROM streamclf.events WHERE mark <> '' "
    "ORDER BY onset_at DESC LIMIT 100",
    "one event": f"SELECT {_SHOWN} FROM streamclf.events WHERE site = 'site1' AND id = 'run/1'",
}


def make(far: "Connection[Any]", events: int, sites: int) -> None:
    """The tables with so many events, as a daemon makes them; rows first and indexes then, which is much quicker."""
    with far.transaction():
        postgres.prepare(far)
        far.execute("SET LOCAL statement_timeout = 0")
        far.execute("SET LOCAL maintenance_work_mem = '1GB'")
        there = far.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'streamclf' AND tablename = 'events'"
        )
        indexes = there.fetchall()
        far.execute("ALTER TABLE streamclf.events DROP CONSTRAINT events_pkey")
        for name, _ in indexes:
            far.execute(f"DROP INDEX IF EXISTS streamclf.{name}")
        for first in range(1, events + 1, _PORTION):
            last = min(events, first + _PORTION - 1)
            far.execute(_MAKE, {"sites": sites, "events": events, "first": first, "last": last})
        for _, definition in indexes:
            far.execute(definition)
        far.execute("ALTER TABLE streamclf.events ADD PRIMARY KEY USING INDEX events_pkey")
        far.execute("SET LOCAL work_mem = '128MB'")
        far.execute("SET LOCAL enable_sort = off")  # it takes every event for a group of its own, and would sort all
        far.execute(_COUNT)
        far.execute(_COUNT_HOURS)
    far.execute("SET statement_timeout = 0")
    far.execute("VACUUM ANALYZE")


def asked(far: "Connection[Any]") -> Iterator[str]:
    """A line for each question."""
    for name, query in QUESTIONS.items():
        took = []
        for _ in range(_TIMES):
            began_s = time.perf_counter()
            rows = far.execute(query).fetchall()
            took.append(time.perf_counter() - began_s)
        (plan,) = far.execute(f"EXPLAIN (FORMAT JSON) {query}").fetchone() or ([],)
        used = sorted(set(_indexes(plan))) or ["no index"]
        yield f"{name}: {took[0]:.3f} s, best {min(took):.3f} s, {len(rows)} rows; {', '.join(used)}"


def _indexes(plan: object) -> Iterator[str]:
    if isinstance(plan, dict):
        if "Index Name" in plan:
            yield str(plan["Index Name"])
        plan = list(plan.values())
    for part in plan if isinstance(plan, Sequence) and not isinstance(plan, str) else ():
        yield from _indexes(part)


def main() -> None:
    """Make, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--sites", type=int, default=100)
    parser.add_argument("--url", help="a database without the schema streamclf, in place of a server of its own")
    parser.add_argument("--there", action="store_true", help="the tables of --url are filled already")
    given = parser.parse_args()
    server = (
        None
        if given.url
        else PostgresServer(settings=["fsync=off", "wal_level=minimal", "max_wal_senders=0", "max_wal_size=4GB"])
    )
    try:
        if server is not None:
            server.start(database=True)
        with closing(postgres.connect(given.url or server.url, "bench")) as far:  # type: ignore[union-attr]
            began_s = time.perf_counter()
            if not given.there:
                make(far, given.events, given.sites)
            (size,) = far.execute("SELECT pg_size_pretty(pg_database_size(current_database()))").fetchone() or ("",)
            print(
                f"{given.events} events of {given.sites} sites, {size}, made in {time.perf_counter() - began_s:.0f} s"
            )
            for line in asked(far):
                print(line, flush=True)
    finally:
        if server is not None:
            server.close()


if __name__ == "__main__":
    main()
