"""Classes beyond those that every test of an export goes through: one live run each, on a real recording."""

from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("transformers", reason="the extra `train` is not installed")

import torch
import transformers

from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.engine.embed import Embedder
from streamclf.engine.verify import verify
from streamclf.features.image import Drawer
from streamclf.model.loader import load_pack
from streamclf.model.pack import Image
from streamclf.train.data.asheard import read_sound
from streamclf.train.export import parity
from streamclf.train.export.checkpoint import export_checkpoint
from streamclf.train.families.family import Wishes
from tests.support.liverows import live
from tests.support.ownrows import own_grid, own_rows
from tools.lab.checkpoints import edit, exported, save_checkpoint

WORST = 1e-4
"""On real audio; the classes here are a few 1e-6 off."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp() / "exported"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def few_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an export proves by itself is not what is tried here: the fewest runs do."""
    monkeypatch.setattr(parity, "signal_length", partial(parity.signal_length, budget_s=0.0))


@pytest.mark.parametrize(
    ("architecture", "rows"),
    [
        ("SEWDForSequenceClassification", 1),
        ("Wav2Vec2ConformerForAudioFrameClassification", 50),
        ("ParakeetForCTC", 48),
        ("LasrForCTC", 50),
        ("OmniASRForCTC", 50),
        ("SwinForImageClassification", 1),
        ("EfficientNetForImageClassification", 1),
    ],
)
def test_every_frame_is_what_the_checkpoint_says(architecture: str, rows: int, base: Path) -> None:
    if not hasattr(transformers, architecture):
        pytest.skip(f"this transformers has no {architecture}")
    folder, where, report = exported(architecture, base)
    pack = load_pack(where)
    audio = read_sound(DEMO_FILE, pack.manifest.rate)[16_000:][: pack.manifest.window + 20 * 320 + 77]

    assert report.parity.worst < WORST
    assert pack.manifest.rows_per_window == rows
    expected = own_grid(architecture, folder, audio, pack.manifest)
    got = live(pack, audio, [317, 1, 4801, 160])
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < WORST


@pytest.mark.parametrize(("architecture", "size"), [("Wav2Vec2ForXVector", 24), ("ClapModel", 24)])
def test_an_embedding_stands_in_the_graph_and_its_direction_in_the_rows(
    architecture: str, size: int, base: Path
) -> None:
    folder, where, _ = exported(architecture, base)
    pack = load_pack(where)
    audio = read_sound(DEMO_FILE, pack.manifest.rate)[16_000:][: pack.manifest.window + 20 * 320 + 77]

    expected = own_grid(architecture, folder, audio, pack.manifest)
    got = live(pack, audio, [317, 1, 4801, 160])
    cosines = ((2 * got - 1) * expected).sum(axis=1) / np.linalg.norm(expected, axis=1)
    assert got.shape == expected.shape == (len(got), size)
    assert np.abs(cosines - 1).max() < WORST
    assert verify(pack).problems == []
    assert all(label.hidden for label in pack.labels)

    window = audio[: pack.manifest.window]
    if pack.manifest.features.normalise == "window":  # type: ignore[union-attr]
        window = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
    session = ort.InferenceSession(pack.model, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["scores", "embedding"]
    (embedding,) = session.run(["embedding"], {"features": window[None]})
    assert pack.manifest.embedding == "embedding"
    # what is taught on it is taught on that: who speaks, from a few sentences
    frames, heard = Embedder(pack)(audio, pack.manifest.rate)
    assert heard.shape == (len(frames), size)
    assert len(frames) > 0
    # the first row is that of the first window
    assert np.abs(embedding[0] - expected[0]).max() < WORST * max(1.0, float(np.abs(expected[0]).max()))


def test_rows_of_10_ms_make_one_of_20(base: Path) -> None:
    """Its encoder's rows are kept, two to a frame."""
    folder = save_checkpoint(
        "WavLMForAudioFrameClassification", base / "ten", conv_stride=(5, 2, 2, 2, 2, 2, 1), num_buckets=32
    )
    report = export_checkpoint(folder, base / "ten.pack")
    pack = load_pack(base / "ten.pack")
    audio = read_sound(DEMO_FILE, 16_000)[16_000:][: pack.manifest.window]

    assert (pack.manifest.rows_per_window, report.look_ahead_ms) == (50, pack.manifest.look_ahead / 16)
    assert report.parity.worst < WORST
    single = own_rows("WavLMForAudioFrameClassification", folder, audio[None])[0]
    assert len(single) == 100
    logits = np.log(single) - np.log1p(-single)
    pairs = 1 / (1 + np.exp(-logits.reshape(50, 2, -1).mean(axis=1)))
    got = live(pack, audio, [317, 1, 4801, 160])
    assert np.abs(got[:50] - pairs).max() < WORST


def test_a_picture_of_the_whole_window_is_stated_in_librosas_words(base: Path) -> None:
    """The picture itself is held against librosa and torch in test_images.py; here it goes through transformers."""
    folder = save_checkpoint("DeiTForImageClassification", base / "picture")
    edit(folder / "preprocessor_config.json", remove=("streamclf",))
    said = ("n_mels=64", "n_fft=1024", "hop_length=256", "ref=max", "size=32x32", "normalise=min-max")
    wishes = Wishes(window_ms=800, settings={"rate": "16000"}, image=said)
    report = export_checkpoint(folder, base / "picture.pack", wishes=wishes)
    pack = load_pack(base / "picture.pack")

    assert report.parity.worst < WORST
    features = pack.manifest.features
    assert isinstance(features, Image)
    assert (features.channels, features.pixels, features.channel_mean) == (3, (32, 32), (0.1, -0.2, 0.3))
    audio = read_sound(DEMO_FILE, 16_000)[16_000:][: pack.manifest.window]
    picture = Drawer(features, 16_000)(audio)
    with torch.inference_mode():
        given = transformers.DeiTForImageClassification.from_pretrained(folder)(
            pixel_values=torch.from_numpy(picture[None].astype(np.float32))
        )
    expected = given.logits.softmax(dim=-1).numpy()[0]
    assert np.abs(live(pack, audio, [317, 4801])[0] - expected).max() < WORST
