"""Features against those who defined them: kaldi-native-fbank, librosa, a plain log-mel, and a model that eats them."""

import math
from pathlib import Path
from typing import Literal

import kaldi_native_fbank as knf
import numpy as np
import onnxruntime as ort
import pytest
import soundfile as sf
import soxr

from streamclf.features.frontend import make_frontend, window_feature_frames
from streamclf.model.pack import Fbank, Features, LogMel
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
FIRERED = Fbank(frame_length=400, frame_shift=160, bands=80, sample_scale=32768.0)
ENERGY = Fbank(
    frame_length=400, frame_shift=160, bands=40, low_hz=64.0, high_hz=-400.0, window="hamming", use_energy=True
)
AST_MEAN, AST_SCALE = -4.2677393, 9.1379948
AST = Fbank(
    frame_length=400,
    frame_shift=160,
    bands=128,
    window="hanning",
    htk_compat=True,
    mean=AST_MEAN,
    scale=AST_SCALE,
)
CASES = ("ast", "firered", "energy")
KALDI_FLOOR = float(np.log(np.finfo(np.float32).eps))
TIMES = np.arange(2 * RATE) / RATE
RNG = np.random.default_rng(7)
PLAIN = {
    "noise": RNG.normal(0, 0.2, 2 * RATE),
    "faint-noise": RNG.normal(0, 1e-4, 2 * RATE),
    "silence": np.zeros(2 * RATE),
    "square": np.where(np.sin(2 * np.pi * 997 * TIMES) < 0, -1.0, 1.0),
    "constant": np.full(2 * RATE, 0.3),
    "speech-like": np.sin(2 * np.pi * 120 * TIMES) ** 9 * np.hanning(2 * RATE) + RNG.normal(0, 1e-3, 2 * RATE),
}
TONES = {
    "tone-60": np.sin(2 * np.pi * 60 * TIMES),
    "tone-440": 0.5 * np.sin(2 * np.pi * 440 * TIMES),
    "tone-7990": np.sin(2 * np.pi * 7990 * TIMES),
    "square-on-a-bin": np.where(np.arange(2 * RATE) % 16 < 8, -1.0, 1.0),
    "chirp": 0.7 * np.sin(2 * np.pi * 2000 * TIMES**2),
}
RECORDINGS = (
    "digits/0_jackson_0.flac",
    "digits/7_nicolas_3.flac",
    "animal_song/birds_10s.flac",
    "clips/piano.flac",
    "clips/typing.flac",
    "clips/thunder.flac",
)


def ours(features: Features, signal: F32, *, block: int = 320) -> F32:
    """All feature frames of `signal`, pushed block by block."""
    frontend = make_frontend(features, RATE, history=len(signal))
    for at in range(0, len(signal), block):
        frontend.push(signal[at : at + block])
    out = np.empty((window_feature_frames(features, len(signal)), *frontend.dims), dtype=np.float32)
    frontend.window(0, len(signal), out)
    return out


def recording(shared: Path, name: str) -> F32:
    """The first 4 s in 16-bit steps at 16 kHz, as a sound card gives them."""
    path = shared / "data" / name
    if not path.is_file():
        pytest.skip(f"the recording {name} is absent")
    samples, rate = sf.read(path, frames=4 * sf.info(path).samplerate, dtype="float32", always_2d=True)
    mono = soxr.resample(samples.mean(axis=1), rate, RATE)
    stepped: F32 = (np.clip(np.round(mono * 32768), -32768, 32767) / 32768).astype(np.float32)
    return stepped


def kaldi(
    signal: F32, *, bands: int, window: str, low_hz: float = 20.0, high_hz: float = 0.0, energy: bool = False
) -> F32:
    options = knf.FbankOptions()
    options.frame_opts.samp_freq = RATE
    options.frame_opts.dither = 0.0
    options.frame_opts.window_type = window
    options.mel_opts.num_bins = bands
    options.mel_opts.low_freq = low_hz
    options.mel_opts.high_freq = high_hz
    options.use_energy = energy
    extractor = knf.OnlineFbank(options)
    extractor.accept_waveform(RATE, signal.tolist())
    extractor.input_finished()
    rows: F32 = np.stack([extractor.get_frame(i) for i in range(extractor.num_frames_ready)])
    return rows


def kaldi_ast(signal: F32) -> F32:
    """128 bands over 512 points leave band 3 between two FFT bins, which the oracle refuses to build.

    The bands on either side of it are asked for as banks of their own; band 3 itself hears nothing.
    """
    lowest, highest = (1127 * math.log(1 + hz / 700) for hz in (20, 8000))
    mel = np.linspace(lowest, highest, 130)
    hz = 700 * np.expm1(mel / 1127)
    low = kaldi(signal, bands=3, window="hanning", low_hz=hz[0], high_hz=hz[4])
    high = kaldi(signal, bands=124, window="hanning", low_hz=hz[4], high_hz=8000.0)
    return np.concatenate((low, np.full((len(low), 1), KALDI_FLOOR), high), axis=1)


def both(case: str, signal: F32) -> tuple[F32, F32]:
    if case == "ast":
        return ours(AST, signal) * AST_SCALE + AST_MEAN, kaldi_ast(signal)
    if case == "energy":
        expected = kaldi(signal, bands=40, window="hamming", low_hz=64.0, high_hz=-400.0, energy=True)
        return ours(ENERGY, signal), expected
    return ours(FIRERED, signal), kaldi(signal * np.float32(32768), bands=80, window="povey")


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", PLAIN)
def test_fbank_is_kaldis_on_every_value(case: str, name: str) -> None:
    got, expected = both(case, PLAIN[name].astype(np.float32))

    assert np.isfinite(expected).all()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", TONES)
def test_fbank_is_kaldis_as_far_as_its_fft_resolves(case: str, name: str) -> None:
    assert_close_but_for_fft(*both(case, TONES[name].astype(np.float32)))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", RECORDINGS)
def test_fbank_of_recordings_is_kaldis(case: str, name: str, shared: Path) -> None:
    got, expected = both(case, recording(shared, name))

    assert_close_but_for_fft(got, expected)
    assert np.mean(np.abs(got - expected) > 1e-3) < 1e-3


def assert_close_but_for_fft(got: F32, expected: F32) -> None:
    """1e-3 on every value, and beyond it only what float32 cannot hold beside the loudest band of the frame.

    Since 1.21 kaldi-native-fbank's FFT is in float32; with 1.20, in float64, all values here agree to 1e-3 without it.
    """
    amplitude, reference = np.exp(got.astype(np.float64) / 2), np.exp(expected.astype(np.float64) / 2)
    resolution = np.finfo(np.float32).eps * reference.max(axis=1, keepdims=True)
    assert (np.abs(amplitude - reference) <= 0.5e-3 * reference + resolution).all(), np.abs(got - expected).max()


@pytest.mark.parametrize("name", [*PLAIN, *TONES])
def test_yamnets_log_mel_is_that_of_a_plain_computation(name: str) -> None:
    signal = (PLAIN | TONES)[name].astype(np.float32)

    np.testing.assert_allclose(ours(YAMNET, signal), plain_yamnet_log_mel(signal), rtol=0, atol=1e-4)


def plain_yamnet_log_mel(signal: F32) -> F32:
    """YAMNet's features by their definition: a DFT written out, bands whose sides are straight in mel."""
    n = np.arange(400)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * n / 400)
    dft = np.exp(-2j * np.pi * np.outer(n, np.arange(257)) / 512)
    mel = [1127.0 * math.log(1.0 + k * 31.25 / 700.0) for k in range(257)]
    low, high = (1127.0 * math.log(1.0 + hz / 700.0) for hz in (125.0, 7500.0))
    width = (high - low) / 65
    bank = np.zeros((257, 64))
    for band in range(64):
        centre = low + (band + 1) * width
        for k in range(257):
            bank[k, band] = max(0.0, 1.0 - abs(mel[k] - centre) / width)
    rows = [
        np.abs((signal[at : at + 400].astype(np.float64) * window) @ dft) @ bank
        for at in range(0, len(signal) - 399, 160)
    ]
    return np.log(np.array(rows) + 0.001)


@pytest.mark.parametrize(("scale", "norm"), [("htk", "none"), ("slaney", "none"), ("slaney", "slaney")])
@pytest.mark.parametrize(("window", "spectrum"), [("hann", "power"), ("hamming", "magnitude")])
def test_log_mel_is_librosas(
    scale: Literal["htk", "slaney"],
    norm: Literal["none", "slaney"],
    window: Literal["hann", "hamming"],
    spectrum: Literal["magnitude", "power"],
) -> None:
    librosa = pytest.importorskip("librosa", reason="librosa, the oracle of this test, is not installed")
    signal = (PLAIN["noise"] + TONES["chirp"]).astype(np.float32)
    features = LogMel(
        frame_length=512,
        frame_shift=320,
        fft_size=512,
        bands=48,
        low_hz=50.0,
        high_hz=7000.0,
        mel_scale=scale,
        mel_norm=norm,
        window=window,
        spectrum=spectrum,
        log="db",
        log_floor=1e-10,
    )

    mel = librosa.feature.melspectrogram(
        y=signal.astype(np.float64),
        sr=RATE,
        n_fft=512,
        hop_length=320,
        window=window,
        center=False,
        power=2.0 if spectrum == "power" else 1.0,
        n_mels=48,
        fmin=50.0,
        fmax=7000.0,
        htk=scale == "htk",
        norm=None if norm == "none" else norm,
    )
    expected = (10.0 if spectrum == "power" else 20.0) * np.log10(np.maximum(mel, 1e-10)).T

    np.testing.assert_allclose(ours(features, signal), expected, rtol=0, atol=1e-4)


def test_firered_vad_runs_on_our_fbank_step_by_step_as_on_a_whole_file(shared: Path) -> None:
    folder = shared / "models" / "fireredvad"
    if not folder.is_dir():
        pytest.skip("the reference model FireRedVAD is absent")
    means, deviations = cmvn(folder / "cmvn.ark")
    features = Fbank(
        frame_length=400,
        frame_shift=160,
        bands=80,
        sample_scale=32768.0,
        mean_vector=tuple(means),
        scale_vector=tuple(deviations),
    )
    pause = RNG.normal(0, 1e-4, RATE // 2)
    words = [recording(shared, f"digits/{digit}_jackson_{digit}.flac") for digit in range(8)]
    signal = np.concatenate([part for word in words for part in (pause, word)]).astype(np.float32)
    session = ort.InferenceSession(folder / "fireredvad_stream_vad_with_cache.onnx", providers=["CPUExecutionProvider"])

    def run(feats: F32, caches: F32) -> tuple[F32, F32]:
        return tuple(session.run(["probs", "caches_out"], {"feat": feats[None], "caches_in": caches}))

    fresh = np.zeros((8, 1, 128, 19), dtype=np.float32)
    rows = ours(features, signal, block=len(signal))
    expected, _ = run(rows, fresh)

    frontend = make_frontend(features, RATE, history=RATE)
    caches = fresh
    got: list[F32] = []
    step = np.empty((2, 80), dtype=np.float32)
    for at in range(0, len(signal), 320):
        frontend.push(signal[at : at + 320])
        while frontend.available >= 2 * len(got) + 2:
            frontend.window(len(got) * 320, 560, step)
            probs, caches = run(step, caches)
            got.append(probs[0])

    count = 2 * len(got)
    assert len(rows) - count in (0, 1)
    assert expected[0, :count].max() > 0.9
    assert expected[0, :count].min() < 0.1
    np.testing.assert_allclose(np.concatenate(got), expected[0, :count], rtol=0, atol=1e-4)


def cmvn(path: Path) -> tuple[F32, F32]:
    """Means and standard deviations of a Kaldi binary matrix of sums: (2, bands + 1) float64, the count at the end."""
    data = path.read_bytes()
    at = data.index(b"\0BDM \4")
    rows, columns = (int.from_bytes(data[start : start + 4], "little") for start in (at + 6, at + 11))
    sums = np.frombuffer(data, "<f8", rows * columns, at + 15).reshape(rows, columns)
    means = sums[0, :-1] / sums[0, -1]
    return means, np.sqrt(np.maximum(sums[1, :-1] / sums[0, -1] - means**2, 1e-20))
