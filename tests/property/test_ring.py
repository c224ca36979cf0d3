"""The ring against a plain list of all samples: whatever is written and lost, every held sample is the list's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.audio.ring import Hole, Ring
from streamclf.errors import Overrun
from tests.support.laws import tries

STEPS = st.lists(st.tuples(st.sampled_from(["write", "skip"]), st.integers(0, 50)), max_size=30)


def run(ring: Ring, steps: list[tuple[str, int]]) -> tuple[list[float], list[Hole]]:
    """Do the steps on the ring and on the model."""
    model: list[float] = []
    holes: list[Hole] = []
    for step, count in steps:
        first = len(model)
        if step == "write":
            samples = [float(first + i + 1) for i in range(count)]
            ring.write(np.array(samples, dtype=np.float32))
            model += samples
        else:
            ring.skip(count, step)
            model += [0.0] * count
            holes += [Hole(first, first + count, step)] if count else []
    return model, holes


@given(capacity=st.integers(1, 40), steps=STEPS)
def test_holds_exactly_the_newest_samples(capacity: int, steps: list[tuple[str, int]]) -> None:
    ring = Ring(capacity)
    model, holes = run(ring, steps)
    assert ring.written == len(model)
    assert ring.first_valid == max(0, len(model) - capacity)
    assert list(ring.holes) == holes
    assert ring.lost == sum(hole.end - hole.first for hole in holes)
    np.testing.assert_array_equal(ring.view(ring.first_valid, ring.written), model[ring.first_valid :])


@given(capacity=st.integers(1, 40), steps=STEPS, data=st.data())
def test_any_range_is_whole_or_refused(capacity: int, steps: list[tuple[str, int]], data: st.DataObject) -> None:
    ring = Ring(capacity)
    model, _ = run(ring, steps)
    start = data.draw(st.integers(-5, len(model) + 5))
    stop = data.draw(st.integers(start - 2, len(model) + 5))
    if not 0 <= start <= stop <= len(model):
        with pytest.raises(ValueError, match="not a range"):
            ring.view(start, stop)
    elif start < len(model) - capacity:
        with pytest.raises(Overrun) as caught:
            ring.view(start, stop)
        assert caught.value.first_valid == len(model) - capacity
    else:
        np.testing.assert_array_equal(ring.view(start, stop), model[start:stop])


@given(capacity=st.integers(1, 40), total=st.integers(0, 200), cuts=st.lists(st.integers(0, 200), max_size=10))
def test_the_split_into_blocks_does_not_matter(capacity: int, total: int, cuts: list[int]) -> None:
    samples = np.arange(total, dtype=np.float32)
    whole, split = Ring(capacity), Ring(capacity)
    whole.write(samples)
    for block in np.split(samples, sorted(min(cut, total) for cut in cuts)):
        split.write(block)
    assert split.written == whole.written == total
    first = whole.first_valid
    np.testing.assert_array_equal(split.view(first, total), whole.view(first, total))


@given(capacity=st.integers(2, 40), before=st.integers(0, 100), during=st.integers(0, 100), data=st.data())
@settings(max_examples=tries(200))
def test_a_view_says_whether_it_survived_the_writer(
    capacity: int, before: int, during: int, data: st.DataObject
) -> None:
    ring = Ring(capacity)
    ring.write(np.arange(before, dtype=np.float32))
    start = data.draw(st.integers(ring.first_valid, before))
    view = ring.view(start, before)
    expected = view.copy()
    ring.write(np.arange(before, before + during, dtype=np.float32))
    assert ring.holds(start) == (start >= before + during - capacity)
    if ring.holds(start):
        np.testing.assert_array_equal(view, expected)
