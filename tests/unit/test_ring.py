"""The ring's promises one by one; its laws over any sequence are in tests/property/test_ring.py."""

import numpy as np
import pytest

from streamclf.audio.ring import MAX_HOLES, Hole, Ring
from streamclf.errors import Overrun
from streamclf.types import F32


def ramp(first: int, count: int) -> F32:
    return np.arange(first, first + count, dtype=np.float32)


class WatchedRing(Ring):
    """Notes what a reader would see while samples are being stored."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.seen: list[tuple[int, int]] = []

    def _store(self, start: int, samples: F32) -> None:
        self.seen.append((self.written, self.first_valid))
        super()._store(start, samples)


def test_views_are_contiguous_across_the_seam() -> None:
    ring = Ring(10)
    ring.write(ramp(0, 7))
    ring.write(ramp(7, 7))
    view = ring.view(4, 14)
    assert view.flags.c_contiguous
    assert np.shares_memory(view, ring.view(5, 6))
    np.testing.assert_array_equal(view, ramp(4, 10))


def test_a_lapped_reader_gets_overrun_with_the_oldest_index() -> None:
    ring = Ring(10)
    ring.write(ramp(0, 25))
    with pytest.raises(Overrun, match="sample 14 was overwritten; the oldest one held is 15") as caught:
        ring.view(14, 20)
    assert caught.value.first_valid == 15
    np.testing.assert_array_equal(ring.view(15, 25), ramp(15, 10))


@pytest.mark.parametrize(("start", "stop"), [(3, 6), (4, 3), (-1, 2), (6, 6)])
def test_ranges_that_were_never_written_are_refused(start: int, stop: int) -> None:
    ring = Ring(10)
    ring.write(ramp(0, 5))
    with pytest.raises(ValueError, match="not a range of the 5 written so far"):
        ring.view(start, stop)


def test_an_empty_range_at_the_end_is_fine() -> None:
    ring = Ring(10)
    ring.write(ramp(0, 5))
    assert len(ring.view(5, 5)) == 0


def test_while_storing_the_reader_neither_sees_new_samples_nor_trusts_old_ones() -> None:
    ring = WatchedRing(10)
    ring.write(ramp(0, 10))
    ring.seen.clear()
    ring.write(ramp(10, 4))
    assert ring.seen == [(10, 4)]
    ring.seen.clear()
    ring.write(ramp(14, 30))
    assert ring.seen == [(14, 34)]


@pytest.mark.parametrize("count", [3, 10, 25])
def test_while_skipping_the_reader_neither_sees_old_samples_as_lost_ones_nor_trusts_them(count: int) -> None:
    ring = WatchedRing(10)
    ring.write(ramp(1, 10))
    ring.seen.clear()
    ring.skip(count, "xrun")
    assert set(ring.seen) == {(10, count)}
    assert ring.written == 10 + count
    assert not ring.view(max(10, count), 10 + count).any()


def test_a_hole_longer_than_the_silence_it_is_copied_from() -> None:
    ring = Ring(10_000)
    ring.write(np.ones(10_000, dtype=np.float32))
    ring.skip(9_999, "lost")
    assert ring.view(9_999, 19_999)[0] == 1.0
    assert not ring.view(10_000, 19_999).any()


def test_lost_samples_have_indexes_a_reason_and_a_count() -> None:
    ring = Ring(10)
    ring.write(ramp(0, 4))
    ring.skip(3, "xrun")
    ring.write(ramp(7, 1))
    ring.skip(0, "nothing")
    ring.skip(-5, "nothing")
    assert list(ring.holes) == [Hole(4, 7, "xrun")]
    assert (ring.written, ring.lost) == (8, 3)
    np.testing.assert_array_equal(ring.view(0, 8), [0, 1, 2, 3, 0, 0, 0, 7])


def test_the_list_of_holes_is_bounded_and_the_count_is_not() -> None:
    ring = Ring(4)
    for _ in range(MAX_HOLES + 10):
        ring.skip(2, "xrun")
    assert len(ring.holes) == MAX_HOLES
    assert ring.holes[0].first == 20
    assert ring.lost == 2 * (MAX_HOLES + 10)


def test_indexes_pass_32_bits() -> None:
    ring = Ring(8)
    ring.skip(2**40, "lost")
    ring.write(ramp(1, 3))
    np.testing.assert_array_equal(ring.view(2**40 - 1, 2**40 + 3), [0, 1, 2, 3])


def test_a_strided_channel_is_copied() -> None:
    ring = Ring(8)
    block = np.column_stack([ramp(0, 4), ramp(10, 4)])
    ring.write(block[:, 1])
    block[:] = -1
    np.testing.assert_array_equal(ring.view(0, 4), ramp(10, 4))


def test_no_capacity_is_refused() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Ring(0)
