"""Bounds of the back-off, whatever it is asked."""

from hypothesis import given
from hypothesis import strategies as st

from streamclf.retry import Backoff

firsts = st.floats(1e-6, 1e3)
spreads = st.floats(0, 0.99)
chances = st.floats(0, 1, exclude_max=True)
failures = st.integers(0, 10**9)


@given(firsts, st.floats(1, 1e6), spreads, failures, chances)
def test_every_delay_is_within_its_bounds(
    first_s: float, times: float, spread: float, failed: int, chance: float
) -> None:
    backoff = Backoff(first_s, first_s * times, spread)
    delay_s = backoff.delay_s(failed, chance=chance)
    assert first_s * (1 - spread) < delay_s * (1 + 1e-12)
    assert delay_s <= backoff.most_s


@given(firsts, st.floats(1, 1e6), failures)
def test_without_a_spread_delays_never_become_shorter(first_s: float, times: float, failed: int) -> None:
    backoff = Backoff(first_s, first_s * times)
    assert backoff.delay_s(failed) <= backoff.delay_s(failed + 1)


@given(firsts, st.floats(1, 1e6))
def test_the_longest_delay_is_reached(first_s: float, times: float) -> None:
    backoff = Backoff(first_s, first_s * times)
    assert backoff.delay_s(64) == backoff.most_s
