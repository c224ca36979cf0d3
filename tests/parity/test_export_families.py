"""Every exportable class: its pack gives, streaming, what the checkpoint gives by transformers' own code."""

import dataclasses
import io
import json
import shutil
from pathlib import Path
from typing import Any, Literal

import msgspec
import numpy as np
import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("transformers", reason="the extra `train` is not installed")

from streamclf.engine.verify import verify
from streamclf.errors import StreamclfError
from streamclf.model.loader import load_pack
from streamclf.model.pack import Encoded, Fbank, Waveform
from streamclf.model.session import Session
from streamclf.train.export import parity
from streamclf.train.export.checkpoint import export_checkpoint
from streamclf.train.families.family import Wishes
from streamclf.types import Provider, Shape
from tests.support.liverows import live
from tests.support.ownrows import own_grid
from tools.lab.checkpoints import COMMON, LABELS, TOKENS, edit, exported, plan_of, save_checkpoint

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.getbasetemp() / "exported"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("architecture", COMMON)
def test_a_checkpoint_becomes_a_pack_that_says_what_it_says(architecture: str, base: Path) -> None:
    folder, where, report = exported(architecture, base)
    pack = load_pack(where)
    manifest = pack.manifest

    assert report.parity.worst < TOLERANCE
    assert report.parity.runs >= 8
    assert verify(pack).problems == []
    golden = np.load(io.BytesIO(pack.golden or b""))
    assert golden["native"].std(axis=(0, 1)).max() > 0.1, "rows that hardly change would prove nothing"

    audio = parity.signal(manifest.rate, manifest.window + 12 * 320 + 77, seed=3)
    expected = own_grid(architecture, folder, audio, manifest)
    got = live(pack, audio, [317, 1, 4801, 160])
    assert got.shape == expected.shape
    assert np.abs(got - expected).max() < TOLERANCE

    per_frame = architecture.endswith(("FrameClassification", "CTC"))
    assert (manifest.shape is Shape.WINDOW_FRAMES) == per_frame
    names = TOKENS if architecture.endswith("CTC") else LABELS
    assert tuple(label.name for label in pack.labels) == names
    assert manifest.exclusive == (manifest.activation == "softmax")


def test_labels_are_slugs_that_differ_and_special_tokens_are_hidden(base: Path) -> None:
    classified = load_pack(exported("ASTForAudioClassification", base)[1])
    spoken = load_pack(exported("Wav2Vec2ForCTC", base)[1])

    assert [label.id for label in classified.labels] == ["dog_bark", "rain", "ocean_waves", "ocean_waves_2"]
    assert [label.id for label in spoken.labels] == ["pad", "unk", "class_2", "e", "e_2", "class_5", "c"]
    assert [label.name for label in spoken.labels if label.hidden] == ["<pad>", "|"]


def test_an_encoder_is_kept_where_its_rows_are_their_frames_own(base: Path, tmp_path: Path) -> None:
    folder, where, kept = exported("WavLMForAudioFrameClassification", base)
    whole = export_checkpoint(folder, tmp_path / "whole", wishes=Wishes(one_graph=True))

    assert isinstance(load_pack(where).manifest.features, Encoded)
    assert isinstance(load_pack(tmp_path / "whole").manifest.features, Waveform)
    assert kept.parameters == whole.parameters
    audio = parity.signal(16_000, 30_000)
    rows = [live(load_pack(pack), audio, [999]) for pack in (where, tmp_path / "whole")]
    assert np.abs(rows[0] - rows[1]).max() < 1e-4


@pytest.mark.parametrize("architecture", ["Wav2Vec2ForCTC", "HubertForCTC"])
def test_an_encoder_that_hears_the_whole_window_is_run_with_it(architecture: str, base: Path) -> None:
    """Group norm (Wav2Vec2 base) and normalised input (here HuBERT) make a row depend on its window."""
    _, where, report = exported(architecture, base)
    features = load_pack(where).manifest.features
    assert features == Waveform(normalise="window")
    assert any("whole window" in note for note in report.notes)


@pytest.mark.parametrize(
    ("architecture", "wishes", "samples"),
    [
        ("ASTForAudioClassification", Wishes(window_ms=700), 400 + 67 * 160),
        ("Wav2Vec2BertForAudioFrameClassification", Wishes(window_ms=400), 20 * 320 + 240),
        ("WhisperForAudioClassification", Wishes(window_ms=2000, look_ahead_ms=0), 32_000),
        ("ViTForImageClassification", Wishes(window_ms=800, settings={"bands": "40"}), 400 + 77 * 160),
        ("ConvNextForImageClassification", Wishes(settings={"layout": "time-bands"}), 9_840),
    ],
)
def test_other_windows_and_layouts_keep_parity(
    architecture: str, wishes: Wishes, samples: int, base: Path, tmp_path: Path
) -> None:
    folder, _, _ = exported(architecture, base)
    report = export_checkpoint(folder, tmp_path / "pack", wishes=wishes)
    pack = load_pack(tmp_path / "pack")

    assert pack.manifest.window == samples
    assert report.parity.worst < TOLERANCE
    assert verify(pack).problems == []
    if wishes.look_ahead_ms == 0:
        assert (pack.manifest.look_ahead, report.latency_ms) == (0, 20)


def test_a_longer_ast_window_stretches_positions_along_time_alone(base: Path) -> None:
    from transformers import ASTForAudioClassification

    from streamclf.train.families.ast import stretch_positions

    folder, _, _ = exported("ASTForAudioClassification", base)
    model = ASTForAudioClassification.from_pretrained(folder)
    embeddings: Any = model.audio_spectrogram_transformer.embeddings
    rows, columns = embeddings.get_shape(model.config)
    before = embeddings.position_embeddings.detach().numpy()[0]
    stretch_positions(model, 16 + 10 * (2 * columns - 1))
    after = embeddings.position_embeddings.detach().numpy()[0]

    assert np.array_equal(after[:2], before[:2])
    old, new = before[2:].reshape(rows, columns, -1), after[2:].reshape(rows, 2 * columns, -1)
    assert np.allclose(new[:, 0], old[:, 0])
    assert np.allclose(new[:, 1], 0.75 * old[:, 0] + 0.25 * old[:, 1], atol=1e-6)


@pytest.mark.parametrize(
    ("architecture", "stated", "wish", "expected"),
    [
        ("ASTForAudioClassification", None, None, "softmax"),
        ("ASTForAudioClassification", "multi_label_classification", None, "sigmoid"),
        ("ASTForAudioClassification", "multi_label_classification", "softmax", "softmax"),
        ("Wav2Vec2ForAudioFrameClassification", None, None, "sigmoid"),
        ("Wav2Vec2ForAudioFrameClassification", "single_label_classification", None, "softmax"),
        ("Wav2Vec2ForCTC", None, None, "softmax"),
    ],
)
def test_problem_type_and_the_user_decide_the_activation(
    architecture: str, stated: str | None, wish: Literal["softmax"] | None, expected: str, base: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(exported(architecture, base)[0], tmp_path / "checkpoint")
    edit(folder / "config.json", problem_type=stated)
    plan = plan_of(folder, Wishes(activation=wish))

    assert (plan.activation, plan.exclusive) == (expected, expected == "softmax")
    guessed = stated is None and wish is None and not architecture.endswith("CTC")
    assert any("problem_type" in note for note in plan.notes) == guessed


@pytest.mark.parametrize(
    ("architecture", "variant", "batch", "smaller"),
    [
        ("Wav2Vec2BertForAudioFrameClassification", "int8", False, 0.9),
        ("Wav2Vec2BertForAudioFrameClassification", "fp16", True, 0.6),
        ("WavLMForCTC", "int8-weights", True, 0.7),
        ("WhisperForAudioClassification", "fp16", True, 1.0),
    ],
)
def test_a_variant_runs_live_and_its_loss_is_measured(
    architecture: str, variant: str, batch: bool, smaller: float, base: Path, tmp_path: Path
) -> None:
    folder, where, _ = exported(architecture, base)
    report = export_checkpoint(folder, tmp_path / "pack", variant=variant)  # type: ignore[arg-type]
    pack = load_pack(tmp_path / "pack")

    assert pack.manifest.batch is batch
    assert verify(pack).problems == []
    assert report.parity.worst < 1e-3, "parity is that of the graph it was made from"
    loss = report.loss
    assert loss is not None
    assert 0 < loss.mean < loss.worst < 0.2
    assert 0.9 < loss.top_1 <= 1.0
    if variant == "fp16":
        assert loss.worst < 0.01, "values that must stay exact were rounded on their way"
    assert loss.megabytes < smaller * loss.fp32_megabytes
    audio = parity.signal(16_000, 30_000)
    gap = np.abs(live(pack, audio, [777]) - live(load_pack(where), audio, [777]))
    assert 1e-6 < gap.max() < 0.25


@pytest.mark.parametrize("fault", ["mean", "scale", "late", "labels"])
def test_parity_finds_a_wrong_pack(fault: str, base: Path) -> None:
    _, where, report = exported("ASTForAudioClassification", base)
    pack = load_pack(where)
    golden = np.load(io.BytesIO(pack.golden or b""))
    audio, rows = golden["audio"], golden["native"]
    features = pack.manifest.features
    assert isinstance(features, Fbank)
    if fault == "mean":
        features = msgspec.structs.replace(features, mean=features.mean + 0.2)
    if fault == "scale":
        features = msgspec.structs.replace(features, preemphasis=0.9)
    if fault == "late":
        rows = np.concatenate([rows[1:], rows[-1:]])
    if fault == "labels":
        rows = rows[..., ::-1]
    changed = msgspec.structs.replace(pack, manifest=msgspec.structs.replace(pack.manifest, features=features))
    measured = parity.measure(changed, Session(changed, provider=Provider.CPU), audio, rows)

    assert measured.batch_1 > 1e-3
    assert measured.batch_4 > 1e-3
    assert measured.streaming > 1e-3
    with pytest.raises(StreamclfError, match="no pack was written"):
        parity.require(measured, report.name)


def test_parity_compares_the_placing_of_frames(base: Path) -> None:
    """The native rows may be right and yet stand at the wrong frame."""
    pack = load_pack(exported("ASTForAudioClassification", base)[1])
    golden = np.load(io.BytesIO(pack.golden or b""))
    later = msgspec.structs.replace(pack.manifest, look_ahead=pack.manifest.look_ahead - 320)
    right = parity.grid_of(pack.manifest, golden["native"], len(golden["audio"]))
    wrong = parity.grid_of(later, golden["native"], len(golden["audio"]))
    assert parity.difference(right, wrong) > 1e-3
    assert parity.difference(right[:-1], wrong) == float("inf")


def test_where_parity_fails_nothing_is_written(base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _, _ = exported("ResNetForImageClassification", base)
    good = parity.Parity(runs=8, frames=8, batch_1=0.0, batch_4=0.0, streaming=0.002)
    monkeypatch.setattr(parity, "measure", lambda *_: dataclasses.replace(good))
    with pytest.raises(StreamclfError, match=r"0\.002 streaming"):
        export_checkpoint(folder, tmp_path / "pack")
    assert list(tmp_path.iterdir()) == []


def test_the_card_tells_licence_origin_and_certificate(base: Path, tmp_path: Path) -> None:
    folder = save_checkpoint("ResNetForImageClassification", tmp_path / "birds")
    (folder / "README.md").write_text("---\ntags: [audio]\nlicense: cc-by-4.0\n---\n# Birds\n")
    edit(folder / "config.json", id2label={str(i): name for i, name in enumerate(("a", "b", "c", "<b>\x1b[31m"))})
    export_checkpoint(folder, tmp_path / "pack")
    pack = load_pack(tmp_path / "pack")
    card = (tmp_path / "pack" / "CARD.md").read_text()

    assert (pack.manifest.name, pack.manifest.licence) == ("birds", "cc-by-4.0")
    assert pack.labels[3].name == "<b> [31m"
    assert "cc-by-4.0" in card
    assert "| parity |" in card
    text = (tmp_path / "pack" / "pack.toml").read_text() + card
    assert str(tmp_path) not in text, "the folders of this machine are nobody's business"
    assert json.dumps(str(folder)).encode() not in pack.model
    assert b"site-packages" not in pack.model
