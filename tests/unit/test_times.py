"""Times as people write them."""

from datetime import datetime

import pytest

from streamclf.commands.times import iso_time, local_time, parse_time
from streamclf.errors import UsageError
from streamclf.times import minutes_of, plain_keys

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
        ("1h30m", datetime(2026, 5, 1, 10, 30)),
        ("90 s", datetime(2026, 5, 1, 11, 58, 30)),
        ("2 days ago", datetime(2026, 4, 29, 12, 0)),
        ("now", datetime(2026, 5, 1, 12, 0)),
        ("Today", datetime(2026, 5, 1)),
        ("yesterday", datetime(2026, 4, 30)),
        ("yesterday 4:05", datetime(2026, 4, 30, 4, 5)),
        ("monday at 6 pm", datetime(2026, 4, 27, 18, 0)),
        ("4:00", datetime(2026, 5, 1, 4, 0)),
    ],
)
def test_moments_and_how_long_ago(text: str, moment: datetime) -> None:
    assert parse_time(text, option="--since", now_ns=NOON) == round(moment.timestamp() * SECOND)


@pytest.mark.parametrize(
    ("text", "minutes"),
    [
        ("4:00", 240),
        ("04:00", 240),
        ("24:00", 1440),
        ("12 am", 0),
        ("6:30 PM", 1110),
        ("noon", 720),
        ("6.30", 390),
        ("18h", 1080),
        ("6h05", 365),
    ],
)
def test_times_of_day(text: str, minutes: int) -> None:
    assert minutes_of(text) == minutes


@pytest.mark.parametrize("text", ["4", "13 pm", "24:01", "4:60", "4.60", "25h", "4:00:30"])
def test_what_is_no_time_of_day(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        minutes_of(text)


def test_a_key_without_its_unit_takes_a_length_of_time_in_words() -> None:
    names = ("cooldown_s", "within_min", "keep_days", "label")
    given = {"cooldown": "10 min", "within": "90 s", "keep": 30, "label": "1 h", "cooldown_s": 5}
    assert [(key, value) for _, key, value in plain_keys(given, names)] == [
        ("cooldown", "10 min"), ("within_min", 1.5), ("keep_days", 30), ("label", "1 h"), ("cooldown_s", 5),
    ]  # fmt: skip


def test_a_zone_is_believed() -> None:
    assert parse_time("1970-01-01T01:00+01:00", option="--since", now_ns=NOON) == 0


@pytest.mark.parametrize("text", ["soon", "", "24", "25:00", "2026-13-01", "-1h", "1 fortnight", "yesterday 25:00"])
def test_what_is_no_time_is_refused_by_the_options_name(text: str) -> None:
    with pytest.raises(UsageError, match=f"--until '{text}' is not a time"):
        parse_time(text, option="--until", now_ns=NOON)


def test_times_are_written_so_that_they_read_back() -> None:
    assert parse_time(iso_time(NOON + SECOND // 8), option="--since", now_ns=0) == NOON + SECOND // 8
    assert local_time(NOON + SECOND // 4) == "2026-05-01 12:00:00.25"
