"""What a client pushes lands where its index says; twice-sent, left-out and mad blocks are handled and counted."""

import numpy as np
import pytest

from streamclf.audio.ring import Hole
from streamclf.audio.sources import base, open_source, parse_source
from streamclf.audio.sources.push import PushSource
from streamclf.clock import NS_PER_SECOND
from streamclf.errors import RateError, SourceError
from streamclf.types import F32
from tests.support.listening import Listening


def ramp(first: int, count: int) -> F32:
    return np.arange(first, first + count, dtype=np.float32)


@pytest.fixture
def listening() -> Listening:
    return Listening(open_source(parse_source("push:attic,16000")))


@pytest.fixture
def source(listening: Listening) -> PushSource:
    assert isinstance(listening.source, PushSource)
    listening.source.connect()
    return listening.source


def test_blocks_in_order_are_one_stream(listening: Listening, source: PushSource) -> None:
    source.feed(1000, ramp(0, 320))
    source.feed(1320, ramp(320, 100))
    source.feed(1420, ramp(0, 0))
    np.testing.assert_array_equal(listening.samples, ramp(0, 420))
    assert listening.clock.started
    assert listening.states == ["waiting", "live"]


def test_what_is_left_out_is_a_hole(listening: Listening, source: PushSource) -> None:
    source.feed(0, ramp(0, 100))
    source.feed(150, ramp(150, 10))
    assert list(listening.ring.holes) == [Hole(100, 150, "push-gap")]
    np.testing.assert_array_equal(listening.ring.view(150, 160), ramp(150, 10))


def test_what_comes_twice_is_dropped_and_counted(listening: Listening, source: PushSource) -> None:
    source.feed(0, ramp(0, 100))
    source.feed(0, ramp(0, 100))
    source.feed(90, ramp(90, 20))
    np.testing.assert_array_equal(listening.samples, ramp(0, 110))
    assert source.dropped == 110


def test_samples_that_are_not_finite_are_counted(listening: Listening, source: PushSource) -> None:
    source.feed(0, np.array([1, np.nan, 2], dtype=np.float32))
    np.testing.assert_array_equal(listening.samples, [1, 0, 2])
    assert source.bad_samples == 1


def test_a_client_that_comes_back_is_laid_where_time_says(
    listening: Listening, source: PushSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "steady_ns", lambda: NS_PER_SECOND)
    source.feed(7, ramp(0, 160))
    source.disconnect(left=True)
    monkeypatch.setattr(base, "steady_ns", lambda: 3 * NS_PER_SECOND)
    source.connect()
    source.feed(0, ramp(0, 160))
    source.feed(160, ramp(160, 160))
    assert list(listening.ring.holes) == [Hole(160, 32_000, "lost")]
    np.testing.assert_array_equal(listening.ring.view(32_000, 32_320), ramp(0, 320))
    assert listening.states == ["waiting", "live", "waiting", "live"]


def test_a_client_whose_connection_breaks_off_is_lost_until_one_comes(listening: Listening, source: PushSource) -> None:
    source.feed(7, ramp(0, 160))
    source.disconnect(left=False)
    assert listening.told[-1] == ("lost", "the connection of the client that pushed attic broke off")
    source.connect(again=True)
    assert listening.states == ["waiting", "live", "lost", "live"]


def test_a_client_that_comes_back_and_counts_on_leaves_a_hole_of_exactly_what_it_left_out(
    listening: Listening, source: PushSource
) -> None:
    source.feed(7, ramp(0, 160))
    source.disconnect(left=True)
    source.connect(again=True)
    source.feed(7 + 160 + 32_000, ramp(0, 160))
    assert list(listening.ring.holes) == [Hole(160, 32_160, "push-gap")]
    np.testing.assert_array_equal(listening.ring.view(32_160, 32_320), ramp(0, 160))


@pytest.mark.parametrize(
    ("first", "samples", "sentence"),
    [
        (2**50, np.zeros(10, dtype=np.float32), "is over a day ahead of the last"),
        (0, np.zeros(160_001, dtype=np.float32), "a block is at most 10 s of one channel"),
        (0, np.zeros((10, 2), dtype=np.float32), "a block is at most 10 s of one channel"),
    ],
)
def test_mad_blocks_are_refused_and_change_nothing(
    listening: Listening, source: PushSource, first: int, samples: F32, sentence: str
) -> None:
    source.feed(0, ramp(0, 10))
    with pytest.raises(SourceError, match=sentence):
        source.feed(first, samples)
    assert listening.ring.written == 10
    source.feed(10, ramp(10, 5))
    np.testing.assert_array_equal(listening.samples, ramp(0, 15))


def test_one_client_at_a_time(source: PushSource) -> None:
    with pytest.raises(SourceError, match="attic is being pushed by another client"):
        source.connect()
    source.disconnect(left=True)
    with pytest.raises(SourceError, match="no client is connected"):
        source.feed(0, ramp(0, 10))
    source.connect()


def test_after_the_stop_nothing_is_taken(listening: Listening, source: PushSource) -> None:
    source.stop()
    assert source.ended
    source.disconnect(left=True)
    with pytest.raises(SourceError, match="attic has stopped"):
        source.feed(0, ramp(0, 10))
    assert listening.ring.written == 0
    assert listening.states == ["waiting", "live"]


def test_rates() -> None:
    source = open_source(parse_source("push:attic"))
    source.open()
    assert source.rate == 48_000
    with pytest.raises(RateError):
        open_source(parse_source("push:attic,11025")).open()
