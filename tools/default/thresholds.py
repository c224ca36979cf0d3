"""Where events begin and end: for each class the lowest threshold that keeps to a rate of false events.

Judged on scenes of recordings that the net was not trained on. An event of the segmenter begins with a row that reaches
`enter` and stays over `leave`, `RATIO` times as much, for `MIN_ON` rows; so the strength of a row as a beginning is
what `enter` may be at most for an event to begin there, and a scene has an event that begins away from the class's
sounds exactly where the strongest row away from them reaches `enter`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from streamclf.clock import FRAMES_PER_SECOND
from streamclf.types import F32
from tools.default.classes import BACKGROUND, LABELS
from tools.default.net import DELAYS, Trainee
from tools.default.pool import Pool

RATIO = 0.5
MIN_ON, MIN_OFF = 5, 15
"""Rows of 20 ms."""
WANTED_PER_HOUR = 0.5
"""Half of what is promised, since the choice is made on a few hours only."""
_LEAST, _MOST = 0.3, 0.98
_UNHEARD = 0.5
"""At least this for a class of which no recording was kept for choosing."""
_NEAR = FRAMES_PER_SECOND
_TOGETHER = 16


@dataclass(frozen=True, slots=True)
class Threshold:
    """What was chosen for a class. per_hour: false events then; found: share of the scenes with the class in which an
    event of it begins, None where there are none.
    """

    label: str
    enter: float
    per_hour: float
    found: float | None
    hours: float
    scenes: int


@torch.inference_mode()
def probabilities(net: Trainee, pool: Pool, delay: int) -> F32:
    """(scenes, rows, classes); the last `delay` rows repeat the one before them."""
    parts = []
    for at in range(0, len(pool.spectra), _TOGETHER):
        logits, _ = net(torch.from_numpy(pool.spectra[at : at + _TOGETHER].astype(np.float32)))
        own = logits[:, delay:, DELAYS.index(delay)].sigmoid()
        parts.append(torch.cat([own, own[:, -1:].expand(-1, delay, -1)], dim=1).numpy())
    return np.concatenate(parts)


def choose(pool: Pool, scores: F32) -> list[Threshold]:
    """One for each class. scores: (scenes, rows, classes), see `probabilities`."""
    return [_choose(column, pool, scores[:, :, column]) for column in range(len(LABELS))]


def _choose(column: int, pool: Pool, scores: F32) -> Threshold:
    known, strong = pool.known[:, column], pool.strong[:, :, column]
    strength = _strength(scores)
    near = _widened(strong, _NEAR)
    outside = np.where(near, 0.0, strength).max(axis=1)[known]
    hours = float((~strong[known]).sum() / FRAMES_PER_SECOND / 3600)
    allowed = int(WANTED_PER_HOUR * hours)
    ranked = np.sort(outside)[::-1]
    enter = float(ranked[allowed]) + 1e-3 if allowed < len(ranked) else _LEAST
    present = known & strong.any(axis=1)
    least = _LEAST if present.any() else _UNHEARD
    enter = round(float(np.clip(enter, least, _MOST)), 3)
    inside = np.where(near, strength, 0.0).max(axis=1)[present]
    return Threshold(
        label=LABELS[column],
        enter=enter,
        per_hour=float((outside >= enter).sum() / max(hours, 1e-9)),
        found=float((inside >= enter).mean()) if len(inside) else None,
        hours=hours,
        scenes=int(present.sum()),
    )


def _strength(scores: F32) -> F32:
    """(scenes, rows): the highest `enter` at which an event begins at each row."""
    padded = np.pad(scores, ((0, 0), (0, MIN_ON - 1)))
    held = np.lib.stride_tricks.sliding_window_view(padded, MIN_ON, axis=1).min(axis=2)
    return np.minimum(scores, held / RATIO)


def _widened(strong: npt.NDArray[np.bool_], by: int) -> npt.NDArray[Any]:
    padded = np.pad(strong, ((0, 0), (by, by)))
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * by + 1, axis=1).any(axis=2)


@dataclass(frozen=True, slots=True)
class Onsets:
    """How soon sounds are told: errors without their sign, found the share of the sounds of which an event tells."""

    median_ms: float
    p95_ms: float
    found: float
    sounds: int


def onsets(pool: Pool, scores: F32, chosen: Sequence[Threshold]) -> Onsets:
    """Of the sounds that begin after a second without their class: how far from them the first event begins, that lies
    between half a second before and a second after.
    """
    errors, missed = [], 0
    for column, threshold in enumerate(chosen[:BACKGROUND]):
        own = pool.strong[:, :, column]
        begins = _strength(scores[:, :, column]) >= threshold.enter
        for scene in np.flatnonzero(own.any(axis=1) & pool.known[:, column]):
            edges = np.flatnonzero(np.diff(own[scene].astype(np.int8), prepend=0) == 1)
            for edge in edges:
                if own[scene, max(0, edge - _NEAR) : edge].any():
                    continue
                first = max(0, edge - _NEAR // 2)
                heard = np.flatnonzero(begins[scene, first : edge + _NEAR])
                if len(heard):
                    errors.append(abs(first + int(heard[0]) - int(edge)) * 1000 / FRAMES_PER_SECOND)
                else:
                    missed += 1
    sounds = len(errors) + missed
    median, p95 = np.percentile(errors, [50, 95]) if errors else (np.nan, np.nan)
    return Onsets(float(median), float(p95), len(errors) / max(1, sounds), sounds)
