"""How loud each minute of each stream was, on the disk: levels in dB of full scale, with the offset then in force."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import msgspec
import numpy as np

from streamclf.clock import NS_PER_FRAME
from streamclf.engine.loud import LEVELS
from streamclf.types import LoudnessMinute, Output

MAX_WAITING = 10_000  # minutes that are not on the disk yet; the oldest are dropped
_BAND_STEP_DB = 0.5
_BAND_FLOOR_DB = -127.5


class StoredMinute(msgspec.Struct, frozen=True):
    """As `LoudnessMinute`, to a tenth of a decibel, with wall time. bands: third octaves from 25 Hz on, to 0.5 dB."""

    stream: str
    since_ns: int
    frames: int
    laeq: float
    lceq: float
    lzeq: float
    lafmax: float
    lcpeak: float
    l10: float
    l50: float
    l90: float
    offset_db: float | None
    bands: list[float]


_COLUMNS = ("stream", "since_ns", "frames", *LEVELS, "offset_db", "bands")


class MinutesWaiting:
    """Minutes on their way to the disk. Lives on the writer's thread."""

    def __init__(self) -> None:
        self._waiting: list[tuple[object, ...]] = []  # bound: MAX_WAITING

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def take(self, outputs: Sequence[Output], epochs: Mapping[str, int]) -> None:
        """Those among `outputs`. epochs: stream -> wall time (ns) of its frame 0; others are not kept."""
        for output in outputs:
            if isinstance(output, LoudnessMinute) and (epoch_ns := epochs.get(output.stream)) is not None:
                levels = (round(getattr(output, name), 1) for name in LEVELS)
                since_ns = epoch_ns + output.first_frame * NS_PER_FRAME
                bands = _codes(output.bands)
                self._waiting.append((output.stream, since_ns, output.frames, *levels, output.offset_db, bands))
        del self._waiting[:-MAX_WAITING]

    def write(self, tx: sqlite3.Connection) -> None:
        """Put them into the store."""
        places = ", ".join("?" * len(_COLUMNS))
        tx.executemany(f"INSERT OR REPLACE INTO loudness ({', '.join(_COLUMNS)}) VALUES ({places})", self._waiting)

    def written(self) -> None:
        """All of them are on the disk."""
        self._waiting.clear()


def minutes(
    connection: sqlite3.Connection, *, since_ns: int, until_ns: int, streams: Sequence[str] = (), limit: int
) -> list[StoredMinute]:
    """Minutes that began in [since, until), of these streams (none: of all), the newest `limit`, in order."""
    of = f"AND stream IN ({', '.join('?' * len(streams))})" if streams else ""
    rows: Iterable[tuple[object, ...]] = connection.execute(
        f"SELECT {', '.join(_COLUMNS)} FROM loudness WHERE since_ns >= ? AND since_ns < ? {of} "
        "ORDER BY since_ns DESC, stream DESC LIMIT ?",
        (since_ns, until_ns, *streams, limit),
    )
    return [_minute(row) for row in rows][::-1]


def forget(tx: sqlite3.Connection, *, before_ns: int) -> None:
    """Delete minutes that began before that."""
    tx.execute("DELETE FROM loudness WHERE since_ns < ?", (before_ns,))


def _minute(row: tuple[object, ...]) -> StoredMinute:
    fields = dict(zip(_COLUMNS, row, strict=True))
    fields["bands"] = [_BAND_FLOOR_DB + _BAND_STEP_DB * code for code in bytes(row[-1])]  # type: ignore[call-overload]
    return msgspec.convert(fields, StoredMinute)


def _codes(bands: Sequence[float]) -> bytes:
    steps = (np.array(bands) - _BAND_FLOOR_DB) / _BAND_STEP_DB
    return np.clip(np.rint(steps), 0, 255).astype(np.uint8).tobytes()
