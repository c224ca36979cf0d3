"""What events, and the time between them, sounded like: one embedding each, 2 KiB of half-precision numbers.

They are what "not this" is learnt from, and what a search for a like sound goes through.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamclf.types import F32

_NUMBERS = np.dtype("<f2")
_READ = "SELECT at_ns, stream, event, label, identity, numbers FROM moments"


@dataclass(frozen=True, slots=True)
class Moment:
    """event: its whole id, "" for a moment that was picked by chance. numbers: (size, ) float32, finite."""

    at_ns: int
    stream: str
    event: str
    label: str
    identity: str
    numbers: F32


@dataclass(frozen=True, slots=True)
class Moments:
    """Many, of one identity. numbers: (n, size) float32."""

    at_ns: npt.NDArray[np.int64]
    streams: Sequence[str]
    events: Sequence[str]
    labels: Sequence[str]
    numbers: F32


def put_moments(tx: sqlite3.Connection, some: Iterable[Moment]) -> None:
    """Keep them."""
    tx.executemany(
        "INSERT INTO moments (at_ns, stream, event, label, identity, numbers) VALUES (?, ?, ?, ?, ?, ?)",
        [(m.at_ns, m.stream, m.event, m.label, m.identity, m.numbers.astype(_NUMBERS).tobytes()) for m in some],
    )


def moment_of(connection: sqlite3.Connection, event: str) -> Moment | None:
    """That of an event, None where none is kept."""
    row = connection.execute(f"{_READ} WHERE event = ? AND event <> ''", (event,)).fetchone()
    return None if row is None else Moment(*[*row[:5], _numbers(row[5])])


def moment_near(connection: sqlite3.Connection, stream: str, at_ns: int, *, within_ns: int) -> Moment | None:
    """The one of `stream` that is nearest to that time, None where none is within reach."""
    row = connection.execute(
        f"{_READ} WHERE stream = ? AND at_ns BETWEEN ? AND ? ORDER BY abs(at_ns - ?) LIMIT 1",
        (stream, at_ns - within_ns, at_ns + within_ns, at_ns),
    ).fetchone()
    return None if row is None else Moment(*[*row[:5], _numbers(row[5])])


def read_moments(
    connection: sqlite3.Connection, identity: str, *, most: int, spread: bool = False, since_ns: int = 0
) -> Moments:
    """At most `most` of that identity: the newest, or spread over all that are kept. In the order of time."""
    count = count_moments(connection, identity) if spread else 0
    every = max(1, -(-count // most))
    rows = connection.execute(
        f"{_READ} WHERE identity = ? AND at_ns >= ? AND id % ? = 0 ORDER BY at_ns DESC LIMIT ?",
        (identity, since_ns, every, most),
    ).fetchall()[::-1]
    size = len(rows[0][5]) // _NUMBERS.itemsize if rows else 0
    return Moments(
        np.array([row[0] for row in rows], dtype=np.int64),
        [row[1] for row in rows],
        [row[2] for row in rows],
        [row[3] for row in rows],
        np.frombuffer(b"".join(row[5] for row in rows), _NUMBERS).astype(np.float32).reshape(len(rows), size),
    )


def count_moments(connection: sqlite3.Connection, identity: str) -> int:
    """How many are kept of that identity."""
    (count,) = connection.execute("SELECT count(*) FROM moments WHERE identity = ?", (identity,)).fetchone()
    return int(count)


def forget_moments(tx: sqlite3.Connection, *, before_ns: int, most: int) -> int:
    """Delete those that are older, and the oldest beyond `most`. Returns how many went."""
    gone = tx.execute("DELETE FROM moments WHERE at_ns < ?", (before_ns,)).rowcount
    (count,) = tx.execute("SELECT count(*) FROM moments").fetchone()
    if count > most:
        gone += tx.execute(
            "DELETE FROM moments WHERE id IN (SELECT id FROM moments ORDER BY at_ns LIMIT ?)", (count - most,)
        ).rowcount
    return gone


def _numbers(blob: bytes) -> F32:
    return np.frombuffer(blob, _NUMBERS).astype(np.float32)
