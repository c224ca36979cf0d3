"""Gaps that are kept, so that it can be said later why nothing was heard at a time: lost samples, and pauses.

Kept with them are the times in which the machine could not keep up and did less, on each rung of the ladder, or told
all late: they are of no stream. Times are UTC in ns since 1970. A gap that goes on from the one before it, for the
same reason, is one.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from streamclf.clock import NS_PER_FRAME, NS_PER_SECOND, StreamClock
from streamclf.store.alive import NOT_RUNNING
from streamclf.types import Gap, Output, Status, StreamState

MAX_KEPT = 10_000  # the newest
_PACE = (StreamState.BEHIND, StreamState.LIVE)  # where they are of no stream
_TOLD_NS = 5 * NS_PER_SECOND  # so often it is written down that less is still done
_KEEP = (
    "INSERT INTO gaps (stream, since_ns, until_ns, reason) VALUES (?, ?, ?, ?) "
    "ON CONFLICT (stream, since_ns) DO UPDATE SET until_ns = excluded.until_ns, reason = excluded.reason"
)
MAX_WAITING = 1_000  # that are not on the disk yet; the oldest are dropped


class StoredGap(msgspec.Struct, frozen=True):
    """Of `stream` nothing was scored from `since_ns` to `until_ns`. reason: as in the gap that was published.

    Without a stream: the machine could not keep up then, and `reason` says what it did less, or late.
    """

    stream: str
    since_ns: int
    until_ns: int
    reason: str


class GapsWaiting:
    """Gaps on their way to the disk. Lives on the writer's thread."""

    def __init__(self) -> None:
        self._newest: dict[str, StoredGap] = {}  # bound: the streams
        self._waiting: dict[tuple[str, int], StoredGap] = {}  # bound: MAX_WAITING
        self._less: StoredGap | None = None  # what is done now, where that is not all

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def not_running(self, streams: Iterable[str], since_ns: int, until_ns: int) -> None:
        """No daemon ran then."""
        for stream in streams:
            self._hold(StoredGap(stream, since_ns, until_ns, NOT_RUNNING))

    def take(self, outputs: Sequence[Output], clocks: Mapping[str, StreamClock], *, now_ns: int) -> None:
        """Those among `outputs`."""
        if self._less is not None and now_ns - self._less.until_ns >= _TOLD_NS:
            self._less_until(now_ns)
        for output in outputs:
            if isinstance(output, Status) and not output.stream and output.state in _PACE:
                self._less_until(now_ns)
                behind = output.state is StreamState.BEHIND
                self._less = StoredGap("", now_ns, now_ns + 1, output.detail) if behind else None
                self._less_until(now_ns + 1)
            if isinstance(output, Gap) and (clock := clocks.get(output.stream)) is not None:
                since_ns, until_ns = clock.ns_of_sample(output.first_sample), clock.ns_of_sample(output.last_sample + 1)
                self._hold(StoredGap(output.stream, since_ns, until_ns, output.reason))

    def write(self, tx: sqlite3.Connection) -> None:
        """Put them into the store, and let the oldest that it has go."""
        if not self._waiting:
            return
        tx.executemany(
            _KEEP,
            [(gap.stream, gap.since_ns, gap.until_ns, gap.reason) for gap in self._waiting.values()],
        )
        tx.execute(
            "DELETE FROM gaps WHERE until_ns < (SELECT until_ns FROM gaps ORDER BY until_ns DESC LIMIT 1 OFFSET ?)",
            (MAX_KEPT - 1,),
        )

    def written(self) -> None:
        """All of them are on the disk."""
        self._waiting.clear()

    def _less_until(self, until_ns: int) -> None:
        """Less has been done up to now."""
        if self._less is not None:
            self._less = replace(self._less, until_ns=until_ns)
            self._hold(self._less)

    def _hold(self, gap: StoredGap) -> None:
        before = self._newest.get(gap.stream)
        # the clock may have been corrected by a little between the two
        if before and before.reason == gap.reason and abs(gap.since_ns - before.until_ns) < NS_PER_FRAME:
            gap = StoredGap(gap.stream, before.since_ns, gap.until_ns, gap.reason)
        self._newest[gap.stream] = gap
        self._waiting[gap.stream, gap.since_ns] = gap
        if len(self._waiting) > MAX_WAITING:
            del self._waiting[next(iter(self._waiting))]


def keep_gap(tx: sqlite3.Connection, gap: StoredGap) -> None:
    """Put it into the store, or its newer end and reason."""
    tx.execute(_KEEP, (gap.stream, gap.since_ns, gap.until_ns, gap.reason))


def gap_in_words(gap: StoredGap) -> str:
    """What was not heard, or that less was done, without when."""
    return f"{gap.stream}: nothing was heard" if gap.stream else "this machine could not keep up"


def overlapping_gaps(
    connection: sqlite3.Connection, *, since_ns: int, until_ns: int, stream: str = "", limit: int = 100
) -> list[StoredGap]:
    """Those of `stream` ("" for all) and of none that reach into [since, until), the newest `limit`, in order."""
    rows: Iterable[tuple[str, int, int, str]] = connection.execute(
        "SELECT stream, since_ns, until_ns, reason FROM gaps "
        "WHERE until_ns > ? AND since_ns < ? AND (stream IN (?, '') OR ? = '') ORDER BY since_ns DESC LIMIT ?",
        (since_ns, until_ns, stream, stream, limit),
    )
    return [StoredGap(*row) for row in rows][::-1]
