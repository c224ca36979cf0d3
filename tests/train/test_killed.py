"""A run that is killed in the middle of an epoch and resumed ends in the weights of one that was not, for each family.

What is trained further is so at the rate of its checkpoint, which is another than the recordings'.
"""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is absent (pip install streamclf[train])")
pytest.importorskip("transformers", reason="transformers is absent (pip install streamclf[train])")

import soundfile  # noqa: E402

from streamclf.train.data.tasks import Mode  # noqa: E402
from streamclf.train.fit import ours, runstate, scratch  # noqa: E402
from streamclf.train.fit.job import Options, train  # noqa: E402
from streamclf.train.fit.training import FitSettings  # noqa: E402
from tests.support.recordings import tone_clips  # noqa: E402
from tools.lab.checkpoints import LOGMEL, edit, save_checkpoint  # noqa: E402

pytestmark = [pytest.mark.timeout(300), pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")]

SETTINGS = FitSettings(epochs=1, batch=2, threads=1, checkpoint_steps=1)
KILLED_AT = 3
"""The step that is lost: the one before it was saved."""
OTHER_RATE = 8_000
SPEECH = {
    "wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM", "data2vec-audio": "Data2VecAudio",
    "unispeech": "UniSpeech", "unispeech-sat": "UniSpeechSat", "sew": "SEW", "sew-d": "SEWD",
    "wav2vec2-conformer": "Wav2Vec2Conformer",
}  # fmt: skip
PICTURES = {
    "resnet": "ResNet", "convnext": "ConvNext", "convnextv2": "ConvNextV2", "vit": "ViT", "swin": "Swin",
    "deit": "DeiT", "efficientnet": "EfficientNet", "mobilenet_v2": "MobileNetV2", "regnet": "RegNet",
    "dinov2": "Dinov2",
}  # fmt: skip
FIXED = {"wav2vec2-bert": "Wav2Vec2Bert", "whisper": "Whisper", "ast": "AST"}
"""Whose spectra are those of 16 kHz; another rate is refused."""
FRAMES = {"wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech-sat", "wav2vec2-conformer", "wav2vec2-bert"}
CASES = [
    *((arch, only, "", ours.DEFAULT_RATE) for arch, only in ours.ARCHS.items()),
    *((arch, "sequence", f"{kind}ForSequenceClassification", OTHER_RATE) for arch, kind in SPEECH.items()),
    *((arch, "sequence", f"{kind}ForImageClassification", OTHER_RATE) for arch, kind in PICTURES.items()),
    ("wav2vec2", "sequence", "Wav2Vec2ForXVector", OTHER_RATE),
    ("wav2vec2-bert", "sequence", "Wav2Vec2BertForSequenceClassification", 16_000),
    ("whisper", "sequence", "WhisperForAudioClassification", 16_000),
    ("ast", "sequence", "ASTForAudioClassification", 16_000),
    *((arch, "frame", f"{({**SPEECH, **FIXED})[arch]}ForAudioFrameClassification", 16_000) for arch in sorted(FRAMES)),
]


class OverError(Exception):
    """Ends a run that has shown what it had to; the pack is of no interest here."""


class Watcher:
    """Remembers steps. killed_at: the step after which this process is killed, 0 for none."""

    def __init__(self, *, killed_at: int = 0) -> None:
        self.steps: list[int] = []
        self._killed_at = killed_at

    def step(self, done: int, total: int, loss: float) -> None:
        self.steps.append(done)
        if done == self._killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def epoch(self, line: str) -> None:
        raise OverError


@pytest.fixture(autouse=True)
def own_threads() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a child of a process with more would wait for those that it has not
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def source_of(architecture: str, rate: int, folder: Path) -> str:
    if not architecture:
        return ""
    features: Any = LOGMEL["features"]
    image = {**LOGMEL, "rate": rate, "features": {**features, "high_hz": 0.45 * rate}}
    source = save_checkpoint(architecture, folder, image=image)
    if "ForImage" not in architecture and rate != 16_000:
        edit(source / "preprocessor_config.json", sampling_rate=rate)
    return str(source)


@pytest.mark.parametrize(("arch", "mode", "architecture", "rate"), CASES)
def test_a_killed_run_ends_in_the_weights_of_a_whole_one(
    tmp_path: Path, arch: str, mode: Mode, architecture: str, rate: int
) -> None:
    data = tone_clips(tmp_path / "clips", count=4)
    options = Options(
        arch=arch, mode=mode, size="tiny", source=source_of(architecture, rate, tmp_path / "base"), validation=0.0,
        test=0.0, settings=SETTINGS,
    )  # fmt: skip

    def run(folder: str, watcher: Watcher, *, resume: bool = False) -> Any:
        with pytest.raises(OverError):
            train(data, tmp_path / "out", tmp_path / folder, options, watch=watcher, resume=resume, offline=True)
        return runstate.load(tmp_path / folder)

    child = os.fork()
    if not child:
        try:
            run("killed", Watcher(killed_at=KILLED_AT))
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    rest = Watcher()
    resumed = run("killed", rest, resume=True)
    whole = run("whole", Watcher())

    assert rest.steps[0] == KILLED_AT
    assert rest.steps[-1] > KILLED_AT
    for part in ("net", "average"):
        assert resumed[part].keys() == whole[part].keys()
        assert all(torch.equal(resumed[part][name], value) for name, value in whole[part].items()), part
    seconds = sum(soundfile.info(path).duration for path in data.rglob("*.wav"))
    decoded = (tmp_path / "whole" / "audio" / "audio.f32").stat().st_size
    assert decoded == pytest.approx(4 * rate * seconds, rel=0.001)


def test_every_architecture_is_among_them() -> None:
    assert {arch for arch, *_ in CASES} == {*ours.ARCHS, *scratch.ARCHS}
