"""What a step does to the spectra of the pool, so that no scene is ever seen twice: all of it in the log-mel domain."""

from typing import NamedTuple

import numpy as np

from streamclf.train.augment import mask
from streamclf.types import F32
from tools.default.classes import BACKGROUND
from tools.default.pool import Pool
from tools.default.teacher import STEP_ROWS

_MIXED, _MIX_DB = 0.25, (-12.0, 12.0)
_EQ_SHARE, _EQ_DB, _EQ_POINTS = 0.7, 8.0, 6
_SHIFT_SHARE, _SHIFT = 0.5, 2
_HISS_SHARE, _HISS_DB, _HISS_TILT_DB, _HISS_HEARD_DB = 0.3, (3.0, 30.0), (-12.0, 4.0), 15.0
"""How often noise is laid over a cut; how far below it; its slope from the lowest band to the highest, whose
bandwidths alone make white noise rise; and from where on what the teacher said no longer holds.
"""
HISS_RISE_DB = 10.0
_HISS_SHAPE = (0.95, 1.25)
"""Of the gamma distribution of a row's power, in the lowest and in the highest band: that of white noise here."""
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
    for at in np.flatnonzero(rng.random(count) < _HISS_SHARE):
        below = float(rng.uniform(*_HISS_DB))
        spectra[at] = np.logaddexp(spectra[at], hiss(spectra[at], below, rng))
        asked[at] &= below > _HISS_HEARD_DB
    quietest = spectra.min(axis=(1, 2), keepdims=True)
    blanked = spectra - quietest
    mask(blanked, rng)
    return Varied(blanked + quietest, strong, known, taught, heard, asked)


def hiss(spectra: F32, below_db: float, rng: np.random.Generator) -> F32:
    """(rows, bands) log power of steady noise, in sum `below_db` under the mean of `spectra` (rows, bands)."""
    rows, bands = spectra.shape
    slope = np.linspace(0.0, HISS_RISE_DB + rng.uniform(*_HISS_TILT_DB), bands) * _NEPERS
    level = np.log(np.exp(spectra.astype(np.float64)).mean(axis=0).sum()) - np.log(np.exp(slope).sum())
    shape = np.linspace(*_HISS_SHAPE, bands)
    varying = np.log(rng.gamma(shape, 1 / shape, (rows, bands)))
    out: F32 = (slope + level - below_db * _NEPERS + varying).astype(np.float32)
    return out


def _first(strong: np.ndarray, rng: np.random.Generator) -> int:
    """Where a cut begins, in windows: of two drawn places the one where more is going on."""
    places = rng.integers(0, len(strong) // STEP_ROWS - _WINDOWS + 1, 2)
    heard = [strong[at * STEP_ROWS : (at + _WINDOWS) * STEP_ROWS, :BACKGROUND].any(axis=1).sum() for at in places]
    return int(places[int(np.argmax(heard))])
