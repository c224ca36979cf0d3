"""Of each class in transformers' mappings it is known what becomes of it: exported, or refused with its reason."""

import re
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
from packaging.version import Version

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("transformers", reason="the extra `train` is not installed")

from streamclf.train.families import family_of
from streamclf.train.families.trained import SPEECH, WHOLE_WINDOWS, arch_of
from streamclf.train.families.unsupported import REFUSED
from streamclf.train.fit.newhead import target_class
from streamclf.train.pretrained import Checkpoint, CheckpointError
from tools.checkpoint_classes import COMMAND, MAPPINGS, PAGE, exportable, mapped, text

LOCK = Path(__file__).resolve().parents[2] / "tools" / "locks" / "test.txt"


def checkpoint(architecture: str, model_type: str = "of-some-type") -> Checkpoint:
    return Checkpoint("mine", SimpleNamespace(model_type=model_type), architecture, {}, local_only=True)


@pytest.mark.parametrize(("heading", "least"), list(zip(MAPPINGS, (12, 7, 13, 6, 40), strict=True)))
def test_each_class_is_exported_or_refused_with_its_reason(heading: str, least: int) -> None:
    names = mapped(heading)
    assert len(names) >= least, "transformers' table was not read"
    for name in names:
        if name in exportable():
            assert name in family_of(checkpoint(name)).classes
            assert name not in REFUSED
            continue
        assert name in REFUSED, f"transformers has {name}: export it, or say in families/unsupported.py why not"
        with pytest.raises(CheckpointError, match=f"^mine is a {name}, which ") as caught:
            family_of(checkpoint(name))
        assert REFUSED[name] in str(caught.value)
        assert "`streamclf export --families`" in str(caught.value)


def test_nothing_is_refused_that_transformers_has_no_longer() -> None:
    assert set(REFUSED) <= {name for heading in MAPPINGS for name in mapped(heading)}


@pytest.mark.parametrize(
    ("architecture", "model_type", "arch"),
    [
        ("Wav2Vec2Model", "wav2vec2", "wav2vec2"),
        ("Wav2Vec2ForPreTraining", "wav2vec2", "wav2vec2"),
        ("HubertModel", "hubert", "hubert"),
        ("ASTModel", "audio-spectrogram-transformer", "ast"),
        ("WhisperForConditionalGeneration", "whisper", "whisper"),
        ("SwinModel", "swin", "swin"),
    ],
)
def test_an_encoder_without_a_head_is_pointed_to_training(architecture: str, model_type: str, arch: str) -> None:
    with pytest.raises(CheckpointError, match=rf"without a head .* --from mine --arch {arch} --mode sequence"):
        family_of(checkpoint(architecture, model_type))


def test_what_trains_becomes_a_class_that_is_exported() -> None:
    for kind in (*SPEECH, *WHOLE_WINDOWS):
        assert arch_of(kind)
        assert target_class(kind, "sequence", "mine") in exportable()
    assert arch_of("bert") == ""


def test_the_page_is_what_the_code_makes() -> None:
    here, locked = version("transformers"), re.search(r"^transformers==(\S+)", LOCK.read_text(), re.MULTILINE)
    assert locked
    if Version(here) < Version(locked[1]):
        pytest.skip(f"the page tells of the classes of transformers {locked[1]}, which {here} has not all")
    assert PAGE.read_text(encoding="utf-8") == text(), f"run {COMMAND}"
