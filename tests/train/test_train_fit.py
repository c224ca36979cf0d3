"""The training loop by its rules: what it keeps, when it stops, what a seed decides. Nets here are a single product."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is absent (pip install streamclf[train])")
pytest.importorskip("tensorboard", reason="tensorboard is absent (pip install streamclf[train])")

import msgspec  # noqa: E402

from streamclf.errors import StreamclfError  # noqa: E402
from streamclf.model.pack import Manifest  # noqa: E402
from streamclf.train.data.annotations import read_data  # noqa: E402
from streamclf.train.data.corpus import decode  # noqa: E402
from streamclf.train.data.examples import ExampleCut, Examples  # noqa: E402
from streamclf.train.data.tasks import Task  # noqa: E402
from streamclf.train.fit import runstate  # noqa: E402
from streamclf.train.fit.ours import OwnNet, Shaping  # noqa: E402
from streamclf.train.fit.training import FitSettings, Outcome, fit  # noqa: E402
from tests.support.recordings import RATE, tone_clips  # noqa: E402

TASK = Task(("high", "low"), exclusive=True)
SETTINGS = FitSettings(epochs=3, batch=4, threads=1, learning_rate=0.05)


class Linear:
    """A learner with one layer on the mean spectrum of a window."""

    def __init__(self, manifest: Manifest, *, factor: float = 1.0) -> None:
        torch.manual_seed(1)
        self.manifest = manifest
        self.net: Any = torch.nn.Linear(64, 2)
        self._factor = factor

    def logits(self, x: Any) -> Any:
        return self.net(x.mean(dim=(1, 2))) * self._factor

    def is_encoder(self, name: str) -> bool:
        return name == "bias"


class Watcher:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.steps: list[tuple[int, int]] = []
        self.lines: list[str] = []

    def step(self, done: int, total: int, loss: float) -> None:
        self.steps.append((done, total))

    def epoch(self, line: str) -> None:
        self.lines.append(line)


Fit = Callable[..., tuple[Outcome, Linear, Watcher]]


@pytest.fixture
def train(tmp_path: Path) -> Iterator[Fit]:
    recordings, _ = read_data(tone_clips(tmp_path / "clips", count=6, seconds=0.8))
    corpus, good, _ = decode(recordings, RATE, tmp_path / "audio")
    manifest = OwnNet("convnet", TASK, window_s=0.4, shaping=Shaping(width=4)).manifest
    cut = ExampleCut("sequence", RATE, manifest.window)
    threads = torch.get_num_threads()

    def run(
        settings: FitSettings = SETTINGS,
        *,
        folder: str = "run",
        factor: float = 1.0,
        validation: bool = True,
        **more: Any,
    ) -> tuple[Outcome, Linear, Watcher]:
        learner, watcher = Linear(manifest, factor=factor), Watcher()
        teaching = Examples(corpus, good[:4] + good[6:10], TASK, cut, kinds=("gain", "shift"), seed=settings.seed)
        judging = Examples(corpus, good[4:6] + good[10:], TASK, cut) if validation else None
        (tmp_path / folder).mkdir(exist_ok=True)
        given = {"resume": False, "report": watcher, **more}
        outcome = fit(learner, teaching, judging, settings, tmp_path / folder, **given)
        return outcome, learner, watcher

    yield run
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def test_it_learns_and_says_what_it_did(train: Fit, tmp_path: Path) -> None:
    outcome, _, watcher = train(msgspec.structs.replace(SETTINGS, epochs=8, learning_rate=0.005))

    assert outcome.stopped == "all 8 epochs were made"
    assert outcome.accuracy == 1.0
    assert outcome.history[-1]["validation_loss"] < 0.7 * outcome.history[0]["validation_loss"]
    # 8 clips of 0.8 s are two stretches of 0.4 s each
    assert watcher.steps == [(step, 32) for step in range(1, 33)]
    assert [line.split(":")[0] for line in watcher.lines] == [f"epoch {n} of 8" for n in range(1, 9)]
    assert any((tmp_path / "run" / "log").iterdir()), "tensorboard has nothing to show"


def test_the_best_epoch_on_the_validation_part_is_kept(train: Fit, tmp_path: Path) -> None:
    # steps so long that it swings past the best weights
    outcome, learner, _ = train(msgspec.structs.replace(SETTINGS, epochs=6, learning_rate=3.0, average=0.0))

    losses = [told["validation_loss"] for told in outcome.history]
    assert outcome.best_epoch == 1 + int(np.argmin(losses))
    best = runstate.load(tmp_path / "run")["best"]["weights"]
    assert torch.equal(learner.net.weight, best["weight"])


def test_it_stops_early_where_nothing_gets_better(train: Fit) -> None:
    outcome, _, _ = train(msgspec.structs.replace(SETTINGS, epochs=50, learning_rate=0.0, decay=0.0, patience=3))

    assert outcome.epochs == 4
    assert outcome.best_epoch == 1
    assert outcome.stopped == "no progress on the validation part for 3 epochs"


def test_without_a_validation_part_it_goes_on_to_the_end(train: Fit) -> None:
    outcome, _, _ = train(msgspec.structs.replace(SETTINGS, patience=1), validation=False)

    assert (outcome.epochs, outcome.best_epoch, outcome.accuracy) == (3, None, None)


def test_it_stops_when_its_minutes_are_over(train: Fit) -> None:
    now = iter(range(0, 100_000, 7))

    outcome, _, _ = train(msgspec.structs.replace(SETTINGS, epochs=100, minutes=1.0), clock=lambda: float(next(now)))

    assert outcome.stopped == "1 minutes were over"
    assert 60 <= outcome.seconds < 75


def test_a_loss_that_is_no_number_ends_it_with_a_sentence(train: Fit) -> None:
    with pytest.raises(StreamclfError, match=r"the loss is nan at step 0; train with a --learning-rate under 0\.05"):
        train(factor=float("nan"))


def test_a_seed_decides_everything(train: Fit) -> None:
    _, first, _ = train(folder="first")
    _, again, _ = train(folder="again")
    _, other, _ = train(msgspec.structs.replace(SETTINGS, seed=1), folder="other")

    assert torch.equal(first.net.weight, again.net.weight)
    assert not torch.equal(first.net.weight, other.net.weight)


def test_a_run_that_broke_off_goes_on_where_it_was(train: Fit) -> None:
    class BrokenOffError(Exception):
        pass

    class Breaking(Watcher):
        def step(self, done: int, total: int, loss: float) -> None:
            if done == 7:
                raise BrokenOffError

    settings = msgspec.structs.replace(SETTINGS, checkpoint_steps=3)
    # without a validation part the last weights count, not the best ones
    _, whole, _ = train(settings, folder="whole", validation=False)
    with pytest.raises(BrokenOffError):
        train(settings, report=Breaking(), validation=False)

    _, resumed, watcher = train(settings, resume=True, validation=False)

    assert watcher.steps[0][0] == 7, "the last checkpoint was made after step 6"
    assert torch.equal(resumed.net.weight, whole.net.weight)


def test_there_must_be_something_to_resume(train: Fit) -> None:
    with pytest.raises(StreamclfError, match=r"run holds no checkpoint\.pt to resume; start without --resume"):
        train(resume=True)


def test_a_damaged_checkpoint_is_said(train: Fit, tmp_path: Path) -> None:
    train()
    (tmp_path / "run" / "checkpoint.pt").write_bytes(b"half a file")

    with pytest.raises(StreamclfError, match=r"checkpoint\.pt cannot be read .*; remove it and start anew"):
        train(resume=True)


def test_what_was_trained_before_learns_at_its_own_rate(train: Fit) -> None:
    settings = msgspec.structs.replace(SETTINGS, encoder_share=0.0, average=0.0)
    torch.manual_seed(1)
    before = torch.nn.Linear(64, 2)

    _, learner, _ = train(settings, validation=False)

    assert torch.equal(learner.net.bias, before.bias)
    assert not torch.equal(learner.net.weight, before.weight)
