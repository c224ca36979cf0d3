"""Running statistics: what they are by definition, however the samples come, and what a pack may say of them."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from streamclf.errors import PackError
from streamclf.features.frontend import make_frontend
from streamclf.features.spec import Encoded
from streamclf.features.statistics import RunningStatistics
from streamclf.model.geometry import reach, receptive_field
from streamclf.model.loader import load_pack
from streamclf.types import F32, F64
from tools.lab.tinypack import encoded_pack

SHIFT, LENGTH, SPAN = 320, 400, 6
FEATURES = Encoded(
    frame_length=LENGTH,
    frame_shift=SHIFT,
    bands=3,
    input="frames",
    output="rows",
    statistics="statistics",
    taps=10,
    stride=5,
    span=SPAN,
    decay=0.8,
)


def sound(frames: int, *, offset: float = 0.0) -> F32:
    """Noise of a changing level and colour on an offset."""
    rng = np.random.default_rng(3)
    noise = rng.normal(size=(frames - 1) * SHIFT + LENGTH)
    level = np.exp(np.sin(np.arange(len(noise)) / 900.0) * 3.0)
    return (offset + 0.01 * level * (noise + np.roll(noise, 1))).astype(np.float32)


def frames_of(audio: F32) -> F32:
    return np.lib.stride_tricks.sliding_window_view(audio, LENGTH)[::SHIFT]


def defined(audio: F32, frame: int, *, taps: int, stride: int, span: int, decay: float) -> F64:
    """Weighted mean and covariance of the neighbouring samples in the last frames, taken from the whole signal."""
    oldest = max(0, frame - span + 1)
    heard = audio[oldest * SHIFT : frame * SHIFT + LENGTH].astype(np.float64)
    places = np.lib.stride_tricks.sliding_window_view(heard, taps)[::stride]
    age = np.maximum(0, frame - oldest - np.arange(len(places)) * stride // SHIFT)
    mean = np.average(places, axis=0, weights=decay**age)
    covariance = np.atleast_2d(np.cov(places, rowvar=False, ddof=0, aweights=decay**age))
    return np.concatenate([mean[None], covariance])


@pytest.mark.parametrize(("taps", "stride"), [(10, 5), (1, 1), (3, 4)])
@pytest.mark.parametrize("span", [1, 2, SPAN, 100])
@pytest.mark.parametrize(("offset", "decay"), [(0.0, 1.0), (-0.7, 0.9), (0.0, 0.5)])
def test_each_frame_gets_mean_and_covariance_over_the_last_ones(
    taps: int, stride: int, span: int, offset: float, decay: float
) -> None:
    audio = sound(20, offset=offset)
    statistics = RunningStatistics(taps=taps, stride=stride, span=span, decay=decay, frame_shift=SHIFT)
    given = statistics(frames_of(audio))
    assert given.shape == (20, 1 + taps, taps)
    for frame, values in enumerate(given):
        expected = defined(audio, frame, taps=taps, stride=stride, span=span, decay=decay)
        np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("sizes", [[1] * 20, [7, 13], [3, 1, 1, 15], [0, 20]])
def test_frames_may_come_one_by_one_or_many_at_once(sizes: list[int]) -> None:
    audio = sound(20)
    whole = RunningStatistics(taps=10, stride=5, span=SPAN, decay=0.8, frame_shift=SHIFT)(frames_of(audio))
    statistics = RunningStatistics(taps=10, stride=5, span=SPAN, decay=0.8, frame_shift=SHIFT)
    parts = [statistics(part) for part in np.split(frames_of(audio), np.cumsum(sizes)[:-1])]
    np.testing.assert_allclose(np.concatenate(parts), whole, rtol=1e-12, atol=1e-15)


def test_a_restart_forgets_and_what_is_no_number_is_forgotten_after_the_span() -> None:
    audio = sound(20)
    spoilt = audio.copy()
    spoilt[3 * SHIFT] = np.nan
    statistics = RunningStatistics(taps=10, stride=5, span=SPAN, decay=0.8, frame_shift=SHIFT)
    fresh = statistics(frames_of(audio))
    statistics.restart()
    spoilt_rows = statistics(frames_of(spoilt))
    assert np.isnan(spoilt_rows[3 : 3 + SPAN]).any(axis=(1, 2)).all()
    np.testing.assert_array_equal(spoilt_rows[3 + SPAN :], fresh[3 + SPAN :])


class Told:
    """An encoder whose rows are a few of the samples and statistics that it was told."""

    bands = 3

    def __call__(self, frames: F32, statistics: F64 | None = None) -> F32:
        if statistics is None:
            statistics = np.zeros((len(frames), 11, 10))
        rows: F32 = np.stack([frames[:, -1], statistics[:, 0, 4], statistics[:, 3, 3]], axis=1).astype(np.float32)
        return rows


def rows_of(audio: F32, sizes: list[int], *, first: int = 0) -> F32:
    """All rows of a stream whose first sample has the index `first` and comes in blocks of those sizes."""
    frontend = make_frontend(FEATURES, 16_000, history=len(audio) + LENGTH, encode=Told())
    frontend.push(sound(4))
    frontend.restart(first)
    for block in np.split(audio, np.minimum(np.cumsum(sizes), len(audio))):
        frontend.push(block)
    out = np.zeros((len(frames_of(audio)), 3), np.float32)
    frontend.window(first, len(audio), out)
    return out


@pytest.mark.parametrize("sizes", [[], [1] * 500, [399, 1, 320, 321], [5000, 17]])
@pytest.mark.parametrize("first", [0, 3 * SHIFT, 2**40 * SHIFT])
def test_a_stream_tells_its_encoder_the_same_however_blocks_are_cut(sizes: list[int], first: int) -> None:
    audio = sound(20)
    expected = [defined(audio, frame, taps=10, stride=5, span=SPAN, decay=0.8) for frame in range(20)]
    rows = rows_of(audio, sizes, first=first)
    np.testing.assert_array_equal(rows[:, 0], frames_of(audio)[:, -1])
    np.testing.assert_allclose(rows[:, 1], [one[0, 4] for one in expected], atol=1e-7)
    np.testing.assert_allclose(rows[:, 2], [one[3, 3] for one in expected], rtol=1e-5)


def test_before_a_restart_there_is_silence() -> None:
    frontend = make_frontend(FEATURES, 16_000, history=8000, encode=Told())
    frontend.restart(2 * SHIFT)
    frontend.push(sound(3, offset=0.5))
    out = np.ones((4, 3), np.float32)
    frontend.window(0, 3 * SHIFT + LENGTH, out)
    assert (out[:2] == 0).all()
    assert (out[2:, 1] > 0.4).all()


def stated(**changes: Any) -> dict[str, Any]:
    keys: dict[str, Any] = {"frame_length": 400, "frame_shift": 320, "bands": 7, "input": "frames", "output": "rows"}
    return {"features": Encoded(**(keys | changes))}


STATISTICS = {"statistics": "statistics", "taps": 10, "stride": 5, "span": 10}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"span": 3}, "belong to `statistics`"),
        ({"decay": 0.9}, "belong to `statistics`"),
        (STATISTICS | {"decay": 0.0}, "`decay` is 0; expected over 0 up to 1"),
        (STATISTICS | {"taps": 401}, "statistics are over 401 taps"),
        (STATISTICS | {"stride": 3}, "a stride that divides 320"),
        (STATISTICS | {"stride": 0}, "every 0 samples"),
        (STATISTICS | {"span": 0}, "and 0 frames"),
        (STATISTICS | {"span": 10_000}, "up to 120 s"),
        (STATISTICS, "expected 'frames' and 'statistics', and 'rows'"),
    ],
)
def test_a_pack_that_states_them_wrongly_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(PackError, match=message):
        load_pack(encoded_pack(tmp_path / "pack", **stated(**changes)))


def test_they_reach_back_before_the_window(tmp_path: Path) -> None:
    without = load_pack(encoded_pack(tmp_path / "pack")).manifest
    assert (reach(without), receptive_field(without)) == (0, without.window)
    with_them = msgspec.structs.replace(without, **stated(**STATISTICS))
    assert (reach(with_them), receptive_field(with_them)) == (9 * SHIFT, without.window + 9 * SHIFT)
