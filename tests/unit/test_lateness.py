"""When the event loop counts as late: moments and delays are planted."""

import pytest

from streamclf.daemon.lateness import LATE_S, LOOK_S, MUCH_S, SPAN_S, Lateness


def told(lateness: Lateness, late_s: list[float]) -> list[bool]:
    """What is told after each look; each comes as much late as the loop is."""
    now_s, after = 0.0, []
    for one in late_s:
        now_s += LOOK_S + one
        lateness.look(now_s, one)
        after.append(lateness.late)
    return after


@pytest.mark.parametrize("hiccup_s", [0.0, LATE_S - 0.01, 0.6, MUCH_S - LOOK_S - 0.01])
def test_one_hiccup_is_none(hiccup_s: float) -> None:
    assert not any(told(Lateness(), [0.0, 0.0, hiccup_s, *[0.0] * 50]))


@pytest.mark.parametrize("late_s", [[0.3] * 12, [2.0], [0.6, 0.0, 0.6], [0.4, 0.1, 0.4, 0.1, 0.4]])
def test_late_for_a_second_of_three_is_late_until_three_seconds_are_well(late_s: list[float]) -> None:
    lateness = Lateness()
    after = told(lateness, [0.0, *late_s, *[0.0] * 60])
    assert not after[0]
    assert after[len(late_s)]
    well = after[len(late_s) + 1 :]
    assert well == sorted(well, reverse=True), "it goes once"
    assert well.count(True) == pytest.approx(SPAN_S / LOOK_S, abs=1)
    assert lateness.worst_s == 0.0


def test_always_a_little_late_is_not_late() -> None:
    lateness = Lateness()
    assert not any(told(lateness, [LATE_S - 0.05] * 100))
    assert lateness.worst_s == LATE_S - 0.05
