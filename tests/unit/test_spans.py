"""Lengths of time in words."""

import pytest

from streamclf.alerts.rules.spans import exact_span, round_span
from streamclf.clock import NS_PER_SECOND


@pytest.mark.parametrize(
    ("seconds", "exact", "rounded"),
    [
        (0, "0 s", "0 s"),
        (0.25, "0.25 s", "1 s"),
        (1.5, "1.5 s", "2 s"),
        (36.9, "36.9 s", "37 s"),
        (60, "1 min", "60 s"),
        (90, "90 s", "90 s"),
        (601, "601 s", "11 min"),
        (5400, "90 min", "90 min"),
        (36_000, "10 h", "10 h"),
        (86_400, "1 d", "24 h"),
        (10 * 86_400, "10 d", "10 d"),
    ],
)
def test_exact_where_it_is_wanted_and_round_where_it_is_left(seconds: float, exact: str, rounded: str) -> None:
    ns = round(seconds * NS_PER_SECOND)
    assert (exact_span(ns), round_span(ns)) == (exact, rounded)
