"""`GET /v1/thresholds`: thresholds for a label of which there are too many events, and what they would have changed.

    label                      its id
    a_day                      how many events a day and stream may be false, 0.01 to 1000 (default 1)

Out of the score log of the last 24 hours, as `streamclf calibrate` does it: every event counts as false unless somebody
marked it as right. `{"label", "a_day", "hours", "enough", "met", "now", "proposed", "a_day_now", "a_day_proposed",
"low", "high", "since_ns", "until_ns", "before", "after", "lost", "gained"}`. `now` and `proposed` are `{"enter",
"leave", "min_on_ms"}`; `met` says whether any threshold keeps to it, `enough` whether so short a log can tell. As many
hours again are expected to have `low` to `high` a day. The last four are the events of that time by both, each
`{"stream", "pack", "onset_ns", "offset_ns", "peak", "right"}`; `lost` and `gained` overlap with none of the others.
`adjust` writes what is proposed.
"""

import time
from pathlib import Path
from typing import Annotated

import msgspec

from streamclf.alerts.proposals import SlowTrialError, WouldBe, table_of, too_little, try_label
from streamclf.clock import NS_PER_SECOND
from streamclf.errors import ServeError
from streamclf.protocol.wire import DECIMALS
from streamclf.serve.http.route import NotKeptError, Query, Reply
from streamclf.serve.query import asked

SPAN_NS = 24 * 3600 * NS_PER_SECOND
MAX_EVENTS = 2000
"""Of each list; the newest."""


class ThresholdsQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. See the module's text."""

    label: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    a_day: Annotated[float, msgspec.Meta(ge=0.01, le=1000)] = 1.0


class WouldBeEntry(msgspec.Struct, frozen=True):
    """What thresholds make an event of."""

    stream: str
    pack: str
    onset_ns: int
    offset_ns: int
    peak: float
    right: bool


class ThresholdsAnswer(msgspec.Struct, frozen=True):
    """The answer."""

    label: str
    a_day: float
    hours: float
    enough: bool
    met: bool
    now: dict[str, object]
    proposed: dict[str, object]
    a_day_now: float
    a_day_proposed: float
    low: float
    high: float
    since_ns: int
    until_ns: int
    before: list[WouldBeEntry]
    after: list[WouldBeEntry]
    lost: list[WouldBeEntry]
    gained: list[WouldBeEntry]


class Thresholds:
    """folder: of the store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def answer(self, query: Query) -> Reply:
        """JSON. Raises `ServeError`, `NotKeptError`, `StoreError`, and sqlite3's own errors."""
        wish = asked(query.fields, ThresholdsQuery)
        until_ns = time.time_ns()
        since_ns = until_ns - SPAN_NS
        try:
            trial = try_label(self._folder, wish.label, a_day=wish.a_day, since_ns=since_ns, until_ns=until_ns)
        except SlowTrialError as fault:
            raise ServeError(str(fault)) from None
        if trial is None:
            raise NotKeptError(
                f"no scores of {wish.label} were logged in the last 24 hours, and thresholds are found in them; write "
                "enabled = true under [scores] in the configuration, and come back when it has happened again"
            )
        p = trial.proposal
        found = ThresholdsAnswer(
            label=wish.label,
            a_day=wish.a_day,
            hours=round(p.hours, 3),
            enough=not too_little(p.hours, wish.a_day / 24),
            met=p.met,
            now=table_of(p.before),
            proposed=table_of(p.after),
            a_day_now=round(24 * p.rate_before, 3),
            a_day_proposed=round(24 * p.rate, 3),
            low=round(24 * p.low, 3),
            high=round(24 * p.high, 3),
            since_ns=since_ns,
            until_ns=until_ns,
            before=list(map(_entry, trial.before[-MAX_EVENTS:])),
            after=list(map(_entry, trial.after[-MAX_EVENTS:])),
            lost=list(map(_entry, trial.lost[-MAX_EVENTS:])),
            gained=list(map(_entry, trial.gained[-MAX_EVENTS:])),
        )
        return Reply(msgspec.json.encode(found))


def _entry(event: WouldBe) -> WouldBeEntry:
    return WouldBeEntry(
        event.stream, event.pack, event.onset_ns, event.offset_ns, round(event.peak, DECIMALS), event.right
    )
