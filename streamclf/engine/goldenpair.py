"""A recording and the scores that its model gave for it elsewhere: proof that a pack hears as the model did.

The scores are of the windows of the recording: of the first alone, of one after the other, or of any even hop; of a
stateful pack of its steps from the beginning. They are probabilities, or what the graph gives before them; where they
are probabilities they also say which activation it takes.
"""

from dataclasses import dataclass

import numpy as np

from streamclf.clock import hop_of
from streamclf.engine.probe import raw_rows
from streamclf.errors import PackError
from streamclf.model.activation import probabilities
from streamclf.model.pack import Pack
from streamclf.types import F32, Shape

TOLERANCE = 1e-3
_MOST_RUNS = 1000


@dataclass(frozen=True, slots=True)
class GoldenPair:
    """audio: (n, ) at the pack's rate. scores: (rows, classes)."""

    audio: F32
    scores: F32


@dataclass(frozen=True, slots=True)
class GoldenMatch:
    """worst: the largest difference of any score. activation: the one it was reached with, "" where the scores are as
    the graph gives them and so say nothing of it. rows: compared. hop: samples between two windows."""

    worst: float
    activation: str
    rows: int
    hop: int

    @property
    def holds(self) -> bool:
        """Whether the pack hears as the model did."""
        return self.worst <= TOLERANCE


def compare(pack: Pack, pair: GoldenPair) -> GoldenMatch:
    """The best that any activation and any even hop come to. Raises `PackError` where the shapes do not fit."""
    classes = len(pack.labels)
    if pair.scores.ndim != 2 or pair.scores.shape[1] != classes or not len(pair.scores):
        raise PackError(
            f"the golden scores have the shape {list(pair.scores.shape)}; expected (rows, {classes}), a row for each "
            "window of the recording"
        )
    tried = [_compared(pack, pair, hop) for hop in _hops(pack, pair)]
    return min(tried, key=lambda parity: parity.worst)


def _compared(pack: Pack, pair: GoldenPair, hop: int) -> GoldenMatch:
    runs = len(pair.scores) // pack.manifest.rows_per_window
    raw = raw_rows(pack, pair.audio, [run * hop for run in range(runs)])
    told = raw.reshape(-1, raw.shape[-1])
    ways: dict[str, F32] = {"": told}
    if float(pair.scores.min()) >= 0.0 and float(pair.scores.max()) <= 1.0 and pack.manifest.activation != "none":
        ways |= {way: probabilities(raw, way).reshape(told.shape) for way in ("sigmoid", "softmax")}
    worst = {way: float(np.abs(rows - pair.scores).max()) for way, rows in ways.items()}
    # logits are as large as they like, probabilities at most 1
    scale = max(1.0, float(np.abs(pair.scores).max()))
    best = min(worst, key=lambda way: worst[way])
    return GoldenMatch(worst[best] / scale, best, len(told), hop)


def _hops(pack: Pack, pair: GoldenPair) -> list[int]:
    """Samples between windows that make so many rows of the recording."""
    manifest, rows = pack.manifest, len(pair.scores)
    each = manifest.rows_per_window
    runs = rows // each
    if rows % each or runs > _MOST_RUNS:
        raise PackError(
            f"the golden scores have {rows} rows, and a window gives {each}; give those of at most {_MOST_RUNS} windows"
        )
    if manifest.shape is Shape.STATEFUL:
        return [manifest.step]
    window, over = manifest.window, len(pair.audio) - manifest.window
    if runs == 1:
        return [window]
    found = {window, window // 2, window // 4, hop_of(manifest.rate), manifest.rate, manifest.rate // 2}
    fits = [hop for hop in found if hop and (runs == 1 + max(0, over) // hop or runs == -(-len(pair.audio) // hop))]
    if over > 0 and over % (runs - 1) == 0:
        fits.append(over // (runs - 1))
    if not fits:
        raise PackError(
            f"the golden scores have {rows} rows, which are no even windows of {window} samples in a recording of "
            f"{len(pair.audio)}; give a recording of one window and its row"
        )
    return sorted(set(fits))
