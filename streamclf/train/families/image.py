"""Image classifiers on log-mel spectrograms: ResNet, ConvNeXt, ViT, Swin and their kin (`CLASSES`).

An image checkpoint says nothing of sound, so what its log-mel images are made of stands in preprocessor_config.json
under the key `streamclf`, or is stated at export (`--feature KEY=VALUE`, which comes first):

    "streamclf": {
      "rate": 16000,              Hz
      "window": 16240,            samples in one image
      "layout": "bands-time",     or "time-bands": which of the two is the image's height
      "features": {"frame_length": 400, "frame_shift": 160, "fft_size": 512, "bands": 64, "low_hz": 50.0,
                   "high_hz": 7500.0, "mel_scale": "htk", "log_offset": 0.001, ...}
    }

`features` has the keys of a pack's log-mel features (`features.spec.LogMel`), lengths in samples; its `mean` and
`scale` are one pair for all bands. The file's own `image_mean` and `image_std` are applied to each channel afterwards
where it says `do_normalize`; an image processor's resizing and rescaling have no meaning here. A model with three
channels gets the same image in each. Pictures of a whole window are in `drawn.py`.
"""

import inspect
from dataclasses import dataclass
from typing import Any, Literal, cast

import msgspec
import torch
from torch import Tensor, nn

from streamclf.errors import UsageError
from streamclf.features.frontend import window_feature_frames
from streamclf.model.pack import Image, LogMel
from streamclf.train.export.spectra import logmel_images
from streamclf.train.families.drawn import Colours, drawn, in_colours, size_of, stated_picture
from streamclf.train.families.family import Family, Layout, Plan, Wishes, activation_of, run_torch
from streamclf.train.families.positions import stretch
from streamclf.train.pretrained import PREPROCESSOR, Checkpoint, CheckpointError
from streamclf.types import F32, Shape

_KEYS = {field.encode_name for field in msgspec.structs.fields(LogMel)}
_LAYOUTS = ("bands-time", "time-bands")
_COLOURS = 3

_KINDS = (
    *("ResNet", "ConvNext", "ViT", "ConvNextV2", "Swin", "DeiT", "EfficientNet", "MobileNetV2", "TimmWrapper"),
    *("Beit", "CLIP", "Cvt", "Data2VecVision", "Dinov2", "Dinov2WithRegisters", "DonutSwin", "FocalNet"),
    *("HGNetV2", "Hiera", "IJepa", "Levit", "MetaClip2", "MobileNetV1", "MobileViT", "MobileViTV2", "PoolFormer"),
    *("Pvt", "PvtV2", "RegNet", "Segformer", "Siglip", "SwiftFormer", "Swinv2", "TextNet", "ViTMSN"),
)
CLASSES = (
    *(f"{kind}ForImageClassification" for kind in _KINDS),
    *(f"{kind}ForImageClassificationWithTeacher" for kind in ("DeiT", "Levit")),
)


def plan(checkpoint: Checkpoint, wishes: Wishes) -> Plan:
    """One row a window of as many samples as one image is made of."""
    stated = _stated(checkpoint, wishes)
    rate, layout = _whole("rate", stated["rate"]), cast(Literal["bands-time", "time-bands"], stated["layout"])
    asked = wishes.window_ms
    window = _whole("window", stated["window"]) if asked is None else wishes.window_samples(rate, asked)
    features: LogMel | Image
    colours: Colours
    if _drawn(stated, wishes):
        picture = stated_picture(stated["features"], wishes.image, rate, checkpoint.source)
        features = in_colours(picture, channels_of(checkpoint.config), _colours(checkpoint), checkpoint.source)
        size, colours = size_of(features, window, layout), ((), ())
    else:
        features, colours = _features(checkpoint, stated["features"]), _colours(checkpoint)
        window, size = _framed(features, window, layout)
    return _plan(checkpoint, wishes, Pictured(rate, window, layout, features, size, colours))


@dataclass(frozen=True, slots=True)
class Pictured:
    """What an image is: of a window of so many samples, `size` = (height, width), in these colours."""

    rate: int
    window: int
    layout: Literal["bands-time", "time-bands"]
    features: LogMel | Image
    size: tuple[int, int]
    colours: Colours


def _plan(checkpoint: Checkpoint, wishes: Wishes, image: Pictured) -> Plan:
    import transformers

    model = checkpoint.model(getattr(transformers, checkpoint.architecture))
    notes = _fit_positions(model, image.size)
    activation, unset = activation_of(checkpoint, wishes, unset="softmax")
    head = ImageHead(model, channels=channels_of(checkpoint.config), colours=image.colours)
    if not checkpoint.settings.get("do_normalize") and getattr(checkpoint.config, "pretrained_cfg", None):
        notes = (*notes, f"timm's own mean and std are not applied; `image_mean` in {PREPROCESSOR} asks for them")

    def reference(windows: F32) -> F32:
        if isinstance(image.features, Image):
            pixels = drawn(windows, image.features, image.rate, image.layout)
        else:
            images = torch.from_numpy(logmel_images(windows, image.features, image.rate))
            images = images.transpose(1, 2) if image.layout == "bands-time" else images
            pixels = torch.stack([(images - mean) / std for mean, std in zip(*head.colours, strict=True)], dim=1)
        return run_torch(model, {"pixel_values": pixels, **head.asked})

    return Plan(
        rate=image.rate,
        shape=Shape.WINDOW_ROW,
        window=image.window,
        features=image.features,
        module=head,
        reference=reference,
        activation=activation,
        names=checkpoint.names(),
        layout=cast(Layout, f"channel-{image.layout}"),
        notes=unset + notes,
    )


def _framed(features: LogMel, window: int, layout: str) -> tuple[int, tuple[int, int]]:
    """The samples of whole feature frames in the window, and the size of their image."""
    frames = window_feature_frames(features, window)
    if frames < 1:
        raise UsageError(
            f"a window of {window} samples holds no feature frame of {features.frame_length}; ask for more"
        )
    size = (features.bands, frames) if layout == "bands-time" else (frames, features.bands)
    return (frames - 1) * features.frame_shift + features.frame_length, size


def _drawn(stated: dict[str, Any], wishes: Wishes) -> bool:
    """Whether the image is a picture of its whole window, and not of feature frames by themselves."""
    return bool(wishes.image) or stated["features"].get("kind") == "image"


class ImageHead(nn.Module):
    """(B, 1 or channels, height, width) log-mel or picture to logits.

    colours: mean and standard deviation of each channel.
    """

    def __init__(
        self, model: nn.Module, *, channels: int, colours: tuple[tuple[float, ...], tuple[float, ...]]
    ) -> None:
        super().__init__()
        mean, std = colours
        self.colours = (mean or (0.0,) * channels, std or (1.0,) * channels)
        self.model = model
        self.asked = {"interpolate_pos_encoding": True} if interpolates(model) else {}
        self._channels = channels
        self.mean = nn.Buffer(torch.tensor(self.colours[0])[:, None, None])
        self.std = nn.Buffer(torch.tensor(self.colours[1])[:, None, None])

    def forward(self, features: Tensor) -> Tensor:
        """features: (B, 1 or channels, height, width) float32 -> (B, C)."""
        pixels = (features.expand(-1, self._channels, -1, -1) - self.mean) / self.std
        logits: Tensor = self.model(pixel_values=pixels, **self.asked).logits
        return logits


def interpolates(model: Any) -> bool:
    """Whether the model is to be asked to fit its positions to its images; those of a ViT are stretched once, here."""
    asked = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
    return asked and not hasattr(model, "vit")


def channels_of(config: Any) -> int:
    """How many channels the model's images have: as transformers' configurations say it, or timm's."""
    stated = getattr(config, "num_channels", None) or getattr(getattr(config, "vision_config", None), "num_channels", 0)
    timm = (getattr(config, "pretrained_cfg", None) or {}).get("input_size") or (_COLOURS,)
    return int(stated or (getattr(config, "model_args", None) or {}).get("in_chans") or timm[0])


def _stated(checkpoint: Checkpoint, wishes: Wishes) -> dict[str, Any]:
    """`rate`, `window`, `layout`, `features`: what the file states under `streamclf`, the user's wishes before it."""
    section = checkpoint.settings.get("streamclf", {})
    if not isinstance(section, dict) or not isinstance(section.get("features", {}), dict):
        raise CheckpointError(f"`streamclf` in the {PREPROCESSOR} of {checkpoint.source} is not a table; write one")
    stated: dict[str, Any] = {"layout": "bands-time", **section, "features": dict(section.get("features", {}))}
    for key, text in wishes.settings.items():
        if key in ("rate", "layout"):
            stated[key] = text
        elif key in _KEYS:
            stated["features"][key] = text
        else:
            raise UsageError(f"{key} is not a setting of log-mel images; use one of rate, layout, {_list(_KEYS)}")
    # a picture's settings are complete by themselves, or by librosa's defaults
    needed = (
        set()
        if _drawn(stated, wishes)
        else {field.encode_name for field in msgspec.structs.fields(LogMel) if field.required}
    )
    outer = ("rate",) if wishes.window_ms is not None else ("rate", "window")
    missing = [key for key in outer if key not in stated] + sorted(needed - set(stated["features"]))
    if missing:
        raise CheckpointError(
            f"{checkpoint.source} is an image model and does not state {_list(missing)} of its log-mel images; "
            f"expected them in its {PREPROCESSOR} under `streamclf`, or state them (--feature KEY=VALUE, --window-ms)"
        )
    if stated["layout"] not in _LAYOUTS:
        raise UsageError(f"the layout {stated['layout']!r} is unknown; use {' or '.join(_LAYOUTS)}")
    return stated


def _whole(key: str, value: Any) -> int:
    if not str(value).isascii() or not str(value).isdigit() or int(value) == 0:
        raise UsageError(f"{key} is {value!r}; expected a whole number over 0")
    return int(value)


def _features(checkpoint: Checkpoint, table: dict[str, Any]) -> LogMel:
    table = {key: value for key, value in table.items() if key != "kind"}
    try:
        features = msgspec.convert({**table, "kind": "logmel"}, LogMel, strict=False)
    except msgspec.ValidationError as fault:
        raise CheckpointError(
            f"the log-mel settings of {checkpoint.source} cannot be used: {str(fault)[:1].lower()}{str(fault)[1:]}; "
            "correct them"
        ) from None
    if not 0 < features.frame_shift <= features.frame_length:
        raise CheckpointError(
            f"the images of {checkpoint.source} have a frame_shift of {features.frame_shift} and a frame_length "
            f"of {features.frame_length}; expected 0 < frame_shift <= frame_length"
        )
    return features


def _colours(checkpoint: Checkpoint) -> Colours:
    settings = checkpoint.settings
    if not settings.get("do_normalize"):
        return (), ()
    channels = channels_of(checkpoint.config)
    mean, std = (tuple(map(float, settings.get(key) or ())) for key in ("image_mean", "image_std"))
    if len(mean) != channels or len(std) != channels or 0.0 in std:
        raise CheckpointError(
            f"the {PREPROCESSOR} of {checkpoint.source} says `do_normalize`, but its image_mean and image_std have "
            f"{len(mean)} and {len(std)} values; expected {channels} each, none of the latter 0"
        )
    return mean, std


def _fit_positions(model: Any, size: tuple[int, int]) -> tuple[str, ...]:
    """Give a ViT images of another size than it was trained with. Returns what is to be noted of it."""
    embeddings = getattr(getattr(model, "vit", None), "embeddings", None)
    if embeddings is None:
        return ()
    patches = embeddings.patch_embeddings
    trained, patch = tuple(patches.image_size), tuple(patches.patch_size)
    if trained == size:
        return ()
    if size[0] < patch[0] or size[1] < patch[1]:
        raise CheckpointError(
            f"its images have {size[0]}x{size[1]} pixels and one patch of the model has {patch[0]}x{patch[1]}; ask for "
            "a longer window or more bands"
        )
    before, after = ((side[0] // patch[0], side[1] // patch[1]) for side in (trained, size))
    if before != after:
        embeddings.position_embeddings = stretch(embeddings.position_embeddings, before, after, "bicubic")
    patches.image_size = embeddings.image_size = size
    model.config.image_size = list(size)
    return (f"its positions were stretched from {trained[0]}x{trained[1]} pixels to {size[0]}x{size[1]}",)


def _list(names: Any) -> str:
    return ", ".join(sorted(names) if isinstance(names, set) else names)


FAMILY = Family(
    title="spectrogram ConvNet or ViT",
    output="one row a window",
    classes=CLASSES,
    plan=plan,
    takes_settings=True,
)
