"""The local clock of a site: ranges over midnight, days on which the clock is changed, periods of digests."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from streamclf.alerts.rules.place import Location, Period, TimeRange
from streamclf.clock import NS_PER_SECOND

BERLIN = Location(ZoneInfo("Europe/Berlin"))
HOUR_NS = 3600 * NS_PER_SECOND


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS_PER_SECOND


@pytest.mark.parametrize(
    ("text", "inside", "outside"),
    [
        ("06:00-09:30", ["06:00", "09:29"], ["05:59", "09:30", "00:00"]),
        ("22:00-04:00", ["22:00", "23:59", "00:00", "03:59"], ["21:59", "04:00", "12:00"]),
        ("18:00-24:00", ["18:00", "23:59"], ["00:00", "17:59"]),
        ("00:00-00:01", ["00:00"], ["00:01", "23:59"]),
    ],
)
def test_a_range_holds_its_first_minute_and_not_its_end(text: str, inside: list[str], outside: list[str]) -> None:
    held = TimeRange.parse(text)
    assert str(held) == text
    for clock in inside + outside:
        assert held.holds(datetime.fromisoformat(f"2025-05-01T{clock}")) is (clock in inside), clock


def test_the_range_is_of_the_local_clock_in_summer_and_in_winter() -> None:
    morning = TimeRange.parse("06:00-09:30")
    assert morning.holds(BERLIN.local(utc("2025-07-01T04:30")))
    assert not morning.holds(BERLIN.local(utc("2025-01-01T04:30")))
    assert morning.holds(BERLIN.local(utc("2025-01-01T05:30")))


def test_an_hour_that_the_clock_repeats_counts_twice_and_one_it_skips_never() -> None:
    third_hour = TimeRange.parse("02:00-03:00")
    autumn = [third_hour.holds(BERLIN.local(utc("2025-10-25T22:30") + hour * HOUR_NS)) for hour in range(6)]
    spring = [third_hour.holds(BERLIN.local(utc("2025-03-29T22:30") + hour * HOUR_NS)) for hour in range(6)]
    assert autumn == [False, False, True, True, False, False]
    assert not any(spring)


def test_the_day_changes_at_local_midnight() -> None:
    assert BERLIN.day(utc("2025-07-01T21:59:59")) + 1 == BERLIN.day(utc("2025-07-01T22:00"))


@pytest.mark.parametrize(
    ("at", "end"),
    [
        ("2025-07-01T10:00", "2025-07-01T22:00"),
        ("2025-07-01T22:00", "2025-07-02T22:00"),
        ("2025-03-29T23:30", "2025-03-30T22:00"),  # 23 hours long
        ("2025-10-25T22:30", "2025-10-26T23:00"),  # 25 hours long
    ],
)
def test_a_day_s_digest_ends_at_local_midnight(at: str, end: str) -> None:
    assert BERLIN.period_end(utc(at), Period.DAY) == utc(end)


@pytest.mark.parametrize(
    ("zone", "at", "end"),
    [
        ("Europe/Berlin", "2025-07-01T10:59:59", "2025-07-01T11:00"),
        ("Europe/Berlin", "2025-07-01T11:00", "2025-07-01T12:00"),
        ("Asia/Kolkata", "2025-07-01T10:29", "2025-07-01T10:30"),
        ("Europe/Berlin", "2025-10-26T00:30", "2025-10-26T01:00"),
        ("Europe/Berlin", "2025-10-26T01:30", "2025-10-26T02:00"),
        ("Europe/Berlin", "2025-03-30T00:30", "2025-03-30T01:00"),
    ],
)
def test_an_hour_s_digest_ends_when_the_local_hour_is_full(zone: str, at: str, end: str) -> None:
    assert Location(ZoneInfo(zone)).period_end(utc(at), Period.HOUR) == utc(end)


def test_fractions_of_a_second_do_not_shift_the_end() -> None:
    assert BERLIN.period_end(utc("2025-07-01T10:59:59") + 123_456_789, Period.HOUR) == utc("2025-07-01T11:00")
