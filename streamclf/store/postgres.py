"""Events and marks in PostgreSQL, of many daemons: the tables there, and how one page of events gets into them.

    streamclf.events   a row for each event of each site, in its newest stage, with its mark
    streamclf.days     how many events a label had on a site and day (UTC), so that a year is counted at once
    streamclf.hours    how many a label had in an hour, of all sites, so that the hours of a month are
    streamclf.sites    how far each site has delivered

Theory of operation. The store has one order of all that is new in it, the `seq` that /v1/events and /v1/live go on
from; a daemon reads on in it and puts what it finds there, page by page. How far that came (`Reached`) stands in
`streamclf.sites` and is written in the same transaction as the page. So a server that is killed, restored from a backup
or empty says itself where to go on, and neither side can believe what the other one has lost. A page that is put twice
changes nothing: a row is its site's and event's, and only a new one counts in `days` and `hours`. Who finds a position
that is not the one it left there is not alone: two daemons have the same site name.

Rows of `hours` are those of all sites. Each page takes them in one order, so that no two wait for each other, and last,
so that another waits for as long as a commit takes.

Tables of an older version are changed by the first daemon that comes, in one transaction; daemons of that version are
sent away then, and refuse the tables when they come again.

The driver is imported where it is used, so that who has no such server needs none. No clock.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from streamclf.errors import ConfigError
from streamclf.store.events import StoredEvent
from streamclf.text import public_url, words_of

if TYPE_CHECKING:
    from psycopg import Connection

log = logging.getLogger("streamclf.postgres")

VERSION = 2
_HOURS = """
CREATE TABLE streamclf.hours (
    label text NOT NULL,
    hour timestamptz NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (label, hour)
);
CREATE INDEX hours_by_time ON streamclf.hours (hour);
"""
_STEPS = {
    1: f"""
LOCK TABLE streamclf.events IN EXCLUSIVE MODE;
SET LOCAL work_mem = '128MB';
SET LOCAL enable_sort = off;
{_HOURS}
INSERT INTO streamclf.hours
SELECT label, date_trunc('hour', onset_at, 'UTC'), count(*) FROM streamclf.events GROUP BY 1, 2;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name LIKE 'streamclf %' AND datname = current_database() AND pid <> pg_backend_pid()
    AND pg_has_role(usesysid, 'MEMBER');
"""
}
"""Version -> what makes the next one of its tables. Events are counted by hashing: to sort a year takes minutes."""
TABLES = f"""
CREATE TABLE streamclf.version (version integer NOT NULL);
INSERT INTO streamclf.version VALUES ({VERSION});
CREATE TABLE streamclf.sites (
    site text PRIMARY KEY,
    seq bigint NOT NULL,
    event text NOT NULL,
    delivered_at timestamptz NOT NULL
);
CREATE TABLE streamclf.events (
    site text NOT NULL,
    id text NOT NULL,
    seq bigint NOT NULL,
    stream text NOT NULL,
    pack text NOT NULL,
    pack_hash text NOT NULL,
    label text NOT NULL,
    grp text NOT NULL,
    stage text NOT NULL,
    onset_frame bigint NOT NULL,
    offset_frame bigint,
    onset_at timestamptz NOT NULL,
    offset_at timestamptz,
    decided_at timestamptz NOT NULL,
    peak real NOT NULL,
    mean real NOT NULL,
    level_db real,
    enter real NOT NULL,
    leave real NOT NULL,
    min_on_ms integer NOT NULL,
    min_off_ms integer NOT NULL,
    ended_by text NOT NULL,
    mark text NOT NULL,
    mark_label text NOT NULL,
    PRIMARY KEY (site, id)
);
CREATE INDEX events_by_time ON streamclf.events (onset_at) INCLUDE (label);
CREATE INDEX events_by_label ON streamclf.events (label, onset_at);
CREATE INDEX events_by_stream ON streamclf.events (site, stream, onset_at) INCLUDE (label);
CREATE INDEX events_with_mark ON streamclf.events (onset_at) WHERE mark <> '';
CREATE TABLE streamclf.days (
    label text NOT NULL,
    day date NOT NULL,
    site text NOT NULL,
    events bigint NOT NULL,
    PRIMARY KEY (label, day, site)
);
CREATE INDEX days_by_day ON streamclf.days (day);
{_HOURS}
"""
_TYPES = {
    "site": "text", "id": "text", "seq": "bigint", "stream": "text", "pack": "text", "pack_hash": "text",
    "label": "text", "grp": "text", "stage": "text", "onset_frame": "bigint", "offset_frame": "bigint",
    "onset_at": "timestamptz", "offset_at": "timestamptz", "decided_at": "timestamptz", "peak": "real", "mean": "real",
    "level_db": "real", "enter": "real", "leave": "real", "min_on_ms": "integer", "min_off_ms": "integer",
    "ended_by": "text", "mark": "text", "mark_label": "text",
}  # fmt: skip
_NEWER = ("seq", "stage", "offset_frame", "offset_at", "decided_at", "peak", "mean", "level_db", "ended_by", "mark",
          "mark_label")  # fmt: skip
# a row that is new was never updated: its xmax is 0
_PUT = f"""
WITH put AS (
    INSERT INTO streamclf.events ({", ".join(_TYPES)})
    SELECT * FROM unnest({", ".join(f"%s::{kind}[]" for kind in _TYPES.values())})
    ON CONFLICT (site, id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _NEWER)}
    RETURNING site, label, onset_at, xmax = 0 AS new
), counted AS (
    INSERT INTO streamclf.days (label, day, site, events)
    SELECT label, (onset_at AT TIME ZONE 'UTC')::date AS day, site, count(*) FROM put WHERE new GROUP BY 1, 2, 3
    ON CONFLICT (label, day, site) DO UPDATE SET events = days.events + excluded.events
)
INSERT INTO streamclf.hours (label, hour, events)
SELECT label, date_trunc('hour', onset_at, 'UTC'), count(*) FROM put WHERE new GROUP BY 1, 2 ORDER BY 1, 2
ON CONFLICT (label, hour) DO UPDATE SET events = hours.events + excluded.events
"""
_LOCK = 0x73636C66  # of an advisory lock: one daemon at a time makes the tables
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# of each transaction by itself: a pooler gives every one another session, and refuses settings at the connection
_LIMITS = """
SELECT set_config('lock_timeout', '10s', true), set_config('statement_timeout', '60s', true),
    set_config('idle_in_transaction_session_timeout', '60s', true)
"""


class Reached(NamedTuple):
    """How far a site has delivered: the `seq` and the id of its last event there; 0 and "" before the first."""

    seq: int
    event: str


class MovedError(Exception):
    """Somebody else has delivered under the same name."""


def check(url: str) -> None:
    """Whether there is a driver that understands `url`. Raises `ConfigError`; nothing of the address is in it."""
    try:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict
    except ImportError:
        raise ConfigError("[postgres] needs the package psycopg: pip install 'streamclf[postgres]'") from None
    wrong = public_url(url).endswith("://…")  # its password has a mark that is not quoted
    try:
        conninfo_to_dict(url)
    except ProgrammingError:  # its words quote the password
        wrong = True
    if wrong:
        raise ConfigError(
            "postgres.url is not an address that can be read; expected postgresql://user:password@host/database, with "
            "/ : @ # and % in a password as %2F %3A %40 %23 and %25"
        )


def connect(url: str, site: str) -> "Connection[Any]":
    """A connection on which each statement is its own transaction, to a server or a pooler before it.

    Raises psycopg's errors.
    """
    import psycopg

    return psycopg.connect(
        url,
        autocommit=True,
        application_name=f"streamclf {site}",
        prepare_threshold=None,  # the next transaction may be in a session that has not prepared it
        connect_timeout=10,
        # that a server is gone is noticed within seconds, by what waits for an answer and by what does not
        keepalives_idle=10,
        keepalives_interval=5,
        keepalives_count=3,
        tcp_user_timeout=15_000,
    )


def reason_of(fault: Exception, url: str) -> str:
    """What PostgreSQL or its driver says, on one line, without the password of `url`."""
    from psycopg.conninfo import conninfo_to_dict

    secret = str(conninfo_to_dict(url).get("password") or "")
    words = words_of(fault)
    return words.replace(secret, "…") if secret else words


@contextmanager
def _transaction(far: "Connection[Any]") -> Iterator[None]:
    with far.transaction():
        far.execute(_LIMITS)
        yield


def prepare(far: "Connection[Any]") -> None:
    """Make the tables where there are none, and change those of an older version.

    Raises `ConfigError` for those of a newer one, psycopg's errors.
    """
    with _transaction(far):
        far.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        row = far.execute("SELECT to_regnamespace('streamclf'), to_regclass('streamclf.version')").fetchone()
        assert row is not None
        if row[0] is None:  # who may not make it may be given it
            far.execute("CREATE SCHEMA streamclf")
        if row[1] is None:
            far.execute(TABLES)
        (found,) = far.execute("SELECT version FROM streamclf.version").fetchone() or (0,)
        while found in _STEPS:
            log.info("the tables in PostgreSQL are of version %s and are changed to %s", found, found + 1)
            far.execute("SET LOCAL statement_timeout = 0")  # what is there is counted, however much it is
            far.execute(_STEPS[found])
            found += 1
            far.execute("UPDATE streamclf.version SET version = %s", (found,))
    if found != VERSION:
        raise ConfigError(
            f"the tables in PostgreSQL are of version {found}, and this streamclf knows {VERSION}; update this daemon"
        )


def position(far: "Connection[Any]", site: str) -> Reached:
    """How far `site` has delivered."""
    with _transaction(far):
        row = far.execute("SELECT seq, event FROM streamclf.sites WHERE site = %s", (site,)).fetchone()
    return Reached(0, "") if row is None else Reached(*row)


def put_page(far: "Connection[Any]", site: str, before: Reached, events: Sequence[StoredEvent]) -> Reached:
    """All of it and the new position, or nothing. events: at least one, in the order of their `seq`.

    before: the position that `site` was left at. Raises `MovedError` where it is another one, psycopg's errors.
    """
    after = Reached(events[-1].seq, events[-1].id)
    with _transaction(far):
        far.execute(
            "INSERT INTO streamclf.sites VALUES (%s, 0, '', now()) ON CONFLICT (site) DO NOTHING",
            (site,),
        )
        moved = far.execute(
            "UPDATE streamclf.sites SET seq = %s, event = %s, delivered_at = now() "
            "WHERE site = %s AND seq = %s AND event = %s",
            (*after, site, *before),
        )
        if moved.rowcount != 1:
            raise MovedError
        far.execute(_PUT, [list(column) for column in zip(*(_row(site, event) for event in events), strict=True)])
    return after


def _row(site: str, event: StoredEvent) -> tuple[object, ...]:
    """In the order of `_TYPES`."""
    return (
        site, event.id, event.seq, _text(event.stream), event.pack, event.pack_hash, _text(event.label),
        _text(event.group), event.stage, event.onset_frame, event.offset_frame, _at(event.onset_ns),
        None if event.offset_ns is None else _at(event.offset_ns), _at(event.decided_ns), event.peak, event.mean,
        event.level_db, event.enter, event.leave, event.min_on_ms, event.min_off_ms, event.ended_by, event.mark,
        _text(event.mark_label),
    )  # fmt: skip


def _text(text: str) -> str:
    """As PostgreSQL takes it: it knows no NUL."""
    return text.replace("\0", "")


def _at(ns: int) -> datetime:
    """To the microsecond, which is what a timestamptz holds."""
    return _EPOCH + timedelta(microseconds=ns // 1000)
