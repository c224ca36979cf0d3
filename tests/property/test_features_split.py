"""Features do not depend on how the samples came, nor on when the stream began."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from streamclf.errors import Overrun
from streamclf.features.frontend import make_frontend, window_feature_frames
from streamclf.features.rows import Rows
from streamclf.model.pack import Fbank, Features, LogMel, Waveform
from streamclf.types import F32
from tests.support.laws import tries

RATE = 16_000
FEATURES: dict[str, Features] = {
    "log-mel": LogMel(
        frame_length=400,
        frame_shift=160,
        fft_size=512,
        bands=64,
        low_hz=125.0,
        high_hz=7500.0,
        mel_scale="htk",
        mel_slopes="mel",
        spectrum="magnitude",
        log_offset=1e-3,
    ),
    "log-mel-db": LogMel(
        frame_length=512,
        frame_shift=200,
        fft_size=1024,
        bands=40,
        low_hz=0.0,
        high_hz=8000.0,
        mel_scale="slaney",
        mel_norm="slaney",
        log="db",
        log_floor=1e-10,
    ),
    "fbank": Fbank(frame_length=400, frame_shift=160, bands=80, sample_scale=32768.0),
    "fbank-ast": Fbank(
        frame_length=400,
        frame_shift=160,
        bands=128,
        window="hanning",
        htk_compat=True,
        mean=-4.2677393,
        scale=9.1379948,
    ),
    "waveform": Waveform(),
}
# Values are logarithms: 1e-5 there is 1e-5 relative.
TOLERANCE = 1e-5


@st.composite
def signals(draw: st.DrawFn) -> F32:
    """Pieces of silence, of noise from full scale down to the last bit, of tones and of constants."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    pieces = []
    for kind, length in draw(
        st.lists(st.tuples(st.sampled_from("snqtc"), st.integers(1, 1500)), min_size=1, max_size=4)
    ):
        level = 10.0 ** rng.uniform(-8, 0)
        pieces.append(
            {
                "s": np.zeros(length),
                "n": rng.normal(0, 0.3, length),
                "q": rng.normal(0, level, length),
                "t": level * np.sin(np.arange(length) * rng.uniform(0, np.pi)),
                "c": np.full(length, level),
            }[kind]
        )
    return np.concatenate(pieces).astype(np.float32)


def whole(features: Features, signal: F32) -> F32:
    frontend = make_frontend(features, RATE, history=max(1, len(signal)))
    frontend.push(signal)
    out = np.empty((window_feature_frames(features, len(signal)), *frontend.dims), dtype=np.float32)
    frontend.window(0, len(signal), out)
    return out


@pytest.mark.parametrize("name", FEATURES)
@settings(max_examples=tries(60), deadline=None)
@given(signal=signals(), sizes=st.lists(st.sampled_from([0, 1, 7, 159, 160, 161, 320, 512, 2000]), max_size=12))
def test_any_split_into_blocks_gives_the_same_features(name: str, signal: F32, sizes: list[int]) -> None:
    features = FEATURES[name]
    frontend = make_frontend(features, RATE, history=len(signal))
    for block in np.split(signal, np.minimum(np.cumsum(sizes, dtype=int), len(signal))):
        frontend.push(block)
        assert frontend.available == window_feature_frames(features, frontend.samples)

    reference = whole(features, signal)
    got = np.empty_like(reference)
    frontend.window(0, len(signal), got)

    assert np.isfinite(got).all()
    np.testing.assert_allclose(got, reference, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("name", FEATURES)
@settings(max_examples=tries(40), deadline=None)
@given(signal=signals(), start=st.integers(0, 3000), epoch=st.sampled_from([0, 3, 2**40]))
def test_a_late_start_gives_the_frames_that_an_early_one_gives(name: str, signal: F32, start: int, epoch: int) -> None:
    features = FEATURES[name]
    start = min(start, len(signal))
    frontend = make_frontend(features, RATE, history=len(signal))
    shift = frontend.frame_shift
    frontend.restart(epoch * shift + start)
    frontend.push(signal[start:])

    first = -(-start // shift)
    reference = whole(features, signal)[first:]
    got = np.empty_like(reference)
    if len(reference):
        frontend.window((epoch + first) * shift, len(signal) - first * shift, got)

    assert frontend.available - frontend.first_valid == len(reference)
    np.testing.assert_allclose(got, reference, rtol=0, atol=TOLERANCE)


@given(
    capacity=st.integers(1, 12),
    start=st.integers(-20, 20),
    counts=st.lists(st.integers(0, 30), max_size=12),
    first=st.integers(-30, 150),
    count=st.integers(0, 14),
)
def test_rows_hold_the_newest_and_know_what_they_lost(
    capacity: int, start: int, counts: list[int], first: int, count: int
) -> None:
    rows = Rows(capacity, dims=(2,), shift=10)
    rows.restart(start)
    end = start
    for n in counts:
        rows.append(np.arange(end, end + n, dtype=np.float32)[:, None] * np.array([1, -1], dtype=np.float32))
        end += n
    oldest = max(start, end - capacity)

    assert (rows.first_valid, rows.available) == (oldest, end)
    if first + count > end:
        with pytest.raises(ValueError, match="not there yet"):
            rows.view(first, count)
    elif first < oldest:
        with pytest.raises(Overrun) as raised:
            rows.view(first, count)
        assert raised.value.first_valid == oldest * 10
    else:
        expected = np.arange(first, first + count)[:, None] * [1, -1]
        np.testing.assert_array_equal(rows.view(first, count), expected)
