"""The back-off."""

import pytest

from streamclf.retry import Backoff


def test_delays_double_up_to_the_longest() -> None:
    assert [Backoff(0.5, 5).delay_s(failures) for failures in range(6)] == [0.5, 1, 2, 4, 5, 5]


def test_chance_takes_no_more_than_the_spread() -> None:
    backoff = Backoff(0.2, 10, spread=0.5)
    assert backoff.delay_s(3) == pytest.approx(1.6)
    assert backoff.delay_s(3, chance=0.5) == pytest.approx(1.2)
    assert 0.8 < backoff.delay_s(3, chance=0.999) < 0.81


@pytest.mark.parametrize(("first_s", "most_s", "spread"), [(0, 1, 0), (2, 1, 0), (1, 1, 1), (1, 1, -0.1)])
def test_what_is_no_back_off_is_refused(first_s: float, most_s: float, spread: float) -> None:
    with pytest.raises(ValueError, match="expected: 0 < first_s"):
        Backoff(first_s, most_s, spread)
