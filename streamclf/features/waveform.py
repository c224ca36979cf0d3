"""The samples themselves as features."""

import numpy as np

from streamclf.features.rows import Rows
from streamclf.features.spec import Normalise, Waveform
from streamclf.types import F32

# Wav2Vec2's feature extractor adds it to the variance.
_VARIANCE_FLOOR = 1e-7
_SILENCE = np.zeros((), dtype=np.float32)


class WaveformFrontend:
    """A history of samples; a feature frame is one sample. history: samples that stay readable."""

    dims: tuple[int, ...] = ()
    frame_shift = 1
    frame_length = 1

    def __init__(self, features: Waveform, *, history: int) -> None:
        self._normalise, self._gain = features.normalise, np.float32(features.gain)
        self._rows = Rows(history)  # bound: `history`; newest wins; `first_valid` tells what was dropped

    @property
    def samples(self) -> int:
        """Index of the next sample expected."""
        return self._rows.available

    @property
    def first_valid(self) -> int:
        """Index of the oldest sample held."""
        return self._rows.first_valid

    @property
    def available(self) -> int:
        """Index one past the newest sample held."""
        return self._rows.available

    def push(self, samples: F32) -> None:
        """Take the next samples: (n, ) float32 in [-1, 1], any n."""
        self._rows.append(samples)

    def restart(self, sample: int) -> None:
        """Forget everything; the next sample pushed has this index."""
        self._rows.restart(sample)

    def window(self, first_sample: int, samples: int, out: F32) -> None:
        """Fill `out`, (samples, ) float32, with samples [first_sample, first_sample + samples).

        Samples before the last restart read as zeros. Raises ValueError where some have not been pushed yet,
        `Overrun` where some have been dropped.
        """
        if out.shape != (samples,):
            raise ValueError(f"a window of {samples} samples does not fit an output of shape {out.shape}")
        self._rows.read(first_sample, out, before=_SILENCE)
        normalise(out, self._normalise)
        if self._gain != 1.0:
            out *= self._gain


def normalise(samples: F32, how: Normalise) -> None:
    """samples: (n, ) float32 of a window, changed in place. Silence stays as it is."""
    if how == "none":
        return
    if how != "peak":
        samples -= samples.mean(dtype=np.float64)
    if how == "window":
        samples /= np.sqrt(samples.var(dtype=np.float64) + _VARIANCE_FLOOR)
    elif how != "mean" and (peak := float(np.abs(samples).max(initial=0.0))) > 0.0:
        samples /= peak
