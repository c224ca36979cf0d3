"""The resampler against soxr (the oracle), against itself in other chunks, and against the clock."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.audio.resample import Resampler
from streamclf.types import F32

soxr = pytest.importorskip("soxr", reason="soxr, the oracle, is not installed (extra dev)")

PAIRS = [
    (48_000, 16_000),
    (44_100, 16_000),
    (32_000, 16_000),
    (22_050, 16_000),
    (8_000, 16_000),
    (96_000, 16_000),
    (16_000, 32_000),
    (48_000, 44_100),
    (16_050, 16_000),
]


def resample(audio: F32, pair: tuple[int, int], sizes: list[int]) -> F32:
    resampler = Resampler(*pair)
    parts, at, index = [], 0, 0
    while at < len(audio):
        size = sizes[index % len(sizes)]
        parts.append(resampler.push(audio[at : at + size]))
        at += size
        index += 1
    return np.concatenate([*parts, resampler.push(audio[:0], last=True)])


def tone(rate: int, hz: float, seconds: float = 1.0) -> F32:
    time = np.arange(int(rate * seconds)) / rate
    return (np.sin(2 * np.pi * hz * time) * np.hanning(len(time))).astype(np.float32)


@pytest.mark.parametrize("pair", PAIRS)
def test_agrees_with_soxr_in_the_pass_band(pair: tuple[int, int]) -> None:
    edge = min(pair) * 0.45
    for share in (0.01, 0.1, 0.5, 0.9, 1.0):
        audio = tone(pair[0], edge * share)
        got = resample(audio, pair, [pair[0] // 50])
        assert len(got) == round(len(audio) * pair[1] / pair[0])
        expected = soxr.resample(audio, *pair, quality="VHQ")[: len(got)]
        assert np.abs(got[: len(expected)] - expected).max() < 1e-3
        time = np.arange(len(got)) / pair[1]
        envelope = np.interp(time, np.arange(len(audio)) / pair[0], np.hanning(len(audio)))
        true = np.sin(2 * np.pi * edge * share * time) * envelope
        assert np.abs(got - true).max() < 3e-5


@pytest.mark.parametrize("pair", [p for p in PAIRS if p[0] > 1.2 * p[1]])
def test_what_would_alias_into_the_pass_band_is_80_db_down(pair: tuple[int, int]) -> None:
    for hz in np.linspace(pair[1] * 0.535, pair[0] * 0.49, 7):
        assert np.abs(resample(tone(pair[0], float(hz)), pair, [4000])).max() < 1e-4


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PAIRS), st.lists(st.integers(1, 3000), min_size=1, max_size=9), st.integers(0, 9000))
def test_chunks_change_nothing(pair: tuple[int, int], sizes: list[int], n: int) -> None:
    audio = np.random.default_rng(n).standard_normal(n).astype(np.float32)
    whole = resample(audio, pair, [max(1, n)])
    parts = resample(audio, pair, sizes)
    assert len(parts) == len(whole) == round(n * pair[1] / pair[0])
    assert np.abs(parts - whole).max(initial=0.0) < 1e-6


@pytest.mark.parametrize("pair", PAIRS)
def test_a_click_keeps_its_place_in_time(pair: tuple[int, int]) -> None:
    audio = np.zeros(pair[0], dtype=np.float32)
    audio[pair[0] // 2] = 1.0
    at = int(np.abs(resample(audio, pair, [777])).argmax())
    assert abs(at / pair[1] - 0.5) <= 1 / min(pair)


@pytest.mark.parametrize("pair", PAIRS)
def test_holds_back_under_ten_milliseconds(pair: tuple[int, int]) -> None:
    resampler = Resampler(*pair)
    audio = tone(pair[0], 100.0)
    worst = 0.0
    for at in range(0, len(audio), pair[0] // 50):
        resampler.push(audio[at : at + pair[0] // 50])
        worst = max(worst, resampler.held_back / pair[1])
    assert 0 <= worst < 0.014
