"""Where events begin and end: for each class the lowest threshold that keeps to two rates of false events.

One is of backgrounds, the other of scenes full of other sounds, of recordings that the net was not trained on. An
event of the segmenter begins with a row that reaches `enter` and stays over `leave`, `RATIO` times as much, for
`MIN_ON` rows; so the strength of a row as a beginning is what `enter` may be at most for an event to begin there, and a
scene has an event that begins away from the class's sounds exactly where the strongest row away from them reaches
`enter`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from models.default.recipe.classes import BACKGROUND, LABELS
from models.default.recipe.net import DELAYS, Trainee
from models.default.recipe.pool import Pool
from streamclf.clock import FRAMES_PER_SECOND
from streamclf.engine.segment import Decision, Segmenter
from streamclf.train.data.annotations import Span
from streamclf.train.evaluate.merit import frame_span, onset_metrics
from streamclf.types import F32, Label, Stage

RATIO = 0.6
MIN_ON, MIN_OFF, REACH_BACK = 5, 10, 25
"""Rows of 20 ms."""
PER_HOUR, PER_HOUR_AMONG_SOUNDS = 0.5, 60.0
"""In backgrounds half of what is promised, since the choice is made on a few hours only. Among sounds, which are there
a thousand to the hour, so many are taken for the class.
"""
_LEAST, _MOST = 0.3, 0.98
_LEAST_OF = {"music": 0.8}
"""Whatever repeats is half music to the net, such as a gust of wind that is played again and again."""
_UNHEARD = 0.9
"""At least this for a class of which no recording was kept for choosing."""
_NEAR = FRAMES_PER_SECOND
_TOGETHER = 16


@dataclass(frozen=True, slots=True)
class Threshold:
    """What was chosen for a class. per_hour, among_sounds: false events an hour then, in backgrounds and among other
    sounds; found: share of the `scenes` with the class in which an event of it begins, None where there are none.
    """

    label: str
    enter: float
    per_hour: float
    among_sounds: float
    found: float | None
    scenes: int


@torch.inference_mode()
def probabilities(net: Trainee, pool: Pool) -> dict[int, F32]:
    """Delay -> (scenes, rows, classes); the last rows of a delay repeat the one before them."""
    parts: dict[int, list[F32]] = {delay: [] for delay in DELAYS}
    for at in range(0, len(pool.spectra), _TOGETHER):
        logits, _ = net(torch.from_numpy(pool.spectra[at : at + _TOGETHER].astype(np.float32)))
        for head, delay in enumerate(DELAYS):
            own = logits[:, delay:, head].sigmoid()
            parts[delay].append(torch.cat([own, own[:, -1:].expand(-1, delay, -1)], dim=1).numpy())
    return {delay: np.concatenate(pile) for delay, pile in parts.items()}


def choose(sounds: Pool, scores: F32, backgrounds: Pool, behind: F32) -> list[Threshold]:
    """One for each class. scores, behind: probabilities of either, see `probabilities`."""
    chosen = []
    for column, label in enumerate(LABELS):
        among = _Outside.of(sounds, scores, column)
        alone = _Outside.of(backgrounds, behind, column)
        known = sounds.known[:, column]
        present = known & sounds.strong[:, :, column].any(axis=1)
        least = _LEAST_OF.get(label, _LEAST) if present.any() else _UNHEARD
        wanted = max(alone.enter_for(PER_HOUR), among.enter_for(PER_HOUR_AMONG_SOUNDS))
        enter = round(min(max(wanted, least), _MOST), 3)
        near = _widened(sounds.strong[present, :, column], _NEAR)
        inside = np.where(near, _strength(scores[present, :, column]), 0.0).max(axis=1)
        chosen.append(
            Threshold(
                label=label,
                enter=enter,
                per_hour=alone.per_hour(enter),
                among_sounds=among.per_hour(enter),
                found=float((inside >= enter).mean()) if len(inside) else None,
                scenes=int(present.sum()),
            )
        )
    return chosen


@dataclass(frozen=True, slots=True)
class _Outside:
    """Strongest beginnings away from a class's sounds, of each scene that is known of, loudest first."""

    ranked: F32
    hours: float

    @classmethod
    def of(cls, pool: Pool, scores: F32, column: int) -> "_Outside":
        known = pool.known[:, column]
        strong = pool.strong[known, :, column]
        away = np.where(_widened(strong, _NEAR), 0.0, _strength(scores[known, :, column])).max(axis=1)
        return cls(np.sort(away)[::-1].astype(np.float32), float((~strong).sum() / FRAMES_PER_SECOND / 3600))

    def enter_for(self, per_hour: float) -> float:
        """The lowest threshold with so many events an hour."""
        allowed = int(per_hour * self.hours)
        return float(self.ranked[allowed]) + 1e-3 if allowed < len(self.ranked) else 0.0

    def per_hour(self, enter: float) -> float:
        """Events an hour at a threshold."""
        return float((self.ranked >= enter).sum() / max(self.hours, 1e-9))


def _strength(scores: F32) -> F32:
    """(scenes, rows): the highest `enter` at which an event begins at each row."""
    padded = np.pad(scores, ((0, 0), (0, MIN_ON - 1)))
    held = np.lib.stride_tricks.sliding_window_view(padded, MIN_ON, axis=1).min(axis=2)
    strength: F32 = np.minimum(scores, held / RATIO)
    return strength


def _widened(strong: npt.NDArray[np.bool_], by: int) -> npt.NDArray[np.bool_]:
    padded = np.pad(strong, ((0, 0), (by, by)))
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, 2 * by + 1, axis=1).any(axis=2))


@dataclass(frozen=True, slots=True)
class Onsets:
    """How soon sounds are told: errors without their sign, found the share of the sounds of which an event tells."""

    median_ms: float
    p95_ms: float
    found: float
    sounds: int


def onsets(pool: Pool, scores: F32, chosen: Sequence[Threshold]) -> Onsets:
    """Of the events that the segmenter makes of the scores, judged as `streamclf eval` judges them."""
    events = [one for one in chosen if one.label != LABELS[BACKGROUND]]
    labels = [Label(one.label, one.label) for one in events]
    decisions = [decision(one.enter) for one in events]
    columns = [LABELS.index(one.label) for one in events]
    true, said = [], []
    for known, strong, rows in zip(
        pool.known[:, columns], pool.strong[:, :, columns], scores[:, :, columns], strict=True
    ):
        segmenter = Segmenter("scene", "default", labels, decisions)
        told = [event for event in [*segmenter.push(0, rows), *segmenter.finish()] if event.stage is Stage.CLOSE]
        sure = {label.id for label, one in zip(labels, known, strict=True) if one}
        said.append(
            [frame_span(one.onset_frame, one.offset_frame or 0, one.label) for one in told if one.label in sure]
        )
        true.append([span for span in _spans(strong, labels) if span.label in sure])
    found = onset_metrics(true, said)
    sounds = found.found + found.missed
    return Onsets(found.median_ms or np.nan, found.p95_ms or np.nan, found.found / max(1, sounds), sounds)


def decision(enter: float) -> Decision:
    """What the pack decides of a class with this threshold."""
    return Decision(enter=enter, leave=RATIO * enter, min_on=MIN_ON, min_off=MIN_OFF, reach_back=REACH_BACK)


def _spans(strong: npt.NDArray[np.bool_], labels: Sequence[Label]) -> list[Span]:
    edges = np.diff(strong.astype(np.int8), axis=0, prepend=0, append=0)
    return [
        frame_span(int(first), int(end), label.id)
        for column, label in enumerate(labels)
        for first, end in zip(*(np.flatnonzero(edges[:, column] == edge) for edge in (1, -1)), strict=True)
    ]
