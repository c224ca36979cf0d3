"""What a rules file may say: its tables as structs, an example for every key, and the step from a table to a rule."""

from typing import Annotated

import msgspec
from msgspec import Meta

from streamclf.alerts.place import Period, TimeRange
from streamclf.alerts.rule import DIGEST_MESSAGE, MESSAGE, Per, Rule, RuleStage
from streamclf.alerts.sun import Sun
from streamclf.alerts.template import Template

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000

Name = Annotated[str, Meta(min_length=1)]
Names = Name | tuple[Name, ...]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]


class PlaceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[place]`."""

    timezone: str = ""
    latitude: Annotated[float, Meta(ge=-90.0, le=90.0)] | None = None
    longitude: Annotated[float, Meta(ge=-180.0, le=180.0)] | None = None


class RuleTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[[rule]]`. Where names are wanted, one may stand by itself."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    labels: Names
    streams: Names = ()
    stage: RuleStage = RuleStage.OPEN
    min_peak: Probability | None = None
    min_mean: Probability | None = None
    min_duration_ms: Annotated[int, Meta(ge=1, le=3_600_000)] | None = None
    level_dbfs: Annotated[float, Meta(ge=-120.0, le=0.0)] | None = None
    time: Names = ()
    sun: Names = ()
    unless: Names = ()
    count: Annotated[int, Meta(ge=2, le=1000)] | None = None
    within_min: Annotated[float, Meta(gt=0, le=10_080)] | None = None
    cooldown_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 0.0
    first: str | None = None
    days: Annotated[int, Meta(ge=1, le=3660)] | None = None
    per: Per = Per.LABEL
    merge_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    digest: Period | None = None
    clip_ms: Annotated[int, Meta(ge=100, le=120_000)] | None = None
    sinks: Names | None = None
    message: Annotated[str, Meta(min_length=1, max_length=500)] | None = None


EXAMPLES = {
    "timezone": '"Europe/Berlin"',
    "latitude": "52.52",
    "longitude": "13.40",
    "name": '"dawn-robin"',
    "labels": '["robin", "group:bird"]',
    "streams": '["garden"]',
    "stage": '"confirmed"',
    "min_peak": "0.6",
    "min_mean": "0.4",
    "min_duration_ms": "1500",
    "level_dbfs": "-45",
    "time": '"06:00-09:30"',
    "sun": '["dawn", "day"]',
    "unless": '["siren"]',
    "count": "3",
    "within_min": "10",
    "cooldown_s": "600",
    "first": '"day"',
    "days": "30",
    "per": '"label"',
    "merge_ms": "2000",
    "digest": '"1h"',
    "clip_ms": "8000",
    "sinks": '["phone"]',
    "message": '"{label} at {time:%H:%M}"',
}
CHOICES = {
    "stage": tuple(RuleStage),
    "sun": tuple(Sun),
    "per": tuple(Per),
    "digest": tuple(Period),
    "first": ("day",),
}


def listed(names: Names) -> tuple[str, ...]:
    """One name or several, as several."""
    return (names,) if isinstance(names, str) else names


def rule_of(table: RuleTable, *, sinks: tuple[str, ...]) -> Rule:
    """The rule of a table that was found good. sinks: of the file; a rule that names none goes to all of them."""
    first_days = table.days if table.first is None else 1
    message = DIGEST_MESSAGE if table.digest else MESSAGE
    return Rule(
        name=table.name,
        labels=listed(table.labels),
        streams=listed(table.streams),
        stage=table.stage,
        min_peak=table.min_peak,
        min_mean=table.min_mean,
        min_duration_ns=None if table.min_duration_ms is None else table.min_duration_ms * _NS_PER_MS,
        level_dbfs=table.level_dbfs,
        time=tuple(TimeRange.parse(text) for text in listed(table.time)),
        sun=tuple(Sun(text) for text in listed(table.sun)),
        unless=listed(table.unless),
        count=table.count,
        within_ns=round((table.within_min or 0) * 60 * _NS_PER_S),
        cooldown_ns=round(table.cooldown_s * _NS_PER_S),
        first_days=first_days,
        per=table.per,
        merge_ns=table.merge_ms * _NS_PER_MS,
        digest=table.digest,
        clip_ms=table.clip_ms,
        sinks=sinks if table.sinks is None else listed(table.sinks),
        message=message if table.message is None else Template.parse(table.message),
    )
