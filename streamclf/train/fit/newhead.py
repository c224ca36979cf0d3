"""A new head on a checkpoint: its old classes, a CTC vocabulary for one, exchanged for the labels of a task.

The encoder's weights are kept, only what stands on top of them starts at random. What may learn is a choice of its own.
"""

import json
from pathlib import Path
from typing import Any, Literal

from streamclf.errors import StreamclfError, UsageError
from streamclf.train.data.tasks import Mode, Task
from streamclf.train.families.speech import model_class
from streamclf.train.families.trained import NO_FRAMES, SPEECH, WHOLE_WINDOWS
from streamclf.train.pretrained import PREPROCESSOR, Checkpoint, CheckpointError, load_checkpoint, quiet

Freeze = Literal["none", "feature-encoder", "encoder"]

# what stands on top of an encoder, by the beginning of the weights' names
_HEADS = ("classifier", "projector", "layer_weights", "lm_head", "cls_classifier", "distillation_classifier")


def target_class(model_type: str, mode: Mode, source: str) -> str:
    """The class of transformers that has the head for `mode`. Raises CheckpointError where there is none."""
    if model_type in WHOLE_WINDOWS:
        if mode == "frame":
            raise UsageError(f"{source} is a {model_type}, which gives one row a window; use --mode sequence")
        return WHOLE_WINDOWS[model_type]
    if model_type not in SPEECH:
        known = ", ".join(sorted({*SPEECH, *WHOLE_WINDOWS}))
        raise CheckpointError(f"{source} is of the type {model_type!r}; a new head can be put on one of {known}")
    if mode == "frame" and model_type in NO_FRAMES:
        raise UsageError(f"{source} is a {model_type}, for which there is no frame head; use --mode sequence")
    head = "ForAudioFrameClassification" if mode == "frame" else "ForSequenceClassification"
    return SPEECH[model_type] + head


def describe(config: Any, task: Task, mode: Mode) -> None:
    """Write the classes of `task` into a config of transformers."""
    config.num_labels = len(task.labels)
    config.id2label = dict(enumerate(task.labels))
    config.label2id = {label: at for at, label in enumerate(task.labels)}
    config.problem_type = "single_label_classification" if task.exclusive else "multi_label_classification"
    # masks along time are drawn in training; a window must have room for one
    if hasattr(config, "mask_time_length"):
        config.mask_time_length = min(config.mask_time_length, 5)
    # and layers are left out; a weighted sum of all layers lacks those, which transformers ends a step with
    if getattr(config, "use_weighted_layer_sum", False):
        config.layerdrop = 0.0


def exchange_head(
    source: str, folder: Path, task: Task, mode: Mode, *, model_type: str, offline: bool = False
) -> Checkpoint:
    """Save the checkpoint `source` with a new head for `task` into `folder`, feature extractor included, and load it.

    model_type: what it must be, as config.json says it. Raises StreamclfError where it is another, or where a weight
    of the encoder would be left to chance.
    """
    before = load_checkpoint(source, offline=offline)
    config = before.config
    if config.model_type != model_type:
        raise UsageError(f"--from {source} is of the type {config.model_type}, not {model_type}; name its own --arch")
    name = target_class(config.model_type, mode, source)
    describe(config, task, mode)
    config.architectures = [name]
    import torch

    kind = model_class(name)
    model, report = before.load(kind, config, dtype=torch.float32)
    mismatched = [entry[0] for entry in report["mismatched_keys"]]
    lost = sorted(key for key in {*report["missing_keys"], *mismatched} if not _is_head(key))
    if [key for key in lost if not key.endswith("masked_spec_embed")]:
        raise StreamclfError(
            f"{source} lacks the encoder's weight {lost[0]} ({len(lost)} of them in all), which training from it rests "
            "on; save the checkpoint again, or train from scratch without --from"
        )
    folder.mkdir(parents=True, exist_ok=True)
    save(model, folder)
    _keep_preprocessor(before, folder)
    return load_checkpoint(str(folder), offline=True)


def save(model: Any, folder: Path) -> None:
    """`save_pretrained` without its noise."""
    with quiet():
        model.save_pretrained(folder)


def freeze(model: Any, what: Freeze, *, feature_encoder: str | None) -> list[str]:
    """Keep parts of the model as they are. Returns the names of the weights that do not learn.

    feature_encoder: beginning of the names of the convolutional part's weights, None where the model has none. Raises
    UsageError where there is no such part.
    """
    if what == "none":
        return []
    if what == "feature-encoder" and feature_encoder is None:
        raise UsageError(f"--freeze feature-encoder: a {type(model).__name__} has none; use --freeze encoder or none")
    frozen = []
    for name, weight in model.named_parameters():
        if not _is_head(name) and (what == "encoder" or (feature_encoder is not None and feature_encoder in name)):
            weight.requires_grad_(False)
            frozen.append(name)
    return frozen


def is_head(name: str) -> bool:
    """Whether the weight of that name belongs to the head and not to the encoder under it."""
    return _is_head(name.removeprefix("model."))


def _is_head(name: str) -> bool:
    return name.startswith(_HEADS)


def _keep_preprocessor(before: Checkpoint, folder: Path) -> None:
    """The settings of the feature extractor go with the weights, whatever file they stood in."""
    if not before.settings:
        raise CheckpointError(
            f"{before.source} has no {PREPROCESSOR}, so nobody knows what its encoder was trained to hear; save the "
            "feature extractor beside the weights (`save_pretrained`)"
        )
    (folder / PREPROCESSOR).write_text(json.dumps(before.settings, indent=2) + "\n", encoding="utf-8")
