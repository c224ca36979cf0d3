"""What a step does to the spectra of the pool, so that no scene is ever seen twice: all of it in the log-mel domain."""

from typing import NamedTuple

import numpy as np

from models.default.recipe.classes import BACKGROUND
from models.default.recipe.pool import Pool
from models.default.recipe.teacher import STEP_ROWS
from streamclf.train.data.augment import mask
from streamclf.types import F32

_MIXED, _MIX_DB = 0.25, (-12.0, 12.0)
_EQ_SHARE, _EQ_DB, _EQ_POINTS = 0.7, 8.0, 6
_SHIFT_SHARE, _SHIFT = 0.5, 2
_WINDOWS = 5
"""Of the teacher's windows in a cut: 4.8 s of a scene."""
_NEPERS = np.log(10.0) / 10.0  # of power, in a decibel


class Varied(NamedTuple):
    """A batch. asked: (B, ) whether what the teacher said still holds. The rest as in `Pool`, float32."""

    spectra: F32
    strong: np.ndarray
    known: np.ndarray
    taught: F32
    heard: F32
    asked: np.ndarray


def varied(pool: Pool, chosen: np.ndarray, rng: np.random.Generator) -> Varied:
    """Cuts from the scenes of these numbers: some laid over each other, coloured, moved up or down, striped."""
    firsts = [_first(pool.strong[number], rng) for number in chosen]
    rows = _WINDOWS * STEP_ROWS
    cuts = [
        (number, slice(first * STEP_ROWS, first * STEP_ROWS + rows))
        for number, first in zip(chosen, firsts, strict=True)
    ]
    spectra = np.stack([pool.spectra[number, 2 * cut.start : 2 * cut.stop] for number, cut in cuts]).astype(np.float32)
    strong = np.stack([pool.strong[number, cut] for number, cut in cuts])
    windows = [(number, slice(first, first + _WINDOWS)) for number, first in zip(chosen, firsts, strict=True)]
    taught, heard = (np.stack([said[at] for at in windows]).astype(np.float32) for said in (pool.taught, pool.heard))
    known = pool.known[chosen]
    count, _, bands = spectra.shape
    asked = np.ones(count, dtype=np.bool_)
    for at in np.flatnonzero(rng.random(count) < _SHIFT_SHARE):
        by = int(rng.integers(-_SHIFT, _SHIFT + 1))
        spectra[at] = spectra[at][:, np.clip(np.arange(bands) - by, 0, bands - 1)]
    for at in np.flatnonzero(rng.random(count) < _EQ_SHARE):
        points = np.linspace(0, bands - 1, _EQ_POINTS)
        curve = np.interp(np.arange(bands), points, rng.uniform(-_EQ_DB, _EQ_DB, _EQ_POINTS))
        spectra[at] += (curve * _NEPERS).astype(np.float32)
    mixed = np.flatnonzero(rng.random(count) < _MIXED)
    if len(mixed):
        others = (mixed + int(rng.integers(1, count))) % count
        # both as loud as each other but for what is drawn
        level = spectra[mixed].max(axis=(1, 2)) - spectra[others].max(axis=(1, 2))
        level += rng.uniform(*_MIX_DB, len(mixed)) * _NEPERS
        spectra[mixed] = np.logaddexp(spectra[mixed], spectra[others] + level[:, None, None].astype(np.float32))
        either = strong[mixed] | strong[others]
        either[:, :, BACKGROUND] = strong[mixed][:, :, BACKGROUND] & strong[others][:, :, BACKGROUND]
        strong[mixed] = either
        known[mixed] &= known[others]
        asked[mixed] = False
    quietest = spectra.min(axis=(1, 2), keepdims=True)
    blanked = spectra - quietest
    mask(blanked, rng)
    return Varied(blanked + quietest, strong, known, taught, heard, asked)


def _first(strong: np.ndarray, rng: np.random.Generator) -> int:
    """Where a cut begins, in windows: of two drawn places the one where more is going on."""
    places = rng.integers(0, len(strong) // STEP_ROWS - _WINDOWS + 1, 2)
    heard = [strong[at * STEP_ROWS : (at + _WINDOWS) * STEP_ROWS, :BACKGROUND].any(axis=1).sum() for at in places]
    return int(places[int(np.argmax(heard))])
