"""The site of a rules file: its time zone and, for the sun, its coordinates. Ranges of the local clock."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from typing import Self

from streamclf.alerts.rules.sun import Sun, sun_at
from streamclf.clock import NS_PER_SECOND
from streamclf.times import MINUTES_PER_DAY, minutes_of

_OF_THE_SUN = frozenset(["dawn", "dusk", "night", "day", "sun", "sunrise", "sunset", "twilight", "daylight", "dark"])
_OF_THE_SUN_HINT = 'hours that go with the sun have a key of their own, such as sun = "night" or sun = ["dawn", "day"]'
_WORD = re.compile(r"[a-z]+")
_HOUR = re.compile(r"\d{1,2}")
_TO = re.compile(r"\s*(?:-|–|\bto\b)\s*")  # noqa: RUF001 - as people write it


Likely = Callable[[str, str, date], float | None]


class Period(StrEnum):
    """How long a digest gathers: to the full local hour, or to local midnight."""

    HOUR = "1h"
    DAY = "1d"


@dataclass(frozen=True, slots=True)
class Location:
    """Where the microphones are. Latitude and longitude in degrees, north and east positive; None where not given.

    likely: of a pack, a label and a day how likely the label is here, None where nobody knows.
    """

    timezone: tzinfo = UTC
    latitude: float | None = None
    longitude: float | None = None
    likely: Likely | None = field(default=None, compare=False)

    def local(self, at_ns: int) -> datetime:
        """The local date and time, whole microseconds."""
        seconds, ns = divmod(at_ns, NS_PER_SECOND)
        return datetime.fromtimestamp(seconds, self.timezone).replace(microsecond=ns // 1000)

    def day(self, at_ns: int) -> int:
        """The local date as a number that grows by one a day."""
        return self.local(at_ns).toordinal()

    def sun(self, at_ns: int) -> Sun:
        """The part of the day. A rules file that asks for it has coordinates, or it is refused."""
        assert self.latitude is not None
        assert self.longitude is not None
        return sun_at(at_ns, latitude=self.latitude, longitude=self.longitude)

    def period_end(self, at_ns: int, period: Period) -> int:
        """End (ns, exclusive) of the digest period that `at_ns` falls into."""
        local = self.local(at_ns)
        if period is Period.HOUR:
            into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
            # the hour is measured in real time: an hour that the clock repeats is two periods
            return at_ns // 1000 * 1000 + (timedelta(hours=1) - into) // timedelta(microseconds=1) * 1000
        midnight = datetime.combine(local.date() + timedelta(days=1), time(), self.timezone)
        return int(midnight.timestamp()) * NS_PER_SECOND


@dataclass(frozen=True, slots=True)
class TimeRange:
    """Local minutes of the day, from `first` up to and without `end`; over midnight where `end` is the smaller."""

    first: int
    end: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From "06:00-09:30", "6-9", or the same in other words of `streamclf.times`.

        Raises ValueError with a sentence.
        """
        ends = [f"{end}:00" if _HOUR.fullmatch(end) else end for end in _TO.split(text.strip())]
        try:
            first, end = map(minutes_of, ends)
        except ValueError:
            if any(word in _OF_THE_SUN for word in _WORD.findall(text.lower())):
                raise ValueError(f"{text!r} is not a time of day; {_OF_THE_SUN_HINT}") from None
            raise ValueError(f"{text!r} is not a time of day") from None
        if first >= MINUTES_PER_DAY:
            raise ValueError(f"{text!r} begins at the end of the day")
        if first == end:
            raise ValueError(f"{text!r} is empty")
        return cls(first, end)

    def holds(self, local: datetime) -> bool:
        """Whether the clock shows a time within the range; an hour that the clock repeats counts both times."""
        minute = local.hour * 60 + local.minute
        if self.first < self.end:
            return self.first <= minute < self.end
        return minute >= self.first or minute < self.end

    def __str__(self) -> str:
        return f"{self.first // 60:02}:{self.first % 60:02}-{self.end // 60:02}:{self.end % 60:02}"
