"""Where the sun stands. Low-precision formulas of J. Meeus, Astronomical Algorithms (chapters 12, 13 and 25).

NOAA's solar calculator rests on the same ones; against almanacs they are right to a fraction of a minute between the
polar circles. Thirty lines of astronomy that never change are less to look after than a library.
"""

from enum import StrEnum
from math import asin, atan2, cos, degrees, radians, sin

from streamclf.clock import NS_PER_SECOND

_J2000_NS = 946_728_000 * NS_PER_SECOND  # 2000-01-01T12:00Z
_NS_PER_DAY = 86_400 * NS_PER_SECOND

# geometric elevation of the sun's centre in degrees; rise and set are told for the upper edge, lifted by refraction
RISE_DEG = -0.833
CIVIL_TWILIGHT_DEG = -6.0


class Sun(StrEnum):
    """Part of the day by the sun's elevation: dawn and dusk are civil twilight, day begins at sunrise."""

    DAWN = "dawn"
    DAY = "day"
    DUSK = "dusk"
    NIGHT = "night"


def sun_at(at_ns: int, *, latitude: float, longitude: float) -> Sun:
    """The part of the day at a time (ns since 1970) and place (degrees, north and east positive)."""
    elevation, rising = position(at_ns, latitude=latitude, longitude=longitude)
    if elevation >= RISE_DEG:
        return Sun.DAY
    if elevation < CIVIL_TWILIGHT_DEG:
        return Sun.NIGHT
    return Sun.DAWN if rising else Sun.DUSK


def position(at_ns: int, *, latitude: float, longitude: float) -> tuple[float, bool]:
    """Geometric elevation of the sun's centre in degrees, and whether it is before noon (on its way up)."""
    days = (at_ns - _J2000_NS) / _NS_PER_DAY
    centuries = days / 36525
    mean_longitude = 280.46646 + 36000.76983 * centuries
    anomaly = radians(357.52911 + 35999.05029 * centuries)
    centre = (
        (1.914602 - 0.004817 * centuries) * sin(anomaly)
        + (0.019993 - 0.000101 * centuries) * sin(2 * anomaly)
        + 0.000289 * sin(3 * anomaly)
    )
    node = radians(125.04 - 1934.136 * centuries)
    apparent = radians(mean_longitude + centre - 0.00569 - 0.00478 * sin(node))
    obliquity = radians(23.439291 - 0.0130042 * centuries + 0.00256 * cos(node))
    declination = asin(sin(obliquity) * sin(apparent))
    right_ascension = degrees(atan2(cos(obliquity) * sin(apparent), cos(apparent)))
    sidereal = 280.46061837 + 360.98564736629 * days
    hour_angle = (sidereal + longitude - right_ascension + 180) % 360 - 180
    phi = radians(latitude)
    height = sin(phi) * sin(declination) + cos(phi) * cos(declination) * cos(radians(hour_angle))
    return degrees(asin(max(-1.0, min(1.0, height)))), hour_angle < 0
