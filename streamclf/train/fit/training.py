"""The training loop: examples in, weights out, the same ones for the same seed however often the run was killed.

What decides the next step is the step's number and what stands in the checkpoint: weights, averages, the optimiser's
moments and the generators that nets draw from (dropout and the like). Examples depend on the seed and their number
alone. Threads are part of it, since sums of floats depend on how they are divided; so a run keeps those it began with.
"""

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from streamclf.model.pack import Manifest
from streamclf.train.data import augment
from streamclf.train.data.examples import Batch, Examples
from streamclf.train.data.features import BatchFeatures
from streamclf.train.extra import need
from streamclf.train.fit import runstate
from streamclf.train.fit.loop import Loop


class FitSettings(msgspec.Struct, frozen=True):
    """How to train. learning_rate: at its highest; encoder_share: of it for weights that were trained before.

    minutes: stop by then (0: no limit); how fast the learning rate falls then follows the clock, so that such a run
    cannot be repeated to the bit. patience: epochs without progress on the validation part before it stops early (0:
    never). average: weight of the past in the running average of the weights that is kept as the result. threads: 0
    takes the machine's cores. checkpoint_steps: between two checkpoints, one more being made after each epoch.
    """

    epochs: int = 60
    minutes: float = 0.0
    batch: int = 32
    learning_rate: float = 2e-3
    encoder_share: float = 1.0
    decay: float = 0.02
    warm_up: float = 0.1
    smoothing: float = 0.05
    average: float = 0.995
    clip: float = 2.0
    patience: int = 0
    threads: int = 0
    checkpoint_steps: int = 100
    seed: int = 0


class Learner(Protocol):
    """A net and what it must be fed with. `logits` takes the input that the manifest describes, for fresh streams."""

    net: nn.Module
    manifest: Manifest

    def logits(self, x: Tensor) -> Tensor:
        """(B, classes) or (B, rows, classes)."""

    def is_encoder(self, name: str) -> bool:
        """Whether the weight of that name was there before the classes were known."""


class Watch(Protocol):
    """Who watches a run. Times in seconds."""

    def step(self, done: int, total: int, loss: float) -> None:
        """`done` of `total` steps are made."""

    def epoch(self, line: str) -> None:
        """A sentence about the epoch just ended."""


@dataclass(slots=True)
class Outcome:
    """What came of it. accuracy: share of validation recordings (in frame mode: of rows) that were named right."""

    epochs: int
    steps: int
    seconds: float
    cpu_seconds: float
    loss: float
    best_epoch: int | None
    accuracy: float | None
    stopped: str
    """Why it ended, in words."""
    history: list[dict[str, float]] = field(default_factory=list)


def fit(
    learner: Learner,
    train: Examples,
    validation: Examples | None,
    settings: FitSettings,
    run: Path,
    *,
    resume: bool,
    report: Watch,
    clock: Callable[[], float] = time.monotonic,
) -> Outcome:
    """Train `learner.net` in place; it ends with the averaged weights, those of the best epoch where there is a
    validation part.

    run: folder of the checkpoint and of the log for tensorboard. resume: go on from the checkpoint in it. Raises
    StreamclfError where the loss is not a number any more.
    """
    return _Run(learner, train, validation, settings, run, report, clock).go(resume)


class _Run:
    """State of a run while it goes."""

    def __init__(
        self,
        learner: Learner,
        train: Examples,
        validation: Examples | None,
        settings: FitSettings,
        folder: Path,
        report: Watch,
        clock: Callable[[], float],
    ) -> None:
        self.learner, self.net = learner, learner.net
        self.train, self.validation = train, validation
        self.settings, self.folder, self.report, self.clock = settings, folder, report, clock
        self.features = BatchFeatures.of(learner.manifest)
        self.exclusive = train.task.exclusive
        self.epoch = self.at = 0
        self.threads = settings.threads or os.cpu_count() or 1
        self.spent = self.cpu_spent = 0.0
        self.loss = math.nan
        self.best: dict[str, Any] = {}
        self.history: list[dict[str, float]] = []
        self.total = settings.epochs * -(-len(train) // settings.batch)
        self.loop = Loop(
            self.net,
            learning_rate=settings.learning_rate,
            rate=self._rate,
            decay=settings.decay,
            average=settings.average,
            clip=settings.clip,
            share=lambda name: settings.encoder_share if learner.is_encoder(name) else 1.0,
        )

    def go(self, resume: bool) -> Outcome:
        runstate.seed_all(self.settings.seed)
        if resume:
            self._restore()
        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(True)
        begun, cpu_begun = self.clock() - self.spent, time.process_time() - self.cpu_spent
        log = need("torch.utils.tensorboard").SummaryWriter(str(self.folder / "log"), purge_step=self.loop.step)
        stopped = ""
        try:
            while not stopped:
                stopped = self._why_stop()
                if not stopped:
                    self._one_epoch(log, begun, cpu_begun)
        finally:
            log.close()
        best = self.best
        self.net.load_state_dict(best["weights"] if best else self.loop.averaged)
        self.net.eval()
        return Outcome(
            epochs=self.epoch,
            steps=self.loop.step,
            seconds=self.spent,
            cpu_seconds=self.cpu_spent,
            loss=self.loss,
            best_epoch=best.get("epoch"),
            accuracy=best.get("accuracy"),
            stopped=stopped,
            history=self.history,
        )

    def _why_stop(self) -> str:
        settings = self.settings
        if settings.minutes and self.spent >= settings.minutes * 60:
            return f"{settings.minutes:g} minutes were over"
        if self.epoch >= settings.epochs:
            return f"all {settings.epochs} epochs were made"
        if self.best and settings.patience and self.epoch - self.best["epoch"] >= settings.patience:
            return f"no progress on the validation part for {settings.patience} epochs"
        return ""

    def _one_epoch(self, log: Any, begun: float, cpu_begun: float) -> None:
        settings = self.settings
        self.net.train()
        while self.at < len(self.train):
            learning_rate = self.loop.learning_rate
            self.loss = self._one_step()
            step = self.loop.step
            self.at += settings.batch
            self.spent, self.cpu_spent = self.clock() - begun, time.process_time() - cpu_begun
            log.add_scalar("loss/train", self.loss, step)
            log.add_scalar("learning_rate", learning_rate, step)
            self.report.step(step, self.total, self.loss)
            if settings.minutes and self.spent >= settings.minutes * 60:
                break
            if step % settings.checkpoint_steps == 0 and self.at < len(self.train):
                self._save()
        self.epoch += 1
        self.at = 0
        told = {"epoch": float(self.epoch), "step": float(self.loop.step), "loss": self.loss}
        if self.validation is not None:
            told |= self._validate()
        self.spent, self.cpu_spent = self.clock() - begun, time.process_time() - cpu_begun
        self.history.append(told)
        for name in told.keys() - {"epoch", "step", "loss"}:
            log.add_scalar(name.replace("_", "/", 1), told[name], self.loop.step)
        self._save()
        figures = ", ".join(f"{name} {told[name]:.4g}" for name in told if name not in ("epoch", "step"))
        self.report.epoch(f"epoch {self.epoch} of {settings.epochs}: {figures}")

    def _one_step(self) -> float:
        settings = self.settings
        batch = self.train.batch(self.epoch, self.at, settings.batch)
        rows = self.features.rows(batch.audio)
        masks = self.train.masks(self.epoch, self.at)
        spectra = self.features.spectra(rows)
        if masks is not None and spectra.ndim > 2:  # samples have no bands to blank
            augment.mask(spectra, masks)
        logits = self.learner.logits(torch.from_numpy(self.features.lay(rows)))
        return self.loop.learn(self._loss(logits, batch, settings.smoothing))

    def _loss(self, logits: Tensor, batch: Batch, smoothing: float) -> Tensor:
        targets, weights = torch.from_numpy(batch.targets), torch.from_numpy(batch.weights)
        if self.exclusive:
            targets = targets * (1 - smoothing) + smoothing / targets.shape[-1]
            each = -(targets * functional.log_softmax(logits, dim=-1)).sum(dim=-1)
        else:
            each = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=-1)
        return (each * weights).sum() / weights.sum().clamp(min=1.0)

    def _rate(self, step: int) -> float:
        """Share of the highest rate: a linear rise, then half a cosine down to nothing."""
        settings = self.settings
        done = min(1.0, (step + 1) / self.total)
        if settings.minutes:
            done = max(done, min(1.0, self.spent / (settings.minutes * 60)))
        if done < settings.warm_up:
            return done / settings.warm_up
        return 0.5 * (1 + math.cos(math.pi * (done - settings.warm_up) / (1 - settings.warm_up)))

    def _validate(self) -> dict[str, float]:
        assert self.validation is not None
        live = {name: value.clone() for name, value in self.net.state_dict().items()}
        self.net.load_state_dict(self.loop.averaged)
        loss, accuracy = self._judge(self.validation)
        if not self.best or loss < self.best["loss"]:
            weights = {name: value.clone() for name, value in self.loop.averaged.items()}
            self.best = {"loss": loss, "accuracy": accuracy, "epoch": self.epoch, "weights": weights}
        self.net.load_state_dict(live)
        return {"validation_loss": loss, "validation_accuracy": accuracy}

    def _judge(self, examples: Examples) -> tuple[float, float]:
        """(mean loss, accuracy) of the present weights."""
        self.net.eval()
        losses, right, judged = [], 0.0, 0.0
        clips: dict[int, tuple[Any, Any]] = {}
        with torch.no_grad():
            for batch in examples.ordered(self.settings.batch):
                logits = self.learner.logits(torch.from_numpy(self.features(batch.audio)))
                weight = float(batch.weights.sum())
                losses.append((float(self._loss(logits, batch, 0.0)) * weight, weight))
                scores = (logits.softmax(-1) if self.exclusive else logits.sigmoid()).numpy()
                if examples.cut.mode == "frame":
                    right += float((_agree(scores, batch.targets, self.exclusive) * batch.weights).sum())
                    judged += weight
                    continue
                for number, score, target in zip(batch.recordings, scores, batch.targets, strict=True):
                    before = clips.get(number, (0.0, 0.0))
                    clips[number] = (before[0] + score, before[1] + target)
        if clips:
            summed = [np.stack(part) for part in zip(*clips.values(), strict=True)]
            right, judged = float(_agree(summed[0], summed[1], self.exclusive).sum()), float(len(clips))
        self.net.train()
        weight = sum(weight for _, weight in losses)
        return sum(loss for loss, _ in losses) / max(weight, 1e-9), right / max(judged, 1e-9)

    def _save(self) -> None:
        self.loop.save(
            self.folder,
            best=self.best,
            history=self.history,
            counts=[self.loop.step, self.epoch, self.at, self.threads],
            spent=[self.spent, self.cpu_spent, self.loss],
        )

    def _restore(self) -> None:
        state = self.loop.restore(self.folder)
        self.best, self.history = state["best"], state["history"]
        _, self.epoch, self.at, self.threads = state["counts"]
        self.spent, self.cpu_spent, self.loss = state["spent"]


def _agree(scores: Any, targets: Any, exclusive: bool) -> Any:
    """(...): whether the scores say what the targets do; of several classes at once, the share that is right."""
    if exclusive:
        return scores.argmax(-1) == targets.argmax(-1)
    return ((scores > 0.5) == (targets > 0.5)).mean(-1)
