"""What events, and the time between them, sounded like: one embedding each, 2 KiB of half-precision numbers.

They are what "not this" is learnt from, and what a search for a like sound goes through.
"""

import sqlite3
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from streamclf.clock import NS_PER_FRAME, NS_PER_SECOND
from streamclf.types import F32, Output, Remembered

_NUMBERS = np.dtype("<f2")
MOST = 50_000
"""So many are kept, 100 MB; beyond it the oldest go, also before their time."""
_WRITE_S = 5.0
_WAITING = 256  # beyond it they are written at once
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
class KeptMoments:
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


def moments_of(connection: sqlite3.Connection, events: Sequence[str]) -> dict[str, F32]:
    """By event, of those of which one is kept, its numbers: (size, ) float32."""
    found: dict[str, F32] = {}
    for first in range(0, len(events), 500):  # a query takes so many values and more
        some = events[first : first + 500]
        rows = connection.execute(
            f"SELECT event, numbers FROM moments WHERE event IN ({', '.join('?' * len(some))})", some
        )
        found.update({event: _numbers(numbers) for event, numbers in rows})
    return found


def moment_near(connection: sqlite3.Connection, stream: str, at_ns: int, *, within_ns: int) -> Moment | None:
    """The one of `stream` that is nearest to that time, None where none is within reach."""
    row = connection.execute(
        f"{_READ} WHERE stream = ? AND at_ns BETWEEN ? AND ? ORDER BY abs(at_ns - ?) LIMIT 1",
        (stream, at_ns - within_ns, at_ns + within_ns, at_ns),
    ).fetchone()
    return None if row is None else Moment(*[*row[:5], _numbers(row[5])])


def read_moments(
    connection: sqlite3.Connection, identity: str, *, most: int, spread: bool = False, since_ns: int = 0
) -> KeptMoments:
    """At most `most` of that identity: the newest, or spread over all that are kept. In the order of time."""
    count = count_moments(connection, identity) if spread else 0
    every = max(1, -(-count // most))
    rows = connection.execute(
        f"{_READ} WHERE identity = ? AND at_ns >= ? AND id % ? = 0 ORDER BY at_ns DESC LIMIT ?",
        (identity, since_ns, every, most),
    ).fetchall()[::-1]
    size = len(rows[0][5]) // _NUMBERS.itemsize if rows else 0
    return KeptMoments(
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


class MomentLog:
    """Gathers moments for the writer. run: of the daemon. keep_days: as of events. without: streams that are not kept.

    One thread uses it. What was gathered in the last five seconds is lost in a crash.
    """

    def __init__(self, run: str, *, keep_days: int, without: Container[str] = ()) -> None:
        self._run = run
        self._keep_ns = keep_days * 86_400 * NS_PER_SECOND
        self._without = without
        self._waiting: list[Moment] = []  # bound: what comes between two rounds of the writer
        self._written_s = 0.0

    def take(self, outputs: Sequence[Output], epochs: Mapping[str, int]) -> None:
        """Note those among `outputs`. epochs: stream -> wall time (ns) of its frame 0."""
        for output in outputs:
            if isinstance(output, Remembered) and output.stream not in self._without:
                at_ns = epochs[output.stream] + output.frame * NS_PER_FRAME
                event = f"{self._run}/{output.event}" if output.event else ""
                self._waiting.append(Moment(at_ns, output.stream, event, output.label, output.identity, output.numbers))

    def due(self, now_s: float, now_ns: int) -> Callable[[sqlite3.Connection], None] | None:
        """What is to be done in the next transaction, None for nothing yet."""
        if not self._waiting or (now_s < self._written_s + _WRITE_S and len(self._waiting) < _WAITING):
            return None
        some, self._waiting, self._written_s = self._waiting, [], now_s
        return partial(_write, some=some, before_ns=now_ns - self._keep_ns if self._keep_ns else 0)


def _write(tx: sqlite3.Connection, *, some: Sequence[Moment], before_ns: int) -> None:
    put_moments(tx, some)
    forget_moments(tx, before_ns=before_ns, most=MOST)
