"""`GET /v1/loudness`: how loud it is now, and how loud it was by the minute.

    seconds              of the present level, 0.1 to 60; 1 where it is left out
    since_ns, until_ns   minutes that began in [since, until); with neither there are none
    streams              a list by commas or repetition
    bands                false leaves the third octaves of minutes out

`{"now": […], "minutes": […]}`. Of each stream `now` has the mean A-weighted level of those seconds (`laeq`), the lowest
and the highest LAF in them (`low`, `high`), the level that is a score of 0.5 (`enter`), and the newest whole `minute`;
null where so much was not heard without a gap. All levels are dB of full scale: `offset_db`, where it is no null, has
to be added for dB over 20 µPa. At most 44,640 minutes are given, the newest; bands are third octaves from 25 Hz on.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Annotated

import msgspec

from streamclf.engine.loud import LoudTrack
from streamclf.errors import ServeError
from streamclf.serve.http.route import NotKeptError, Query, Reply
from streamclf.serve.query import asked
from streamclf.store.database import reader
from streamclf.store.minutes import StoredMinute, minutes
from streamclf.types import LoudnessMinute

MAX_MINUTES = 31 * 24 * 60


class LoudnessQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. See the module's text."""

    seconds: Annotated[float, msgspec.Meta(ge=0.1, le=60)] = 1.0
    since_ns: int | None = None
    until_ns: int | None = None
    streams: tuple[str, ...] = ()
    bands: bool = True


class LoudnessNow(msgspec.Struct, frozen=True):
    """Of one stream."""

    stream: str
    offset_db: float | None
    enter: float
    laeq: float | None
    low: float | None
    high: float | None
    minute: LoudnessMinute | None


class LoudnessAnswer(msgspec.Struct, frozen=True):
    """The answer."""

    now: list[LoudnessNow]
    minutes: list[StoredMinute]


class LoudnessPage:
    """tracks: those of the pack, by stream, empty where loudness is not measured. newest: stream -> its last minute.

    folder: of the store, None where nothing is kept. Any thread may ask.
    """

    def __init__(
        self,
        tracks: Mapping[str, LoudTrack],
        newest: Callable[[str], LoudnessMinute | None],
        folder: Path | None,
    ) -> None:
        self._tracks = tracks
        self._newest = newest
        self._folder = folder

    def answer(self, query: Query) -> Reply:
        """JSON. Raises `ServeError`, `StoreError`, and sqlite3's own errors."""
        if not self._tracks:
            raise NotKeptError("loudness is not measured; [loudness] enabled switches it on")
        wish = asked(query.fields, LoudnessQuery)
        for name in wish.streams:
            if name not in self._tracks:
                raise ServeError(f"there is no stream {name[:80]!r} here; there are {', '.join(self._tracks)}")
        names = wish.streams or tuple(self._tracks)
        now = [self._now(name, wish.seconds) for name in names]
        return Reply(msgspec.json.encode(LoudnessAnswer(now, self._kept(wish))))

    def _now(self, name: str, seconds: float) -> LoudnessNow:
        track = self._tracks[name]
        laeq, low, high = track.meter.recent(seconds) or (None, None, None)
        return LoudnessNow(name, track.meter.offset_db, track.enter_db, laeq, low, high, self._newest(name))

    def _kept(self, wish: LoudnessQuery) -> list[StoredMinute]:
        if wish.since_ns is None and wish.until_ns is None:
            return []
        if self._folder is None:
            raise NotKeptError("no minutes are kept; [store] enabled switches it on")
        with closing(reader(self._folder)) as connection:
            found = minutes(
                connection,
                since_ns=wish.since_ns or 0,
                until_ns=(1 << 62) if wish.until_ns is None else wish.until_ns,
                streams=wish.streams,
                limit=MAX_MINUTES,
            )
        return found if wish.bands else [msgspec.structs.replace(one, bands=[]) for one in found]
