"""Image classifiers on spectrograms as people draw them: resized, scaled by their own loudest value, in colours.

Such a picture is of its whole window (`features.image`). It is stated by `--image KEY=VALUE`, in the words of librosa
or of a pack, or stands in preprocessor_config.json under `streamclf`, with `"kind": "image"` in its `features`. The
file's `image_mean` and `image_std` are the colours where it says `do_normalize` and the picture states none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import torch

from streamclf.features.image import drawer, frames_of, picture_shape
from streamclf.features.spec import Image
from streamclf.model.adopt.settings import image_features
from streamclf.train.pretrained import CheckpointError
from streamclf.types import F32

Colours = tuple[tuple[float, ...], tuple[float, ...]]


def stated_picture(table: Mapping[str, Any], pairs: Sequence[str], rate: int, source: str) -> Image:
    """Of `pairs` where there are some, else of a checkpoint's own table. Raises StreamclfError."""
    if pairs:
        return image_features(pairs, rate)
    try:
        return msgspec.convert(dict(table), Image, strict=False)
    except msgspec.ValidationError as fault:
        raise CheckpointError(f"the picture that {source} states cannot be used: {fault}; correct it") from None


def in_colours(picture: Image, channels: int, colours: Colours, source: str) -> Image:
    """The picture with as many channels as the model takes, in its colours. Raises `CheckpointError`."""
    if picture.channels == 1 and not picture.deltas:
        picture = msgspec.structs.replace(picture, channels=channels)
    stated = 3 if picture.deltas else picture.channels
    if stated != channels:
        raise CheckpointError(f"the picture has {stated} channels and {source} takes {channels}; state as many")
    if colours[0] and not picture.channel_mean:
        picture = msgspec.structs.replace(picture, channel_mean=colours[0], channel_scale=colours[1])
    return picture


def size_of(picture: Image, window: int, layout: str) -> tuple[int, int]:
    """Height and width of the picture of so many samples; 0 wide where they hold no frame."""
    if not picture.pixels and frames_of(picture, window) < 1:
        return (0, 0)
    _, bands, frames = picture_shape(picture, window)
    return (bands, frames) if layout == "bands-time" else (frames, bands)


def drawn(windows: F32, picture: Image, rate: int, layout: str) -> torch.Tensor:
    """windows: (n, samples) -> (n, channels, height, width), each drawn by itself."""
    draw = drawer(picture, rate)
    images = torch.from_numpy(np.stack([draw(samples) for samples in windows]).astype(np.float32))
    return images if layout == "bands-time" else images.transpose(2, 3)
