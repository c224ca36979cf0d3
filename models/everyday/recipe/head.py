"""The head of `everyday`: what YAMNet's 1,024 numbers add to each class's sum, fitted leaving sources out.

For each class by itself a logistic regression on the fused sum, which counts as it is, and on the numbers, whose
weights are kept small: where the recordings say little, the sum decides alone. Of a recording those windows count in
which the sum is large, for its label says what it holds and not when.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.everyday.recipe.classes import LEAST_SOURCES, EverydayClass, EverydayClip
from models.everyday.recipe.fit import BEHIND, F64, Mask, Truths, by_source, maxima
from models.everyday.recipe.scores import MOST_SECONDS
from models.everyday.recipe.table import SPEECH
from streamclf.engine.embed import Embedder, hosts_of
from streamclf.errors import StreamclfError
from streamclf.model.activation import normalised
from streamclf.model.library import find_pack
from streamclf.model.recipes.everyday import HOP_MS
from streamclf.train.extra import need
from streamclf.types import F32
from tools.evaluate_everyday.listen import read_samples
from tools.evaluate_everyday.recordings import folds

PARTS = 128
"""Principal parts of the numbers, roots of length 1, that are weighed: 94 % of their variance. 256 win nothing."""
SMALL = 5e-4
"""How much the square of a weight costs, for numbers of length 1 in the mean and a loss of 1 for a recording."""
SHARE = 0.7
"""So much of what is fitted is added. Less generalises better to origins that are left out whole, more to sources."""
_NEAR = 0.3
"""Logits: how far under a recording's largest sum a window may be and still count for a third."""
_FACTOR = 0.01
"""What it costs that the sum itself gets another factor than 1."""
_STEPS = 40
_LEAD_FRAMES = 45
"""A live stream's first row belongs to this frame, and is held for those before it."""


@dataclass(frozen=True, slots=True)
class Windows:
    """Of all recordings together. parts: (windows, PARTS) float32. count: of each recording its windows. held: of every
    20 ms of all recordings the window whose row is held there. mean, basis: parts = (normalised - mean) @ basis.
    """

    parts: F32
    count: npt.NDArray[np.intp]
    held: npt.NDArray[np.intp]
    mean: F32
    basis: F32

    @property
    def starts(self) -> npt.NDArray[np.intp]:
        """Of each recording its first window."""
        return np.cumsum(self.count) - self.count


def embeddings(pack: str, recordings: Iterable[EverydayClip], data: Path, work: Path) -> list[tuple[F32, F32]]:
    """Of each recording the frames and the numbers of YAMNet's windows. work: where they are kept."""
    (host, *_) = hosts_of([find_pack(pack)])
    folder = work / f"embeddings-{host.identity}"
    folder.mkdir(parents=True, exist_ok=True)
    embedder: Embedder | None = None
    found = []
    for one in recordings:
        path = folder / f"{hashlib.sha256(one.path.encode()).hexdigest()[:32]}.npz"
        if not path.is_file():
            embedder = embedder or Embedder(host.graph, hop_frames=HOP_MS // 20)
            samples, rate = read_samples(data / one.path)
            frames, rows = embedder(samples[: MOST_SECONDS * rate], rate)
            np.savez(path, frames=frames, rows=rows.astype(np.float16))
        with np.load(path) as kept:
            found.append((kept["frames"], kept["rows"]))
    return found


def windows(embedded: Sequence[tuple[F32, F32]], rows: Sequence[int]) -> Windows:
    """rows: of each recording how many 20 ms it has."""
    kept, held, before = [], [], 0
    for (frames, numbers), length in zip(embedded, rows, strict=True):
        first = min(int(np.searchsorted(frames, _LEAD_FRAMES)), max(len(frames) - 1, 0))
        some = numbers[first:] if len(numbers) else np.zeros((1, 1024), np.float16)
        at = np.searchsorted(frames[first:], np.arange(length), side="right") - 1
        held.append(before + np.clip(at, 0, len(some) - 1))
        kept.append(some)
        before += len(some)
    count = np.array([len(some) for some in kept])
    whole = normalised(np.concatenate(kept).astype(np.float32))
    # each recording counts the same
    weight = np.repeat(1 / count, count).astype(np.float32)[:, None]
    mean: F32 = (whole * weight).sum(axis=0) / weight.sum()
    spread = (whole - mean) * np.sqrt(weight / weight.mean())
    largest, vectors = np.linalg.eigh(spread.T @ spread / len(spread))
    basis: F32 = vectors[:, np.argsort(-largest)[:PARTS]].astype(np.float32)
    parts = (whole - mean) @ basis
    size = np.sqrt((parts**2).sum(axis=1).mean())
    return Windows(parts / size, count, np.concatenate(held), mean, basis / size)


def at_windows(sums: F32, of_windows: Windows) -> F32:
    """sums: (frames of all recordings, classes). Returns their means over the frames that each window is held for."""
    used, first, counts = np.unique(of_windows.held, return_index=True, return_counts=True)
    out = np.full((of_windows.count.sum(), sums.shape[1]), -12.0, dtype=np.float32)
    out[used] = np.add.reduceat(sums, first, axis=0) / counts[:, None]
    return out


def fitted(known: Sequence[EverydayClass], of: Truths) -> list[int]:
    """Columns of the classes that get weights: of enough sources, and speech is known well enough without."""
    return [at for at, one in enumerate(known) if of.sources[at] >= LEAST_SOURCES and one.id != SPEECH]


def weights(columns: Iterable[int], of: Truths, of_windows: Windows, sums: F32, chosen: Mask) -> tuple[F32, F32]:
    """What is added to the classes' sums, fitted on the `chosen` recordings: (PARTS, classes) and biases (classes, ).

    sums: of `at_windows`. The biases make nothing of what is added, in the mean of what does not hold the class.
    """
    out = np.zeros((of_windows.parts.shape[1], sums.shape[1]), dtype=np.float32)
    bias = np.zeros(sums.shape[1], dtype=np.float32)
    for column in columns:
        right, wrong = of.right[:, column] & chosen, of.wrong[:, column] & chosen
        rows = np.flatnonzero(right | wrong)
        if not right.any() or not wrong.any():
            continue
        parts, level = _where_it_is_loud(of_windows, sums[:, column])
        parts, level, holds = parts[rows], level[rows], right[rows]
        counts = by_source(of, rows)
        counts *= np.where(of.background[rows], BEHIND, 1.0)
        counts *= np.where(holds, np.sqrt(counts[~holds].sum() / counts[holds].sum()), 1.0)
        own, factor = _logistic(parts, level, holds, (counts / counts.sum()).astype(np.float32))
        out[:, column] = SHARE * own / factor
        bias[column] = -np.average(parts[~holds] @ out[:, column], weights=by_source(of, rows[~holds]))
    return out, bias


def left_out(
    columns: Sequence[int], of: Truths, of_windows: Windows, sums: F32, groups: Sequence[str], count: int
) -> F32:
    """(windows, classes): what is added, of each recording by weights fitted without its fold of `groups`."""
    fold = folds(list(groups), count)
    number = np.array([fold[group] for group in groups])
    added = np.zeros(sums.shape, dtype=np.float32)
    own = np.repeat(number, of_windows.count)
    for each in range(count):
        matrix, bias = weights(columns, of, of_windows, sums, number != each)
        added[own == each] = of_windows.parts[own == each] @ matrix + bias
        added[:, [at for at in range(sums.shape[1]) if at not in columns]] = 0
    return added


def array(matrix: F32, bias: F32, of_windows: Windows, scale: F64) -> npt.NDArray[np.float16]:
    """(numbers + 1, classes), as heads.npz has it. scale: of each class its factor in the pack."""
    whole = (of_windows.basis @ matrix) * scale
    last = bias * scale - of_windows.mean @ whole
    return np.concatenate([whole, last[None]]).astype(np.float16)


class FusedRecordings:
    """All recordings, as the sums and YAMNet's numbers have them. sums: of `fit.sums`. origins: of each recording."""

    def __init__(self, sums: Sequence[F32], of_windows: Windows, origins: Sequence[str]) -> None:
        self.origins = origins
        self._ends = np.cumsum([len(rows) for rows in sums])[:-1]
        self._sums: F32 = np.concatenate(sums)
        self._windows = of_windows
        self._at_windows = at_windows(self._sums, of_windows)

    def maxima(
        self, known: Sequence[EverydayClass], of: Truths, groups: Sequence[str] = (), count: int = 0
    ) -> tuple[F64, F64]:
        """As of `fit.maxima`, with heads fitted without the folds of `groups`; where there are none, with no head."""
        rows = self._sums
        if groups:
            added = left_out(fitted(known, of), of, self._windows, self._at_windows, groups, count)
            rows = rows + added[self._windows.held]
        return maxima(known, np.split(rows, self._ends))

    def head(self, known: Sequence[EverydayClass], of: Truths, scale: F64) -> npt.NDArray[np.float16]:
        """Fitted on all recordings. scale: of each class its factor in the pack."""
        found = weights(fitted(known, of), of, self._windows, self._at_windows, of.hours > 0)
        return array(*found, self._windows, scale)


def _where_it_is_loud(of_windows: Windows, level: F32) -> tuple[F32, F32]:
    """Of each recording the mean parts and the mean level of those windows in which the level is near its largest."""
    starts = of_windows.starts
    most = np.repeat(np.maximum.reduceat(level, starts), of_windows.count)
    near = np.exp((level - most) / _NEAR).astype(np.float32)
    near /= np.repeat(np.add.reduceat(near, starts), of_windows.count)
    return np.add.reduceat(of_windows.parts * near[:, None], starts, axis=0), np.add.reduceat(near * level, starts)


def _logistic(parts: F32, level: F32, holds: Mask, counts: F32) -> tuple[F32, float]:
    """Weights of the parts, and the factor of the level, by L-BFGS."""
    minimise = need("scipy.optimize").minimize
    truth = holds.astype(np.float32)

    def loss(given: F64) -> tuple[float, F64]:
        own, bias, factor = given[:-2].astype(np.float32), np.float32(given[-2]), np.float32(given[-1])
        logit = parts @ own + factor * level + bias
        share = 0.5 + 0.5 * np.tanh(logit / 2)
        each = np.logaddexp(0, logit) - truth * logit
        slope = counts * (share - truth)
        value = float((counts * each).sum() + SMALL * (own @ own) + _FACTOR * (factor - 1) ** 2)
        ends = [slope.sum(), slope @ level + 2 * _FACTOR * (factor - 1)]
        return value, np.concatenate([slope @ parts + 2 * SMALL * own, ends]).astype(np.float64)

    start = np.zeros(parts.shape[1] + 2)
    start[-2:] = -np.quantile(level[~holds], 0.97), 1.0
    found = minimise(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": _STEPS}).x
    if not np.isfinite(found).all():
        raise StreamclfError("the head's weights are not finite; remove what the work folder keeps, and try again")
    return found[:-2].astype(np.float32), max(float(found[-1]), 0.2)
