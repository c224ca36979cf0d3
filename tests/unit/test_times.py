"""Times as people write them."""

from datetime import datetime

import pytest

from streamclf.commands.times import iso_time, local_time, parse_time
from streamclf.errors import UsageError

SECOND = 1_000_000_000
NOON = round(datetime(2026, 5, 1, 12, 0).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-04-30", datetime(2026, 4, 30)),
        ("2026-04-30T06:30", datetime(2026, 4, 30, 6, 30)),
        ("2026-04-30 06:30:15.5", datetime(2026, 4, 30, 6, 30, 15, 500_000)),
        ("06:30", datetime(2026, 5, 1, 6, 30)),
        ("90s", datetime(2026, 5, 1, 11, 58, 30)),
        ("1.5h", datetime(2026, 5, 1, 10, 30)),
        ("7d", datetime(2026, 4, 24, 12, 0)),
    ],
)
def test_moments_and_how_long_ago(text: str, moment: datetime) -> None:
    assert parse_time(text, option="--since", now_ns=NOON) == round(moment.timestamp() * SECOND)


def test_a_zone_is_believed() -> None:
    assert parse_time("1970-01-01T01:00+01:00", option="--since", now_ns=NOON) == 0


@pytest.mark.parametrize("text", ["soon", "", "24", "25:00", "2026-13-01", "-1h", "1w"])
def test_what_is_no_time_is_refused_by_the_options_name(text: str) -> None:
    with pytest.raises(UsageError, match=f"--until '{text}' is not a time"):
        parse_time(text, option="--until", now_ns=NOON)


def test_times_are_written_so_that_they_read_back() -> None:
    assert parse_time(iso_time(NOON + SECOND // 8), option="--since", now_ns=0) == NOON + SECOND // 8
    assert local_time(NOON + SECOND // 4) == "2026-05-01 12:00:00.25"
