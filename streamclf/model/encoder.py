"""What runs the encoder of a pack whose features are `encoded`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from streamclf.model.pack import Encoded
from streamclf.types import F32, F64

Run = Callable[[Sequence[str], dict[str, Any]], Sequence[Any]]
"""Names of a graph's outputs and its inputs to the outputs."""


class Encoder:
    """Frames of samples to rows, each from its frame and its statistics, if any. run: of the encoder's graph."""

    def __init__(self, features: Encoded, run: Run) -> None:
        self.bands = features.bands
        self.bad = False  # whether any row was not finite; who asks sets it back
        self._features = features
        self._run = run

    def __call__(self, frames: F32, statistics: F64 | None = None) -> F32:
        """frames: (n, frame_length) float32 -> (n, bands) float32.

        statistics: (n, 1 + taps, taps), for a graph that asks for them; left out, those of silence.
        """
        features = self._features
        feeds: dict[str, Any] = {features.input: np.ascontiguousarray(frames)}
        if features.statistics:
            silent = np.zeros((len(frames), 1 + features.taps, features.taps))
            feeds[features.statistics] = silent if statistics is None else statistics
        rows: F32 = self._run([features.output], feeds)[0]
        if np.isfinite(rows).all():
            return rows
        # what is not finite must not stay in the history of rows, where it would spoil a whole window
        self.bad = True
        return np.nan_to_num(rows, nan=0.0, posinf=0.0, neginf=0.0)
