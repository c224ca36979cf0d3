"""The sun against published times, to two minutes."""

from datetime import UTC, datetime, timedelta

import pytest

from streamclf.alerts.rules.sun import CIVIL_TWILIGHT_DEG, RISE_DEG, Sun, position, sun_at
from streamclf.clock import NS_PER_SECOND

# W 121 55, N 37 24: table "Rise and Set for the Sun for 2008", U.S. Naval Observatory, 8 h west of Greenwich
# London 2015-12-01 and 2019-08-29: timeanddate.com
# the others: almanac ephemeris (VSOP87, by PyEphem 4.2), upper limb with 34' refraction, civil twilight at -6 degrees
SANTA_CLARA = (37.4, -121.9167)
LONDON = (51.4733, -0.0008)
SYDNEY = (-33.87, 151.21)
TROMSO = (69.65, 18.96)
NAIROBI = (-1.29, 36.82)


@pytest.mark.parametrize(
    ("place", "published", "degrees", "rising"),
    [
        (SANTA_CLARA, "2008-01-01T07:22-08:00", RISE_DEG, True),
        (SANTA_CLARA, "2008-01-01T17:00-08:00", RISE_DEG, False),
        (SANTA_CLARA, "2008-03-01T06:38-08:00", RISE_DEG, True),
        (SANTA_CLARA, "2008-06-01T04:48-08:00", RISE_DEG, True),
        (SANTA_CLARA, "2008-06-01T19:23-08:00", RISE_DEG, False),
        (SANTA_CLARA, "2008-09-01T18:36-08:00", RISE_DEG, False),
        (SANTA_CLARA, "2008-12-01T16:50-08:00", RISE_DEG, False),
        (LONDON, "2015-12-01T07:04+00:00", CIVIL_TWILIGHT_DEG, True),
        (LONDON, "2015-12-01T15:55+00:00", RISE_DEG, False),
        (LONDON, "2019-08-29T04:32+00:00", CIVIL_TWILIGHT_DEG, True),
        (LONDON, "2019-08-29T05:08+00:00", RISE_DEG, True),
        (SYDNEY, "2024-06-20T20:32+00:00", CIVIL_TWILIGHT_DEG, True),
        (SYDNEY, "2024-06-20T21:00+00:00", RISE_DEG, True),
        (SYDNEY, "2024-06-21T06:54+00:00", RISE_DEG, False),
        (SYDNEY, "2024-06-21T07:22+00:00", CIVIL_TWILIGHT_DEG, False),
        (TROMSO, "2024-11-15T06:54+00:00", CIVIL_TWILIGHT_DEG, True),
        (TROMSO, "2024-11-15T08:28+00:00", RISE_DEG, True),
        (TROMSO, "2024-11-15T12:28+00:00", RISE_DEG, False),
        (NAIROBI, "2025-03-20T03:37+00:00", RISE_DEG, True),
        (NAIROBI, "2025-03-20T16:04+00:00", CIVIL_TWILIGHT_DEG, False),
    ],
)
def test_dawn_sunrise_sunset_and_dusk_are_where_almanacs_have_them(
    place: tuple[float, float], published: str, degrees: float, rising: bool
) -> None:
    moment = datetime.fromisoformat(published)
    before, after = (height(place, moment + timedelta(minutes=minutes)) for minutes in (-2, 2))
    assert (before < degrees < after) if rising else (before > degrees > after)


def height(place: tuple[float, float], moment: datetime) -> float:
    return position(ns(moment), latitude=place[0], longitude=place[1])[0]


def ns(moment: datetime) -> int:
    return int(moment.timestamp()) * NS_PER_SECOND


@pytest.mark.parametrize(
    ("clock", "sun"),
    [("03:00", Sun.NIGHT), ("04:50", Sun.DAWN), ("12:00", Sun.DAY), ("19:10", Sun.DUSK), ("23:00", Sun.NIGHT)],
)
def test_a_day_has_its_parts_in_order(clock: str, sun: Sun) -> None:
    moment = datetime.fromisoformat(f"2019-08-29T{clock}+00:00")
    assert sun_at(ns(moment), latitude=LONDON[0], longitude=LONDON[1]) is sun


def test_beyond_the_polar_circle_there_may_be_no_day_or_no_night() -> None:
    latitude, longitude = TROMSO
    for month, never in ((6, {Sun.NIGHT, Sun.DAWN, Sun.DUSK}), (12, {Sun.DAY})):
        start = datetime(2024, month, 21, tzinfo=UTC)
        parts = {sun_at(ns(start + timedelta(hours=h)), latitude=latitude, longitude=longitude) for h in range(24)}
        assert not parts & never
    assert parts == {Sun.NIGHT, Sun.DAWN, Sun.DUSK}
