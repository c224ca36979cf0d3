"""A constant offset is removed before anything is judged; sound without one passes to the bit, whatever the blocks."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.audio.mix import ChannelWatch
from streamclf.audio.offset import OffsetRemover
from streamclf.audio.ring import Ring
from streamclf.engine.engine import Engine
from streamclf.engine.stream import Stream
from streamclf.types import F32, Levels
from tests.support.laws import tries

RATE = 16_000
HOP = RATE // 50
DEMO = Path(__file__).parents[2] / "streamclf/audio/demo/birds_10s.flac"


def noise(level: float, frames: int, *, seed: int = 0) -> F32:
    return (np.random.default_rng(seed).standard_normal(frames * HOP) * level).astype(np.float32)


def wave(hz: float, level: float, frames: int) -> F32:
    return (level * np.sin(2 * np.pi * hz * np.arange(frames * HOP) / RATE)).astype(np.float32)


@pytest.mark.parametrize("offset", [0.002, -0.02, 0.3])
def test_an_offset_under_quiet_sound_is_gone_from_the_first_sample_on(offset: float) -> None:
    sound = noise(1e-4, 100)
    remover = OffsetRemover(HOP)
    out = remover.apply(sound + np.float32(offset))
    assert np.abs(out - sound).max() < 1e-4
    assert remover.offset == pytest.approx(offset, abs=1e-4)


def test_under_loud_sound_it_takes_a_second() -> None:
    sound = noise(0.1, 150) + wave(120, 0.2, 150)
    out = OffsetRemover(HOP).apply(sound + np.float32(0.05))
    assert abs(float((out - sound)[60 * HOP :].mean())) < 2e-3


def test_one_that_comes_and_goes_is_followed() -> None:
    sound = noise(1e-3, 300)
    under = np.zeros_like(sound)
    under[100 * HOP : 200 * HOP] = 0.1
    remover = OffsetRemover(HOP)
    out = remover.apply(sound + under)
    assert np.abs(out - sound)[152 * HOP : 200 * HOP].max() < 5e-3
    assert np.array_equal(out[252 * HOP :], sound[252 * HOP :]), "and then nothing is removed any more"


@pytest.mark.parametrize(
    "sound",
    [
        noise(0.1, 100),
        noise(1e-4, 100),
        wave(50, 0.5, 100),
        wave(25, 0.5, 100),
        wave(3, 0.3, 150) + noise(0.01, 150),
        np.zeros(100 * HOP, dtype=np.float32),
        noise(0.01, 100) + np.float32(5e-4),
    ],
    ids=["loud", "quiet", "mains", "25 Hz", "wind", "silence", "an offset that harms nothing"],
)
def test_sound_without_one_passes_to_the_bit(sound: F32) -> None:
    assert np.array_equal(OffsetRemover(HOP).apply(sound), sound)


def test_the_demo_passes_to_the_bit() -> None:
    sound, rate = soundfile.read(DEMO, dtype="float32")
    assert np.array_equal(OffsetRemover(rate // 50).apply(sound), sound)


def test_one_value_is_silence_after_a_second() -> None:
    out = OffsetRemover(HOP).apply(np.full(100 * HOP, 0.2, dtype=np.float32))
    assert np.all(out[: 50 * HOP] == np.float32(0.2)), "until then it may be anything"
    assert np.abs(out[51 * HOP :]).max() < 1e-6


def test_values_that_are_no_numbers_do_no_harm_to_those_after_them() -> None:
    sound = noise(1e-3, 200) + np.float32(0.02)
    sound[50 * HOP : 51 * HOP] = np.nan
    sound[60 * HOP] = 3e38
    out = OffsetRemover(HOP).apply(sound)
    assert np.abs(out[150 * HOP :].mean()) < 1e-3


@settings(max_examples=tries(50), deadline=None)
@given(
    st.lists(st.integers(1, 1000), min_size=1, max_size=20),
    st.integers(1, 70 * HOP),
    st.sampled_from([0.0, 0.005, -0.3]),
    st.sampled_from([1e-3, 0.1]),
)
def test_blocks_change_nothing(sizes: list[int], length: int, offset: float, level: float) -> None:
    sound = (noise(level, 70) + np.float32(offset))[:length]
    remover = OffsetRemover(HOP)
    whole = np.concatenate([remover.apply(sound), remover.rest()])
    remover, parts, at, index = OffsetRemover(HOP), [], 0, 0
    while at < length:
        size = sizes[index % len(sizes)]
        parts.append(remover.apply(sound[at : at + size]))
        at += size
        index += 1
    assert np.array_equal(np.concatenate([*parts, remover.rest()]), whole)
    assert len(whole) == length


def test_a_stream_removes_it_before_level_and_gain_and_its_ring_keeps_it() -> None:
    ring = Ring(4 * RATE)
    engine = Engine([])
    engine.add(Stream("mic", rate=RATE, ring=ring, gain="normalise", levels=True))
    ring.write(noise(1e-3, 100) + np.float32(0.05))
    levels = [output for output in engine.drain() if isinstance(output, Levels)]
    assert levels[0].rms.max() < 2e-3
    assert ring.view(0, RATE).mean() == pytest.approx(0.05, abs=1e-3), "its fitness is judged by what came"
    assert engine.streams["mic"].offset == pytest.approx(0.05, abs=1e-3)


def test_sound_that_ends_within_its_first_frame_is_heard_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring(RATE)
    engine = Engine([])
    stream = Stream("mic", rate=RATE, ring=ring)
    engine.add(stream)
    heard: list[F32] = []
    monkeypatch.setattr(stream, "_hear", heard.append)
    ring.write(noise(0.1, 1)[: HOP // 2])
    engine.drain()
    assert not sum(map(len, heard))
    engine.finish("mic")
    assert np.array_equal(np.concatenate(heard), noise(0.1, 1)[: HOP // 2])


def test_channels_that_cancel_do_so_over_an_offset_too() -> None:
    sound = noise(0.1, 400)
    watch = ChannelWatch(2)
    both = np.stack([sound, -sound], axis=1) + np.float32(0.02)
    assert "cancel each other" in watch.note(both, RATE)
    watch = ChannelWatch(2)
    assert "channel 2 is silent" in watch.note(np.stack([sound, np.full_like(sound, 0.02)], axis=1), RATE)
