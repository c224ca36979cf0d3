"""Levels and spectrum columns of whole frames, whatever the blocks, wherever they begin."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.audio.ring import Ring
from streamclf.engine.engine import Engine
from streamclf.engine.scope import Scope, draw_columns
from streamclf.engine.stream import Stream
from streamclf.features.mel import htk_mel
from streamclf.features.spectrum import BANDS, LOW_HZ, Spectrogram, decibels
from streamclf.types import F32, Gap, Levels, Output, Picture, Sound
from tests.support.laws import tries

RATE, HOP = 8000, 160


def noise(count: int) -> F32:
    return np.random.default_rng(0).normal(0, 0.3, count).astype(np.float32)


def levels_of(seen: list[Output]) -> list[Levels]:
    return [output for output in seen if isinstance(output, Levels)]


@given(st.lists(st.integers(0, 400), min_size=1, max_size=12))
@settings(max_examples=tries(50), deadline=None)
def test_blocks_of_any_size_give_what_the_whole_gives(sizes: list[int]) -> None:
    samples = noise(sum(sizes))
    scope = Scope("mic", RATE, levels=False)
    scope.draw(True, sample=0)
    seen: list[Output] = []
    for block in np.split(samples, np.cumsum(sizes)[:-1]):
        assert not scope.push(block)
        seen += draw_columns([scope]) if scope.due else []
    assert not scope.due
    seen += draw_columns([scope]) if scope.undrawn else []
    whole = samples[: len(samples) // HOP * HOP].reshape(-1, HOP)

    assert all(isinstance(part, Picture) for part in seen)
    pictures = [part for part in seen if isinstance(part, Picture)]
    assert [p.levels.first_frame for p in pictures] == np.cumsum([0] + [len(p.columns) for p in pictures])[:-1].tolist()
    if not len(whole):
        assert not pictures
        return
    rms = np.concatenate([p.levels.rms for p in pictures])
    assert rms == pytest.approx(np.sqrt((whole.astype(np.float64) ** 2).mean(axis=1)), rel=1e-5)
    assert np.array_equal(np.concatenate([p.levels.peak for p in pictures]), np.abs(whole).max(axis=1))
    assert np.array_equal(np.concatenate([p.columns for p in pictures]), Spectrogram(RATE).push(whole))


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
@pytest.mark.parametrize("hz", [440.0, 3000.0])
def test_a_sine_of_full_scale_stands_at_its_band_near_0_db(rate: int, hz: float) -> None:
    samples = np.sin(2 * np.pi * hz * np.arange(rate) / rate).astype(np.float32)
    spectrogram = Spectrogram(rate)
    columns = decibels(spectrogram.push(samples.reshape(50, -1)))[5:]
    low, high, at = htk_mel(np.array([LOW_HZ, spectrogram.high_hz, hz]))
    band = (at - low) / (high - low) * (BANDS + 1) - 1

    assert abs(columns.mean(axis=0).argmax() - band) <= 1
    assert -6 < columns.max(axis=1).mean() < 3
    assert decibels(Spectrogram(rate).push(np.zeros((1, rate // 50), dtype=np.float32))).max() == -127.5


def test_the_engine_gives_levels_from_the_frame_behind_a_hole_on() -> None:
    ring = Ring(RATE)
    engine = Engine([])
    engine.add(Stream("mic", rate=RATE, ring=ring, levels=True))
    ring.write(np.full(HOP * 2 + 40, 0.5, dtype=np.float32))
    before = engine.drain()
    ring.skip(100, "xrun")
    ring.write(np.full(HOP * 3, -0.25, dtype=np.float32))
    after = engine.drain()

    assert [type(output) for output in before] == [Levels]
    assert [type(output) for output in after] == [Gap, Levels]
    assert [(level.first_frame, len(level.rms)) for level in levels_of([*before, *after])] == [(0, 2), (3, 2)]
    assert levels_of(after)[0].rms == pytest.approx([0.25, 0.25])
    assert levels_of(after)[0].peak == pytest.approx([0.25, 0.25])


def test_a_picture_begins_with_the_next_whole_frame_and_ceases_when_nobody_looks() -> None:
    ring = Ring(RATE)
    engine = Engine([])
    engine.add(Stream("mic", rate=RATE, ring=ring))
    samples = noise(HOP * 9)
    ring.write(samples[: HOP + 7])
    assert engine.drain() == []
    engine.draw(True)
    ring.write(samples[HOP + 7 : HOP * 4])
    assert engine.drain() == [], "columns are made five at a time"
    engine.draw(False)
    ring.write(samples[HOP * 4 :])
    drawn = engine.drain()

    assert [type(output) for output in drawn] == [Picture]
    assert isinstance(drawn[0], Picture)
    assert drawn[0].levels.first_frame == 2
    expected = Spectrogram(RATE).push(samples[HOP * 2 : HOP * 4].reshape(2, HOP))
    assert np.array_equal(drawn[0].columns, expected)
    assert engine.drain() == []


def test_sound_is_whole_frames_as_captured_and_only_while_somebody_listens() -> None:
    ring = Ring(RATE)
    engine = Engine([])
    engine.add(Stream("mic", rate=RATE, ring=ring, gain="normalise"))
    heard = np.random.default_rng(1).integers(-32768, 32768, HOP * 12).astype(np.int16)
    samples = heard.astype(np.float32) / np.float32(32768)
    ring.write(samples[: HOP + 7])
    assert engine.drain() == []
    engine.tap("mic", True)
    ring.write(samples[HOP + 7 : HOP * 4 + 30])
    first = engine.drain()
    ring.skip(HOP, "xrun")
    ring.write(samples[HOP * 5 + 30 : HOP * 9])
    second = engine.drain()
    engine.tap("mic", False)
    ring.write(samples[HOP * 9 :])

    assert [type(output) for output in [*first, *second]] == [Sound, Gap, Sound]
    sounds = [output for output in [*first, *second] if isinstance(output, Sound)]
    assert [(sound.first_frame, len(sound.samples)) for sound in sounds] == [(2, 2), (6, 3)]
    for sound in sounds:
        expected = heard[sound.first_frame * HOP :][: sound.samples.size]
        assert np.array_equal(sound.samples.ravel(), expected)
    assert engine.drain() == []


def test_sound_beyond_full_scale_stays_at_it() -> None:
    scope = Scope("mic", RATE, levels=False)
    scope.tap(True, sample=0)
    block = np.zeros(HOP, dtype=np.float32)
    block[:3] = 1.0, -1.5, 2.0

    (sound,) = scope.push(block)

    assert isinstance(sound, Sound)
    assert sound.samples[0, :4].tolist() == [32767, -32768, 32767, 0]
