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
from torch import Tensor, nn
from torch.nn import functional

from streamclf.train import runstate
from tools.default.augment import Varied, varied
from tools.default.classes import BACKGROUND, CLASSES, LABELS
from tools.default.net import DELAYS, Trainee
from tools.default.pool import Pool
from tools.default.teacher import STEP_ROWS, WINDOW_ROWS

ONE_OF_TEN = [at for at, one in enumerate(CLASSES) if one.esc10]
"""Classes of which a clip of ESC-10 has one: they learn to win against each other as well."""

FRESH = 15
"""Rows: an event should begin in these 300 ms."""


@dataclass(frozen=True, slots=True)
class Settings:
    """steps: of `batch` scenes. taught: weight of the teacher; frames, clips, winner: of the parts of the truth: each
    row, the highest row of a scene, the right one of ten; guessed: of the highest row of a second against what the
    teacher says of a class of which there is no truth. positive: weight of a row that has a class; fresh: of one in the
    first `FRESH` rows of its sound. half: multiply in bfloat16, which takes two thirds of the time where the processor
    has it.
    """

    steps: int = 11_000
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
    return Trainee(len(LABELS), taught=taught, window_rows=WINDOW_ROWS, step_rows=STEP_ROWS)


def fit(pool: Pool, settings: Settings, run: Path, *, say: Callable[[str], None], every: int = 100) -> Trainee:
    """The trained net, from the checkpoint in `run` where there is one. every: steps between two checkpoints."""
    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    taught = pool.taught.astype(np.float32)
    centre, spread = taught.mean(axis=(0, 1)), taught.std(axis=(0, 1)) + 0.3
    net = trainee(taught.shape[2])
    average = {name: value.clone() for name, value in net.state_dict().items()}
    optimiser = torch.optim.AdamW(_groups(net, settings.decay), lr=settings.learning_rate, betas=(0.9, 0.98))
    step = 0
    if (run / runstate.NAME).exists():
        held = runstate.load(run)
        net.load_state_dict(held["net"])
        average, step = held["average"], held["step"]
        optimiser.load_state_dict(held["optimiser"])
        torch.set_rng_state(held["random"])
        say(f"goes on from step {step}")
    run.mkdir(parents=True, exist_ok=True)

    def save() -> None:
        state = {"net": net.state_dict(), "average": average, "optimiser": optimiser.state_dict(), "step": step}
        runstate.save(run, state | {"random": torch.get_rng_state()})

    net.train()
    begun, cpu, first, told = time.monotonic(), time.process_time(), step, np.zeros(6)
    while step < settings.steps:
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * _rate(step, settings)
        batch = varied(pool, _drawn(len(pool.spectra), step, settings), np.random.default_rng([settings.seed, step]))
        parts = _losses(net, batch, centre, spread, settings)
        weights = (settings.frames, settings.clips, settings.winner, settings.guessed, settings.taught)
        loss = torch.stack([weight * part for weight, part in zip(weights, parts, strict=True)]).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(net.parameters(), settings.clip)
        optimiser.step()
        _follow(average, net, min(settings.average, (1 + step) / (10 + step)))
        step += 1
        told += [float(part.detach()) for part in (loss, *parts)]
        if step % every == 0 or step == settings.steps:
            save()
            count = step - first
            pace = (time.monotonic() - begun) / count
            shares = " ".join(f"{value / every:.4f}" for value in told)
            say(
                f"step {step} of {settings.steps}: loss {shares}; {1000 * pace:.0f} ms a step, "
                f"{1000 * (time.process_time() - cpu) / count:.0f} of processor, "
                f"{pace * (settings.steps - step) / 60:.0f} min to go"
            )
            told[:] = 0
    save()
    net.load_state_dict(average)
    return net.eval()


def finished(run: Path, settings: Settings) -> Trainee | None:
    """The net of a run that has made all its steps; None where there is none."""
    if not (run / runstate.NAME).exists():
        return None
    held = runstate.load(run)
    if held["step"] < settings.steps:
        return None
    weights = held["average"]
    net = trainee(len(weights["teacher_head.bias"]))
    net.load_state_dict(weights)
    return net.eval()


def _losses(net: Trainee, batch: Varied, centre: np.ndarray, spread: np.ndarray, settings: Settings) -> list[Tensor]:
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


def _drawn(count: int, step: int, settings: Settings) -> np.ndarray:
    """The scenes of a step: all of them in another order, again and again."""
    per_epoch = count // settings.batch
    epoch, at = divmod(step, per_epoch)
    order = np.random.default_rng([settings.seed, 1, epoch]).permutation(count)
    return order[at * settings.batch : (at + 1) * settings.batch]


def _rate(step: int, settings: Settings) -> float:
    fall = settings.steps * settings.falling
    return min(1.0, (step + 1) / settings.warm_up, max(0.01, (settings.steps - step) / fall))


def _groups(net: nn.Module, decay: float) -> list[dict[str, object]]:
    weights = list(net.parameters())
    return [
        {"params": [weight for weight in weights if weight.ndim > 1], "weight_decay": decay},
        {"params": [weight for weight in weights if weight.ndim <= 1], "weight_decay": 0.0},
    ]


def _follow(average: dict[str, Tensor], net: nn.Module, keep: float) -> None:
    for name, value in net.state_dict().items():
        if value.dtype.is_floating_point:
            average[name].lerp_(value, 1 - keep)
        else:
            average[name].copy_(value)
