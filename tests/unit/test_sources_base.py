"""The shared way of samples into a ring: mixing, mending, clock, and the declaration of what was missed."""

import threading

import numpy as np
import pytest

from streamclf.audio.ring import Hole, Ring
from streamclf.audio.sources import base, open_source, parse_source
from streamclf.audio.sources.base import Intake, Mixer, Pace, check_channel
from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.audio.wake import Halt, Wake
from streamclf.clock import NS_PER_SECOND, StreamClock
from streamclf.errors import SourceError
from streamclf.types import F32

RATE = 16_000


def make_line() -> Intake:
    return Intake(Ring(RATE), StreamClock(RATE), Wake(), lambda state, detail: None)


def stereo(count: int) -> F32:
    return np.column_stack([np.arange(count), np.arange(count) * -3]).astype(np.float32)


def test_mixing_is_the_mean_or_one_channel() -> None:
    block = stereo(6)
    np.testing.assert_array_equal(Mixer(2, None, 6)(block), np.arange(6) * -1.0)
    np.testing.assert_array_equal(Mixer(2, 1, 6)(block), np.arange(6) * -3.0)
    np.testing.assert_array_equal(Mixer(1, None, 6)(block[:, :1]), np.arange(6))
    np.testing.assert_array_equal(Mixer(2, None, 2)(block), np.arange(6) * -1.0)


def test_the_mean_of_equal_channels_is_exact() -> None:
    mono = np.random.default_rng(0).standard_normal(960).astype(np.float32)
    np.testing.assert_array_equal(Mixer(2, None, 960)(np.column_stack([mono, mono])), mono)


def test_a_channel_that_is_not_there_is_refused() -> None:
    check_channel(parse_source("device#ch=2"), 2)
    with pytest.raises(SourceError, match="device has 2 channels, so ch=3 does not exist; the first one is ch=1"):
        check_channel(parse_source("device#ch=3"), 2)


def test_samples_that_are_not_finite_become_zero_and_are_counted() -> None:
    line = make_line()
    samples = np.array([0.5, np.nan, 3e38, np.inf, -np.inf, -3e38], dtype=np.float32)
    kept = samples.copy()
    line.write(samples, None)
    np.testing.assert_array_equal(samples, kept)
    np.testing.assert_array_equal(line.ring.view(0, 6), np.array([0.5, 0, 3e38, 0, 0, -3e38], dtype=np.float32))
    assert line.bad_samples == 3


def test_the_first_block_starts_the_clock_at_its_first_sample() -> None:
    line = make_line()
    line.write(np.zeros(320, dtype=np.float32), NS_PER_SECOND)
    assert line.clock.ns_of_sample(0) == NS_PER_SECOND - 20_000_000
    assert line.wake.wait(0)
    line.write(np.zeros(320, dtype=np.float32), NS_PER_SECOND + 15_000_000)
    assert line.clock.ns_of_sample(0) == NS_PER_SECOND - 25_000_000


def test_after_a_break_time_says_how_many_samples_were_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    line = make_line()
    block = np.ones(320, dtype=np.float32)
    monkeypatch.setattr(base, "steady_ns", lambda: 10 * NS_PER_SECOND)
    line.resume(320)
    assert line.ring.written == 0
    line.write(block, NS_PER_SECOND)
    monkeypatch.setattr(base, "steady_ns", lambda: 12 * NS_PER_SECOND)
    line.resume(320)
    line.write(block, 3 * NS_PER_SECOND)
    assert list(line.ring.holes) == [Hole(320, 32_000, "lost")]
    assert line.clock.ns_of_sample(32_000) == 3 * NS_PER_SECOND - 20_000_000


def test_a_break_shorter_than_a_block_is_still_declared(monkeypatch: pytest.MonkeyPatch) -> None:
    line = make_line()
    monkeypatch.setattr(base, "steady_ns", lambda: NS_PER_SECOND)
    line.write(np.ones(320, dtype=np.float32), NS_PER_SECOND)
    line.resume(320)
    assert list(line.ring.holes) == [Hole(320, 321, "lost")]


def test_pace_counts_from_its_start_and_never_adds_up_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]
    waits: list[float] = []

    class Stop(Halt):
        def wait(self, timeout_s: float) -> bool:
            waits.append(timeout_s)
            now[0] += int(timeout_s * NS_PER_SECOND) + 7_000_000  # every wait comes back 7 ms late
            return False

    monkeypatch.setattr("streamclf.audio.sources.base.time.monotonic_ns", lambda: now[0])
    pace = Pace(RATE, Stop())
    for block in range(1, 101):
        assert pace.wait(block * 320)
    assert now[0] == 2 * NS_PER_SECOND + 7_000_000
    now[0] += 5 * NS_PER_SECOND
    assert not pace.wait(102 * 320)
    assert waits[0] == pytest.approx(0.020)
    assert waits[1:] == pytest.approx([0.013] * 99)


def test_a_source_whose_thread_cannot_be_begun_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where memory or threads run out the daemon undoes what it has begun, and only then tells why."""

    def no_room(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    source = open_source(parse_source(f"file:{DEMO_FILE}"))
    source.open()
    monkeypatch.setattr(threading.Thread, "start", no_room)
    ring, clock = Ring(RATE), StreamClock(source.rate)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        source.start(ring, clock, Wake(), lambda state, detail: None)
    source.stop()
    assert source.ended
