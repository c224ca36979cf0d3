"""How somebody's log-mel features were made is found from a recording and the features that their code gave for it.

The references are the libraries themselves: librosa, Kaldi's own code, and numpy where nobody's library is installed.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.audio.onsets import read
from streamclf.commands.onnxfile import KEYS, Taken, take
from streamclf.errors import UsageError
from streamclf.features.spec import Fbank, Image, LogMel
from streamclf.model.adopt.likefit import like, words
from streamclf.model.adopt.settings import image_features, logmel_features
from streamclf.types import F32
from tests.support.graphs import CLASSES, picture

librosa = pytest.importorskip("librosa", reason="librosa is absent; it comes with the environment of tools/test")
knf = pytest.importorskip("kaldi_native_fbank", reason="kaldi-native-fbank is absent")

RATE = 16_000
DEMO = Path(__file__).parents[2] / "streamclf/audio/demo/birds_10s.flac"
Make = Callable[[F32], F32]


@pytest.fixture(scope="module")
def sound() -> F32:
    """Birds, and a second of noise that fades to nearly nothing."""
    noise = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    fading = noise * np.logspace(-1, -6, RATE, dtype=np.float32)
    return np.concatenate([read(DEMO, RATE)[: 4 * RATE], fading])


def mel(sound: F32, **stated: object) -> F32:
    made: F32 = librosa.feature.melspectrogram(y=sound, sr=RATE, **stated)
    return made


def decibels(sound: F32) -> F32:
    """All as librosa has it by default."""
    made: F32 = librosa.power_to_db(mel(sound), top_db=None)
    return made


def cut_picture(sound: F32) -> F32:
    """80 dB under the loudest value there is no more, and the loudest is 0."""
    made: F32 = librosa.power_to_db(mel(sound, n_fft=1024, hop_length=320, n_mels=64, fmin=50, fmax=7800), ref=np.max)
    return made


def scaled_picture(sound: F32) -> F32:
    picture = cut_picture(sound)
    return np.asarray((picture - picture.min()) / (picture.max() - picture.min()))


def as_torchaudio(sound: F32) -> F32:
    """MelSpectrogram and AmplitudeToDB as torchaudio has them by default: HTK, no norm, reflected ends, n_fft 400."""
    bins = np.abs(librosa.stft(sound, n_fft=400, hop_length=200, pad_mode="reflect")) ** 2
    bank = librosa.filters.mel(sr=RATE, n_fft=400, n_mels=40, htk=True, norm=None)
    return np.asarray(10 * np.log10(np.maximum(bank @ bins, 1e-10)), dtype=np.float32)


def as_yamnet(sound: F32) -> F32:
    """TensorFlow's frames begin where they are counted from; slopes are straight in mel, and magnitudes are summed."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, 400)[::160]
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    edges = 1127 * np.linspace(np.log(1 + 125 / 700), np.log(1 + 7500 / 700), 66)
    bins = 1127 * np.log(1 + np.arange(257) * RATE / 512 / 700)
    rising, falling = bins[:, None] - edges[:-2], edges[2:] - bins[:, None]
    bank = np.maximum(0, np.minimum(rising / np.diff(edges)[:-1], falling / np.diff(edges)[1:]))
    return np.asarray(np.log(np.abs(np.fft.rfft(frames * taper, 512)) @ bank + 0.001), dtype=np.float32)


def whole_numbers(sound: F32) -> F32:
    """Of samples up to 32767, normalised by figures of a data set."""
    made = mel(sound * 32_768, n_fft=512, hop_length=160, n_mels=32, center=False, fmin=60, fmax=3800, htk=True)
    return np.asarray((np.log(made + 1.0) - 8.5) / 3.25, dtype=np.float32)


def kaldi(sound: F32, *, scale: float = 32_768, **changes: object) -> F32:
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.frame_opts.samp_freq = RATE
    options.mel_opts.num_bins = 80
    for key, value in changes.items():
        setattr(options.mel_opts if hasattr(options.mel_opts, key) else options.frame_opts, key, value)
    computer = knf.OnlineFbank(options)
    computer.accept_waveform(RATE, (sound * scale).tolist())
    computer.input_finished()
    return np.stack([computer.get_frame(at) for at in range(computer.num_frames_ready)]).astype(np.float32)


def as_ast(sound: F32) -> F32:
    rows = kaldi(sound, scale=1.0, num_bins=128, window_type="hanning")
    return np.asarray((rows + 4.2677393) / (2 * 4.5689974), dtype=np.float32)


def with_cmvn(sound: F32) -> F32:
    rows = kaldi(sound, high_freq=-400.0)
    return np.asarray((rows - rows.mean(axis=0)) / rows.std(axis=0))


CASES: dict[Make, dict[str, object]] = {
    decibels: {"kind": Image, "fft_size": 2048, "frame_shift": 512, "bands": 128, "mel_norm": "slaney",
               "mel_scale": "slaney", "padding": "zeros", "log": "db", "log_floor": 1e-10},
    cut_picture: {"kind": Image, "fft_size": 1024, "frame_shift": 320, "low_hz": 50.0, "high_hz": 7800.0,
                  "ref": "max", "top_db": 80.0},
    scaled_picture: {"kind": Image, "normalise": "min-max", "top_db": 80.0},
    as_torchaudio: {"kind": Image, "frame_shift": 200, "mel_scale": "htk", "mel_norm": "none", "padding": "reflect"},
    as_yamnet: {"kind": LogMel, "frame_length": 400, "fft_size": 512, "frame_shift": 160, "mel_slopes": "mel",
                "spectrum": "magnitude", "low_hz": 125.0, "high_hz": 7500.0, "log_offset": 0.001, "log": "ln"},
    whole_numbers: {"kind": LogMel, "frame_length": 512, "low_hz": 60.0, "high_hz": 3800.0, "scale": 3.25,
                    "log_offset": pytest.approx(32_768**-2)},
    kaldi: {"kind": Fbank, "bands": 80, "sample_scale": 32_768.0, "mean": 0.0, "scale": 1.0},
    as_ast: {"kind": Fbank, "window": "hanning", "bands": 128, "sample_scale": 1.0,
             "mean": pytest.approx(-4.2677, abs=1e-3), "scale": pytest.approx(9.138, abs=1e-3)},
    with_cmvn: {"kind": Fbank, "high_hz": -400.0},
}  # fmt: skip


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_the_settings_are_found(sound: F32, make: Make) -> None:
    given = make(sound)
    found = like(sound, RATE, given)

    assert found.share < 1e-4, words(found.features)
    assert found.worst < 1e-3 * given.std() * 10
    expected = dict(CASES[make])
    assert isinstance(found.features, expected.pop("kind"))  # type: ignore[arg-type]
    assert {key: getattr(found.features, key) for key in expected} == expected


@pytest.mark.parametrize("make", [cut_picture, as_yamnet], ids=lambda make: make.__name__)
def test_what_is_told_is_an_option_that_makes_the_same(sound: F32, make: Make) -> None:
    features = like(sound, RATE, make(sound)).features
    option, _, pairs = words(features).partition(" ")
    assert {"--image": image_features, "--logmel": logmel_features}[option]([pairs], RATE) == features


def test_turned_with_ones_before_it_and_a_frame_short(sound: F32) -> None:
    given = as_yamnet(sound)[:-1].T[None, None]
    found = like(sound, RATE, given)
    assert found.holds
    assert (found.frames, found.possible) == (given.shape[-1], given.shape[-1] + 1)


def test_what_is_no_log_mel_is_not_found_and_the_nearest_is_told(sound: F32) -> None:
    found = like(sound[: 2 * RATE], RATE, librosa.feature.mfcc(y=sound[: 2 * RATE], sr=RATE, n_mfcc=20, hop_length=320))
    assert not found.holds
    assert found.share > 0.01


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.full((100, 40), np.nan), "hold values that are no numbers"),
        (np.zeros((100, 40)), "are all the same"),
        (np.zeros(100), r"have the shape \(100,\); expected \(frames, bands\)"),
        (np.random.default_rng(0).random((7000, 6000)), "no log-mel of 5 s at 16000 Hz has 7000 x 6000 values"),
    ],
)
def test_what_cannot_be_features_is_said(sound: F32, given: F32, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        like(sound, RATE, given.astype(np.float32))


def add(tmp_path: Path, sound: F32, given: F32, graph: Path, **said: object) -> Taken:
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    np.save(tmp_path / "a.npy", given)
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"kind {number}\n" for number in range(CLASSES)), "utf-8")
    pair = f"{tmp_path / 'a.wav'},{tmp_path / 'a.npy'}"
    stated = {"labels": labels, "rate": RATE, "licence": "MIT", "features_like": pair, **said}
    (tmp_path / "made").mkdir(exist_ok=True)
    return take(
        tmp_path / "made",
        graph,
        {key: value for key, value in (dict.fromkeys(KEYS) | stated).items() if value is not None},
        prove=lambda pack: None,
    )


def test_a_graph_is_added_with_the_features_of_a_pair(tmp_path: Path, sound: F32) -> None:
    """An array of half precision, as people save them."""
    taken = add(tmp_path, sound, kaldi(sound).astype(np.float16), picture(tmp_path / "m.onnx", ["n", 98, 80]))
    assert taken.pack.manifest.features == Fbank(400, 160, 80, sample_scale=32_768.0)
    assert taken.pack.manifest.window == 97 * 160 + 400
    assert taken.notes[0].startswith("its features were found: [features] kind=fbank,frame_length=400,frame_shift=160")
    assert "in 498 frames" in taken.notes[0]


def test_a_picture_that_is_padded_is_told(tmp_path: Path, sound: F32) -> None:
    graph = picture(tmp_path / "m.onnx", ["n", 1, 64, 51])
    taken = add(tmp_path, sound, cut_picture(sound), graph, window_ms=1000.0)
    assert taken.notes[1] == "they are made of each window by itself, whose ends are padded (center=True)"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (
            {},
            r"no usual settings make these features\. The nearest, .*, is off by [\d.e+]+ % of their spread and by up",
        ),
        ({"logmel": ("n_mels=80",)}, "--logmel and --features-like are two kinds of features"),
        ({"rate": None}, "--features-like needs --rate"),
        ({"features_like": "a.npy"}, "--features-like is 'a.npy'; expected two files, RECORDING,FILE.npy"),
    ],
)
def test_what_is_not_found_is_one_sentence(tmp_path: Path, sound: F32, said: dict[str, object], sentence: str) -> None:
    short = sound[: 2 * RATE]
    given = librosa.feature.mfcc(y=short, sr=RATE, n_mfcc=20, hop_length=320)
    with pytest.raises(UsageError, match=sentence) as caught:
        add(tmp_path, short, given, picture(tmp_path / "m.onnx", ["n", 98, 80]), **said)
    assert "\n" not in str(caught.value)


def test_settings_that_have_nothing_to_do_with_the_features_are_not_told(tmp_path: Path, sound: F32) -> None:
    given = np.random.default_rng(8).standard_normal((13, 100)).astype(np.float32)
    with pytest.raises(UsageError, match=r"nothing comes near; MFCC, PCEN, .* so that it takes samples"):
        add(tmp_path, sound[: 2 * RATE], given, picture(tmp_path / "m.onnx", ["n", 98, 80]))


def _claims_much(path: Path) -> None:
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }".ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PK\x03\x04" + bytes(50)),
        lambda path: np.save(path, np.zeros((100, 40), complex)),
        lambda path: np.save(path, np.array([{}], dtype=object), allow_pickle=True),
        lambda path: path.unlink(),
        _claims_much,
    ],
)
def test_a_file_that_is_no_array_is_said(tmp_path: Path, sound: F32, write: Callable[[Path], object]) -> None:
    soundfile.write(tmp_path / "a.wav", sound[:RATE], RATE)
    given = tmp_path / "a.npy"
    given.touch()
    write(given)
    with pytest.raises(UsageError, match=r"a\.npy cannot be read as an array .*; give what numpy\.save wrote"):
        take(tmp_path, tmp_path / "m.onnx", {"rate": RATE, "features_like": f"{tmp_path / 'a.wav'},{given}"},
             prove=lambda pack: None)  # fmt: skip
