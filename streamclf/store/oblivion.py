"""Forget a time on purpose: all that the store keeps of what was heard in it.

A daemon's own limits are in retention.py. This is for a store that no daemon holds, so that nothing of that time is on
its way into the files while it is taken out.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from streamclf.clock import NS_PER_FRAME, NS_PER_SECOND
from streamclf.store import clips, scores
from streamclf.store.database import Store
from streamclf.store.scorefile import Stretch, block_record, header_record

_MINUTE_NS = 60 * NS_PER_SECOND
_EARLIEST, _LATEST = -(1 << 62), 1 << 62


@dataclass(frozen=True, slots=True)
class PastSpan:
    """[since, until) in ns since 1970, on these streams; on all where there are none."""

    since_ns: int
    until_ns: int
    streams: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What went. rows: of the score log, with those of levels. minutes: of loudness. taught: examples that stay."""

    events: int
    clips: int
    alerts: int
    rows: int
    moments: int
    minutes: int
    taught: int


def touched(connection: sqlite3.Connection, span: PastSpan, *, around_ns: int = 0) -> list[tuple[str, str]]:
    """Events, those of the self-test too, that any of the span lies in: their ids and clips ('' for none).

    around_ns: so much of what was before and after an event belongs to it.
    """
    where, values = _of(span)
    return connection.execute(
        f"SELECT id, clip FROM events WHERE onset_ns < ? AND MAX(COALESCE(offset_ns, decided_ns), onset_ns + 1) > ?"
        f"{where} ORDER BY onset_ns",
        (span.until_ns + around_ns, span.since_ns - around_ns, *values),
    ).fetchall()


def forget(store: Store, span: PastSpan, *, around_ns: int) -> Forgotten:
    """Take all of the span out of the store's files. sqlite3's errors and OSError pass through.

    around_ns: how much of what was before and after an event its clip may hold; clips of events near the span go, too.
    Files go first: where one cannot be deleted, the events are still there to find it by.
    """
    folder = store.folder / clips.FOLDER
    connection = store.connection
    near = [(event, clip) for event, clip in touched(connection, span, around_ns=around_ns) if clip]
    for _, clip in near:
        (folder / clip).unlink(missing_ok=True)
    rows = _forget_rows(store, span)
    ids = [(event,) for event, _ in touched(connection, span)]
    connection.execute("PRAGMA secure_delete=ON")  # what is deleted is written over, not only given up
    where, values = _of(span)
    with store.transaction() as tx:
        tx.executemany("UPDATE events SET clip = '' WHERE id = ?", [(event,) for event, _ in near])
        moments = _count(tx, "DELETE FROM moments WHERE event = ?", ids)
        alerts = _count(tx, "DELETE FROM alerts WHERE event_id = ?", ids)
        tx.executemany("DELETE FROM reasons WHERE event_id = ?", ids)
        tx.executemany("DELETE FROM events WHERE id = ?", ids)
        tx.execute("DELETE FROM deliveries WHERE alert_id NOT IN (SELECT id FROM alerts)")
        between = (span.since_ns, span.until_ns, *values)
        moments += tx.execute(f"DELETE FROM moments WHERE at_ns >= ? AND at_ns < ?{where}", between).rowcount
        begun = (span.since_ns - _MINUTE_NS, span.until_ns, *values)
        minutes = tx.execute(f"DELETE FROM loudness WHERE since_ns > ? AND since_ns < ?{where}", begun).rowcount
        (taught,) = tx.execute(
            f"SELECT count(*) FROM examples WHERE until_ns > ? AND at_ns < ?{where}", between
        ).fetchone()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # the journal holds the pages as they were
    store.written()
    return Forgotten(len(ids), len(near), alerts, rows, moments, minutes, taught)


def _of(span: PastSpan) -> tuple[str, Sequence[str]]:
    places = ", ".join("?" * len(span.streams))
    return (f" AND stream IN ({places})" if span.streams else ""), span.streams


def _count(tx: sqlite3.Connection, statement: str, ids: Sequence[tuple[str]]) -> int:
    return sum(tx.execute(statement, one).rowcount for one in ids)


def _forget_rows(store: Store, span: PastSpan) -> int:
    """Write each file of score rows anew without those of the span. Returns how many went."""
    gone = 0
    for file in scores.files(store.folder, since_ns=span.since_ns, until_ns=span.until_ns):
        if span.streams and file.header.stream not in span.streams:
            continue
        kept, out = list[Stretch](), 0
        for block in file.stretches():
            parts = [block.between(_EARLIEST, span.since_ns), block.between(span.until_ns, _LATEST)]
            left = [part for part in parts if part is not None]
            out += len(block.codes) - sum(len(part.codes) for part in left)
            kept += left
        if not out:
            continue
        gone += out
        if not kept:
            file.path.unlink()
            with suppress(OSError):  # the day has other files
                file.path.parent.rmdir()
            continue
        beside = file.path.with_name(f"{file.path.name}.part")
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as new:
            new.write(header_record(file.header))
            for part in kept:
                new.write(block_record(part.first_frame, part.epoch_ns, part.codes))
            new.flush()
            os.fsync(new.fileno())
        beside.replace(file.path)
    return gone


def around_ns(pre_ms: int, post_ms: int) -> int:
    """How far a clip reaches beyond its event, a frame more for what is rounded."""
    return max(pre_ms, post_ms) * 1_000_000 + NS_PER_FRAME
