"""Speech encoders with a head: what sequence, frame and CTC heads have in common.

An encoder makes one frame of `stride` samples out of `field` samples, so a window of (F - 1) * stride + field samples
holds F of them and nothing that the model does not look at. With a stride of 20 ms, row j of a window belongs to the
window's 20 ms frame j; of other strides `ongrid.py` makes rows of 20 ms.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

from torch import Tensor, nn

from streamclf.clock import hop_of
from streamclf.model.pack import Features, Waveform
from streamclf.train.families import seamless
from streamclf.train.families.family import DEFAULT_WINDOW_MS, Activation, Layout, Plan, Wishes, extracted
from streamclf.train.families.ongrid import SAME, Grid, grid_of, on_grid
from streamclf.train.pretrained import Checkpoint
from streamclf.types import Shape

KIN = ("Wav2Vec2", "WavLM", "Data2VecAudio", "UniSpeechSat", "Wav2Vec2Bert", "Wav2Vec2Conformer")
"""Of all heads; HuBERT's kin lacks some of them in transformers."""
SEQUENCE_KIN = (*KIN, "Hubert", "UniSpeech", "SEW", "SEWD")

LOGITS: Callable[[Any], Tensor] = attrgetter("logits")


@dataclass(frozen=True, slots=True)
class Side:
    """How samples enter an encoder. stride, field: samples from one frame to the next, and in one frame.

    head: (model, grid=, taken=) to the module behind the features. exact: see `Plan`.
    """

    rate: int
    features: Features
    layout: Layout
    stride: int
    field: int
    head: Callable[..., nn.Module]
    notes: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()


class WaveformHead(nn.Module):
    """(B, window) samples to logits, or to what else `taken` takes of the model's outputs."""

    def __init__(self, model: nn.Module, *, grid: Grid = SAME, taken: Callable[[Any], Tensor] = LOGITS) -> None:
        super().__init__()
        self.model = model
        self.grid = grid
        self._taken = taken

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, window) float32 -> (B, C) or (B, F, C)."""
        return on_grid(self._taken(self.model(input_values=features)), self.grid)


def encoder_plan(
    checkpoint: Checkpoint,
    wishes: Wishes,
    *,
    framewise: bool,
    activation: Activation,
    names: tuple[str, ...],
    hidden: frozenset[int] = frozenset(),
    notes: tuple[str, ...] = (),
) -> Plan:
    """The plan of a checkpoint whose head gives one row a window, or (framewise) one every 20 ms."""
    side = side_of(checkpoint)
    hop = hop_of(side.rate)
    grid = grid_of(side.stride, side.rate, checkpoint.source) if framewise else SAME
    frames = grid.whole(wishes.window_samples(side.rate, DEFAULT_WINDOW_MS) / side.stride)
    rows = frames * grid.times // grid.each
    model = checkpoint.model(model_class(checkpoint.architecture))
    reference = extracted(checkpoint.extractor(), model, side.rate)
    return Plan(
        rate=side.rate,
        shape=Shape.WINDOW_FRAMES if framewise else Shape.WINDOW_ROW,
        window=max((frames - 1) * side.stride + side.field, rows * hop if framewise else 0),
        features=side.features,
        module=side.head(model, grid=grid),
        reference=grid.of_reference(reference),
        activation=activation,
        names=names,
        rows=rows if framewise else 1,
        layout=side.layout,
        hidden=hidden,
        notes=notes + side.notes + grid.notes(side.stride, side.rate),
        exact=side.exact,
    )


def model_class(architecture: str) -> Any:
    """Transformers' class of that name, or ours where it has none."""
    import transformers

    if architecture == "HubertForAudioFrameClassification":
        from streamclf.train.families.hubert import HubertForAudioFrameClassification

        return HubertForAudioFrameClassification
    return getattr(transformers, architecture)


def side_of(checkpoint: Checkpoint) -> Side:
    """How samples enter the checkpoint's encoder."""
    spectral = checkpoint.config.model_type == "wav2vec2-bert"
    return _spectral_side(checkpoint) if spectral else _waveform_side(checkpoint)


def _waveform_side(checkpoint: Checkpoint) -> Side:
    config = checkpoint.config
    stride, field = 1, 1
    for kernel, step in zip(config.conv_kernel, config.conv_stride, strict=True):
        field += (kernel - 1) * stride
        stride *= step
    normalise = bool(checkpoint.setting("do_normalize"))
    return Side(
        rate=checkpoint.whole("sampling_rate"),
        features=Waveform(normalise="window" if normalise else "none"),
        layout="flat",
        stride=stride,
        field=field,
        head=WaveformHead,
    )


def _spectral_side(checkpoint: Checkpoint) -> Side:
    step = checkpoint.whole("stride")
    rate = checkpoint.whole("sampling_rate")
    features = seamless.features(rate, checkpoint.whole("num_mel_bins"))
    return Side(
        rate=rate,
        features=features,
        layout="time-bands",
        stride=step * features.frame_shift,
        field=(step - 1) * features.frame_shift + features.frame_length,
        head=partial(seamless.SeamlessHead, step),
        exact=("normalise",),
        notes=("its extractor normalises each band over the whole window; that is done inside the graph",),
    )
