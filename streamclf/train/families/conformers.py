"""CTC encoders with extractors of their own: Parakeet, LASR, OmniASR. Samples go into the graph.

Parakeet's extractor centres its frames and normalises each band over all it hears, OmniASR's normalises the samples;
both need the whole window. Parakeet's rows come every 80 ms, LASR's every 40 ms: each holds for the frames it covers.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from streamclf.clock import hop_of
from streamclf.model.pack import Waveform
from streamclf.train.families.bandpower import BandPower, hann
from streamclf.train.families.ctc import NOTE, vocabulary
from streamclf.train.families.family import DEFAULT_WINDOW_MS, Family, Plan, Reference, Wishes, extracted
from streamclf.train.families.ongrid import Grid, grid_of, on_grid
from streamclf.train.families.speech import model_class
from streamclf.train.pretrained import Checkpoint
from streamclf.types import F32, Shape

# the extractors' own
_LOG_GUARD = 2.0**-24
_PARAKEET_FLOOR = 1e-5
_LASR_FLOOR = 1e-5
_OMNI_FLOOR = 1e-5


@dataclass(frozen=True, slots=True)
class _Side:
    """stride, field: samples from one row to the next, and in one. head: (model, rows, grid) to the module.

    asked: what the extractor is asked for beside samples.
    """

    stride: int
    field: int
    head: Callable[[Any, int, Grid], nn.Module]
    asked: dict[str, Any]


def plan(checkpoint: Checkpoint, wishes: Wishes) -> Plan:
    """Rows of 20 ms of a window of 1 s, unless another is asked for; exactly one token holds at a time."""
    rate = checkpoint.whole("sampling_rate")
    hop = hop_of(rate)
    extractor = checkpoint.extractor()
    side = _SIDES[checkpoint.architecture](checkpoint, extractor)
    grid = grid_of(side.stride, rate, checkpoint.source)
    frames = grid.whole(wishes.window_samples(rate, DEFAULT_WINDOW_MS) / side.stride)
    rows = frames * grid.times // grid.each
    names, hidden = vocabulary(checkpoint)
    model = checkpoint.model(model_class(checkpoint.architecture))
    reference = extracted(extractor, model, rate, **side.asked)
    return Plan(
        rate=rate,
        shape=Shape.WINDOW_FRAMES,
        window=max((frames - 1) * side.stride + side.field, rows * hop),
        features=Waveform(),
        module=side.head(model, frames, grid),
        reference=grid.of_reference(_first(reference, frames)),
        activation=wishes.activation or "softmax",
        names=names,
        rows=rows,
        hidden=hidden,
        notes=((NOTE,) if hidden else ()) + grid.notes(side.stride, rate),
        exact=("front",),
    )


def _first(reference: Reference, frames: int) -> Reference:
    """Without the row that stands for the extractor's last frame, which is masked."""

    def rows(windows: F32) -> F32:
        given = reference(windows)
        return given[:, :frames] if given.shape[1] == frames + 1 else given

    return rows


class ParakeetFront(nn.Module):
    """(B, n) samples to the extractor's (B, n / shift + 1, bands), of which the last frame is masked."""

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        self._emphasis = float(extractor.preemphasis or 0.0)
        self._reach = int(extractor.n_fft) // 2
        taper = hann(int(extractor.win_length), periodic=False, size=int(extractor.n_fft))
        self.power = BandPower(taper, extractor.mel_filters.T.numpy(), shift=int(extractor.hop_length))

    def forward(self, samples: Tensor) -> Tensor:
        """samples: (B, n) -> (B, T, bands)."""
        sharp = torch.cat([samples[:, :1], samples[:, 1:] - self._emphasis * samples[:, :-1]], dim=1)
        levels = (self.power(nn.functional.pad(sharp, (self._reach, self._reach))) + _LOG_GUARD).log()
        heard = levels[:, :, :-1].double()
        centred = heard - heard.mean(dim=2, keepdim=True)
        variance = centred.square().sum(dim=2, keepdim=True) / (heard.shape[2] - 1)
        normal = (centred / (variance.sqrt() + _PARAKEET_FLOOR)).float()
        return nn.functional.pad(normal, (0, 1)).transpose(1, 2)


class LasrFront(nn.Module):
    """(B, n) samples to the extractor's (B, T, bands)."""

    def __init__(self, extractor: Any) -> None:
        super().__init__()
        length, size = int(extractor.win_length), int(extractor.n_fft)
        self._beyond = size - length
        taper = hann(length, periodic=False, size=size, centred=False)
        self.power = BandPower(taper, extractor.mel_filters.numpy(), shift=int(extractor.hop_length))

    def forward(self, samples: Tensor) -> Tensor:
        """samples: (B, n) -> (B, T, bands)."""
        power: Tensor = self.power(nn.functional.pad(samples, (0, self._beyond)))
        return power.clamp(min=_LASR_FLOOR).log().transpose(1, 2)


class SpectralCTC(nn.Module):
    """(B, window) samples to logits. frames: rows of the encoder; mask: whether its last feature frame is none."""

    def __init__(self, front: nn.Module, net: nn.Module, frames: int, grid: Grid, *, mask: bool) -> None:
        super().__init__()
        self.front = front
        self.net = net
        self._frames, self._grid, self._mask = frames, grid, mask

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, window) float32 -> (B, F, C)."""
        bands = self.front(features)
        heard = torch.ones_like(bands[:, :, 0], dtype=torch.bool)
        if self._mask:
            heard = torch.cat([heard[:, 1:], torch.zeros_like(heard[:, :1])], dim=1)
        logits = self.net(input_features=bands, attention_mask=heard).logits
        return on_grid(logits[:, : self._frames], self._grid)


class OmniHead(nn.Module):
    """(B, window) samples to logits."""

    def __init__(self, net: nn.Module, grid: Grid, *, normalise: bool) -> None:
        super().__init__()
        self.net = net
        self._grid, self._normalise = grid, normalise

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, window) float32 -> (B, F, C)."""
        if self._normalise:
            centred = features - features.mean(dim=1, keepdim=True)
            features = centred / (centred.square().mean(dim=1, keepdim=True) + _OMNI_FLOOR).sqrt()
        return on_grid(self.net(input_values=features[:, None]).logits, self._grid)


def _parakeet(checkpoint: Checkpoint, extractor: Any) -> _Side:
    stride = int(checkpoint.config.encoder_config.subsampling_factor) * int(extractor.hop_length)

    def head(model: Any, frames: int, grid: Grid) -> nn.Module:
        return SpectralCTC(ParakeetFront(extractor), model, frames, grid, mask=True)

    return _Side(stride, stride, head, {})


def _lasr(checkpoint: Checkpoint, extractor: Any) -> _Side:
    config = checkpoint.config.encoder_config
    kernel, step = int(config.subsampling_conv_kernel_size), int(config.subsampling_conv_stride)
    shift, length = int(extractor.hop_length), int(extractor.win_length)

    def head(model: Any, frames: int, grid: Grid) -> nn.Module:
        return SpectralCTC(LasrFront(extractor), model, frames, grid, mask=False)

    heard = 1 + (kernel - 1) * (1 + step)
    return _Side(step * step * shift, (heard - 1) * shift + length, head, {"return_attention_mask": True})


def _omni(checkpoint: Checkpoint, extractor: Any) -> _Side:
    config = checkpoint.config.audio_config
    stride, field = 1, 1
    for kernel, step in zip(config.conv_kernel, config.conv_stride, strict=True):
        field += (kernel - 1) * stride
        stride *= step

    def head(model: Any, frames: int, grid: Grid) -> nn.Module:
        return OmniHead(model, grid, normalise=bool(extractor.do_normalize))

    return _Side(stride, field, head, {})


_SIDES: dict[str, Callable[[Checkpoint, Any], _Side]] = {
    "ParakeetForCTC": _parakeet,
    "LasrForCTC": _lasr,
    "OmniASRForCTC": _omni,
}

FAMILY = Family(
    title="CTC encoder with an extractor of its own",
    output="a row every 20 ms over its tokens",
    classes=tuple(_SIDES),
    plan=plan,
)
