"""Spectra by transformers' own functions, a window at a time: what our incremental features are held against."""

from functools import lru_cache

import numpy as np

from streamclf.features.spec import Fbank, LogMel
from streamclf.train.pretrained import quiet
from streamclf.types import F32, F64

_KALDI_FLOOR = 1.192092955078125e-07


def logmel_images(windows: F32, features: LogMel, rate: int) -> F32:
    """windows: (n, samples) -> (n, frames, bands) float32 log-mel."""
    from transformers.audio_utils import spectrogram, window_function

    bank = _bank(
        bins=features.fft_size // 2 + 1,
        bands=features.bands,
        low_hz=features.low_hz,
        high_hz=features.high_hz,
        rate=rate,
        norm="slaney" if features.mel_norm == "slaney" else None,
        scale=features.mel_scale,
        in_mel=features.mel_slopes == "mel",
    )
    taper = window_function(features.frame_length, features.window, periodic=True)
    power = 2.0 if features.spectrum == "power" else 1.0
    unit = {"ln": 1.0, "log10": 1.0 / np.log(10.0), "db": 10.0 * (2.0 / power) / np.log(10.0)}[features.log]
    images = []
    for samples in windows:
        bands = spectrogram(
            samples.astype(np.float64),
            taper,
            frame_length=features.frame_length,
            hop_length=features.frame_shift,
            fft_length=features.fft_size,
            power=power,
            center=False,
            mel_filters=bank,
            mel_floor=0.0,
            dtype=np.dtype(np.float64),
        )
        levels = np.log(np.maximum(bands.T + features.log_offset, features.log_floor)) * unit
        images.append((levels - features.mean) / features.scale)
    return np.stack(images).astype(np.float32)


def fbank_images(windows: F32, features: Fbank, rate: int) -> F32:
    """windows: (n, samples) -> (n, frames, bands) float32 Kaldi fbank. No energy: transformers has none."""
    from transformers.audio_utils import spectrogram, window_function

    if features.use_energy:
        raise ValueError("transformers computes no energy beside the bands of a filter bank")
    size = 1 << (features.frame_length - 1).bit_length()
    bank = _bank(
        bins=size // 2 + 1,
        bands=features.bands,
        low_hz=features.low_hz,
        high_hz=features.high_hz if features.high_hz > 0 else rate / 2 + features.high_hz,
        rate=rate,
        norm=None,
        scale="kaldi",
        in_mel=True,
    )
    taper = window_function(
        features.frame_length, "hann" if features.window == "hanning" else features.window, periodic=False
    )
    mean = np.array(features.mean_vector or features.mean)
    scale = np.array(features.scale_vector or features.scale)
    images = []
    for samples in windows:
        bands = spectrogram(
            samples.astype(np.float64) * features.sample_scale,
            taper,
            frame_length=features.frame_length,
            hop_length=features.frame_shift,
            fft_length=size,
            power=2.0,
            center=False,
            preemphasis=features.preemphasis,
            mel_filters=bank,
            mel_floor=_KALDI_FLOOR,
            log_mel="log",
            remove_dc_offset=features.remove_dc_offset,
        )
        images.append((bands.T - mean) / scale)
    return np.stack(images).astype(np.float32)


@lru_cache(maxsize=8)  # bound: banks of the exports of one process; the least recently used is computed again
def _bank(
    *, bins: int, bands: int, low_hz: float, high_hz: float, rate: int, norm: str | None, scale: str, in_mel: bool
) -> F64:
    """(bins, bands) weights, by transformers."""
    from transformers.audio_utils import mel_filter_bank

    with quiet():
        bank: F64 = mel_filter_bank(
            num_frequency_bins=bins,
            num_mel_filters=bands,
            min_frequency=low_hz,
            max_frequency=high_hz,
            sampling_rate=rate,
            norm=norm,
            mel_scale=scale,
            triangularize_in_mel_space=in_mel,
        )
    return bank
