"""Where and when a recording was made, as an option or the name of a file says it."""

import re
from datetime import date
from pathlib import Path

import click

from streamclf.errors import UsageError

# 2026-05-01, 20260501_040000, 20260501T040000Z, 20260501040000
_DAY = re.compile(r"(?<!\d)((?:19|20)\d\d)(-?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])(?=\D|$|\d{4}(?:\d\d)?(?!\d))")


def as_place(context: click.Context, option: click.Parameter, text: str | None) -> tuple[float, float] | None:
    """Of click: "52.52,13.40" as degrees north and east."""
    if text is None:
        return None
    try:
        latitude, longitude = map(float, text.split(","))
    except ValueError:
        latitude = longitude = float("nan")
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise UsageError(f"--place {text[:60]!r} is no place; give degrees north and east such as 52.52,13.40")
    return latitude, longitude


def as_day(context: click.Context, option: click.Parameter, text: str | None) -> date | None:
    """Of click: "2026-05-01"."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--date {text[:60]!r} is no day; give it as 2026-05-01") from None


def day_of(path: str) -> date:
    """The day that a recording's name has. Raises `UsageError` where it has none."""
    for found in _DAY.finditer(Path(path).name):
        try:
            return date(int(found[1]), int(found[3]), int(found[4]))
        except ValueError:
            continue
    raise UsageError(f"{path} does not say in its name when it was recorded (as 20260501_040000.wav does); add --date")
