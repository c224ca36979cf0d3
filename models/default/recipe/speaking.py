"""When somebody speaks, by Silero: it says where in a recording of a voice there is speech, and where a pause."""

from pathlib import Path

import numpy as np

from models.default.recipe.corpus import RATE
from models.default.recipe.features import HOP
from streamclf.config import Config
from streamclf.engine.offline import run_blocks
from streamclf.train.evaluate.inputs import make_engines
from streamclf.types import F32, FrameScores

_SPOKEN = 0.5
_PAUSE = 8
"""Rows: shorter pauses are part of what is said."""
_LOUD = 0.05
_LEAST = 1e-5


class Silero:
    """Silero from its pack in a folder of packs."""

    def __init__(self, folder: Path) -> None:
        (self._engine,), _ = make_engines([str(folder / "silero-vad")], Config())

    def rows(self, samples: F32) -> F32:
        """(n, ) at 16 kHz -> (rows, ): the probability of speech, heard at one loudness."""
        level = max(_LEAST, float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))))
        told = run_blocks(self._engine, "recording", rate=RATE, blocks=[samples * np.float32(_LOUD / level)])
        parts = [one.rows[:, 0] for outputs in told for one in outputs if isinstance(one, FrameScores)]
        rows: F32 = np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
        return rows

    def stretches(self, samples: F32, within: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
        """[first, end) in samples of what is spoken in the stretches `within`; these as they are where it is deaf."""
        spoken = self.rows(samples) >= _SPOKEN
        edges = np.flatnonzero(np.diff(np.concatenate([[False], spoken, [False]])))
        joined: list[list[int]] = []
        for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            if joined and first - joined[-1][1] < _PAUSE:
                joined[-1][1] = end
            else:
                joined.append([first, end])
        both = [
            (max(first, a * HOP), min(end, b * HOP))
            for first, end in within
            for a, b in joined
            if a * HOP < end and b * HOP > first
        ]
        return tuple((first, end) for first, end in both if end - first >= RATE // 20) or within
