"""Trains the net on the pool; killed at any moment, it goes on from its last checkpoint to the same weights.

The order of scenes and what is done to them are functions of the seed and the step. The learning rate rises, stays and
falls over the last part of the steps; the result is a running average of the weights.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from models.default.recipe import start
from models.default.recipe.augment import Varied, varied
from models.default.recipe.classes import BACKGROUND, CLASSES, LABELS, teacher_columns
from models.default.recipe.net import DELAYS, Trainee
from models.default.recipe.pool import Pool
from models.default.recipe.teacher import STEP_ROWS, WINDOW_ROWS
from streamclf.train.fit import runstate
from streamclf.train.fit.loop import Loop, averaged_weights

ONE_OF_TEN = [at for at, one in enumerate(CLASSES) if one.esc10]
"""Classes of which a clip of ESC-10 has one: they learn to win against each other as well."""

FRESH = 15
"""Rows: an event should begin in these 300 ms."""


@dataclass(frozen=True, slots=True)
class RecipeSettings:
    """steps: of `batch` scenes. taught: weight of the teacher; frames, clips, winner: of the parts of the truth: each
    row, the highest row of a scene, the right one of ten; guessed: of the highest row of a second against what the
    teacher says of a class of which there is no truth. positive: weight of a row that has a class; fresh: of one in the
    first `FRESH` rows of its sound. half: multiply in bfloat16, which takes two thirds of the time where the processor
    has it.
    """

    steps: int = 13_000
    batch: int = 24
    learning_rate: float = 3e-3
    warm_up: int = 100
    falling: float = 0.4
    decay: float = 0.02
    average: float = 0.995
    clip: float = 2.0
    frames: float = 1.0
    clips: float = 0.5
    winner: float = 0.3
    guessed: float = 0.5
    taught: float = 8.0
    positive: float = 2.0
    fresh: float = 5.0
    seed: int = 0
    threads: int = 2
    half: bool = True


def trainee(taught: int) -> Trainee:
    """A net with fresh weights."""
    # what is no YAMNet answers for no class
    names = teacher_columns() if taught > max(max(own) for own in teacher_columns()) else ()
    return Trainee(len(LABELS), taught=taught, window_rows=WINDOW_ROWS, step_rows=STEP_ROWS, names=names)


def fit(
    pool: Pool,
    settings: RecipeSettings,
    run: Path,
    *,
    say: Callable[[str], None],
    every: int = 100,
    before: Path | None = None,
) -> Trainee:
    """The trained net, from the checkpoint in `run` where there is one. every: steps between two checkpoints. before:
    the folder of a pack of this recipe to go on from, in place of fresh weights.
    """
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    taught = pool.taught.astype(np.float32)
    centre, spread = taught.mean(axis=(0, 1)), taught.std(axis=(0, 1)) + 0.3
    net = trainee(taught.shape[2])
    net.centre.copy_(torch.from_numpy(centre))
    net.spread.copy_(torch.from_numpy(spread))
    if before and not (run / runstate.NAME).exists():
        start.begin(net, before, pool, (taught - centre) / spread)
    loop = Loop(
        net,
        learning_rate=settings.learning_rate,
        rate=lambda step: _rate(step, settings),
        decay=settings.decay,
        average=settings.average,
        clip=settings.clip,
    )
    if (run / runstate.NAME).exists():
        loop.restore(run)
        say(f"goes on from step {loop.step}")
    run.mkdir(parents=True, exist_ok=True)
    net.train()
    weights = (settings.frames, settings.clips, settings.winner, settings.guessed, settings.taught)
    told = _Told(settings.steps, loop.step, every)
    while loop.step < settings.steps:
        rng = np.random.default_rng([settings.seed, loop.step])
        batch = varied(pool, _drawn(len(pool.spectra), loop.step, settings), rng)
        parts = _losses(net, batch, centre, spread, settings)
        weighed = [weight * part for weight, part in zip(weights, parts, strict=True)]
        loss = loop.learn(torch.stack(weighed).sum())
        told.add([loss, *(float(part.detach()) for part in parts)])
        if loop.step % every == 0 or loop.step == settings.steps:
            loop.save(run)
            say(told.line(loop.step))
    loop.save(run)
    net.load_state_dict(loop.averaged)
    return net.eval()


class _Told:
    """What is said of the steps since the last time: the mean loss and its parts, and the pace."""

    def __init__(self, steps: int, first: int, every: int) -> None:
        self._steps, self._first, self._every = steps, first, every
        self._begun, self._cpu = time.monotonic(), time.process_time()
        self._sums = np.zeros(6)

    def add(self, losses: list[float]) -> None:
        """One step's loss, and its parts."""
        self._sums += losses

    def line(self, step: int) -> str:
        """A sentence; sums begin anew."""
        count = step - self._first
        pace = (time.monotonic() - self._begun) / count
        shares = " ".join(f"{value / self._every:.4f}" for value in self._sums)
        self._sums[:] = 0
        return (
            f"step {step} of {self._steps}: loss {shares}; {1000 * pace:.0f} ms a step, "
            f"{1000 * (time.process_time() - self._cpu) / count:.0f} of processor, "
            f"{pace * (self._steps - step) / 60:.0f} min to go"
        )


def finished(run: Path, settings: RecipeSettings) -> Trainee | None:
    """The net of a run that has made all its steps; None where there is none."""
    if not (run / runstate.NAME).exists():
        return None
    held = runstate.load(run)
    if held["step"] < settings.steps:
        return None
    weights = averaged_weights(held)
    net = trainee(len(weights["teacher_head.bias"]))
    net.load_state_dict(weights)
    return net.eval()


def _losses(
    net: Trainee, batch: Varied, centre: np.ndarray, spread: np.ndarray, settings: RecipeSettings
) -> list[Tensor]:
    """Of rows, of highest rows, of the right one of ten, of classes without truth, of the teacher's answers."""
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=settings.half):
        logits, answers = net(torch.from_numpy(batch.spectra))
    logits, answers = logits.float(), answers.float()
    strong = torch.from_numpy(batch.strong).float()
    known = torch.from_numpy(batch.known).float()
    weight = known[:, None] * (
        1 + (settings.positive - 1) * strong + (settings.fresh - settings.positive) * _fresh(strong)
    )
    guesses = torch.from_numpy(batch.heard)
    asked = torch.from_numpy(batch.asked).float()
    untold = (1 - known) * asked[:, None]
    untold[:, BACKGROUND] = 0.0
    rows, clips, winners, guessed = [], [], [], []
    present = strong.amax(dim=1)
    ten = present[:, ONE_OF_TEN]
    one = (ten.sum(dim=1) == 1) & (known[:, ONE_OF_TEN].sum(dim=1) == len(ONE_OF_TEN))
    for head, delay in enumerate(DELAYS):
        own = logits[:, delay:, head]
        count = own.shape[1]
        each = functional.binary_cross_entropy_with_logits(own, strong[:, :count], reduction="none")
        rows.append((each * weight[:, :count]).sum() / weight.sum())
        highest = own.amax(dim=1)
        each = functional.binary_cross_entropy_with_logits(highest, present, reduction="none")
        clips.append((each * known).sum() / known.sum())
        loudest = functional.max_pool1d(own.transpose(1, 2), STEP_ROWS, ceil_mode=True).transpose(1, 2)
        each = functional.binary_cross_entropy_with_logits(loudest, guesses, reduction="none")
        guessed.append((each.mean(dim=1) * untold).mean())
        if one.any():
            winners.append(functional.cross_entropy(highest[one][:, ONE_OF_TEN], ten[one].argmax(dim=1)))
    target = torch.from_numpy((batch.taught - centre) / spread)
    wrong = functional.smooth_l1_loss(answers, target, reduction="none").mean(dim=(1, 2))
    return [
        sum(rows[1:], rows[0]) / len(DELAYS) * len(LABELS),
        sum(clips[1:], clips[0]) / len(DELAYS) * len(LABELS),
        sum(winners[1:], winners[0]) / len(DELAYS) if winners else logits.new_zeros(()),
        sum(guessed[1:], guessed[0]) / len(DELAYS) * len(LABELS),
        (wrong * asked).sum() / asked.sum().clamp(min=1.0),
    ]


def _fresh(strong: Tensor) -> Tensor:
    """(B, rows, classes): 1 in the first `FRESH` rows of each sound that begins here."""
    before = functional.pad((1 - strong).transpose(1, 2), (FRESH, 0))
    return strong * functional.max_pool1d(before, FRESH + 1, stride=1).transpose(1, 2)


def _drawn(count: int, step: int, settings: RecipeSettings) -> np.ndarray:
    """The scenes of a step: all of them in another order, again and again."""
    per_epoch = count // settings.batch
    epoch, at = divmod(step, per_epoch)
    order = np.random.default_rng([settings.seed, 1, epoch]).permutation(count)
    return order[at * settings.batch : (at + 1) * settings.batch]


def _rate(step: int, settings: RecipeSettings) -> float:
    fall = settings.steps * settings.falling
    return min(1.0, (step + 1) / settings.warm_up, max(0.01, (settings.steps - step) / fall))
