"""Pictures of spectrograms as people make them, each setting held against the library that people make them with."""

from typing import Any

import msgspec
import numpy as np
import pytest

from streamclf.features.frontend import make_frontend
from streamclf.features.image import Drawer, picture_shape
from streamclf.features.resize import resized, resizing
from streamclf.features.spec import Image
from streamclf.types import F32

RATE, SECONDS = 16_000, 1
LIBROSA = Image(
    frame_length=1024, frame_shift=251, fft_size=1024, bands=64, low_hz=0.0, high_hz=RATE / 2, mel_scale="slaney",
    mel_norm="slaney", padding="zeros", log="db", log_floor=1e-10,
)  # fmt: skip
TOLERANCE = 1e-4


def sound() -> F32:
    random = np.random.default_rng(5)
    time = np.arange(SECONDS * RATE) / RATE
    tones = 0.3 * np.sin(2 * np.pi * (300 + 900 * time) * time) * (np.sin(2 * np.pi * 3 * time) > 0)
    return (tones + 0.001 * random.standard_normal(len(time))).astype(np.float32)


def drawn(**changes: Any) -> F32:
    """The picture as it comes out of a frontend that heard something else before, in uneven blocks."""
    features = msgspec.structs.replace(LIBROSA, **changes)
    audio = sound()
    frontend = make_frontend(features, RATE, history=2 * len(audio))
    frontend.push(np.full(777, 0.5, dtype=np.float32))
    for start in range(0, len(audio), 613):
        frontend.push(audio[start : start + 613])
    out = np.zeros(picture_shape(features, len(audio)), dtype=np.float32)
    frontend.window(777, len(audio), out)
    return out


def power(**how: Any) -> Any:
    librosa = pytest.importorskip("librosa")
    settings = {"n_fft": 1024, "hop_length": 251, "n_mels": 64, "sr": RATE} | how
    return librosa.feature.melspectrogram(y=sound(), **settings)


def differ(ours: Any, theirs: Any) -> float:
    assert ours.shape == theirs.shape
    return float(np.abs(ours - theirs).max())


@pytest.mark.parametrize(
    ("changes", "how", "decibels"),
    [
        ({}, {}, {"top_db": None}),
        ({"ref": "max", "top_db": 80.0}, {}, {"ref": np.max}),
        ({"top_db": 30.0, "log_floor": 1e-5}, {}, {"top_db": 30.0, "amin": 1e-5}),
        ({"mel_scale": "htk", "mel_norm": "none"}, {"htk": True, "norm": None}, {"top_db": None}),
        ({"padding": "reflect"}, {"pad_mode": "reflect"}, {"top_db": None}),
        ({"padding": "none"}, {"center": False}, {"top_db": None}),
        ({"frame_length": 600, "window": "hamming"}, {"win_length": 600, "window": "hamming"}, {"top_db": None}),
        ({"low_hz": 100.0, "high_hz": 6000.0}, {"fmin": 100.0, "fmax": 6000.0}, {"top_db": None}),
    ],
)
def test_a_picture_is_librosa_s(changes: dict[str, Any], how: dict[str, Any], decibels: dict[str, Any]) -> None:
    librosa = pytest.importorskip("librosa")
    (ours,) = drawn(**changes)
    assert differ(ours, librosa.power_to_db(power(**how), **decibels)) < 2e-3  # decibels; librosa counts in float32


def test_decibels_of_a_magnitude_and_logarithms_of_one_more() -> None:
    librosa = pytest.importorskip("librosa")
    (ours,) = drawn(spectrum="magnitude", log_floor=1e-5, ref="max", top_db=80.0)
    assert differ(ours, librosa.amplitude_to_db(power(power=1.0), ref=np.max)) < 2e-3
    (ours,) = drawn(log="log1p")
    assert differ(ours, np.log1p(power())) < TOLERANCE
    (ours,) = drawn(log="none")
    assert differ(ours, power()) < 1e-3


def test_deltas_are_librosa_s() -> None:
    librosa = pytest.importorskip("librosa")
    plain, first, second = drawn(deltas=True)
    base = librosa.power_to_db(power(), top_db=None)
    assert differ(plain, base) < 2e-3
    assert differ(first, librosa.feature.delta(base)) < TOLERANCE
    assert differ(second, librosa.feature.delta(base, order=2)) < TOLERANCE


@pytest.mark.parametrize("pixels", [(224, 224), (40, 30), (30, 224), (64, 64)])
@pytest.mark.parametrize("resize", ["bilinear", "bicubic", "nearest"])
def test_a_picture_is_resized_as_pil_does_it(pixels: tuple[int, int], resize: str) -> None:
    pil = pytest.importorskip("PIL.Image")
    how = getattr(pil.Resampling, resize.upper())
    (base,) = drawn(normalise="min-max")
    (ours,) = drawn(normalise="min-max", pixels=pixels, resize=resize)
    assert differ(ours, np.asarray(pil.fromarray(base).resize(pixels[::-1], how))) < TOLERANCE
    # of bytes: the numbers themselves
    whole = (base * 255).astype(np.uint8)
    (ours,) = drawn(normalise="min-max", bytes=True, pixels=pixels, resize=resize)
    theirs = np.asarray(pil.fromarray(whole).resize(pixels[::-1], how))
    assert np.mean(np.rint(ours * 255) != theirs) < 0.002  # where a value lay between two bytes
    high, wide = (resizing(a, b, resize, antialias=True) for a, b in zip(base.shape, pixels, strict=True))
    assert (resized(whole.astype(np.float64), high=high, wide=wide, whole=True) == theirs).all()


@pytest.mark.parametrize("pixels", [(224, 224), (40, 30), (30, 224)])
@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize("resize", ["bilinear", "bicubic"])
def test_a_picture_is_resized_as_torch_does_it(pixels: tuple[int, int], antialias: bool, resize: str) -> None:
    torch = pytest.importorskip("torch")
    (base,) = drawn(normalise="min-max")
    (ours,) = drawn(normalise="min-max", pixels=pixels, antialias=antialias, resize=resize)
    theirs = torch.nn.functional.interpolate(
        torch.from_numpy(base)[None, None], size=pixels, mode=resize, antialias=antialias, align_corners=False
    )
    assert differ(ours, theirs[0, 0].numpy()) < TOLERANCE


def test_a_picture_is_normalised_flipped_and_coloured_as_its_definition_says() -> None:
    (base,) = drawn()
    (ours,) = drawn(normalise="min-max", flip=True)
    assert differ(ours, ((base - base.min()) / (base.max() - base.min()))[::-1]) < TOLERANCE
    standard = (base - base.mean()) / (base.std() + 1e-6)
    (ours,) = drawn(normalise="standard", normalise_eps=1e-6)
    assert differ(ours, standard) < TOLERANCE
    # as in many a notebook: standard, to bytes, three channels, the colours of ImageNet
    whole = (255 * (standard - standard.min()) / (standard.max() - standard.min())).astype(np.uint8)
    mean, scale = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    ours = drawn(normalise="standard-min-max", bytes=True, channels=3, channel_mean=mean, channel_scale=scale)
    theirs = np.stack([(whole / 255 - m) / s for m, s in zip(mean, scale, strict=True)])
    assert np.mean(np.abs(ours - theirs) > TOLERANCE) < 0.002
    (ours,) = drawn(mean=-40.0, scale=2.0, samples="peak")
    audio = sound()
    louder = Drawer(LIBROSA, RATE)(audio / np.abs(audio).max())[0]
    assert differ(ours, (louder + 40.0) / 2.0) < TOLERANCE


def test_silence_makes_a_picture_of_finite_numbers() -> None:
    for normalise in ("none", "min-max", "standard", "standard-min-max"):
        features = msgspec.structs.replace(LIBROSA, normalise=normalise, ref="max", top_db=80.0, samples="window")
        assert np.isfinite(Drawer(features, RATE)(np.zeros(RATE, dtype=np.float32))).all()
