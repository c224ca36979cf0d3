"""Whisper's encoder with a classification head.

Its extractor pads a clip to a fixed length (30 s), takes a *centred* log10 mel spectrogram, reflected at both ends, and
raises everything to 8 below the clip's own maximum. Neither the reflection nor the maximum can be known frame by
frame, so the samples go into the graph and the spectrogram is made there, by a matrix product for the Fourier
transform. A shorter window is padded inside the graph as well: it costs what the full length costs.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from streamclf.errors import UsageError
from streamclf.model.pack import Waveform
from streamclf.train.families.bandpower import BandPower, hann
from streamclf.train.families.family import DEFAULT_WINDOW_MS, Family, Plan, Wishes, activation_of, extracted
from streamclf.train.pretrained import Checkpoint, CheckpointError
from streamclf.types import Shape

_FLOOR = 1e-10


def plan(checkpoint: Checkpoint, wishes: Wishes) -> Plan:
    """One row a window of 1 s, or of the extractor's length where that is shorter."""
    from transformers import WhisperForAudioClassification

    rate = checkpoint.whole("sampling_rate")
    length = checkpoint.whole("chunk_length") * rate
    shift = checkpoint.whole("hop_length")
    expected = 2 * int(checkpoint.config.max_source_positions)
    if length // shift != expected:
        raise CheckpointError(
            f"the extractor of {checkpoint.source} gives {length // shift} feature frames and its model takes "
            f"{expected}; correct `chunk_length` in preprocessor_config.json"
        )
    if checkpoint.settings.get("dither"):
        raise CheckpointError(
            f"the extractor of {checkpoint.source} adds noise (`dither`), which no two runs share; set it to 0"
        )
    window = min(length, wishes.window_samples(rate, DEFAULT_WINDOW_MS))
    if wishes.window_ms is not None and wishes.window_samples(rate, DEFAULT_WINDOW_MS) > length:
        raise UsageError(
            f"a window of {wishes.window_ms:g} ms was asked for, but {checkpoint.source} hears at most "
            f"{1000 * length / rate:g} ms; ask for less"
        )
    extractor = checkpoint.extractor()
    model = checkpoint.model(WhisperForAudioClassification)
    activation, notes = activation_of(checkpoint, wishes, unset="softmax")
    if window < length:
        notes = (
            *notes,
            f"the window is padded to the {1000 * length / rate:g} ms that its extractor pads to; that is what a run "
            "costs",
        )
    spectrum = WhisperSpectrum(extractor, length)
    return Plan(
        rate=rate,
        shape=Shape.WINDOW_ROW,
        window=window,
        features=Waveform(),
        module=WhisperHead(model, spectrum),
        reference=extracted(extractor, model, rate),
        activation=activation,
        names=checkpoint.names(),
        notes=notes,
        exact=("spectrum",),
    )


class WhisperSpectrum(nn.Module):
    """(B, samples) to the extractor's (B, bands, frames).

    extractor: transformers' own, for its settings and its mel bank. length: samples that a clip is padded to.
    """

    def __init__(self, extractor: Any, length: int) -> None:
        super().__init__()
        size = int(extractor.n_fft)
        self._length = length
        self._reach = size // 2
        bank = np.asarray(extractor.mel_filters)
        self.power = BandPower(hann(size, periodic=True), bank, shift=int(extractor.hop_length))

    def forward(self, samples: Tensor) -> Tensor:
        """samples: (B, n) with n at most the length -> (B, bands, length / shift)."""
        padded = nn.functional.pad(samples, (0, self._length - samples.shape[1]))[:, None, :]
        padded = nn.functional.pad(padded, (self._reach, self._reach), mode="reflect")[:, 0]
        levels = self.power(padded)[:, :, :-1].clamp(min=_FLOOR).log10()
        loudest = levels.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(levels, loudest - 8.0) + 4.0) / 4.0


class WhisperHead(nn.Module):
    """(B, window) samples to logits."""

    def __init__(self, model: nn.Module, spectrum: WhisperSpectrum) -> None:
        super().__init__()
        self.spectrum = spectrum
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, window) float32 -> (B, C)."""
        logits: Tensor = self.model(input_features=self.spectrum(features)).logits
        return logits


FAMILY = Family(
    title="Whisper encoder + mean + head",
    output="one row a window",
    classes=("WhisperForAudioClassification",),
    plan=plan,
)
