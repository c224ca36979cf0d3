"""Events as they are kept: one row each, the newest stage with everything needed to judge it later."""

import sqlite3
from collections.abc import Container, Iterable, Sequence

import msgspec

from streamclf.clock import NS_PER_FRAME, NS_PER_SECOND
from streamclf.engine.segment import Ending
from streamclf.protocol.kept import StoredEvent as StoredEvent

LONGEST_NS = 7 * 86_400 * NS_PER_SECOND


_FIELDS = StoredEvent.__struct_fields__
_TEST = _FIELDS.index("test")
_COLUMNS = ", ".join("grp" if name == "group" else name for name in _FIELDS)
# clip and marks are set by others while an event lasts, so a later stage leaves them alone
_NEWER = ("seq", "stage", "offset_frame", "offset_ns", "decided_ns", "peak", "mean", "level_db", "ended_by")
_PUT = (
    f"INSERT INTO events ({_COLUMNS}) VALUES ({', '.join('?' * len(_FIELDS))}) "
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _NEWER)}"
)


def put_events(tx: sqlite3.Connection, events: Iterable[StoredEvent]) -> None:
    """Write each event, or its newer stage. Every write gives it the next `seq`."""
    (seq,) = tx.execute("SELECT seq FROM last_seq").fetchone()
    for event in events:
        seq += 1
        tx.execute(_PUT, msgspec.structs.astuple(msgspec.structs.replace(event, seq=seq)))
    tx.execute("UPDATE last_seq SET seq = ?", (seq,))


def close_stale(
    tx: sqlite3.Connection, *, ended_by: str = Ending.CRASH, lasting: Container[str] = ()
) -> list[StoredEvent]:
    """Close what a daemon that is gone left open, where it was last known to go on. Returns these events.

    lasting: ids of events that go on.
    """
    found = _read(tx.execute(f"SELECT {_COLUMNS} FROM events WHERE stage <> 'close' ORDER BY seq"))
    stale = [event for event in found if event.id not in lasting]
    ended = [closed(event, ended_by=ended_by) for event in stale]
    put_events(tx, ended)
    return ended


def closed(event: StoredEvent, *, ended_by: str) -> StoredEvent:
    """An event that lasts, closed where it was last known to go on."""
    frames = max(1, (event.decided_ns - event.onset_ns) // NS_PER_FRAME)
    return msgspec.structs.replace(
        event,
        stage="close",
        offset_frame=event.onset_frame + frames,
        offset_ns=event.onset_ns + frames * NS_PER_FRAME,
        ended_by=ended_by,
    )


def raise_seq(tx: sqlite3.Connection, seq: int) -> None:
    """The next `seq` is above this one: to those who read on from one, another database must not begin anew."""
    tx.execute("UPDATE last_seq SET seq = MAX(seq, ?)", (seq,))


def begin_seq(tx: sqlite3.Connection, now_ns: int) -> None:
    """In a database that has given no `seq` yet the first is the time (ms since 1970).

    So it lies above those of a database that was there before, and who reads on from one of them misses nothing.
    """
    tx.execute("UPDATE last_seq SET seq = ? WHERE seq = 0", (now_ns // 1_000_000,))


def set_clip(tx: sqlite3.Connection, event_id: str, clip: str) -> None:
    """Name the clip of an event (file below clips/), or "" where it has none any more. It keeps its `seq`."""
    tx.execute("UPDATE events SET clip = ? WHERE id = ?", (clip, event_id))


def set_mark(tx: sqlite3.Connection, event_id: str, mark: str, label: str = "") -> StoredEvent | None:
    """What a person says of an event, as `StoredEvent.mark` and `mark_label`. It gets the next `seq`.

    Returns the event as it is now, None where there is none of that id.
    """
    (seq,) = tx.execute("UPDATE last_seq SET seq = seq + 1 RETURNING seq").fetchone()
    tx.execute("UPDATE events SET mark = ?, mark_label = ?, seq = ? WHERE id = ?", (mark, label, seq, event_id))
    return find(tx, event_id)


def find(connection: sqlite3.Connection, event_id: str) -> StoredEvent | None:
    """The event of that id."""
    found = _read(connection.execute(f"SELECT {_COLUMNS} FROM events WHERE id = ?", (event_id,)))
    return found[0] if found else None


def query(
    connection: sqlite3.Connection,
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    labels: Sequence[str] = (),
    streams: Sequence[str] = (),
    min_peak: float | None = None,
    after_seq: int | None = None,
    limit: int | None = None,
    test: bool = False,
    marked: bool | None = None,
) -> list[StoredEvent]:
    """Events in the order of their onsets; with after_seq, those whose newest stage came after it, in that order.

    since_ns, until_ns: onset in [since, until). labels: ids, or `group:NAME`. limit: at most so many, the newest
    ones (the next ones after after_seq). test: those of the self-test instead of the real ones. marked: only those that
    somebody has marked, or only those that nobody has.
    """
    where, values = conditions(
        since_ns=since_ns, until_ns=until_ns, labels=labels, streams=streams, min_peak=min_peak, test=test
    )
    if after_seq is not None:
        where += " AND seq > ?"
        values.append(after_seq)
    if marked is not None:
        where += f" AND mark {'<>' if marked else '='} ''"
    order = "onset_ns DESC, seq DESC" if after_seq is None else "seq"
    values.append(-1 if limit is None else limit)
    rows = connection.execute(f"SELECT {_COLUMNS} FROM events WHERE {where} ORDER BY {order} LIMIT ?", values)
    events = _read(rows)
    return events if after_seq is not None else events[::-1]


def page_after(connection: sqlite3.Connection, after: int | None, *, limit: int) -> tuple[list[StoredEvent], int, bool]:
    """Real events whose newest stage came after this `seq`: at most `limit`, where to go on, whether there is more.

    None is now. A `seq` that was not given yet is of another database: then all of this one follow.
    """
    connection.execute("BEGIN")  # both reads see the same moment
    (last,) = connection.execute("SELECT seq FROM last_seq").fetchone()
    events: list[StoredEvent] = []
    if after is not None:
        events = query(connection, after_seq=begin_after(after, last), limit=limit + 1)
    connection.execute("ROLLBACK")
    more = len(events) > limit
    events = events[:limit]
    return events, events[-1].seq if more else last, more


def count_after(connection: sqlite3.Connection, after: int) -> int:
    """How many real events have a newest stage that came after this `seq`."""
    (last,) = connection.execute("SELECT seq FROM last_seq").fetchone()
    counted = "SELECT COUNT(*) FROM events WHERE seq > ? AND test = 0"
    found: int = connection.execute(counted, (begin_after(after, last),)).fetchone()[0]
    return found


def begin_after(after: int, last: int) -> int:
    """Where to read on for who has had everything up to `after`. last: the newest `seq` of this database."""
    return after if after <= last else 0


def conditions(
    *,
    since_ns: int | None = None,
    until_ns: int | None = None,
    labels: Sequence[str] = (),
    streams: Sequence[str] = (),
    min_peak: float | None = None,
    test: bool = False,
) -> tuple[str, list[object]]:
    """What stands behind WHERE for these wishes (see `query`), and the values for its question marks."""
    where: list[str] = ["test = ?"]
    values: list[object] = [test]
    for condition, value in (
        ("onset_ns >= ?", since_ns),
        ("onset_ns < ?", until_ns),
        ("peak >= ?", min_peak),
    ):
        if value is not None:
            where.append(condition)
            values.append(value)
    if streams:
        where.append(f"stream IN ({_marks(streams)})")
        values += streams
    if labels:
        groups = [label.removeprefix("group:") for label in labels if label.startswith("group:")]
        ids = [label for label in labels if not label.startswith("group:")]
        # without groups the index by label finds them
        named = [f"{column} IN ({_marks(some)})" for column, some in (("label", ids), ("grp", groups)) if some]
        where.append(f"({' OR '.join(named)})")
        values += [*ids, *groups]
    return " AND ".join(where), values


def overlapping(
    connection: sqlite3.Connection, *, since_ns: int, until_ns: int, stream: str | None = None
) -> list[StoredEvent]:
    """Real events that were on at some time in [since, until), in the order of their onsets.

    Of those that are over, the ones that began at most `LONGEST_NS` before: an index tells when events began, not when
    they ended. stream: of this one alone.
    """
    return _read(
        connection.execute(
            f"SELECT {_COLUMNS} FROM events WHERE (stage <> 'close' OR onset_ns > ?) AND onset_ns < ? "
            "AND COALESCE(offset_ns, decided_ns) > ? AND test = 0 AND (? IS NULL OR stream = ?) ORDER BY onset_ns, seq",
            (since_ns - LONGEST_NS, until_ns, since_ns, stream, stream),
        )
    )


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _read(rows: sqlite3.Cursor) -> list[StoredEvent]:
    events = []
    for row in rows:
        values = list(row)
        values[_TEST] = bool(values[_TEST])
        events.append(StoredEvent(*values))
    return events
