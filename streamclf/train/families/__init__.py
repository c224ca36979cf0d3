"""The families of models that can be exported. A new one is a module here with a `FAMILY`, or is registered.

Modules that entry points of the group `streamclf.families` name are imported first, so that they can register theirs.
"""

import importlib
from collections.abc import Mapping
from functools import cache
from typing import Any

from streamclf.scan import declaring, load_brought
from streamclf.train.families.family import Family
from streamclf.train.families.unsupported import reason
from streamclf.train.pretrained import Checkpoint, CheckpointError

__all__ = ["Family", "families", "family_of", "family_reading", "register"]


def register(family: Family) -> None:
    """Add a family from outside this package. It comes first: it may bring what a class of ours cannot export."""
    if family not in _families():
        _families().insert(0, family)


def families() -> tuple[Family, ...]:
    """All families, in the order in which they are asked. Raises `ConfigError`: a package that brings one is broken."""
    _load_brought()
    return tuple(_families())


def family_reading(config: Mapping[str, Any]) -> Family | None:
    """The family that reads such a config.json itself, None where that is for transformers."""
    return next((family for family in families() if family.config is not None and family.takes(config)), None)


def family_of(checkpoint: Checkpoint) -> Family:
    """The family of a checkpoint, by what its config.json states. Raises `CheckpointError`."""
    stated = {"architectures": [checkpoint.architecture], "model_type": checkpoint.config.model_type}
    for family in families():
        if family.takes(stated):
            return family
    if known := reason(checkpoint.architecture, checkpoint.source, checkpoint.config.model_type):
        raise CheckpointError(f"{checkpoint.source} is a {checkpoint.architecture}, which {known}")
    raise CheckpointError(
        f"{checkpoint.source} is a {checkpoint.architecture}, which is not a classifier of sounds or spectrograms that "
        "can be exported; expected a class that `streamclf export --families` lists"
    )


@cache
def _load_brought() -> None:
    load_brought("streamclf.families")


@cache
def _families() -> list[Family]:
    return [importlib.import_module(f"{__name__}.{name}").FAMILY for name in declaring(__path__, "FAMILY")]
