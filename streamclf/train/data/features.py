"""Input of a net for a batch of samples: the very features that the engine computes, each example a fresh stream."""

from collections.abc import Iterable

import msgspec
import numpy as np
import torch

from streamclf.features.frontend import make_frontend
from streamclf.features.image import drawer
from streamclf.features.mel import bank_of
from streamclf.features.spec import Fbank, Features, Image, LogMel
from streamclf.model.pack import Manifest
from streamclf.types import F32, Shape

# Spectra that spread less are those of one constant sound, and to divide by that would blow up its rounding.
_LEAST_SPREAD = 1e-2
_OF_PICTURES = 4
"""Axes of rows that are pictures."""


class BatchFeatures:
    """(B, samples) float32 -> what a pack's graph eats.

    context: samples before the first, which are silence. So for a stateful pack the feature frames that its steps are
    given one after another lie behind one another on the time axis.
    """

    def __init__(self, features: Features, rate: int, *, layout: str = "", context: int = 0) -> None:
        self._features = features
        self._rate = rate
        self._layout = layout
        self._context = context
        self._log_mel = None
        if isinstance(features, LogMel) and features.level is None:  # a level rests on all frames before
            self._log_mel = _BatchLogMel(features, rate)

    @classmethod
    def of(cls, manifest: Manifest) -> "BatchFeatures":
        """The features of a pack. Window packs: samples = window; stateful packs: any number of steps."""
        context = manifest.window - manifest.step if manifest.shape is Shape.STATEFUL else 0
        return cls(manifest.features, manifest.rate, layout=manifest.input_layout, context=context)

    def rows(self, audio: F32) -> F32:
        """Feature frames (B, frames, bands) float32; waveforms (B, samples), pictures (B, channels, bands, frames)."""
        if isinstance(self._features, Image):
            draw = drawer(self._features, self._rate)
            return np.stack([draw(samples) for samples in audio]).astype(np.float32)
        span = audio.shape[1] + self._context
        frontend = make_frontend(self._features, self._rate, history=span)
        shift = frontend.frame_shift
        frames = (span - frontend.frame_length) // shift + 1
        rows = np.empty((len(audio), frames, *frontend.dims), dtype=np.float32)
        if self._log_mel is not None:
            # what lies before a stream's start reads as the features of silence
            before = -(-self._context // shift)
            rows[:, before:] = self._log_mel(audio)
            rows[:, :before] = self._log_mel(np.zeros((1, frontend.frame_length), np.float32))
            return rows
        for samples, out in zip(audio, rows, strict=True):
            frontend.restart(0)
            frontend.push(samples)
            frontend.window(-self._context, span, out)
        return rows

    def lay(self, rows: F32) -> F32:
        """What `rows` gave, laid out as the manifest's `input_layout` says."""
        if rows.ndim == _OF_PICTURES:
            rows = rows if self._layout.endswith("bands-time") else np.ascontiguousarray(rows.swapaxes(2, 3))
            return rows if self._layout.startswith("channel-") else rows[:, 0]
        if self._layout.endswith("bands-time"):
            rows = np.ascontiguousarray(rows.swapaxes(1, 2))
        return rows[:, None] if self._layout.startswith("channel-") else rows

    @staticmethod
    def spectra(rows: F32) -> F32:
        """What `rows` gave, seen as (B, frames, bands) or, of pictures, (B, frames, bands, channels)."""
        return rows.transpose(0, 3, 2, 1) if rows.ndim == _OF_PICTURES else rows

    def __call__(self, audio: F32) -> F32:
        """audio: (B, samples) float32 -> the graph's input."""
        return self.lay(self.rows(audio))


class _BatchLogMel:
    """`features.logmel.LogMelSpectrum` for whole batches in float32, three times as quick; a test holds them equal."""

    def __init__(self, features: LogMel, rate: int) -> None:
        self._features = features
        base = 0.5 if features.window == "hann" else 0.54
        turn = 2 * np.pi * np.arange(features.frame_length) / features.frame_length
        self._window = torch.from_numpy((base - (1 - base) * np.cos(turn)).astype(np.float32))
        self._bank = torch.from_numpy(bank_of(features, rate).astype(np.float32))
        natural = {"ln": 1.0, "log10": 1 / np.log(10), "db": (10 if features.spectrum == "power" else 20) / np.log(10)}
        self._slope = natural[features.log] / features.scale

    def __call__(self, audio: F32) -> F32:
        """audio: (B, samples) -> (B, frames, bands), all frames that fit."""
        features = self._features
        frames = torch.from_numpy(audio).unfold(1, features.frame_length, features.frame_shift) * self._window
        power = torch.view_as_real(torch.fft.rfft(frames, features.fft_size)).square().sum(-1)
        bands = (power if features.spectrum == "power" else power.sqrt()) @ self._bank + features.log_offset
        rows: F32 = (bands.clamp(min=features.log_floor).log() * self._slope - features.mean / features.scale).numpy()
        return rows


def statistics(features: LogMel | Fbank, rate: int, audio: Iterable[F32]) -> tuple[float, float]:
    """Mean and spread of spectra over `audio`, batches of (B, samples): what a spec's `mean` and `scale` are to be.

    Digital silence does not count: it says nothing of sound, and its logarithm lies far below everything else.
    """
    compute = BatchFeatures(msgspec.structs.replace(features, mean=0.0, scale=1.0), rate)
    silence = compute.rows(np.zeros((1, features.frame_length), np.float32)).max()
    count, total, squares = 0, 0.0, 0.0
    for batch in audio:
        rows = compute.rows(batch)
        heard = rows[rows.max(axis=-1) > silence + 1e-3].astype(np.float64)
        count += heard.size
        total += float(heard.sum())
        squares += float(np.square(heard).sum())
    if not count:
        return 0.0, 1.0
    mean = total / count
    return round(mean, 4), round(max(_LEAST_SPREAD, (squares / count - mean**2) ** 0.5), 4)
