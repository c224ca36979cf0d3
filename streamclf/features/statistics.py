"""Statistics of the last stretch of a stream, for an encoder that normalises over all that it hears.

Wav2Vec2's base encoders subtract from each channel of their first convolution its mean over the whole window and
divide by its deviation (group norm); many extractors do the same to the samples. Rows can only be computed once where
both are taken at that moment: here over the last frames, the row's own included, the older ones weighing less.

The channels' statistics need no channels. With x the `taps` neighbouring samples under a kernel w, the output w.x has
the mean w.m and the variance w.C.w, m being the mean and C the covariance of x. These few numbers are what is kept.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from streamclf.types import F32, F64


class RunningStatistics:
    """Mean and covariance of `taps` neighbouring samples, taken every `stride` samples, over the last `span` frames.

    decay: what a frame weighs, over the next one. frame_shift: samples from one frame to the next, a multiple of the
    stride. Sums are made anew from those of the single frames each time: nothing drifts, and what was not finite is
    forgotten after `span` frames.
    """

    def __init__(self, *, taps: int, stride: int, span: int, decay: float, frame_shift: int) -> None:
        self._taps = taps
        self._stride = stride
        self._span = span
        self._weights = decay ** np.arange(span - 1, -1, -1.0)
        self._new = frame_shift // stride
        self.restart()

    def restart(self) -> None:
        """Forget everything."""
        # bound: `span - 1` frames; newest wins
        self._sums = np.zeros((0, 1 + self._taps, self._taps))

    def __call__(self, frames: F32) -> F64:
        """Take the next frames, (n, frame_length); give for each (n, 1 + taps, taps): the mean, then the covariance."""
        places = sliding_window_view(frames, self._taps, axis=1)[:, :: self._stride].astype(np.float64)
        # the next frame begins `_new` places later and brings the others of this one along
        sums = np.concatenate([self._sums, _sums(places[:, : self._new])])
        rest = _sums(places[:, self._new :])
        out = np.empty_like(rest)
        before = len(self._sums)
        for index in range(len(frames)):
            last = before + index + 1
            heard = sums[max(0, last - self._span) : last]
            weights = self._weights[-len(heard) :]
            count = weights.sum() * self._new + places.shape[1] - self._new
            out[index] = (np.tensordot(weights, heard, axes=1) + rest[index]) / count
        self._sums = sums[max(0, len(sums) - self._span + 1) :]
        mean = out[:, 0]
        out[:, 1:] -= mean[:, :, None] * mean[:, None, :]
        return out


def _sums(places: F64) -> F64:
    """places: (n, count, taps) -> (n, 1 + taps, taps): the sums of the samples, then of their products."""
    with_one = np.concatenate([np.ones((*places.shape[:2], 1)), places], axis=2)
    return np.asarray(with_one.transpose(0, 2, 1) @ places)
