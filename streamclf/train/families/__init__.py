"""The families of models that can be exported. A new one is a module here with a `FAMILY`, and its name below."""

import importlib
from functools import cache

from streamclf.train.families.family import Family
from streamclf.train.pretrained import Checkpoint, CheckpointError

_MODULES = ("image", "ast", "sequence", "frames", "ctc", "whisper")


@cache
def families() -> tuple[Family, ...]:
    """All families, in the order they are shown."""
    return tuple(importlib.import_module(f"{__name__}.{module}").FAMILY for module in _MODULES)


def family_of(checkpoint: Checkpoint) -> Family:
    """The family of a checkpoint, by the class that its config.json states. Raises `CheckpointError`."""
    for family in families():
        if checkpoint.architecture in family.classes:
            return family
    raise CheckpointError(
        f"{checkpoint.source} is a {checkpoint.architecture}, which is no classifier of sounds or spectrograms that "
        "can be exported; expected a class that `streamclf export --families` lists"
    )
