"""Kaldi's filter-bank features of frames: no dither, snip_edges, log power."""

from typing import Any

import numpy as np

from streamclf.features.mel import mel_bank
from streamclf.features.spec import Fbank
from streamclf.types import F32, F64

# Kaldi takes the logarithm of nothing below float32's epsilon.
_FLOOR = float(np.finfo(np.float32).eps)


class KaldiFbank:
    """Frames to fbank rows. Immutable: one serves every stream.

    Up to the FFT the arithmetic is Kaldi's, float32 in Kaldi's order, because of what it leaves: of a constant signal,
    or in the quiet bands beside a loud tone, there is little else than the rounding of the samples. For the same reason
    it is float64 (`arithmetic`) where the model learnt from features that were computed so. `bands` counts the energy
    where it is asked for: first, or last with `htk_compat`.
    """

    def __init__(self, features: Fbank, rate: int) -> None:
        self.bands = features.bands + features.use_energy
        self._features = features
        self._fft_size = 1 << (features.frame_length - 1).bit_length()
        self._type: Any = np.dtype(features.arithmetic).type
        self._window = _symmetric_window(features).astype(self._type)
        self._bank = mel_bank(
            bands=features.bands,
            low_hz=features.low_hz,
            high_hz=features.high_hz if features.high_hz > 0 else rate / 2 + features.high_hz,
            fft_size=self._fft_size,
            rate=rate,
            scale="htk",
            slopes="mel",
        )
        self._mean = np.array(features.mean_vector or features.mean, dtype=np.float64)
        self._scale = np.array(features.scale_vector or features.scale, dtype=np.float64)

    def __call__(self, frames: F32) -> F32:
        """frames: (n, frame_length) float32 -> (n, bands) float32."""
        features = self._features
        samples = frames.astype(self._type, copy=False) * self._type(features.sample_scale)
        if features.remove_dc_offset:
            total = np.add.accumulate(samples, axis=1)[:, -1:]
            samples -= total / self._type(features.frame_length)
        weight = self._type(features.preemphasis)
        emphasised = samples.copy()
        emphasised[:, 1:] -= weight * samples[:, :-1]
        emphasised[:, 0] -= weight * samples[:, 0]  # it has no predecessor in its frame and stands in for it
        emphasised *= self._window
        spectrum = np.fft.rfft(emphasised.astype(np.float64), self._fft_size)
        rows = (spectrum.real**2 + spectrum.imag**2) @ self._bank
        if features.use_energy:
            energy = np.add.reduce(samples**2, axis=1, keepdims=True)
            rows = np.concatenate((rows, energy) if features.htk_compat else (energy, rows), axis=1)
        np.log(np.maximum(rows, _FLOOR, out=rows), out=rows)
        rows -= self._mean
        rows /= self._scale
        return rows.astype(np.float32)


def _symmetric_window(features: Fbank) -> F64:
    turn = 2.0 * np.pi * np.arange(features.frame_length) / (features.frame_length - 1)
    if features.window == "hamming":
        return np.asarray(0.54 - 0.46 * np.cos(turn))
    hanning = 0.5 - 0.5 * np.cos(turn)
    return np.asarray(hanning**0.85 if features.window == "povey" else hanning)
