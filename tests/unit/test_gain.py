"""Gain normalisation: lifts quiet streams, leaves loud ones, the same whatever the blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.audio.gain import MAX_GAIN, TARGET_RMS, GainNormaliser, make_gain, read_gain
from streamclf.errors import UsageError
from tests.support.laws import tries

HOP = 320


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


def noise(level: float, frames: int) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal(frames * HOP) * level).astype(np.float32)


def test_a_quiet_stream_comes_to_the_target_within_frames() -> None:
    out = GainNormaliser(HOP).apply(noise(0.002, 50))
    assert 0.7 * TARGET_RMS < rms(out[10 * HOP :]) < 1.3 * TARGET_RMS


def test_a_loud_stream_is_left_as_it_is() -> None:
    loud = noise(0.1, 50)
    np.testing.assert_array_equal(GainNormaliser(HOP).apply(loud), loud)


def test_the_noise_of_an_empty_room_stays_below_the_target() -> None:
    out = GainNormaliser(HOP).apply(noise(1e-4, 100))
    assert rms(out) <= 1.05e-4 * MAX_GAIN


def test_digital_silence_stays_silence() -> None:
    assert not GainNormaliser(HOP).apply(np.zeros(50 * HOP, dtype=np.float32)).any()


def test_a_loud_onset_after_quiet_is_brought_down_within_two_frames() -> None:
    gain = GainNormaliser(HOP)
    gain.apply(noise(0.001, 100))
    out = gain.apply(noise(0.2, 10))
    assert rms(out[3 * HOP :]) < 0.25


def test_restart_forgets_the_level() -> None:
    gain = GainNormaliser(HOP)
    first = gain.apply(noise(0.01, 20))
    gain.restart()
    np.testing.assert_array_equal(gain.apply(noise(0.01, 20)), first)


@settings(max_examples=tries(50), deadline=None)
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=20), st.integers(1, 30 * HOP))
def test_blocks_change_nothing(sizes: list[int], length: int) -> None:
    audio = noise(0.005, 31)[:length]
    whole = GainNormaliser(HOP).apply(audio)
    gain, parts, at, index = GainNormaliser(HOP), [], 0, 0
    while at < length:
        size = sizes[index % len(sizes)]
        parts.append(gain.apply(audio[at : at + size]))
        at += size
        index += 1
    np.testing.assert_allclose(np.concatenate(parts), whole, atol=1e-6)


@pytest.mark.parametrize(("text", "factor"), [("+20dB", 10), ("20 db", 10), ("-6.02dB", 0.5), ("off", 1), ("0dB", 1)])
def test_a_gain_in_decibels_is_a_factor(text: str, factor: float) -> None:
    gain = make_gain(read_gain(text), HOP)
    sound = noise(0.002, 2)
    np.testing.assert_allclose(sound if gain is None else gain.apply(sound), sound * factor, rtol=1e-3)


@pytest.mark.parametrize("text", ["20", "loud", "+80dB", "", "nandB"])
def test_any_other_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"such as \+20dB"):
        read_gain(text)
