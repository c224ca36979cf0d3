"""Levels of whole frames, whatever the blocks; and the engine gives them where they are wanted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.audio.ring import Ring
from streamclf.engine.engine import Engine
from streamclf.engine.level import LevelMeter
from streamclf.engine.stream import Stream
from streamclf.types import Gap, Levels

HOP = 160


@given(st.lists(st.integers(0, 400), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_blocks_of_any_size_give_the_levels_of_the_whole(sizes: list[int]) -> None:
    samples = np.random.default_rng(0).normal(0, 0.3, sum(sizes)).astype(np.float32)
    meter = LevelMeter(HOP)
    parts = [meter.push(block) for block in np.split(samples, np.cumsum(sizes)[:-1])]
    whole = samples[: len(samples) // HOP * HOP].reshape(-1, HOP).astype(np.float64)

    assert np.concatenate([rms for rms, _ in parts]) == pytest.approx(np.sqrt((whole**2).mean(axis=1)), rel=1e-5)
    assert np.array_equal(np.concatenate([peak for _, peak in parts]), np.abs(whole).max(axis=1).astype(np.float32))
    assert meter.frame == len(whole)


def test_the_engine_gives_levels_from_the_frame_behind_a_hole_on() -> None:
    ring = Ring(8000)
    engine = Engine([])
    engine.add(Stream("mic", rate=8000, ring=ring, levels=True))
    ring.write(np.full(HOP * 2 + 40, 0.5, dtype=np.float32))
    before = engine.drain()
    ring.skip(100, "xrun")
    ring.write(np.full(HOP * 3, -0.25, dtype=np.float32))
    after = engine.drain()

    assert [type(output) for output in before] == [Levels]
    levels = [output for output in after if isinstance(output, Levels)]
    assert [type(output) for output in after] == [Gap, Levels]
    assert (before[0].first_frame, len(before[0].rms)) == (0, 2)  # type: ignore[union-attr]
    assert levels[0].first_frame == 3
    assert levels[0].rms == pytest.approx([0.25, 0.25])
    assert levels[0].peak == pytest.approx([0.25, 0.25])


def test_without_the_wish_none_are_measured() -> None:
    ring = Ring(8000)
    engine = Engine([])
    engine.add(Stream("mic", rate=8000, ring=ring))
    ring.write(np.full(HOP * 2, 0.5, dtype=np.float32))

    assert engine.drain() == []
