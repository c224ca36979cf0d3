"""Times as people write them, for commands, files of rules and of the configuration, and queries of addresses.

    span_ns      how long: `90 s`, `1h30m`, `10 min`, `2 days`
    moment_ns    when: `2026-05-01T06:30`, `6:30` (today), `yesterday`, `yesterday 18:00`, `monday`, `now`, `90m` (ago)
    minutes_of   a time of day: `4:00`, `04:00`, `4.00`, `4h30`, `6 pm`, `18 h`, `noon`
    plain_keys   keys that name a unit (`cooldown_s`), as people write them: `cooldown = "10 min"`

Each raises ValueError for what is none of it. Nothing here reads a clock: the time that it is now comes in.
"""

import re
from collections.abc import Container, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any

from streamclf.clock import NS_PER_SECOND

MINUTES_PER_DAY = 24 * 60
MOMENTS = "2026-05-01T06:30, 6:30 (today), yesterday, yesterday 18:00, monday, now, or 90m, 1h30m, 7d (ago)"
"""What may be written for a moment, for messages and help."""

_SECONDS = {
    "ms": 0.001, "milliseconds": 0.001, "millisecond": 0.001,
    "s": 1, "sec": 1, "secs": 1, "second": 1, "seconds": 1,
    "m": 60, "min": 60, "mins": 60, "minute": 60, "minutes": 60,
    "h": 3600, "hr": 3600, "hrs": 3600, "hour": 3600, "hours": 3600,
    "d": 86_400, "day": 86_400, "days": 86_400,
    "w": 604_800, "week": 604_800, "weeks": 604_800,
}  # fmt: skip
_PART = re.compile(r"\s*(\d{1,12}(?:\.\d{1,9})?)\s*([a-z]+)\s*(?:,|and\b)?")
_CLOCK = re.compile(r"(\d{1,2})(?:[:.h](\d\d))?(?::(\d\d)(\.\d{1,9})?)?\s*(am|pm|h|uhr)?")
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UNIT_OF_KEY = {"ms": 1_000_000, "s": NS_PER_SECOND, "min": 60 * NS_PER_SECOND, "days": 86_400 * NS_PER_SECOND}


def span_ns(text: str) -> int:
    """How long, in ns. A number needs its unit."""
    rest, total = text.strip().lower(), 0.0
    if not rest:
        raise ValueError("nothing is no length of time")
    while rest:
        part = _PART.match(rest)
        if part is None or part[2] not in _SECONDS:
            raise ValueError(f"{text!r} is not a length of time; write 90 s, 10 min, 1h30m or 7 days")
        total += float(part[1]) * _SECONDS[part[2]]
        rest = rest[part.end() :].lstrip()
    return round(total * NS_PER_SECOND)


def minutes_of(text: str) -> int:
    """Minutes since midnight of a time of day; 24:00 is the end of the day."""
    seconds = _seconds_of(text)
    if seconds % 60:
        raise ValueError(f"{text!r} has seconds; write hours and minutes, such as 04:00")
    return int(seconds // 60)


def moment_ns(text: str, now_ns: int) -> int:
    """ns since 1970 of a moment, or of how long ago it was. A time without a zone is the machine's own."""
    words = " ".join(text.strip().lower().split())
    try:
        return now_ns - span_ns(words.removeprefix("last ").removesuffix(" ago"))
    except ValueError:
        pass
    if words == "now":
        return now_ns
    today = datetime.fromtimestamp(now_ns // NS_PER_SECOND).date()
    day, _, clock = words.partition(" ")
    if (named := _day(day, today)) is not None:
        return _ns(datetime.combine(named, time()) + _into(clock.removeprefix("at ") or "0:00"))
    try:
        return _ns(datetime.combine(today, time()) + _into(words))
    except ValueError:
        return _ns(datetime.fromisoformat(text.strip()))


def plain_keys(given: Mapping[str, Any], names: Container[str]) -> Iterator[tuple[str, str, Any]]:
    """(key as given, key that it means, value) of each key in a table of keys `names`.

    A key that ends in a unit may stand without it, and its value may be a length of time in words. What means no key,
    or one that is there as well, and text that is not a length of time, comes out as it is.
    """
    for key, value in given.items():
        meant = [f"{key}_{unit}" for unit in _UNIT_OF_KEY if f"{key}_{unit}" in names]
        name = meant[0] if key not in names and len(meant) == 1 and meant[0] not in given else key
        yield key, name, in_unit_of(name, value)


def in_unit_of(key: str, value: object) -> object:
    """`value` in the unit that `key` ends in, where it is a length of time in words; else as it is."""
    unit = _UNIT_OF_KEY.get(key.rpartition("_")[2]) if "_" in key else None
    if unit is None or not isinstance(value, str):
        return value
    try:
        span = span_ns(value)
    except ValueError:
        return value
    return span // unit if span % unit == 0 else span / unit


def _seconds_of(text: str) -> float:
    words = text.strip().lower()
    if words in ("noon", "midnight"):
        return 43_200.0 if words == "noon" else 0.0
    found = _CLOCK.fullmatch(words)
    if found is None or (found[2] is None and found[5] is None):
        raise ValueError(f"{text!r} is not a time of day; write 04:00 or 4:00")
    hour, minute, second = int(found[1]), int(found[2] or 0), int(found[3] or 0) + float(found[4] or 0)
    if found[5] in ("am", "pm"):
        if not 1 <= hour <= 12:
            raise ValueError(f"{text!r} is past the end of an hour or of the day")
        hour = hour % 12 + 12 * (found[5] == "pm")
    seconds = hour * 3600 + minute * 60 + second
    if minute > 59 or second >= 60 or seconds > MINUTES_PER_DAY * 60:
        raise ValueError(f"{text!r} is past the end of an hour or of the day")
    return seconds


def _into(clock: str) -> timedelta:
    seconds = _seconds_of(clock)
    if seconds >= MINUTES_PER_DAY * 60:
        raise ValueError(f"{clock!r} is past the end of the day")
    return timedelta(microseconds=round(seconds * 1e6))


def _day(word: str, today: date) -> date | None:
    """The day that `word` names: a weekday is the last one of that name, today included."""
    if word in ("today", "yesterday"):
        return today - timedelta(days=word == "yesterday")
    if word in _DAYS:
        return today - timedelta(days=(today.weekday() - _DAYS.index(word)) % 7)
    return None


def _ns(moment: datetime) -> int:
    return round(moment.replace(microsecond=0).timestamp()) * NS_PER_SECOND + moment.microsecond * 1000
