"""How well a net in training hears the recordings kept for choosing: clips of ESC-10 as they are, loud and quiet."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from models.default.recipe.classes import COLUMN
from models.default.recipe.corpus import RATE, CorpusClip, Split, load, samples_of
from models.default.recipe.features import spectra
from models.default.recipe.fit import ONE_OF_TEN
from models.default.recipe.net import DELAYS, Trainee
from streamclf.types import F32

_SAMPLES = 5 * RATE
_TOGETHER = 16
GAINS = (1.0, 0.1, 0.02)


def ten_way(net: Trainee, work: Path, split: Split) -> dict[tuple[float, int], float]:
    """(gain, delay) -> share of the split's ESC-10 clips whose class has the highest row among the ten."""
    clips = [clip for clip in load(work) if clip.origin == "ESC-10" and clip.split == split]
    truth = np.array([ONE_OF_TEN.index(COLUMN[clip.label or ""]) for clip in clips])
    found = {}
    for gain in GAINS:
        highest = np.concatenate([_highest(net, audio * np.float32(gain)) for audio in _batches(clips)])
        for head, delay in enumerate(DELAYS):
            found[gain, delay] = float((highest[:, head].argmax(axis=1) == truth).mean())
    return found


def _batches(clips: Sequence[CorpusClip]) -> Iterator[F32]:
    for at in range(0, len(clips), _TOGETHER):
        parts = [samples_of(clip)[:_SAMPLES] for clip in clips[at : at + _TOGETHER]]
        yield np.stack([np.pad(part, (0, _SAMPLES - len(part))) for part in parts])


@torch.inference_mode()
def _highest(net: Trainee, audio: F32) -> F32:
    """(B, samples) -> (B, delays, ten) logits."""
    rows, _ = net(torch.from_numpy(spectra(audio)))
    best: F32 = rows.amax(dim=1)[:, :, ONE_OF_TEN].numpy()
    return best
