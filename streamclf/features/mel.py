"""Mel scales and the bank of triangular filters over FFT bins."""

from typing import Literal

import numpy as np

from streamclf.features.spec import MelBands
from streamclf.types import F64

# Slaney's scale (Auditory Toolbox): linear up to 1 kHz at 200/3 Hz a mel, then 27 mel for each factor of 6.4.
_BREAK_HZ = 1000.0
_HZ_PER_MEL = 200.0 / 3.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27.0


def htk_mel(hz: F64) -> F64:
    """HTK's and Kaldi's scale: 2595 log10(1 + hz / 700), any shape."""
    return np.asarray(2595.0 * np.log10(1.0 + hz / 700.0))


def htk_hz(mel: F64) -> F64:
    """Inverse of `htk_mel`."""
    return np.asarray(700.0 * (10.0 ** (mel / 2595.0) - 1.0))


def slaney_mel(hz: F64) -> F64:
    """Slaney's scale: linear below 1 kHz, logarithmic above, any shape."""
    above = np.log(np.maximum(hz, _BREAK_HZ) / _BREAK_HZ) / _LOG_STEP
    return np.asarray(np.minimum(hz, _BREAK_HZ) / _HZ_PER_MEL + above)


def slaney_hz(mel: F64) -> F64:
    """Inverse of `slaney_mel`."""
    above = np.exp(np.maximum(mel - _BREAK_MEL, 0.0) * _LOG_STEP)
    return np.asarray(np.minimum(mel, _BREAK_MEL) * _HZ_PER_MEL * above)


def mel_bank(
    *,
    bands: int,
    low_hz: float,
    high_hz: float,
    fft_size: int,
    rate: int,
    scale: Literal["htk", "slaney"],
    slopes: Literal["hz", "mel"],
    norm: Literal["none", "slaney"] = "none",
) -> F64:
    """Weights of triangular bands between `low_hz` and `high_hz`: (fft_size // 2 + 1, bands).

    Band i rises from corner i to corner i + 1 and falls to i + 2; the corners are equally far apart in mel. slopes: the
    unit in which the sides are straight. norm: `slaney` gives every band the same area over Hz, `none` the peak 1.
    """
    to_mel, to_hz = (htk_mel, htk_hz) if scale == "htk" else (slaney_mel, slaney_hz)
    low, high = to_mel(np.array([low_hz, high_hz]))
    corners = low + (high - low) * np.arange(bands + 2, dtype=np.float64) / (bands + 1)
    corners_hz = to_hz(corners)
    bins_hz = np.arange(fft_size // 2 + 1, dtype=np.float64) * rate / fft_size
    at, edges = (bins_hz, corners_hz) if slopes == "hz" else (to_mel(bins_hz), corners)
    width = np.diff(edges)
    rising = (at[:, None] - edges[:-2]) / width[:-1]
    falling = (edges[2:] - at[:, None]) / width[1:]
    bank = np.maximum(0.0, np.minimum(rising, falling))
    if norm == "slaney":
        bank *= 2.0 / (corners_hz[2:] - corners_hz[:-2])
    return bank


def bank_of(features: MelBands, rate: int) -> F64:
    """The `mel_bank` of a pack's features at `rate` (Hz)."""
    return mel_bank(
        bands=features.bands,
        low_hz=features.low_hz,
        high_hz=features.high_hz,
        fft_size=features.fft_size,
        rate=rate,
        scale=features.mel_scale,
        slopes=features.mel_slopes,
        norm=features.mel_norm,
    )
