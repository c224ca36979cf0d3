"""Cuts a speech model behind its convolutional encoder, so that a frame of samples is encoded once and kept.

Wav2Vec2 and its kin make one row out of 400 samples, every 320. Where their encoder normalises each row by itself
("layer"), a row depends on its own samples alone and is the same in every window that holds it: the pack then gets two
graphs, `encoder.onnx` for new frames and the rest for windows of kept rows. Where it normalises over time ("group"),
or the samples are first normalised over the window, the rows of a window are its own, and no cut is exact.

With running statistics it is cut all the same, and is then another model: a row is computed once, by the statistics
of the sound up to it (`features/statistics.py`), whatever comes after it in a window. What a frame weighs in them falls
to 1/e over half a window, and after two windows it is forgotten. Of the fades and even weights that were tried on
speech, over half a window to twelve, by nets of random weights and a trained one, this was nearest to the window run
anew or within a point of it; fixed statistics, or one running level for all channels, were further off.
"""

import copy
import math
from dataclasses import dataclass, replace
from typing import Any, cast

import msgspec
import torch
from torch import Tensor, nn

from streamclf.errors import StreamclfError
from streamclf.features.spec import Encoded
from streamclf.train.export.onnxgraph import Graph, to_onnx

ENCODER_FILE = "encoder.onnx"
_INPUT, _STATISTICS, _OUTPUT = "frames", "statistics", "rows"
_MIXING = (nn.GroupNorm, nn.InstanceNorm1d)
# the extractor adds it to the variance of the samples
_VARIANCE_FLOOR = 1e-7


@dataclass(frozen=True, slots=True)
class SplitEncoder:
    """A model in two parts. encoder: (n, frame_length) samples -> (n, bands). head: (B, F, bands) -> logits.

    Where `features` asks for statistics, (n, 1 + taps, taps) float64, the encoder takes them as well. undivided: the
    encoder over samples of any length, (n, samples) -> (n, F, bands), as the model runs it.
    """

    encoder: nn.Module
    head: nn.Module
    undivided: "UndividedEncoder"
    features: Encoded

    def graph(self) -> bytes:
        """The encoder's graph, for the pack's `ENCODER_FILE`. Raises StreamclfError where torch cannot capture it."""
        return self.onnx().model

    def onnx(self) -> Graph:
        """The same, with the nodes that must stay float32 in every variant."""
        examples = self.examples(2)
        inputs = [_INPUT, _STATISTICS][: len(examples)]
        return to_onnx(
            self.encoder.eval(),
            examples,
            inputs=inputs,
            outputs=[_OUTPUT],
            batch_axes=[0] * len(inputs),
            exact=("level", "first.moments"),
        )

    def examples(self, count: int) -> list[Tensor]:
        """What the encoder takes for `count` frames, with any values."""
        features = self.features
        frames = torch.randn(count, features.frame_length)
        statistics = torch.zeros(count, 1 + features.taps, features.taps, dtype=torch.float64)
        return [frames, statistics] if features.statistics else [frames]


def obstacle(model: Any, *, normalise: bool, running: bool = False) -> str:
    """Why this model cannot be cut, in words; "" where it can.

    model: of transformers, with a head. normalise: whether its extractor normalises the whole input. running: whether
    running statistics may stand in for those of the window; otherwise rows must stay the same.
    """
    base = getattr(model, "base_model", None)
    encoder = getattr(base, "feature_extractor", None)
    convolutions: Any = getattr(encoder, "conv_layers", None)
    if not isinstance(encoder, nn.Module) or convolutions is None:
        return "it has no convolutional encoder of samples"
    mixing = [part for part in encoder.modules() if isinstance(part, _MIXING)]
    if running:
        if mixing and mixing != [_group_norm(convolutions[0])]:
            return "its convolutional encoder normalises over time elsewhere than behind its first convolution"
        return "" if mixing or normalise else "its rows rest on their own samples alone, and are kept as they are"
    if mixing:
        return "its convolutional encoder normalises over the whole window (group norm)"
    if normalise:
        return "its input is normalised over the whole window"
    return ""


def split(model: Any, *, normalise: bool, window: int = 0) -> SplitEncoder:
    """Cut a model. The two parts share its weights; the model itself stays as it was.

    window: samples of one; running statistics may stand in for its own. 0 cuts only where rows stay the same. Raises
    StreamclfError with the reason where `obstacle` has one.
    """
    reason = obstacle(model, normalise=normalise, running=window > 0)
    if reason:
        raise StreamclfError(f"{type(model).__name__} cannot be split into encoder and head: {reason}")
    model = model.eval()
    base = model.base_model
    layers = [part.conv for part in base.feature_extractor.conv_layers]
    shift = length = 1
    for layer in layers:
        length += (layer.kernel_size[0] - 1) * shift
        shift *= layer.stride[0]
    # SEW normalises between the two; its projection stays with the head
    projection = None if hasattr(base, "layer_norm") else getattr(base, "feature_projection", None)
    features = Encoded(frame_length=length, frame_shift=shift, bands=0, input=_INPUT, output=_OUTPUT)
    encoder: nn.Module
    if window:
        encoder = _RunningEncoder(base.feature_extractor, projection, normalise=normalise)
        # the samples' own statistics do where no channel's are asked for
        kernel, stride = (layers[0].kernel_size[0], layers[0].stride[0]) if encoder.grouped else (1, 1)
        frames = (window - length) // shift + 1
        features = msgspec.structs.replace(
            features,
            statistics=_STATISTICS,
            taps=kernel,
            stride=stride,
            span=2 * frames,
            decay=math.exp(-2.0 / frames),
        )
    else:
        encoder = _FrameEncoder(base.feature_extractor, projection)
    kept: dict[str, nn.Module] = {"feature_extractor": _Turned()}
    if projection is not None:
        kept["feature_projection"] = _Kept(paired=_gives_pair(projection, layers[-1].out_channels))
    head = with_parts(model, **{model.base_model_prefix: with_parts(base, **kept)})
    undivided = UndividedEncoder(base.feature_extractor, projection).eval()
    parts = SplitEncoder(encoder.eval(), _RowsHead(head), undivided, features)
    with torch.inference_mode():
        bands = encoder(*parts.examples(1)).shape[1]
    return replace(parts, features=msgspec.structs.replace(features, bands=bands))


class _FrameEncoder(nn.Module):
    """Each frame by itself through the convolutions, of which just one row is left, and through the projection."""

    def __init__(self, convolutions: nn.Module, projection: nn.Module | None) -> None:
        super().__init__()
        self.convolutions = convolutions
        self.projection = projection

    def forward(self, frames: Tensor) -> Tensor:
        """frames: (n, frame_length) -> (n, bands)."""
        rows: Tensor = self.convolutions(frames)[:, :, 0]
        return rows if self.projection is None else _first(self.projection(rows))


class UndividedEncoder(nn.Module):
    """Convolutions and projection over as many samples as there are, as in the model itself."""

    def __init__(self, convolutions: Any, projection: nn.Module | None) -> None:
        super().__init__()
        self.convolutions = convolutions
        self.projection = projection

    def forward(self, samples: Tensor) -> Tensor:
        """samples: (n, samples) -> (n, F, bands)."""
        return self.projected(self.convolutions(samples).transpose(1, 2))

    def projected(self, rows: Tensor) -> Tensor:
        """rows: (..., channels) of the last convolution -> (..., bands)."""
        return rows if self.projection is None else _first(self.projection(rows))


class _RunningEncoder(nn.Module):
    """The same, with running statistics where the undivided encoder takes those of all it hears."""

    def __init__(self, convolutions: Any, projection: nn.Module | None, *, normalise: bool) -> None:
        super().__init__()
        first, *others = convolutions.conv_layers
        self.grouped = _group_norm(first) is not None
        self.level = _Level() if normalise else None
        self.first = _RunningNorm(first) if self.grouped else first
        self.others = nn.ModuleList(others)
        self.projection = projection

    def forward(self, frames: Tensor, statistics: Tensor) -> Tensor:
        """frames: (n, frame_length), statistics: (n, 1 + taps, taps) float64 -> (n, bands)."""
        if self.level is not None:
            frames, statistics = self.level(frames, statistics)
        hidden: Tensor = self.first(frames[:, None], statistics) if self.grouped else self.first(frames[:, None])
        for layer in self.others:
            hidden = layer(hidden)
        rows = hidden[:, :, 0]
        return rows if self.projection is None else _first(self.projection(rows))


class _Level(nn.Module):
    """Samples of mean 0 and variance 1, as the extractor makes them, and the statistics of such samples."""

    def forward(self, frames: Tensor, statistics: Tensor) -> tuple[Tensor, Tensor]:
        """frames: (n, frame_length), statistics: (n, 1 + taps, taps) float64; the same shapes come out."""
        means, covariance = statistics[:, :1], statistics[:, 1:]
        taps = means.shape[2]
        mean = means.mean(dim=2, keepdim=True)
        variance = (covariance * torch.eye(taps, dtype=torch.float64)).sum(dim=(1, 2), keepdim=True) / taps
        deviation = (variance.clamp(min=0.0) + _VARIANCE_FLOOR).sqrt()
        level = torch.cat([(means - mean) / deviation, covariance / deviation.square()], dim=1)
        return (frames - mean[:, 0].float()) / deviation[:, 0].float(), level


class _RunningNorm(nn.Module):
    """The first convolution with its group norm, a group a channel, by statistics that are given."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer
        self.moments = _ChannelMoments(layer.conv, _group_norm(layer))

    def forward(self, samples: Tensor, statistics: Tensor) -> Tensor:
        """samples: (n, 1, frame_length) -> (n, channels, places)."""
        mean, scale = self.moments(statistics)
        hidden = (self.layer.conv(samples) - mean[:, :, None]) * scale[:, :, None]
        norm = self.layer.layer_norm
        activated: Tensor = self.layer.activation(hidden * norm.weight[:, None] + norm.bias[:, None])
        return activated


class _ChannelMoments(nn.Module):
    """What a convolution's channels have as mean and variance where its samples have these.

    In float64: of a kernel's share of the samples' power may be left no more than float32 rounds away.
    """

    kernel: Tensor

    def __init__(self, conv: Any, norm: Any) -> None:
        super().__init__()
        self.register_buffer("kernel", conv.weight.detach()[:, 0].double())
        self.bias = conv.bias
        self.floor = float(norm.eps)

    def forward(self, statistics: Tensor) -> tuple[Tensor, Tensor]:
        """statistics: (n, 1 + taps, taps) float64 -> mean and 1 / deviation, (n, channels) float32."""
        mean = (statistics[:, 0] @ self.kernel.T).float()
        variance = ((self.kernel @ statistics[:, 1:]) * self.kernel).sum(dim=2)
        scale = 1.0 / (variance.clamp(min=0.0) + self.floor).sqrt()
        return mean if self.bias is None else mean + self.bias, scale.float()


class _RowsHead(nn.Module):
    """The rest of the model on kept rows."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, F, bands) -> (B, C) or (B, F, C) logits."""
        logits: Tensor = self.model(input_values=features).logits
        return logits


class _Turned(nn.Module):
    """Stands where the convolutions stood: rows are given, in the convolutions' order of axes."""

    def forward(self, rows: Tensor) -> Tensor:
        """rows: (B, F, bands) -> (B, bands, F)."""
        return rows.transpose(1, 2)


class _Kept(nn.Module):
    """Stands where the projection stood. paired: the model expects the rows before it as well, and uses them not."""

    def __init__(self, *, paired: bool) -> None:
        super().__init__()
        self.paired = paired

    def forward(self, rows: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """rows: (B, F, bands), as they are."""
        return (rows, rows) if self.paired else rows


def _group_norm(layer: Any) -> nn.GroupNorm | None:
    """The layer's norm where it takes each channel by itself over time."""
    norm = getattr(layer, "layer_norm", None)
    channelwise = isinstance(norm, nn.GroupNorm) and norm.num_groups == norm.num_channels
    return norm if channelwise else None


def _gives_pair(projection: nn.Module, bands: int) -> bool:
    with torch.inference_mode():
        return isinstance(projection(torch.zeros(1, 1, bands)), tuple)


def _first(value: Any) -> Tensor:
    return cast(Tensor, value[0] if isinstance(value, tuple) else value)


def with_parts(module: nn.Module, **parts: nn.Module) -> nn.Module:
    """The same module with other submodules of those names; everything else is shared, weights included."""
    other = copy.copy(module)
    other._modules = {**module._modules, **parts}
    return other
