"""`streamclf train` from a folder of recordings to a pack that runs, for each architecture; and what it refuses."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="torch is absent (pip install streamclf[train])")
pytest.importorskip("transformers", reason="transformers is absent (pip install streamclf[train])")

from streamclf.engine.batch import PackRunner  # noqa: E402
from streamclf.engine.engine import Engine  # noqa: E402
from streamclf.engine.offline import run_blocks  # noqa: E402
from streamclf.engine.verify import verify  # noqa: E402
from streamclf.errors import StreamclfError, UsageError  # noqa: E402
from streamclf.model.loader import load_pack  # noqa: E402
from streamclf.model.session import Session  # noqa: E402
from streamclf.train.data.features import BatchFeatures  # noqa: E402
from streamclf.train.fit import runstate  # noqa: E402
from streamclf.train.fit.job import Options, train  # noqa: E402
from streamclf.train.fit.loop import averaged_weights  # noqa: E402
from streamclf.train.fit.nets import CausalNet  # noqa: E402
from streamclf.train.fit.ours import OwnNet, Shaping  # noqa: E402
from streamclf.train.fit.training import FitSettings  # noqa: E402
from streamclf.types import FrameScores, Provider  # noqa: E402
from tests.support.recordings import RATE, tone, tone_clips, turns  # noqa: E402
from tools.lab.checkpoints import LOGMEL, ctc_checkpoint, edit, save_checkpoint  # noqa: E402
from tools.lab.daemon import run_cli  # noqa: E402

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

RUN_S = 300
QUICK = FitSettings(epochs=1, batch=4, threads=1)
ARCHS = [
    ("resnet", "sequence"), ("convnext", "sequence"), ("vit", "sequence"), ("ast", "sequence"),
    ("wav2vec2", "sequence"), ("wav2vec2", "frame"), ("hubert", "sequence"), ("hubert", "frame"),
    ("wavlm", "sequence"), ("wavlm", "frame"), ("data2vec-audio", "sequence"), ("data2vec-audio", "frame"),
    ("unispeech-sat", "sequence"), ("unispeech-sat", "frame"), ("sew", "sequence"), ("wav2vec2-bert", "sequence"),
    ("wav2vec2-bert", "frame"), ("whisper", "sequence"), ("convnet", "sequence"), ("crnn", "frame"), ("tcn", "frame"),
    ("transformer", "frame"), ("unispeech", "sequence"), ("sew-d", "sequence"), ("wav2vec2-conformer", "sequence"),
    ("wav2vec2-conformer", "frame"),
]  # fmt: skip


class EnoughError(Exception):
    """Raised by a watcher to end a run that has shown what it had to."""


class Watcher:
    """Remembers losses; ends the run after the first epoch unless told not to."""

    def __init__(self, *, enough: bool = True) -> None:
        self.losses: list[float] = []
        self._enough = enough

    def step(self, done: int, total: int, loss: float) -> None:
        self.losses.append(loss)

    def epoch(self, line: str) -> None:
        if self._enough:
            raise EnoughError


@pytest.fixture(autouse=True)
def own_threads() -> Any:
    """Training sets torch's threads and its determinism for the process."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    return tone_clips(tmp_path / "clips", count=4)


def quick(data: Path, tmp_path: Path, arch: str, mode: str, **given: Any) -> Any:
    """A run of a tiny net through all checks and one epoch; returns its watcher."""
    watcher = Watcher()
    values: dict[str, Any] = {"size": "tiny", "validation": 0.0, "test": 0.0, "settings": QUICK, **given}
    options = Options(arch=arch, mode=mode, **values)  # type: ignore[arg-type]
    with pytest.raises(EnoughError):
        train(data, tmp_path / "out", tmp_path / "run", options, watch=watcher, offline=True)
    return watcher


def refused(data: Path, tmp_path: Path, arch: str = "convnet", mode: str = "sequence", **given: Any) -> str:
    """The sentence that a run is refused with."""
    values: dict[str, Any] = {"validation": 0.0, "test": 0.0, "settings": QUICK, **given}
    options = Options(arch=arch, mode=mode, **values)  # type: ignore[arg-type]
    with pytest.raises(StreamclfError) as caught:
        train(data, tmp_path / "out", tmp_path / "run", options, watch=Watcher(), offline=True)
    assert not (tmp_path / "out").exists()
    return str(caught.value)


def test_clips_become_a_pack_that_tells_them_apart(tmp_path: Path) -> None:
    data = tone_clips(tmp_path / "clips", count=8)
    (data / "low" / "letter.wav").write_text("Dear listener")
    args = ["--arch", "convnet", "--mode", "sequence", "--width", "8", "--window", "0.6", "--epochs", "12"]

    done = run_cli(
        "train", "--data", str(data), "--out", str(tmp_path / "tones"), *args, "--validation", "0", "--test", "0.25",
        "--threads", "1", "--licence", "CC0-1.0", home=tmp_path, timeout_s=RUN_S,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert f"data: {data}/low/letter.wav is not audio" in done.stderr
    assert "1 problem with the data" in done.stderr
    assert "epoch 12 of 12: loss" in done.stderr
    assert "clip accuracy" in done.stdout
    pack = load_pack(tmp_path / "tones")
    assert [label.id for label in pack.labels] == ["high", "low"]
    assert (pack.manifest.title, pack.manifest.licence) == ("high, low", "CC0-1.0")
    card = (tmp_path / "tones" / "CARD.md").read_text()
    assert "On 4 held-out recordings" in card
    assert "| clip accuracy | 100.0 % |" in card
    assert "## Certificate" in card
    assert str(tmp_path) not in card

    heard = run_cli(
        "classify", str(data / "low" / "0.wav"), "--model", str(tmp_path / "tones"), "--scores", home=tmp_path
    )
    rows = [row for line in heard.stdout.splitlines() for row in json.loads(line)["rows"]]
    # a column for "high" and one for "low"
    assert np.mean(rows, axis=0)[1] > 0.6


def test_turns_become_a_causal_pack_that_says_who_sounds_now(tmp_path: Path) -> None:
    data = turns(tmp_path / "turns")
    args = ["--arch", "crnn", "--mode", "frame", "--width", "24", "--window", "2", "--epochs", "30", "--batch", "4"]

    done = run_cli(
        "train", "--data", str(data), "--out", str(tmp_path / "who"), *args, "--validation", "0", "--test-folds", "2",
        "--augment", "gain,noise,shift", "--bands", "32", "--threads", "1", home=tmp_path, timeout_s=RUN_S,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    figures = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines() if line[-1].isdigit())
    assert float(figures["frame accuracy"]) > 0.9
    assert float(figures["DER"]) < 0.3
    assert [label.hidden for label in load_pack(tmp_path / "who").labels] == [False, False, True]
    assert any((tmp_path / "who.run" / "log").iterdir())


def test_clips_become_a_transformer_that_keeps_keys_and_values(tmp_path: Path) -> None:
    data = tone_clips(tmp_path / "clips", count=8)
    options = Options(
        arch="transformer", mode="frame", width=32, bands=32, window_s=1.0, augment=("gain", "noise"), validation=0.0,
        test=0.25, settings=FitSettings(epochs=15, batch=4, threads=1, learning_rate=2e-3),
    )  # fmt: skip

    result = train(data, tmp_path / "pack", tmp_path / "run", options, watch=Watcher(enough=False), offline=True)

    assert result.judged is not None
    assert (result.judged.figures["clip_accuracy"] or 0.0) > 0.7
    pack = load_pack(tmp_path / "pack")
    # five rows a run, the first of which waits for the last
    assert (pack.manifest.step, pack.manifest.rows_per_window, pack.manifest.look_ahead) == (1600, 5, 1280)
    report = verify(pack)
    assert report.problems == []
    assert (report.look_ahead_ms, report.reuse) == (80, "keys and values: each step is run once")

    own = OwnNet("transformer", result.task, window_s=1.0, shaping=Shaping(width=32, bands=32, chunk_ms=100))
    own.net.load_state_dict(averaged_weights(runstate.load(tmp_path / "run")))
    audio = np.concatenate([soundfile.read(data / name / "0.wav", dtype="float32")[0] for name in ("low", "high")])
    audio = audio[: len(audio) // 1600 * 1600]
    spectra = BatchFeatures.of(pack.manifest)(audio[None])
    net = own.net.eval()
    assert isinstance(net, CausalNet)
    with torch.inference_mode():
        expected = torch.softmax(net.logits(torch.from_numpy(spectra)), dim=2)[0].numpy()
    engine = Engine([PackRunner(pack, Session(pack, provider=Provider.CPU))])
    outputs = [o for part in run_blocks(engine, "s", rate=RATE, blocks=np.array_split(audio, 17)) for o in part]
    live = np.concatenate([o.rows for o in outputs if isinstance(o, FrameScores)])
    assert live.shape == expected.shape
    assert float(np.abs(live - expected).max()) < 1e-5


def test_a_ctc_checkpoint_gets_a_new_head_over_an_encoder_at_rest(tmp_path: Path) -> None:
    data = tone_clips(tmp_path / "clips", count=6)
    source = ctc_checkpoint(tmp_path / "ctc")
    (source / "README.md").write_text("---\nlicense: mit\n---\n# Letters\n")
    options = Options(
        arch="wav2vec2", mode="frame", source=str(source), freeze="encoder", validation=0.0, test=0.34,
        settings=FitSettings(epochs=2, batch=4, threads=1, learning_rate=1e-2),
    )  # fmt: skip

    result = train(data, tmp_path / "pack", tmp_path / "run", options, watch=Watcher(enough=False), offline=True)

    from safetensors.torch import load_file

    before, after = (load_file(folder / "model.safetensors") for folder in (source, tmp_path / "run" / "checkpoint"))
    shared = [name for name in after if name.startswith("wav2vec2.")]
    assert len(shared) > 20
    # transformers stores the same weights of the positional convolution under one name or another
    assert all(torch.equal(before[name], after[name]) for name in shared if name in before)
    assert "classifier.weight" in after
    assert not any(name.startswith("lm_head") for name in after)
    assert result.judged is not None
    assert load_pack(tmp_path / "pack").manifest.rows_per_window == 50
    card = (tmp_path / "pack" / "CARD.md").read_text()
    assert "It began with a local folder ctc (Wav2Vec2ForCTC), whose licence is: mit." in card
    assert str(tmp_path) not in card, "the folders of this machine are nobody's business"


@pytest.mark.parametrize(("arch", "mode"), ARCHS)
def test_every_architecture_learns(clips: Path, tmp_path: Path, arch: str, mode: str) -> None:
    watcher = quick(clips, tmp_path, arch, mode)

    assert watcher.losses
    assert np.isfinite(watcher.losses).all()
    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    moved = [m for m in state["optimiser"]["state"].values() if float(m["exp_avg"].abs().max()) > 0]
    assert len(moved) > 0.7 * len(state["optimiser"]["state"])


PICTURE = {"kind": "image", "log": "db", "ref": "max", "normalise": "min-max"}


@pytest.mark.parametrize(
    ("arch", "kind", "more"),
    [
        ("convnextv2", "ConvNextV2", PICTURE), ("deit", "DeiT", PICTURE), ("efficientnet", "EfficientNet", {}),
    ],
)  # fmt: skip
def test_an_image_checkpoint_gets_a_new_head(clips: Path, tmp_path: Path, arch: str, kind: str, more: Any) -> None:
    """Another rate than the recordings'; log-mel frames or pictures of the whole window."""
    features: Any = LOGMEL["features"]
    image = {**LOGMEL, "rate": 8_000, "features": {**features, "high_hz": 3_600.0, **more}}
    source = save_checkpoint(f"{kind}ForImageClassification", tmp_path / "base", image=image)

    losses = quick(clips, tmp_path, arch, "sequence", source=str(source)).losses
    assert np.isfinite(losses or [np.nan]).all()


def test_labels_that_hold_at_once_are_learned_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    rows = []
    for number in range(6):
        present = ["low"] * (number % 2 == 0) + ["high"] * (number % 3 == 0)
        audio = sum((tone({"low": 300, "high": 1200}[name], 1.0) for name in present), 0.01 * tone(50, 1.0))
        soundfile.write(folder / f"{number}.wav", audio, RATE)
        rows += [[f"{number}.wav", name] for name in present or ["neither"]]
    with (folder / "annotations.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["file", "label"], *rows])

    quick(folder, tmp_path, "convnet", "sequence", augment=("mixup", "mask", "room", "filter"))

    held = json.loads((tmp_path / "run" / "run.json").read_bytes())
    assert held["options"]["arch"] == "convnet"


def test_a_new_head_may_say_several_at_once(tmp_path: Path) -> None:
    quick(turns(tmp_path / "turns", count=2), tmp_path, "wav2vec2", "frame", several=True,
          source=str(ctc_checkpoint(tmp_path / "ctc")))  # fmt: skip

    config = json.loads((tmp_path / "run" / "checkpoint" / "config.json").read_text())
    assert config["problem_type"] == "multi_label_classification"
    assert config["id2label"] == {"0": "high", "1": "low"}


@pytest.mark.parametrize(
    ("arch", "architecture", "rate"),
    [("resnet", "ResNetForImageClassification", 48_000), ("wav2vec2", "Wav2Vec2ForSequenceClassification", 8_000)],
)
def test_a_checkpoint_is_trained_on_sound_of_the_rate_that_it_hears(
    clips: Path, tmp_path: Path, arch: str, architecture: str, rate: int
) -> None:
    """Recordings that are decoded at another rate sound lower or higher to it than all that it has learnt from."""
    features = {**LOGMEL["features"], "frame_length": 960, "frame_shift": 480, "fft_size": 1024}  # type: ignore[dict-item]
    image = {**LOGMEL, "rate": rate, "window": 48_480, "features": features}
    source = save_checkpoint(architecture, tmp_path / "checkpoint", image=image)
    if arch != "resnet":
        edit(source / "preprocessor_config.json", sampling_rate=rate)

    said = refused(clips, tmp_path, arch, "sequence", source=str(source), rate=32_000)
    quick(clips, tmp_path, arch, "sequence", source=str(source))

    assert said == f"--from {source} hears {rate} Hz; leave --rate 32000 out"
    seconds = sum(soundfile.info(path).duration for path in clips.rglob("*.wav"))
    decoded = sum(path.stat().st_size for path in (tmp_path / "run" / "audio").glob("*.f32"))
    assert decoded == pytest.approx(4 * rate * seconds, rel=0.001)


@pytest.mark.parametrize(("what", "frozen"), [("feature-encoder", ".feature_extractor."), ("encoder", "wav2vec2.")])
def test_what_is_frozen_has_no_moments(clips: Path, tmp_path: Path, what: str, frozen: str) -> None:
    source = ctc_checkpoint(tmp_path / "ctc")

    quick(clips, tmp_path, "wav2vec2", "frame", source=str(source), freeze=what)

    state = torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)
    learned = sum(len(group["params"]) for group in state["optimiser"]["param_groups"])
    kept = sum(frozen in name for name in state["net"])
    assert kept > 5
    assert learned <= len(state["net"]) - kept


def test_one_class_is_not_enough(clips: Path, tmp_path: Path) -> None:
    shutil.rmtree(clips / "high")

    assert "the data has one class only ('low')" in refused(clips, tmp_path)


def test_a_folder_without_audio(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()

    assert "holds no labelled recording (of 0 audio files)" in refused(tmp_path / "empty", tmp_path)


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    assert "does not exist; give a folder of labelled recordings" in refused(tmp_path / "absent", tmp_path)


def test_nothing_but_damaged_clips(clips: Path, tmp_path: Path) -> None:
    for path in clips.rglob("*.wav"):
        path.write_bytes(b"no sound at all")

    assert "none of 8 recordings can be read; the first" in refused(clips, tmp_path)


@pytest.mark.parametrize(
    ("arch", "mode", "options", "sentence"),
    [
        ("resnt", "sequence", {}, "--arch 'resnt' is unknown; use one of convnet, crnn, tcn, transformer, resnet"),
        ("convnet", "frame", {}, "--arch convnet gives one row a window; use --mode sequence"),
        ("crnn", "sequence", {}, "--arch crnn gives a row every 20 ms; use --mode frame"),
        ("vit", "frame", {}, "which gives one row a window; use --mode sequence"),
        ("sew", "frame", {}, "for which there is no frame head; use --mode sequence"),
        ("convnet", "sequence", {"rate": 11_025}, "11025 Hz has no whole number of samples in 20 ms"),
        ("convnet", "sequence", {"rate": 22_050}, "--rate 22050 has no whole number of samples in 10 ms"),
        ("wav2vec2", "frame", {"rate": 8000}, "--arch wav2vec2 hears 16000 Hz; leave --rate 8000 out"),
        ("wav2vec2", "frame", {"freeze": "encoder"}, "name a checkpoint by --from"),
        ("swin", "sequence", {}, "--arch swin begins with a checkpoint; name one by --from"),
        ("convnet", "sequence", {"source": "x"}, "is trained from scratch; leave --from and --freeze out"),
        ("transformer", "frame", {"source": "x"}, "--arch transformer is trained from scratch; leave --from"),
        ("transformer", "sequence", {}, "--arch transformer gives a row every 20 ms; use --mode frame"),
        ("transformer", "frame", {"width": 30}, "--width 30: expected a multiple of 4, the transformer's heads"),
        ("convnet", "sequence", {"look_ahead_ms": 2000}, "--look-ahead-ms 2000 reaches over the window of 2 s"),
        ("convnet", "sequence", {"chunk_ms": 100}, "--chunk-ms 100 cannot be"),
        ("tcn", "frame", {"chunk_ms": 50}, "--chunk-ms 50 cannot be; expected a multiple of 20"),
        ("hubert", "frame", {"chunk_ms": 100}, "--chunk-ms belongs to causal nets of our own"),
        ("convnet", "sequence", {"bands": 20}, "--bands 20: expected a multiple of 8"),
        ("convnet", "sequence", {"labels": ("low", "hgih")}, "did you mean 'high'?"),
        ("convnet", "sequence", {"test_folds": (4,)}, "belongs to no fold"),
        ("convnet", "sequence", {"validation": 0.5, "test": 0.5}, "leave nothing to learn from"),
        ("wav2vec2", "frame", {"source": "no/where/at-all"}, "neither a folder that exists nor a model id"),
    ],
)
def test_what_cannot_be_is_said(
    clips: Path, tmp_path: Path, arch: str, mode: str, options: dict[str, Any], sentence: str
) -> None:
    assert sentence in refused(clips, tmp_path, arch, mode, size="tiny", **options)


def test_a_checkpoint_of_another_kind_is_refused(clips: Path, tmp_path: Path) -> None:
    source = ctc_checkpoint(tmp_path / "ctc")

    said = refused(clips, tmp_path, "hubert", "frame", source=str(source))

    assert said == f"--from {source} is of the type wav2vec2, not hubert; name its own --arch"


def test_a_checkpoint_without_an_encoder_is_refused(clips: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    source = ctc_checkpoint(tmp_path / "ctc")
    weights = load_file(source / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "encoder.layers.1." not in name}
    save_file(kept, source / "model.safetensors", metadata={"format": "pt"})

    assert "lacks the encoder's weight wav2vec2.encoder.layers.1." in refused(
        clips, tmp_path, "wav2vec2", "frame", source=str(source)
    )


def test_a_checkpoint_without_its_extractor_is_refused(clips: Path, tmp_path: Path) -> None:
    source = ctc_checkpoint(tmp_path / "ctc")
    for name in ("preprocessor_config.json", "processor_config.json"):
        (source / name).unlink(missing_ok=True)

    assert "has no preprocessor_config.json" in refused(clips, tmp_path, "wav2vec2", "frame", source=str(source))


def test_a_pack_is_not_written_over_unasked(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "pack.toml").write_text("")
    options = Options(arch="convnet", mode="sequence", settings=QUICK)

    with pytest.raises(UsageError, match="holds a pack already; add --replace"):
        train(clips, tmp_path / "out", tmp_path / "run", options, watch=Watcher())
