"""Spectra inside a graph, for extractors whose frames are not a matter of the samples alone: centred, reflected,
normalised over the window.

Convolutions, so that no quantiser of products touches them.
"""

import numpy as np
import torch
from torch import Tensor, nn

from streamclf.types import F64


class BandPower(nn.Module):
    """(B, samples) to the power in each band, (B, bands, frames); no padding.

    taper: (fft_size, ) float64, as the extractor lays it on its samples. bank: (fft_size / 2 + 1, bands).
    """

    def __init__(self, taper: F64, bank: F64, *, shift: int) -> None:
        super().__init__()
        size = len(taper)
        self._shift = shift
        turn = 2 * np.pi * (np.arange(size // 2 + 1)[:, None] * np.arange(size)[None, :] % size) / size
        waves = np.concatenate([np.cos(turn), np.sin(turn)]) * taper
        self.waves = nn.Buffer(torch.from_numpy(waves.astype(np.float32))[:, None, :])
        weights = np.ascontiguousarray(np.asarray(bank, dtype=np.float32).T)
        self.bank = nn.Buffer(torch.from_numpy(weights)[:, :, None])

    def forward(self, samples: Tensor) -> Tensor:
        """samples: (B, n) -> (B, bands, (n - fft_size) / shift + 1)."""
        power = nn.functional.conv1d(samples[:, None, :], self.waves, stride=self._shift).square()
        bins = power.shape[1] // 2
        return nn.functional.conv1d(power[:, :bins] + power[:, bins:], self.bank)


def hann(length: int, *, periodic: bool, size: int | None = None, centred: bool = True) -> F64:
    """A Hann window of `length` samples, among zeros up to `size`: in their middle, or before them."""
    taper = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length if periodic else length - 1))
    before = ((size or length) - length) // 2 if centred else 0
    return np.pad(taper, (before, (size or length) - length - before))
