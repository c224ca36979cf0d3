"""What the teachers say of a scene: the targets of an output that teaches the net and is then dropped, and a second
opinion on the net's own classes, of YAMNet and of the default model as it was before, as they are fused to run live.
"""

from collections.abc import Callable
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
_BESIDE = (-20, 0, 20)
"""Windows that tell of the net's own classes in a second, in frames of 10 ms from the one that ends with it."""
_LOUD = 2.5
"""Magnitude over all bands that the loudest frame is brought to: about white noise of RMS 0.1, since the teacher was
trained on sound of that level and is deaf to quiet ones."""
_LEAST = 2.5e-4
_FADE = 4.0 / 20.0 * np.log(10.0) / 100.0
"""Of the logarithm of a magnitude in a frame of 10 ms: 4 dB a second, as the net's own level."""
_WHEN, _EVEN = 0.3, 1.0
"""Weight of the default model's log odds beside YAMNet's, and what makes up for those of what is not there."""


class Teacher:
    """YAMNet from its pack in a folder of packs, behind a level control, and the default model as it was."""

    def __init__(self, folder: Path, before: Callable[[F32], F32] | None = None) -> None:
        """before: what the default model that there was says, (n, ) samples -> (rows, classes) of log odds; None to ask
        YAMNet alone.
        """
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
        self._before = before

    def logits(self, samples: F32) -> F32:
        """samples: (n, ) -> (windows, 521): log odds, window m ending with row WINDOW_ROWS + m * STEP_ROWS."""
        rows = self._levelled(samples)
        return self._odds(rows, self._starts(len(rows)))

    def told(self, samples: F32, *, asked: bool) -> tuple[F32, F32]:
        """`logits`, and (windows, classes): the fused probability of each class in each of those seconds.

        asked: whether these matter, so that windows between the seconds are worth their time.
        """
        rows = self._levelled(samples)
        starts = self._starts(len(rows))
        last = len(rows) - self._count
        beside = _BESIDE if asked else (0,)
        near = [[min(max(0, start + by), last) for by in beside] for start in starts]
        odds = self._odds(rows, [start for own in near for start in own]).reshape(len(starts), len(beside), -1)
        best = np.stack([odds[..., own].max(axis=(1, 2)) for own in self._columns], axis=1)
        if self._before is not None:
            own_rows = self._before(samples)
            highest = [own_rows[at * STEP_ROWS : (at + 1) * STEP_ROWS].max(axis=0) for at in range(len(starts))]
            best = best + _WHEN * np.stack(highest) + _EVEN
        said: F32 = 1 / (1 + np.exp(-best))
        return odds[:, beside.index(0)], said

    def heard(self, odds: F32) -> F32:
        """(windows, 521) log odds -> (windows, classes): the probability of the likeliest of each one's names."""
        best = np.stack([odds[:, own].max(axis=1) for own in self._columns], axis=1)
        said: F32 = 1 / (1 + np.exp(-best))
        return said

    @property
    def _count(self) -> int:
        return (self._window - self._features.frame_length) // self._features.frame_shift + 1

    def _starts(self, rows: int) -> list[int]:
        shift = self._features.frame_shift
        # the window whose last sample is nearest to the end of row WINDOW_ROWS
        first = ((WINDOW_ROWS + 1) * HOP - self._window) // shift
        return list(range(first, rows - self._count + 1, STEP_ROWS * HOP // shift))

    def _levelled(self, samples: F32) -> F32:
        """Frames of log mel at the loudness that the teacher likes: a gain before the logarithm follows the loudest."""
        features = self._features
        frames = np.lib.stride_tricks.sliding_window_view(samples, features.frame_length)[:: features.frame_shift]
        mel = np.exp(self._spectrum(frames).astype(np.float64)) - features.log_offset
        # loud enough from the first frame on: what is to come in the first second counts as having been
        loudness = np.log(np.maximum(mel.sum(axis=1) / mel.shape[1], _LEAST))
        tilt = _FADE * np.arange(len(loudness))
        held = np.maximum.accumulate(loudness + tilt) - tilt
        held[:100] = np.maximum(held[:100], held[:100].max())
        gain = _LOUD / np.exp(held)
        rows: F32 = np.log(np.maximum(mel, 0.0) * gain[:, None] + features.log_offset).astype(np.float32)
        return rows

    def _odds(self, rows: F32, starts: list[int]) -> F32:
        parts = []
        for at in range(0, len(starts), 32):
            own = starts[at : at + 32]
            for place, start_ in zip(self._session.input_rows(len(own)), own, strict=True):
                place[...] = rows[start_ : start_ + self._count]
            parts.append(self._session.run(range(len(own)))[:, 0].copy())
        scores = np.clip(np.concatenate(parts), 1e-6, 1 - 1e-6)
        odds: F32 = np.log(scores / (1 - scores))
        return odds
