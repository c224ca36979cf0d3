"""Frames are exact integers; wall time follows the device slowly and is never led by late arrivals."""

from collections.abc import Iterator

import numpy as np
import pytest

from streamclf.clock import NS_PER_SECOND, StreamClock, frames_of_ms, hop_of
from streamclf.errors import RateError

RATE = 48_000
HOP = 960
MS = 1_000_000
START_NS = 1_800_000_000 * NS_PER_SECOND


def arrivals(seconds: float, *, ppm: float = 0.0, late_ms: float = 0.0, seed: int = 1) -> Iterator[tuple[int, int]]:
    """(samples so far, wall time of arrival) of 20 ms blocks of a device `ppm` too fast, each up to late_ms late."""
    blocks = int(seconds * 50)
    late = np.random.default_rng(seed).uniform(0, late_ms, blocks)
    arrived = START_NS + (np.arange(1, blocks + 1) * (20 * MS) / (1 + ppm * 1e-6) + late * MS).astype(np.int64)
    yield from zip(range(HOP, (blocks + 1) * HOP, HOP), arrived.tolist(), strict=True)


def started() -> StreamClock:
    clock = StreamClock(RATE)
    clock.start(first_sample=0, wall_ns=START_NS)
    return clock


@pytest.mark.parametrize(("rate", "hop"), [(8000, 160), (16000, 320), (22050, 441), (44100, 882), (48000, 960)])
def test_hop_is_exact(rate: int, hop: int) -> None:
    assert hop_of(rate) == hop


@pytest.mark.parametrize("rate", [11025, 44101, 49, 0, -16000])
def test_a_rate_without_a_whole_frame_is_refused(rate: int) -> None:
    with pytest.raises(RateError, match=f"a rate of {rate} Hz has no whole number of samples in 20 ms; use"):
        hop_of(rate)


@pytest.mark.parametrize(("ms", "frames"), [(0, 0), (1, 1), (20, 1), (20.001, 2), (100, 5), (101, 6)])
def test_frames_of_ms_rounds_up(ms: float, frames: int) -> None:
    assert frames_of_ms(ms) == frames


def test_frames_and_samples_agree_and_do_not_wear_out() -> None:
    clock = StreamClock(22_050)
    clock.start(first_sample=0, wall_ns=START_NS)
    year = 365 * 24 * 3600 * 50
    assert clock.ns_of_frame(year) == START_NS + year * 20 * MS
    assert clock.ns_of_sample(year * 441) == clock.ns_of_frame(year)


def test_a_stream_may_start_at_any_sample() -> None:
    clock = StreamClock(RATE)
    clock.start(first_sample=5 * RATE, wall_ns=START_NS)
    assert clock.ns_of_sample(5 * RATE) == START_NS
    assert clock.ns_of_sample(0) == START_NS - 5 * NS_PER_SECOND


@pytest.mark.parametrize("ppm", [0.0, 30.0, -30.0, 150.0, -150.0])
def test_slow_drift_is_followed_in_small_steps(ppm: float) -> None:
    clock = started()
    for samples, wall_ns in arrivals(3600, ppm=ppm, late_ms=15):
        before = clock.epoch_ns
        clock.observe(samples=samples, wall_ns=wall_ns)
        if wall_ns - START_NS > 2 * NS_PER_SECOND:
            assert abs(clock.epoch_ns - before) <= 2 * MS
    true_ns = samples * NS_PER_SECOND // RATE / (1 + ppm * 1e-6)
    assert abs(clock.ns_of_sample(samples) - (START_NS + true_ns)) < 4 * MS
    assert clock.drift_ns == pytest.approx(-3600 * ppm * 1000, abs=6 * MS)


def test_at_most_one_small_step_in_ten_seconds() -> None:
    clock = started()
    moves = [
        wall_ns
        for samples, wall_ns in arrivals(300, ppm=-150, late_ms=15)
        if clock.observe(samples=samples, wall_ns=wall_ns) and wall_ns - START_NS > 2 * NS_PER_SECOND
    ]
    assert len(moves) == 29
    assert min(np.diff(moves)) >= 10 * NS_PER_SECOND


def test_late_bursts_never_move_time() -> None:
    clock = started()
    for i, (samples, wall_ns) in enumerate(arrivals(120)):
        late = 1500 * MS if i % 100 < 75 else 0  # three blocks in four come 1.5 s late, then the line catches up
        assert clock.observe(samples=samples, wall_ns=wall_ns + late) == 0
    assert clock.epoch_ns == START_NS


def test_a_first_block_that_came_late_is_corrected_within_two_seconds() -> None:
    clock = StreamClock(RATE)
    clock.start(first_sample=0, wall_ns=START_NS + 300 * MS)
    for samples, wall_ns in arrivals(2):
        clock.observe(samples=samples, wall_ns=wall_ns)
    assert clock.epoch_ns == START_NS
    assert clock.drift_ns == 0


def test_a_clock_set_back_is_followed_at_once() -> None:
    clock = started()
    steps = [
        clock.observe(samples=samples, wall_ns=wall_ns - (3600 * NS_PER_SECOND if samples > 60 * RATE else 0))
        for samples, wall_ns in arrivals(120)
    ]
    assert [step for step in steps if step] == [-3600 * NS_PER_SECOND]


def test_a_suspended_machine_is_followed_at_once() -> None:
    clock = started()
    steps = [
        clock.observe(samples=samples, wall_ns=wall_ns + (3600 * NS_PER_SECOND if samples > 60 * RATE else 0))
        for samples, wall_ns in arrivals(120)
    ]
    assert [step for step in steps if step] == [3600 * NS_PER_SECOND]


def test_a_second_that_was_lost_without_a_word_is_followed_after_a_span() -> None:
    clock = started()
    for samples, wall_ns in arrivals(60):
        lost = NS_PER_SECOND if samples > 25 * RATE else 0
        clock.observe(samples=samples, wall_ns=wall_ns + lost)
    assert clock.epoch_ns == START_NS + NS_PER_SECOND


def test_a_long_stall_that_catches_up_leaves_no_error() -> None:
    clock = started()
    for samples, wall_ns in arrivals(120):
        stalled_until = START_NS + 35 * NS_PER_SECOND
        stalled = START_NS + 30 * NS_PER_SECOND < wall_ns < stalled_until
        clock.observe(samples=samples, wall_ns=stalled_until if stalled else wall_ns)
    assert clock.epoch_ns == START_NS
