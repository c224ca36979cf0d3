"""Axes of pictures: where the marks of local time stand and what they say."""

from datetime import datetime, timedelta, tzinfo
from typing import NamedTuple

from streamclf.clock import NS_PER_SECOND

_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 86_400, 7 * 86_400)


class Tick(NamedTuple):
    """A moment (ns since 1970) and its words."""

    ns: int
    text: str


def time_marks(first_ns: int, end_ns: int, *, zone: tzinfo, most: int) -> list[Tick]:
    """Round moments of local time in [first, end), at most about `most` of them."""
    seconds = (end_ns - first_ns) / NS_PER_SECOND
    step_s = next((step for step in _STEPS_S if seconds / step <= most), _STEPS_S[-1])
    marks = []
    # round in local time: midnight and full hours, not UTC's
    shift_ns = round(_offset(first_ns, zone).total_seconds()) * NS_PER_SECOND
    step_ns = step_s * NS_PER_SECOND
    for at_ns in range(-(-(first_ns + shift_ns) // step_ns) * step_ns - shift_ns, end_ns, step_ns):
        moment = datetime.fromtimestamp(at_ns // NS_PER_SECOND, zone)
        marks.append(Tick(at_ns, f"{moment:%H:%M:%S}" if step_s < 60 else f"{moment:%d %b %H:%M}"))
    return marks


def span_text(first_ns: int, end_ns: int, *, zone: tzinfo) -> str:
    """Such as `Fri 1 May 2026, 06:31:07.120 to 06:32:07.120 UTC+02:00`."""
    first, end = (datetime.fromtimestamp(ns // NS_PER_SECOND, zone) for ns in (first_ns, end_ns))
    hours, minutes = divmod(abs(round(_offset(first_ns, zone).total_seconds())) // 60, 60)
    sign = "-" if _offset(first_ns, zone) < timedelta(0) else "+"
    return (
        f"{first:%a} {first.day} {first:%b %Y, %H:%M:%S}.{_ms(first_ns)} to {end:%H:%M:%S}.{_ms(end_ns)} "
        f"UTC{sign}{hours:02}:{minutes:02}"
    )


def _ms(ns: int) -> str:
    return f"{ns % NS_PER_SECOND // 1_000_000:03}"


def _offset(ns: int, zone: tzinfo) -> timedelta:
    return datetime.fromtimestamp(ns // NS_PER_SECOND, zone).utcoffset() or timedelta(0)
