"""Audio Spectrogram Transformer: overlapping patches of a Kaldi fbank window, one row a window.

Another window than the one it was trained with gets its table of positions stretched along time, as the model's
authors did when they took it over from images.
"""

from typing import Any

from torch import Tensor, nn

from streamclf.errors import UsageError
from streamclf.model.pack import Fbank
from streamclf.train.families.family import Family, Plan, Wishes, activation_of, extracted
from streamclf.train.families.positions import stretch
from streamclf.train.pretrained import Checkpoint, CheckpointError
from streamclf.types import Shape

# the extractor's own, which no setting changes; of another rate they would be other times than its model has learnt
_LENGTH, _SHIFT = 400, 160
_RATE = 16_000


def plan(checkpoint: Checkpoint, wishes: Wishes) -> Plan:
    """One row a window of the extractor's length, unless another is asked for."""
    from transformers import ASTForAudioClassification

    rate = checkpoint.whole("sampling_rate")
    if rate != _RATE:
        raise CheckpointError(
            f"the extractor of {checkpoint.source} states {rate} Hz; it makes frames of {_LENGTH} samples each "
            f"{_SHIFT}, which is right at {_RATE} Hz alone, so export one that hears {_RATE} Hz"
        )
    bands = checkpoint.whole("num_mel_bins")
    trained = checkpoint.whole("max_length")
    if (trained, bands) != (checkpoint.config.max_length, checkpoint.config.num_mel_bins):
        raise CheckpointError(
            f"the extractor of {checkpoint.source} gives {trained} frames of {bands} bands and its model takes "
            f"{checkpoint.config.max_length} of {checkpoint.config.num_mel_bins}; correct preprocessor_config.json"
        )
    frames = trained
    if wishes.window_ms is not None:
        frames = (wishes.window_samples(rate, wishes.window_ms) - _LENGTH) // _SHIFT + 1
        if frames < checkpoint.config.patch_size:
            least = 1000 * (_LENGTH + (checkpoint.config.patch_size - 1) * _SHIFT) / rate
            raise UsageError(
                f"a window of {wishes.window_ms:g} ms was asked for; {checkpoint.source} needs {least:g} ms at least"
            )
    extractor = checkpoint.extractor()
    extractor.max_length = frames
    model = checkpoint.model(ASTForAudioClassification)
    activation, notes = activation_of(checkpoint, wishes, unset="softmax")
    if frames != trained:
        stretch_positions(model, frames)
        notes = (*notes, f"its table of positions was stretched from {trained} feature frames to {frames}")
    normalise = bool(checkpoint.setting("do_normalize"))
    return Plan(
        rate=rate,
        shape=Shape.WINDOW_ROW,
        window=_LENGTH + (frames - 1) * _SHIFT,
        features=Fbank(
            frame_length=_LENGTH,
            frame_shift=_SHIFT,
            bands=bands,
            low_hz=20.0,
            high_hz=float(rate // 2),
            window="hanning",
            htk_compat=True,
            mean=float(checkpoint.setting("mean")) if normalise else 0.0,
            scale=2.0 * float(checkpoint.setting("std")) if normalise else 1.0,
        ),
        module=SpectrogramHead(model),
        reference=extracted(extractor, model, rate),
        activation=activation,
        names=checkpoint.names(),
        layout="time-bands",
        notes=notes,
    )


class SpectrogramHead(nn.Module):
    """(B, frames, bands) to logits."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, frames, bands) float32 -> (B, C)."""
        logits: Tensor = self.model(input_values=features).logits
        return logits


def stretch_positions(model: Any, frames: int) -> None:
    """Give an AST a window of `frames` feature frames: its positions are interpolated linearly along time."""
    embeddings = model.audio_spectrogram_transformer.embeddings
    trained = embeddings.get_shape(model.config)
    model.config.max_length = frames
    wanted = embeddings.get_shape(model.config)
    embeddings.position_embeddings = stretch(embeddings.position_embeddings, trained, wanted, "bilinear")


FAMILY = Family(
    title="Audio Spectrogram Transformer",
    output="one row a window",
    classes=("ASTForAudioClassification",),
    plan=plan,
)
