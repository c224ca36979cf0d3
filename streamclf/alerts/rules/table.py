"""What a rules file may say: its tables as structs, an example for every key, and the step from a table to a rule."""

from typing import Annotated

import msgspec
from msgspec import Meta

from streamclf.alerts.rules.place import Period, TimeRange
from streamclf.alerts.rules.rule import DIGEST_MESSAGE, FIRSTS, MESSAGE, Per, Rule, RuleStage
from streamclf.alerts.rules.sun import Sun
from streamclf.alerts.rules.template import Template
from streamclf.times import span_ns

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000

Name = Annotated[str, Meta(min_length=1)]
Names = Name | tuple[Name, ...]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]


class PlaceTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[place]`."""

    timezone: str = ""
    """Name of the time zone of the microphones."""
    latitude: Annotated[float, Meta(ge=-90.0, le=90.0)] | None = None
    """Degrees north, for dawn and dusk."""
    longitude: Annotated[float, Meta(ge=-180.0, le=180.0)] | None = None
    """Degrees east, for dawn and dusk."""


class RuleTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """`[[rule]]`. Where names are wanted, one may stand by itself."""

    name: Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$")]
    """What the rule is called: letters, digits, `-` and `_`; each rule has its own."""
    labels: Names
    """Of which labels: ids, `group:NAME`, or `*` for all."""
    streams: Names = ()
    """On which streams; left out, on all."""
    stage: RuleStage = RuleStage.OPEN
    """When an event is judged: at its opening, as soon as it has shown all that is wanted, or at its end."""
    min_peak: Probability | None = None
    """Its largest probability reached so much."""
    min_mean: Probability | None = None
    """Its mean probability reached so much."""
    min_duration_ms: Annotated[int, Meta(ge=1, le=3_600_000)] | None = None
    """It lasted so many milliseconds; needs `stage` `confirmed` or `close`."""
    level_dbfs: Annotated[float, Meta(ge=-120.0, le=0.0)] | None = None
    """It was at least so loud, full scale being 0."""
    time: Names = ()
    """It began in one of these hours of the local clock; needs `timezone`."""
    sun: Names = ()
    """It began at `dawn`, `day`, `dusk` or `night` (civil twilight); needs `timezone` and `latitude`."""
    unless: Names = ()
    """None of these labels was on in the same stream."""
    count: Annotated[int, Meta(ge=2, le=1000)] | None = None
    """It is the one that makes so many within `within_min`; then counting begins anew."""
    within_min: Annotated[float, Meta(gt=0, le=10_080)] | None = None
    """Minutes in which `count` events have to come."""
    cooldown_s: Annotated[float, Meta(ge=0, le=31_536_000)] = 0.0
    """The last one told is so many seconds ago."""
    first: str | None = None
    """It is the first of the local `day`, or of the `season`: not heard in 90 local days."""
    max_likely: Probability | None = None
    """Its species is at most so likely at `[place]` in this week, by its pack (birdnet); needs `latitude`."""
    days: Annotated[int, Meta(ge=1, le=3660)] | None = None
    """It is the first in so many local days; in place of `first`."""
    per: Per = Per.LABEL
    """Whether cool-down, count and first hold for each label by itself or for the rule as a whole."""
    merge_ms: Annotated[int, Meta(ge=0, le=60_000)] = 0
    """The same label on several streams within so many milliseconds is one visit: one alert."""
    shared_s: Annotated[float, Meta(ge=0, le=86_400)] = 0.0
    """The same label at several sites of one `[nats]` within so many seconds is one visit: one of them tells."""
    digest: Period | None = None
    """Gathers to the full hour or to midnight in place of telling at once."""
    clip_ms: Annotated[int, Meta(ge=100, le=120_000)] | None = None
    """Longest clip, in milliseconds, of what this rule listens to."""
    sinks: Names | None = None
    """Names of the sinks that are told; left out, all of the file."""
    message: Annotated[str, Meta(min_length=1, max_length=500)] | None = None
    """Text of the alert, with fields such as `{label}`; left out, a plain sentence."""


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
    "max_likely": "0.1",
    "days": "30",
    "per": '"label"',
    "merge_ms": "2000",
    "shared_s": "60",
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
    "first": tuple(FIRSTS),
}


_WORDS = {
    "time": "between hours hour at when from until after before to start end quiet "
    "quiet_hours silent mute schedule times daytime",
    "labels": "class classes species sound sounds group groups kind of what animal bird birds heard",
    "streams": "source sources mic microphone microphones device devices where camera",
    "stage": "state phase event on",
    "min_peak": "threshold min minimum min_score score probability min_probability confidence min_confidence above "
    "over peak sensitivity enter certainty",
    "min_mean": "mean average",
    "min_duration_ms": "duration longer length lasts min_length at_least",
    "level_dbfs": "level volume loudness loud db dbfs min_level min_db louder",
    "unless": "exclude except without ignore not and_not but_not unless_labels",
    "count": "times_heard number min_count repeats events",
    "within_min": "window period",
    "cooldown_s": "every interval pause wait throttle debounce rate_limit min_interval repeat again hold_off limit",
    "first": "new once season unseen first_of first_in",
    "sun": "night dawn dusk sunrise sunset daylight twilight dark darkness sun_time",
    "max_likely": "rare rarity likely unusual likelihood",
    "digest": "summary report batch collect",
    "clip_ms": "clip audio recording attach",
    "message": "text template body title format",
    "sinks": "to send send_to notify_by action actions target targets then",
}  # fmt: skip
_MEANT = {word: key for key, words in _WORDS.items() for word in words.split()}


def key_meant(word: str) -> str:
    """The key of a rule that people mean by a word that none has; "" for any other one."""
    return _MEANT.get(word.lower().replace("-", "_"), "")


def period_in_words(value: object) -> object:
    """`digest` as a person may write it ("hour", "24 h"), as one of `Period`; else as it is."""
    if not isinstance(value, str):
        return value
    words = {"hour": "1h", "hourly": "1h", "day": "1d", "daily": "1d"}.get(value.strip().lower(), value)
    try:
        return {span_ns(period): period for period in Period}.get(span_ns(words), value)
    except ValueError:
        return value


def listed(names: Names) -> tuple[str, ...]:
    """One name or several, as several."""
    return (names,) if isinstance(names, str) else names


def rule_of(table: RuleTable, *, sinks: tuple[str, ...]) -> Rule:
    """The rule of a table that was found good. sinks: of the file; a rule that names none goes to all of them."""
    first_days = table.days if table.first is None else FIRSTS[table.first]
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
        max_likely=table.max_likely,
        per=table.per,
        merge_ns=table.merge_ms * _NS_PER_MS,
        shared_ns=round(table.shared_s * _NS_PER_S),
        digest=table.digest,
        clip_ms=table.clip_ms,
        sinks=sinks if table.sinks is None else listed(table.sinks),
        message=message if table.message is None else Template.parse(table.message),
    )
