"""Cuts a speech model behind its convolutional encoder, so that a frame of samples is encoded once and kept.

Wav2Vec2 and its kin make one row out of 400 samples, every 320. Where their encoder normalises each row by itself
("layer"), a row depends on its own samples alone and is the same in every window that holds it: the pack then gets two
graphs, `encoder.onnx` for new frames and the rest for windows of kept rows. Where it normalises over time ("group"),
or the samples are first normalised over the window, the rows of a window are its own, and it cannot be cut.
"""

import copy
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from streamclf.errors import StreamclfError
from streamclf.features.spec import Encoded
from streamclf.train.onnxgraph import to_onnx

ENCODER_FILE = "encoder.onnx"
_INPUT, _OUTPUT = "frames", "rows"
_MIXING = (nn.GroupNorm, nn.InstanceNorm1d)


@dataclass(frozen=True, slots=True)
class Split:
    """A model in two parts. encoder: (n, frame_length) samples -> (n, bands). head: (B, F, bands) -> logits."""

    encoder: nn.Module
    head: nn.Module
    features: Encoded

    def graph(self) -> bytes:
        """The encoder's graph, for the pack's `ENCODER_FILE`. Raises StreamclfError where torch cannot capture it."""
        example = torch.randn(2, self.features.frame_length)
        return to_onnx(self.encoder.eval(), [example], inputs=[_INPUT], outputs=[_OUTPUT], batch_axes=[0]).model


def obstacle(model: Any, *, normalise: bool) -> str:
    """Why this model cannot be cut so that rows stay the same, in words; "" where it can.

    model: of transformers, with a head. normalise: whether its extractor normalises the whole input.
    """
    base = getattr(model, "base_model", None)
    encoder = getattr(base, "feature_extractor", None)
    if not isinstance(encoder, nn.Module) or not hasattr(encoder, "conv_layers"):
        return "it has no convolutional encoder of samples"
    if any(isinstance(part, _MIXING) for part in encoder.modules()):
        return "its convolutional encoder normalises over time (group norm)"
    if normalise:
        return "its input is normalised over the whole window"
    return ""


def split(model: Any, *, normalise: bool) -> Split:
    """Cut a model. The two parts share its weights; the model itself stays as it was.

    Raises StreamclfError with the reason where `obstacle` has one.
    """
    reason = obstacle(model, normalise=normalise)
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
    encoder = _FrameEncoder(base.feature_extractor, projection).eval()
    kept: dict[str, nn.Module] = {"feature_extractor": _Turned()}
    if projection is not None:
        kept["feature_projection"] = _Kept(paired=_gives_pair(projection, layers[-1].out_channels))
    head = _with_parts(model, **{model.base_model_prefix: _with_parts(base, **kept)})
    with torch.inference_mode():
        bands = encoder(torch.zeros(1, length)).shape[1]
    features = Encoded(frame_length=length, frame_shift=shift, bands=bands, input=_INPUT, output=_OUTPUT)
    return Split(encoder, _RowsHead(head), features)


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


def _gives_pair(projection: nn.Module, bands: int) -> bool:
    with torch.inference_mode():
        return isinstance(projection(torch.zeros(1, 1, bands)), tuple)


def _first(value: Any) -> Tensor:
    return cast(Tensor, value[0] if isinstance(value, tuple) else value)


def _with_parts(module: nn.Module, **parts: nn.Module) -> nn.Module:
    """The same module with other submodules of those names; everything else is shared, weights included."""
    other = copy.copy(module)
    other._modules = {**module._modules, **parts}
    return other
