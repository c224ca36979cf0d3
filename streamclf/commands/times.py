"""Times of commands: a moment as it is given, and as it is shown."""

from datetime import UTC, datetime

from streamclf.clock import NS_PER_SECOND
from streamclf.errors import UsageError
from streamclf.times import MOMENTS, moment_ns


def parse_time(text: str, *, option: str, now_ns: int) -> int:
    """ns since 1970 of a moment (`streamclf.times`). Raises UsageError that names `option`."""
    try:
        return moment_ns(text, now_ns)
    except (ValueError, OverflowError):
        raise UsageError(f"{option} {text!r} is not a time; write {MOMENTS}") from None


def local_time(ns: int) -> str:
    """A moment in the machine's own zone, to the hundredth of a second."""
    return _written(datetime.fromtimestamp(ns // NS_PER_SECOND), ns)


def utc_time(ns: int) -> str:
    """A moment in UTC, to the hundredth of a second."""
    return _written(datetime.fromtimestamp(ns // NS_PER_SECOND, UTC), ns)


def _written(moment: datetime, ns: int) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S}.{ns % NS_PER_SECOND // 10_000_000:02d}"


def iso_time(ns: int) -> str:
    """A moment in ISO 8601 with the machine's offset from UTC, to the millisecond."""
    moment = datetime.fromtimestamp(ns / NS_PER_SECOND).astimezone()
    return moment.isoformat(timespec="milliseconds")


def span_text(seconds: float) -> str:
    """How long something is, in the unit that a person would take: `40 seconds`, `12 minutes`, `6.5 hours`."""
    for unit, length in (("hour", 3600), ("minute", 60)):
        if seconds >= 1.5 * length:
            digits = 1 if seconds < 10 * length else 0
            return f"{seconds / length:.{digits}f} {unit}s"
    return f"{seconds:.0f} seconds"
