"""Features: the grid of frames, what a window holds, restarts, and the forms of the logarithm."""

import math
from concurrent.futures import ThreadPoolExecutor

import msgspec
import numpy as np
import pytest

from streamclf.errors import Overrun
from streamclf.features.frontend import Frontend, make_frontend, window_feature_frames
from streamclf.features.logmel import LogMelSpectrum
from streamclf.features.rows import Rows
from streamclf.model.pack import Fbank, Features, LogMel, Waveform
from streamclf.types import F32

RATE = 16_000
YAMNET = LogMel(
    frame_length=400,
    frame_shift=160,
    fft_size=512,
    bands=64,
    low_hz=125.0,
    high_hz=7500.0,
    mel_scale="htk",
    mel_slopes="mel",
    spectrum="magnitude",
    log_offset=0.001,
)
POWER = msgspec.structs.replace(YAMNET, spectrum="power", log_offset=0.0, log_floor=1e-10)
FBANK = Fbank(frame_length=400, frame_shift=160, bands=80, sample_scale=32768.0)
WAVEFORM = Waveform()
SPECTRA: list[Features] = [YAMNET, POWER, FBANK]


def noise(samples: int, *, seed: int = 0) -> F32:
    return np.random.default_rng(seed).normal(0.0, 0.1, samples).astype(np.float32)


def tone(samples: int, *, hz: float) -> F32:
    return np.sin(2 * np.pi * hz * np.arange(samples) / RATE).astype(np.float32)


def whole(features: Features, signal: F32) -> F32:
    """Everything that `signal` yields: (frames, bands)."""
    frontend = make_frontend(features, RATE, history=len(signal))
    frontend.push(signal)
    return read(features, frontend, 0, len(signal))


def read(features: Features, frontend: Frontend, first_sample: int, samples: int) -> F32:
    out = np.full((window_feature_frames(features, samples), *frontend.dims), np.nan, dtype=np.float32)
    frontend.window(first_sample, samples, out)
    return out


@pytest.mark.parametrize("features", [YAMNET, POWER])
def test_threads_that_share_a_transform_do_not_share_its_memory(features: LogMel) -> None:
    """More frames than it has memory for among them."""
    transform = LogMelSpectrum(features, RATE)
    counts = [1, 2, 17, 64, 65, 150] * 30
    given = [noise(count * 400, seed=at).reshape(count, 400) for at, count in enumerate(counts)]
    alone = [np.concatenate([transform(row[None]) for row in frames]) for frames in given[:6]]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(transform, given))
    for frames, rows in zip(given, made, strict=True):
        np.testing.assert_array_equal(rows, transform(frames))
    for rows, each in zip(made, alone, strict=False):
        np.testing.assert_array_equal(rows, each)


@pytest.mark.parametrize(
    ("window", "frames"), [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (15_600, 96), (16_000, 98)]
)
def test_a_window_yields_as_many_feature_frames_as_fit_wholly(window: int, frames: int) -> None:
    assert [window_feature_frames(features, window) for features in SPECTRA] == [frames] * 3
    assert window_feature_frames(WAVEFORM, window) == window


@pytest.mark.parametrize("features", SPECTRA)
def test_a_frame_becomes_available_with_its_last_sample(features: Features) -> None:
    frontend = make_frontend(features, RATE, history=RATE)
    seen = []
    for count in (0, 399, 1, 159, 1, 320):
        frontend.push(noise(count))
        seen.append((frontend.samples, frontend.available))

    assert seen == [(0, 0), (399, 0), (400, 1), (559, 1), (560, 2), (880, 4)]


@pytest.mark.parametrize("features", SPECTRA)
def test_frame_j_sees_samples_from_j_shifts_on_and_no_others(features: Features) -> None:
    silence = whole(features, np.zeros(4000, dtype=np.float32))
    click = np.zeros(4000, dtype=np.float32)
    click[1700] = 1.0

    touched = np.flatnonzero((whole(features, click) != silence).any(axis=1))

    assert touched.tolist() == [j for j in range(len(silence)) if j * 160 < 1700 < j * 160 + 400]


@pytest.mark.parametrize(
    ("features", "value"), [(YAMNET, math.log(0.001)), (POWER, math.log(1e-10)), (FBANK, -15.9424)]
)
def test_digital_silence_has_finite_features(features: Features, value: float) -> None:
    np.testing.assert_allclose(whole(features, np.zeros(400, dtype=np.float32)), value, rtol=1e-5)


@pytest.mark.parametrize("features", SPECTRA)
@pytest.mark.parametrize("start", [0, 1, 160, 1601, 10**13 + 7])
def test_after_a_restart_the_grid_stays_absolute(features: Features, start: int) -> None:
    signal = noise(4000)
    frontend = make_frontend(features, RATE, history=RATE)
    frontend.push(noise(777, seed=1))
    frontend.restart(start)
    assert frontend.samples == start
    assert frontend.first_valid == frontend.available == -(-start // 160)

    frontend.push(signal)

    late = -start % 160
    assert frontend.samples == start + 4000
    assert frontend.first_valid == -(-start // 160)
    assert frontend.available == frontend.first_valid + window_feature_frames(features, 4000 - late)
    np.testing.assert_array_equal(read(features, frontend, start, 2000), whole(features, signal[late:])[:11])


@pytest.mark.parametrize("features", SPECTRA)
@pytest.mark.parametrize("start", [0, 32_000])
def test_what_lies_before_a_restart_reads_as_silence(features: Features, start: int) -> None:
    frontend = make_frontend(features, RATE, history=RATE)
    frontend.push(noise(RATE, seed=1))
    frontend.restart(start)
    frontend.push(noise(720))

    got = read(features, frontend, start - 480, 1200)

    np.testing.assert_array_equal(got[:3], whole(features, np.zeros(720, dtype=np.float32)))
    np.testing.assert_array_equal(got[3:], whole(features, noise(720)))


def test_a_window_wholly_before_the_start_is_silence() -> None:
    frontend = make_frontend(YAMNET, RATE, history=RATE)

    np.testing.assert_array_equal(read(YAMNET, frontend, -640, 560), whole(YAMNET, np.zeros(560, dtype=np.float32)))


def test_a_waveform_window_is_the_samples_with_zeros_before_the_start() -> None:
    signal = noise(1000)
    frontend = make_frontend(WAVEFORM, RATE, history=600)
    frontend.restart(5000)
    frontend.push(signal[:500])

    assert frontend.dims == ()
    assert (frontend.frame_shift, frontend.frame_length) == (1, 1)
    assert (frontend.samples, frontend.first_valid, frontend.available) == (5500, 5000, 5500)
    expected = np.concatenate((np.zeros(64, dtype=np.float32), signal[:500]))
    np.testing.assert_array_equal(read(WAVEFORM, frontend, 4936, 564), expected)

    frontend.push(signal[500:])

    assert frontend.first_valid == 5400
    np.testing.assert_array_equal(read(WAVEFORM, frontend, 5400, 600), signal[400:])


def test_a_normalised_window_has_zero_mean_and_unit_variance() -> None:
    features = Waveform(normalise="window")
    frontend = make_frontend(features, RATE, history=RATE)
    frontend.push(noise(2000) * 0.01 + 0.5)

    got = read(features, frontend, 500, 1000).astype(np.float64)

    # 1e-7 beside a variance of 1e-6 takes 5 % off
    assert (abs(got.mean()), got.var()) == (pytest.approx(0.0, abs=1e-6), pytest.approx(1e-6 / (1e-6 + 1e-7), rel=0.02))
    np.testing.assert_array_equal(read(features, frontend, 500, 1000), got)


@pytest.mark.parametrize("features", [*SPECTRA, WAVEFORM])
def test_a_window_ahead_of_the_samples_is_refused(features: Features) -> None:
    frontend = make_frontend(features, RATE, history=RATE)
    frontend.push(noise(1199))

    read(features, frontend, 640, 559)
    with pytest.raises(ValueError, match="not there yet"):
        read(features, frontend, 640, 560)


@pytest.mark.parametrize("features", [*SPECTRA, WAVEFORM])
def test_a_window_that_was_lapped_is_an_overrun_and_says_what_is_left(features: Features) -> None:
    frontend = make_frontend(features, RATE, history=1600)
    frontend.push(noise(50_000))
    oldest = frontend.first_valid * frontend.frame_shift

    assert 50_000 - oldest >= 1600
    read(features, frontend, oldest, 1600)
    with pytest.raises(Overrun) as raised:
        read(features, frontend, oldest - 160, 1600)
    assert raised.value.first_valid == oldest


@pytest.mark.parametrize(("features", "shape"), [(YAMNET, (3, 64)), (YAMNET, (2, 63)), (WAVEFORM, (559,))])
def test_an_output_of_another_shape_is_refused(features: Features, shape: tuple[int, ...]) -> None:
    frontend = make_frontend(features, RATE, history=RATE)
    frontend.push(noise(1000))

    with pytest.raises(ValueError, match="does not fit"):
        frontend.window(0, 560, np.empty(shape, dtype=np.float32))


def test_a_window_can_be_read_into_part_of_a_batch_and_again() -> None:
    frontend = make_frontend(YAMNET, RATE, history=RATE)
    frontend.push(noise(1000))
    batch = np.zeros((3, 1, 64, 2), dtype=np.float32)

    frontend.window(160, 560, batch[1, 0].T)

    np.testing.assert_array_equal(batch[1, 0].T, read(YAMNET, frontend, 160, 560))
    assert not batch[[0, 2]].any()


def test_streams_of_one_pack_do_not_touch_each_other() -> None:
    first, second = (make_frontend(YAMNET, RATE, history=RATE) for _ in range(2))
    for at in range(0, 3200, 320):
        first.push(noise(3200, seed=1)[at : at + 320])
        second.push(noise(3200, seed=2)[at : at + 320])

    np.testing.assert_allclose(read(YAMNET, first, 0, 3200), whole(YAMNET, noise(3200, seed=1)), atol=1e-5)
    np.testing.assert_allclose(read(YAMNET, second, 0, 3200), whole(YAMNET, noise(3200, seed=2)), atol=1e-5)


def test_logarithms_differ_by_their_units() -> None:
    signal = noise(1600)
    base = whole(POWER, signal)
    magnitude = msgspec.structs.replace(POWER, spectrum="magnitude")

    def with_log(features: LogMel, log: str) -> F32:
        return whole(msgspec.structs.replace(features, log=log), signal)

    np.testing.assert_allclose(with_log(POWER, "log10"), base / math.log(10), atol=1e-5)
    np.testing.assert_allclose(with_log(POWER, "db"), 10 * base / math.log(10), atol=1e-5)
    np.testing.assert_allclose(with_log(magnitude, "db"), 20 * whole(magnitude, signal) / math.log(10), atol=1e-5)


def test_the_offset_comes_before_the_floor() -> None:
    features = msgspec.structs.replace(POWER, log_offset=0.25, log_floor=0.5)

    assert whole(features, np.zeros(400, dtype=np.float32)).max() == pytest.approx(math.log(0.5))
    linear = np.exp(whole(POWER, noise(1600)).astype(np.float64))
    np.testing.assert_allclose(whole(features, noise(1600)), np.log(np.maximum(linear + 0.25, 0.5)), atol=1e-5)


@pytest.mark.parametrize("features", SPECTRA)
def test_mean_and_scale_are_applied_last(features: LogMel | Fbank) -> None:
    signal = noise(1600)
    scaled = msgspec.structs.replace(features, mean=-4.25, scale=9.5)

    np.testing.assert_allclose(whole(scaled, signal), (whole(features, signal) + 4.25) / 9.5, atol=1e-5)


def test_mean_and_scale_vectors_take_their_place_band_by_band() -> None:
    mean, scale = np.linspace(3, 9, 80), np.linspace(0.5, 4, 80)
    features = msgspec.structs.replace(FBANK, mean=77.0, mean_vector=tuple(mean), scale_vector=tuple(scale))

    np.testing.assert_allclose(whole(features, noise(1600)), (whole(FBANK, noise(1600)) - mean) / scale, atol=1e-5)


@pytest.mark.parametrize(("htk_compat", "at", "bands"), [(False, 0, slice(1, None)), (True, -1, slice(0, -1))])
def test_energy_is_a_band_of_its_own(htk_compat: bool, at: int, bands: slice) -> None:
    signal = noise(400) + 0.25
    got = whole(msgspec.structs.replace(FBANK, use_energy=True, htk_compat=htk_compat), signal)

    deviation = (signal.astype(np.float64) - signal.mean(dtype=np.float64)) * 32768
    assert got.shape == (1, 81)
    assert got[0, at] == pytest.approx(math.log((deviation**2).sum()), abs=1e-5)
    np.testing.assert_array_equal(got[:, bands], whole(FBANK, signal))


@pytest.mark.parametrize("scale", ["htk", "slaney"])
@pytest.mark.parametrize("slopes", ["hz", "mel"])
def test_a_tone_is_loudest_in_the_band_around_it(scale: str, slopes: str) -> None:
    features = msgspec.structs.replace(POWER, mel_scale=scale, mel_slopes=slopes)
    loudest = [whole(features, tone(400, hz=hz))[0].argmax() for hz in (300, 1000, 2500, 6000)]

    to_mel = {"htk": lambda f: 2595 * math.log10(1 + f / 700), "slaney": slaney}[scale]
    low, high = to_mel(125), to_mel(7500)
    expected = [(to_mel(hz) - low) / (high - low) * 65 - 1 for hz in (300, 1000, 2500, 6000)]
    np.testing.assert_allclose(loudest, expected, atol=1.0)


def slaney(hz: float) -> float:
    return hz * 3 / 200 if hz < 1000 else 15 + 27 * math.log(hz / 1000) / math.log(6.4)


def test_rows_need_room() -> None:
    with pytest.raises(ValueError, match="must be positive"):
        Rows(0)
