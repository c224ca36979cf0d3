"""The input side of Wav2Vec2-BERT: Kaldi fbank as SeamlessM4T's extractor makes it, two feature frames to a frame.

The fbank itself is computed incrementally. The extractor then normalises every band over the utterance, here over
the window; that needs the whole window and stands in the graph.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from torch import Tensor, nn

from streamclf.model.pack import Fbank
from streamclf.train.families.ongrid import SAME, Grid, on_grid

_VARIANCE_FLOOR = 1e-7


def features(rate: int, bands: int) -> Fbank:
    """What the extractor computes before it normalises: 25 ms frames (400 samples) every 160, of int16-like values."""
    return Fbank(
        frame_length=400,
        frame_shift=160,
        bands=bands,
        low_hz=20.0,
        high_hz=float(rate // 2),
        window="povey",
        sample_scale=32768.0,
        arithmetic="float64",
    )


class BandNormalise(nn.Module):
    """Zero mean and unit variance (n - 1) of each band over the window.

    In float64: in a band that hardly moves, what is left of it is divided by next to nothing.
    """

    def forward(self, rows: Tensor) -> Tensor:
        """rows: (B, T, bands) -> the same shape."""
        wide = rows.double()
        centred = wide - wide.mean(dim=1, keepdim=True)
        variance = (centred * centred).sum(dim=1, keepdim=True) / (rows.shape[1] - 1)
        return (centred / (variance + _VARIANCE_FLOOR).sqrt()).float()


class SeamlessHead(nn.Module):
    """(B, T, bands) fbank rows to logits; `stride` rows, laid side by side, are one frame of the encoder.

    taken: what is taken of the model's outputs.
    """

    def __init__(
        self, stride: int, model: nn.Module, *, grid: Grid = SAME, taken: Callable[[Any], Tensor] = attrgetter("logits")
    ) -> None:
        super().__init__()
        self.normalise = BandNormalise()
        self.model = model
        self.grid = grid
        self._stride = stride
        self._taken = taken

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, T, bands) float32, T a multiple of the stride -> (B, C) or (B, F, C)."""
        rows = self.normalise(features)
        frames = rows.reshape(-1, rows.shape[1] // self._stride, rows.shape[2] * self._stride)
        return on_grid(self._taken(self.model(input_features=frames)), self.grid)
