"""What YAMNet says of every second of a scene: the targets of an output that teaches the net and is then dropped."""

from pathlib import Path

import numpy as np

from models.default.recipe.classes import CLASSES
from models.default.recipe.features import HOP
from streamclf.features.logmel import LogMelSpectrum
from streamclf.model.loader import load_pack
from streamclf.model.pack import LogMel
from streamclf.model.session import Session
from streamclf.types import F32, Provider

STEP_ROWS = 48
"""Rows from one window of the teacher to the next: 0.96 s."""
WINDOW_ROWS = 48
"""Rows of a window that count; its 0.975 s end with a row but for 5 ms."""
_LOUD = 0.1
"""RMS that the teacher hears everything at: it was trained on sound of that level and is deaf to quiet ones."""
_LEAST = 1e-5


class Teacher:
    """YAMNet from its pack in a folder of packs."""

    def __init__(self, folder: Path) -> None:
        pack = load_pack(folder / "yamnet")
        features = pack.manifest.features
        assert isinstance(features, LogMel)
        self.names = [label.name for label in pack.labels]
        at = {name: column for column, name in enumerate(self.names)}
        self._columns = [[at[name] for name in one.yamnet] for one in CLASSES]
        self._window = pack.manifest.window
        self._features = features
        self._spectrum = LogMelSpectrum(features, pack.manifest.rate)
        self._session = Session(pack, provider=Provider.CPU, max_batch=32)

    def logits(self, samples: F32) -> F32:
        """samples: (n, ) -> (windows, 521): log odds, window m ending with row WINDOW_ROWS + m * STEP_ROWS."""
        level = max(_LEAST, float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))))
        heard = np.clip(samples * np.float32(_LOUD / level), -1.0, 1.0)
        features = self._features
        frames = np.lib.stride_tricks.sliding_window_view(heard, features.frame_length)[:: features.frame_shift]
        rows = self._spectrum(frames)
        step = STEP_ROWS * HOP // features.frame_shift
        count = (self._window - features.frame_length) // features.frame_shift + 1
        # the window whose last sample is nearest to the end of row WINDOW_ROWS
        first = ((WINDOW_ROWS + 1) * HOP - self._window) // features.frame_shift
        starts = range(first, len(rows) - count + 1, step)
        inputs = self._session.input_rows(len(starts))
        for place, start in zip(inputs, starts, strict=True):
            place[...] = rows[start : start + count]
        scores = np.clip(self._session.run(range(len(starts)))[:, 0], 1e-6, 1 - 1e-6)
        odds: F32 = np.log(scores / (1 - scores))
        return odds

    def heard(self, odds: F32) -> F32:
        """(windows, 521) log odds -> (windows, classes): the probability of the likeliest of each one's names."""
        best = np.stack([odds[:, own].max(axis=1) for own in self._columns], axis=1)
        said: F32 = 1 / (1 + np.exp(-best))
        return said
