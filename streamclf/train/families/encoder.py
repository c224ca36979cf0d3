"""Speech encoders with a head: what sequence, frame and CTC heads have in common.

An encoder makes one frame of `stride` samples out of `field` samples, so a window of (F - 1) * stride + field samples
holds F of them and nothing that the model does not look at. With a stride of 20 ms, row j of a window belongs to the
window's 20 ms frame j.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from streamclf.clock import FRAME_MS, hop_of
from streamclf.model.pack import Features, Waveform
from streamclf.train.families import seamless
from streamclf.train.families.family import DEFAULT_WINDOW_MS, Activation, Layout, Plan, Wishes, extracted
from streamclf.train.pretrained import Checkpoint, CheckpointError
from streamclf.types import Shape

KIN = ("Wav2Vec2", "Hubert", "WavLM", "Data2VecAudio", "UniSpeechSat", "Wav2Vec2Bert")


@dataclass(frozen=True, slots=True)
class Side:
    """How samples enter an encoder. stride, field: samples from one frame to the next, and in one frame."""

    rate: int
    features: Features
    layout: Layout
    stride: int
    field: int
    notes: tuple[str, ...] = ()


class WaveformHead(nn.Module):
    """(B, window) samples to logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, window) float32 -> (B, C) or (B, F, C)."""
        logits: Tensor = self.model(input_values=features).logits
        return logits


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
    spectral = checkpoint.config.model_type == "wav2vec2-bert"
    side = _spectral_side(checkpoint) if spectral else _waveform_side(checkpoint)
    hop = hop_of(side.rate)
    if framewise and side.stride != hop:
        raise CheckpointError(
            f"the frames of {checkpoint.source} come every {side.stride} samples at {side.rate} Hz, which is "
            f"{1000 * side.stride / side.rate:g} ms; a frame head must give a row every {FRAME_MS} ms, so export a "
            "checkpoint with such a stride or with a head for whole windows"
        )
    frames = max(1, round(wishes.window_samples(side.rate, DEFAULT_WINDOW_MS) / side.stride))
    model = checkpoint.model(model_class(checkpoint.architecture))
    module = seamless.SeamlessHead(model, checkpoint.whole("stride")) if spectral else WaveformHead(model)
    return Plan(
        rate=side.rate,
        shape=Shape.WINDOW_FRAMES if framewise else Shape.WINDOW_ROW,
        window=(frames - 1) * side.stride + side.field,
        features=side.features,
        module=module,
        reference=extracted(checkpoint.extractor(), model, side.rate),
        activation=activation,
        names=names,
        rows=frames if framewise else 1,
        layout=side.layout,
        hidden=hidden,
        notes=notes + side.notes,
        exact=("normalise",) if spectral else (),
    )


def model_class(architecture: str) -> Any:
    """Transformers' class of that name, or ours where it has none."""
    import transformers

    if architecture == "HubertForAudioFrameClassification":
        from streamclf.train.families.hubert import HubertForAudioFrameClassification

        return HubertForAudioFrameClassification
    return getattr(transformers, architecture)


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
        notes=("its extractor normalises each band over the whole window; that is done inside the graph",),
    )
