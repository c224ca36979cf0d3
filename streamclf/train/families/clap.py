"""CLAP's audio tower: an embedding of any sound, beside that of the words for it.

Its extractor repeats a clip up to a fixed length (10 s), then takes a centred mel spectrogram in decibels; samples go
into the graph and all of that is done there. A shorter window costs what the full length costs.
"""

from typing import Any

import numpy as np
from torch import Tensor, nn

from streamclf.errors import UsageError
from streamclf.model.pack import Waveform
from streamclf.train.export.split_encoder import with_parts
from streamclf.train.families import embedding
from streamclf.train.families.bandpower import BandPower, hann
from streamclf.train.families.family import DEFAULT_WINDOW_MS, Family, Plan, Wishes, run_torch
from streamclf.train.pretrained import Checkpoint, CheckpointError, quiet
from streamclf.types import F32, Shape

_FLOOR = 1e-10


def plan(checkpoint: Checkpoint, wishes: Wishes) -> Plan:
    """One row a window of 1 s, or of the extractor's length where that is shorter."""
    from transformers import ClapAudioModelWithProjection

    embedding.refuse_activation(checkpoint, wishes)
    extractor = checkpoint.extractor()
    rate, length = int(extractor.sampling_rate), int(extractor.nb_max_samples)
    window = wishes.window_samples(rate, DEFAULT_WINDOW_MS)
    if window > length and wishes.window_ms is not None:
        raise UsageError(
            f"a window of {wishes.window_ms:g} ms was asked for, but {checkpoint.source} hears at most "
            f"{1000 * length / rate:g} ms; ask for less"
        )
    window = min(window, length)
    config = getattr(checkpoint.config, "audio_config", checkpoint.config)
    if int(config.num_mel_bins) != int(extractor.feature_size):
        raise CheckpointError(
            f"the extractor of {checkpoint.source} gives {extractor.feature_size} bands and its model takes "
            f"{config.num_mel_bins}; correct `feature_size` in preprocessor_config.json"
        )
    model = checkpoint.model(ClapAudioModelWithProjection, config=config)

    def reference(windows: F32) -> F32:
        with quiet():
            inputs = extractor(list(windows.astype(np.float32)), sampling_rate=rate, return_tensors="pt")
        # of a batch without a long clip the extractor calls one long at random, so that a fused model has one
        inputs["is_longer"][:] = False
        return run_torch(model, inputs, taken="audio_embeds")

    note = f"the window is repeated up to {1000 * length / rate:g} ms, as its extractor does; that is what a run costs"
    return Plan(
        rate=rate,
        shape=Shape.WINDOW_ROW,
        window=window,
        features=Waveform(),
        module=embedding.EmbeddingHead(ClapHead(model, ClapSpectrum(extractor, window))),
        reference=embedding.directions(reference),
        notes=(embedding.NOTE, note) if window < length else (embedding.NOTE,),
        exact=("embed.spectrum",),
        **embedding.parts(int(config.projection_dim)),
    )


class ClapSpectrum(nn.Module):
    """(B, window) samples to the extractor's (B, 1, frames, bands) in decibels."""

    def __init__(self, extractor: Any, window: int) -> None:
        super().__init__()
        size, length = int(extractor.fft_window_size), int(extractor.nb_max_samples)
        times = length // window
        self._cut = window * times
        if extractor.padding == "repeat" and window < length:
            times, self._cut = times + 1, length
        self._times = 1 if extractor.padding == "pad" else times
        self._silence = length - (window if self._times == 1 else self._cut)
        self._reach = size // 2
        fused = extractor.truncation == "fusion"
        bank = np.asarray(extractor.mel_filters if fused else extractor.mel_filters_slaney)
        self.power = BandPower(hann(size, periodic=True), bank, shift=int(extractor.hop_length))

    def forward(self, samples: Tensor) -> Tensor:
        """samples: (B, window) -> (B, 1, frames, bands)."""
        whole = samples.repeat(1, self._times)[:, : self._cut]
        whole = nn.functional.pad(whole, (0, self._silence))[:, None]
        padded = nn.functional.pad(whole, (self._reach, self._reach), mode="reflect")[:, 0]
        power: Tensor = self.power(padded)
        return 10.0 * power.clamp(min=_FLOOR).log10().transpose(1, 2)[:, None]


class ClapHead(nn.Module):
    """(B, window) samples to the projected embedding, of a clip that is not longer than the model hears."""

    def __init__(self, net: Any, spectrum: ClapSpectrum) -> None:
        super().__init__()
        self.spectrum = spectrum
        tower = net.audio_model
        parts = {"patch_embed": with_parts(tower.audio_encoder.patch_embed)}
        encoder: Any = with_parts(tower.audio_encoder, **parts)
        # what fuses the crops of a longer clip is never asked for
        encoder.enable_fusion = encoder.patch_embed.enable_fusion = False
        self.net = with_parts(net, audio_model=with_parts(tower, audio_encoder=encoder))

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, window) float32 -> (B, C)."""
        embedding: Tensor = self.net(input_features=self.spectrum(features)).audio_embeds
        return embedding


FAMILY = Family(
    title="CLAP audio tower",
    output="an embedding a window",
    classes=("ClapModel", "ClapAudioModelWithProjection"),
    plan=plan,
)
