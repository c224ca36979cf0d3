"""What cannot be exported is told in a sentence: what came, what was expected, what to do."""

import importlib.util
import json
import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("transformers", reason="the extra `train` is not installed")

from streamclf.errors import StreamclfError, UsageError
from streamclf.train.export.checkpoint import export_checkpoint
from streamclf.train.export.packing import pack_name
from streamclf.train.families import family_of
from streamclf.train.families.family import Wishes
from streamclf.train.pretrained import load_checkpoint, quiet
from tools.lab.checkpoints import LOGMEL, edit, save_checkpoint
from tools.lab.tinypack import stateful_pack

SEQUENCE, FRAMES, CTC = "Wav2Vec2ForSequenceClassification", "Wav2Vec2ForAudioFrameClassification", "Wav2Vec2ForCTC"
AST, IMAGE, VIT = "ASTForAudioClassification", "ResNetForImageClassification", "ViTForImageClassification"
WHISPER, XVECTOR, CLAP = "WhisperForAudioClassification", "Wav2Vec2ForXVector", "ClapModel"
Change = Callable[[Path], object]


def config(**values: Any) -> Change:
    return lambda folder: edit(folder / "config.json", **values)


def settings(*, remove: tuple[str, ...] = (), **values: Any) -> Change:
    return lambda folder: edit(folder / "preprocessor_config.json", remove=remove, **values)


def logmel(*, remove: str = "", **values: Any) -> Change:
    features = {key: value for key, value in {**LOGMEL["features"], **values}.items() if key != remove}  # type: ignore[dict-item]
    return settings(streamclf={**LOGMEL, "features": features})


def write(name: str, text: str) -> Change:
    return lambda folder: (folder / name).write_text(text)


def cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])


def absent(*names: str) -> Change:
    def change(folder: Path) -> None:
        for name in names:
            (folder / name).unlink()

    return change


def adapter_alone(folder: Path) -> None:
    absent("config.json", "model.safetensors")(folder)
    write("adapter_config.json", '{"peft_type": "LORA", "base_model_name_or_path": "x/y"}')(folder)


CASES: list[tuple[str, Change, dict[str, Any], str]] = [
    (SEQUENCE, config(architectures=["Wav2Vec2ForPreTraining"]), {}, "without a head .* --arch wav2vec2"),
    (SEQUENCE, config(architectures=["BertForTokenClassification"], model_type="bert"), {}, "not a classifier"),
    (SEQUENCE, config(architectures=None), {}, "states no `architectures`"),
    (SEQUENCE, config(model_type="nonsense"), {}, "no model can be read from"),
    (SEQUENCE, write("config.json", "{"), {}, "not a valid JSON"),
    (SEQUENCE, absent("preprocessor_config.json"), {}, "has no preprocessor_config.json; expected the `do_normalize`"),
    (SEQUENCE, write("preprocessor_config.json", "[1]"), {}, "holds no table of settings"),
    (SEQUENCE, settings(remove=("sampling_rate",)), {}, "states no `sampling_rate`"),
    (SEQUENCE, settings(sampling_rate="fast"), {}, "`sampling_rate` in the .* is 'fast'"),
    (SEQUENCE, settings(sampling_rate=11_025), {}, "11025 Hz has no whole number of samples in 20 ms"),
    (FRAMES, settings(sampling_rate=12_000), {}, "which is 26.6667 ms; a frame head must give rows that make 20 ms"),
    (SEQUENCE, config(problem_type="regression"), {}, "problem_type 'regression'"),
    (SEQUENCE, config(id2label={"0": "a", "2": "b", "3": "c", "5": "d"}), {}, "numbers its 4 classes 0, 2, 3, 5"),
    (SEQUENCE, config(id2label={"0": "a", "1": "b"}), {}, r"classifier\.bias .* shape \[4\], .* asks for \[2\]"),
    (SEQUENCE, config(classifier_proj_size=25), {}, "do not match the weights"),
    (SEQUENCE, config(num_hidden_layers=2), {}, r"lacks 16 weights of .*encoder\.layers\.1"),
    (SEQUENCE, cut, {}, "cannot be loaded as Wav2Vec2ForSequenceClassification"),
    (SEQUENCE, absent("model.safetensors"), {}, "no file named model.safetensors"),
    (SEQUENCE, config(), {"labels": ["a", "b"]}, "the list of labels names 2 labels, but the model gives 4 classes"),
    (SEQUENCE, config(), {"name": "../x"}, r"the name '\.\./x' cannot be used"),
    (SEQUENCE, config(), {"wishes": Wishes(look_ahead_ms=5000)}, "expected 0 to 985 ms"),
    (SEQUENCE, config(), {"wishes": Wishes(settings={"bands": "64"})}, "leave --feature bands out"),
    (FRAMES, config(), {"wishes": Wishes(look_ahead_ms=5)}, "leave --look-ahead-ms out"),
    (CTC, write("vocab.json", '{"a": 0, "b": 1}'), {}, "the vocabulary of .* names 2 labels"),
    (CTC, write("vocab.json", json.dumps({str(i): i + 1 for i in range(7)})), {}, "not number its 7 tokens 0 to 6"),
    (CTC, write("vocab.json", '{"a": "b"}'), {}, "no table of token to number"),
    (CTC, write("vocab.json", '{"eng": {"a": 0}, "deu": {"b": 0}}'), {}, "holds 2 languages"),
    (CTC, absent("vocab.json", "tokenizer_config.json"), {}, "its 7 tokens have no names"),
    (SEQUENCE, adapter_alone, {}, r"holds an adapter without the weights that it adapts; .* of its base \(x/y\)"),
    (SEQUENCE, write("adapter_config.json", '{"peft_type": "LORA"}'), {}, "has no adapter_model.safetensors; expected"),
    (XVECTOR, config(), {"wishes": Wishes(window_ms=300)}, "needs 325 ms at least"),
    (XVECTOR, config(), {"wishes": Wishes(activation="sigmoid")}, "gives an embedding and no classes"),
    (CLAP, config(), {"wishes": Wishes(window_ms=5000)}, "hears at most 2000 ms"),
    (CLAP, settings(feature_size=20), {}, "gives 20 bands and its model takes 16"),
    (IMAGE, config(architectures=["BitForImageClassification"]), {}, "computes otherwise, 0.1 off"),
    (AST, settings(sampling_rate=32_000), {}, "states 32000 Hz; it makes frames of 400 samples each 160"),
    (AST, settings(max_length=1024), {}, "gives 1024 frames of 64 bands and its model takes 96 of 64"),
    (AST, config(), {"wishes": Wishes(window_ms=50)}, "needs 175 ms at least"),
    (WHISPER, settings(chunk_length=30), {}, "gives 3000 feature frames and its model takes 200"),
    (WHISPER, settings(dither=0.1), {}, "adds noise"),
    (WHISPER, config(), {"wishes": Wishes(window_ms=5000)}, "hears at most 2000 ms"),
    (IMAGE, settings(remove=("streamclf",)), {}, "does not state rate, window, bands, fft_size"),
    (IMAGE, logmel(remove="bands"), {}, "does not state bands of its log-mel images"),
    (IMAGE, logmel(bands=0), {}, "cannot become a pack: features have .* and 0 bands"),
    (IMAGE, logmel(low_hz=7800.0), {}, "cannot become a pack: features run from 7800 to 7500 Hz"),
    (IMAGE, logmel(bands="many"), {}, r"expected `int`, got `str` - at `\$\.bands`"),
    (IMAGE, logmel(frame_shift=0), {}, "expected 0 < frame_shift <= frame_length"),
    (IMAGE, logmel(frame_shift=100), {}, "must be a multiple of the features' frame_shift, which is 100"),
    (IMAGE, logmel(log_offset=0.0), {}, "silence has no logarithm"),
    (IMAGE, settings(streamclf={**LOGMEL, "rate": 11_025}), {}, "11025 Hz has no whole number"),
    (IMAGE, settings(streamclf={**LOGMEL, "layout": "sideways"}), {}, "the layout 'sideways' is unknown"),
    (IMAGE, settings(streamclf=3), {}, "is not a table"),
    (IMAGE, config(), {"wishes": Wishes(image=("n_mels=many",))}, "--image"),
    (IMAGE, config(), {"wishes": Wishes(image=("n_mels=32", "deltas=true"))}, "has 3 channels and .* takes 1"),
    (IMAGE, config(), {"wishes": Wishes(window_ms=20, image=("n_mels=32",))}, "cannot become a pack|cannot run"),
    (IMAGE, settings(streamclf={**LOGMEL, "features": {"kind": "image"}}), {}, "the picture that .* cannot be used"),
    (AST, config(), {"wishes": Wishes(image=("n_mels=64",))}, "leave --image out"),
    (IMAGE, settings(image_mean=[1, 2]), {}, "have 2 and 1 values; expected 1 each"),
    (IMAGE, config(), {"wishes": Wishes(settings={"band": "64"})}, "band is not a setting of log-mel images"),
    (IMAGE, config(), {"wishes": Wishes(window_ms=10)}, "holds no feature frame"),
    (VIT, logmel(bands=2), {}, "images have 2x60 pixels and one patch of the model has 4x4"),
    (VIT, config(), {"wishes": Wishes(settings={"bands": "2"})}, "ask for a longer window or more bands"),
]  # fmt: skip


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Path], Path]:
    """Copies of checkpoints that are made once."""
    import shutil

    base = tmp_path_factory.mktemp("saved")

    def copy(architecture: str, to: Path) -> Path:
        if not (base / architecture).exists():
            save_checkpoint(architecture, base / architecture)
        return Path(shutil.copytree(base / architecture, to))

    return copy


@pytest.mark.parametrize(("architecture", "change", "wish", "sentence"), CASES, ids=[case[3][:50] for case in CASES])
def test_a_checkpoint_that_cannot_be_exported(
    architecture: str,
    change: Change,
    wish: dict[str, Any],
    sentence: str,
    saved: Callable[[str, Path], Path],
    tmp_path: Path,
) -> None:
    folder = saved(architecture, tmp_path / "checkpoint")
    change(folder)
    with pytest.raises(StreamclfError, match=sentence) as caught:
        export_checkpoint(folder, tmp_path / "pack", **wish)
    assert "; " in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("/nowhere/at/all", "is neither a folder that exists nor a model id"),
        ("two words", "is neither a folder that exists nor a model id"),
        (__file__, "is a file; a checkpoint is the folder"),
        ("nobody/nothing-of-that-name", "no model can be read from nobody/nothing-of-that-name"),
    ],
)
def test_a_source_that_is_none(source: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    with pytest.raises(StreamclfError, match=sentence):
        export_checkpoint(source, tmp_path / "pack", offline=True)


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.5, 1e9, -1.0])
def test_a_window_that_cannot_be_is_told_at_once(value: float) -> None:
    with pytest.raises(UsageError, match="ms was asked for; expected 1 to 120000 ms"):
        Wishes(window_ms=value)
    if value != 0.5:
        with pytest.raises(UsageError, match=r"a look-ahead of .* expected 0 to 120000 ms"):
            Wishes(look_ahead_ms=value)


@pytest.mark.parametrize(
    ("architecture", "wishes"),
    [
        (IMAGE, {"settings": {"bands": "0"}}),
        (IMAGE, {"settings": {"rate": "11025"}}),
        (AST, {"window_ms": 50}),
        (WHISPER, {"window_ms": 5000}),
    ],
)
def test_what_the_user_asked_for_wrongly_is_a_mistake_of_usage(
    architecture: str, wishes: dict[str, Any], saved: Callable[[str, Path], Path], tmp_path: Path
) -> None:
    with pytest.raises(UsageError):
        export_checkpoint(saved(architecture, tmp_path / "checkpoint"), tmp_path / "pack", wishes=Wishes(**wishes))


def test_a_list_of_other_labels_is_a_mistake_of_usage(saved: Callable[[str, Path], Path], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the list of labels names 1 labels, but the model gives 4 classes"):
        export_checkpoint(saved(SEQUENCE, tmp_path / "checkpoint"), tmp_path / "pack", labels=["a"])


def test_code_that_comes_with_a_checkpoint_is_never_run(
    saved: Callable[[str, Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even after a question: nobody is asked."""
    folder = saved(SEQUENCE, tmp_path / "checkpoint")
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Config: ...\n")
    edit(folder / "config.json", model_type="evil", auto_map={"AutoConfig": "evil.Config"})
    monkeypatch.setattr("builtins.input", lambda *_: pytest.fail("somebody was asked"))
    with pytest.raises(StreamclfError, match="contains custom code"):
        export_checkpoint(folder, tmp_path / "pack")
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_a_pickle_with_code_are_not_run(saved: Callable[[str, Path], Path], tmp_path: Path) -> None:
    folder = saved(SEQUENCE, tmp_path / "checkpoint")
    (folder / "model.safetensors").unlink()
    # what `pickle` makes of an object whose `__reduce__` says: call os.mkdir(path)
    call = b"cos\nmkdir\n(V" + str(tmp_path / "ran").encode() + b"\ntR."
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x02" + call)
    with pytest.raises(StreamclfError, match="cannot be loaded as"):
        export_checkpoint(folder, tmp_path / "pack")
    assert not (tmp_path / "ran").exists()


def test_other_libraries_keep_quiet_while_they_look_for_a_network() -> None:
    import huggingface_hub.utils

    with quiet():
        assert not logging.getLogger(f"{huggingface_hub.utils.__name__}._http").isEnabledFor(logging.WARNING)


def test_what_is_no_pack_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(StreamclfError, match="exists and is not a pack"):
        export_checkpoint("nobody/nothing", tmp_path, replace=True)
    assert (tmp_path / "thesis.txt").read_text() == "all of it"


def test_a_folder_beside_a_pack_is_never_removed_with_it(tmp_path: Path) -> None:
    (stateful_pack(tmp_path / "own") / "recipe").mkdir()
    with pytest.raises(StreamclfError, match="holds the folder recipe, which is not part of a pack"):
        export_checkpoint("nobody/nothing", tmp_path / "own", replace=True)
    assert (tmp_path / "own" / "recipe").is_dir()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Wav2Vec2 Base", "wav2vec2-base"), ("3 birds", "m-3-birds"), ("鳥", "model"), ("x" * 90, "x" * 60)],
)
def test_names_of_packs(text: str, expected: str) -> None:
    assert pack_name(text) == expected
    assert len(pack_name(text, "int8-weights")) <= 64


def test_one_output_is_a_sigmoid(tmp_path: Path) -> None:
    """Softmax over one class is 1 whatever is heard."""
    folder = save_checkpoint(SEQUENCE, tmp_path / "one", id2label={0: "Bird"})
    checkpoint = load_checkpoint(str(folder))

    plan = family_of(checkpoint).plan(checkpoint, Wishes())

    assert (plan.activation, plan.exclusive) == ("sigmoid", False)
    assert any("one output" in note for note in plan.notes)
    with pytest.raises(UsageError, match="has one output, of which softmax makes 1"):
        family_of(checkpoint).plan(checkpoint, Wishes(activation="softmax"))


@pytest.mark.parametrize(
    "stated", [{"model_type": "timm_wrapper"}, {"architecture": "resnet10t", "pretrained_cfg": {}}]
)
def test_a_model_of_timm_asks_for_timm(
    stated: dict[str, Any], saved: Callable[[str, Path], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *more: None if name == "timm" else find(name, *more))
    folder = saved(IMAGE, tmp_path / "checkpoint")
    (folder / "config.json").write_text(json.dumps(stated))
    with pytest.raises(StreamclfError, match=r"a model of timm, which is not installed; .* \(`pip install timm`\)"):
        load_checkpoint(str(folder))


def test_the_checkpoint_that_went_wrong(shared: Path) -> None:
    one = load_checkpoint(str(shared / "cases" / "checkpoints" / "one_output"))
    assert family_of(one).plan(one, Wishes()).activation == "sigmoid"
