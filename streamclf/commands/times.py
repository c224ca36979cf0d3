"""Times as people write them: a moment, or how long ago."""

import re
from datetime import UTC, datetime

from streamclf.clock import NS_PER_SECOND
from streamclf.errors import UsageError

_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def parse_time(text: str, *, option: str, now_ns: int) -> int:
    """ns since 1970 of `2026-05-01`, `2026-05-01T06:30`, `06:30` (today) or `90m`, `24h`, `7d` (ago).

    A time without a zone is the machine's own. Raises UsageError that names `option`.
    """
    if ago := _AGO.fullmatch(text):
        return now_ns - round(float(ago[1]) * _SECONDS[ago[2]] * NS_PER_SECOND)
    today = datetime.fromtimestamp(now_ns // NS_PER_SECOND).date().isoformat()
    try:
        moment = datetime.fromisoformat(f"{today}T{text}" if re.match(r"\d\d:", text) else text)
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is not a time; write 2026-05-01T06:30, 06:30 (today), or 90m, 24h, 7d (ago)"
        ) from None
    return round(moment.replace(microsecond=0).timestamp()) * NS_PER_SECOND + moment.microsecond * 1000


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
