"""A LoRA adapter, as peft saves it beside base weights: merged into them, so that one plain checkpoint is left.

Each adapted weight W becomes W + scale * B A. What does more than that (DoRA, convolutions, embeddings, other kinds) is
refused.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from streamclf.errors import StreamclfError

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_BASE = "base_model.model."
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
# settings that change what is added, and the values with which they change nothing
_PLAIN: dict[str, tuple[Any, ...]] = {
    "use_dora": (None, False),
    "fan_in_fan_out": (None, False),
    "lora_bias": (None, False),
    "layer_replication": (None, [], {}),
    "trainable_token_indices": (None, [], {}),
    "target_parameters": (None, []),
}


class AdapterError(StreamclfError):
    """An adapter that cannot be merged, with the reason."""


def merge(weights: Mapping[str, Any], adapter: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """weights, adapter: tensors by name, of the base and of the adapter. config: of adapter_config.json.

    Returns the base's with the adapter in them. Raises `AdapterError`.
    """
    kind = config.get("peft_type")
    if kind != "LORA":
        raise AdapterError(f"it is of the kind {kind!r} and not LORA")
    for key, plain in _PLAIN.items():
        if config.get(key) not in plain:
            raise AdapterError(f"it has {key} = {config[key]!r}")
    merged = dict(weights)
    for key in sorted(adapter):
        name = key.removeprefix(_BASE)
        if name.endswith(_UP):
            continue
        if not name.endswith(_DOWN):
            # a part that was trained whole, such as the head
            if name not in merged or merged[name].shape != adapter[key].shape:
                raise AdapterError(f"its {name} has no counterpart in the base")
            merged[name] = adapter[key].to(merged[name].dtype)
            continue
        module = name.removesuffix(_DOWN)
        down, up = adapter[key], adapter.get(key.removesuffix(_DOWN) + _UP)
        own = merged.get(f"{module}.weight")
        if up is None or own is None or own.dim() != 2 or own.shape != (up.shape[0], down.shape[1]):
            raise AdapterError(f"its {module} is not a linear layer of the base")
        added = _scale(module, down.shape[0], config) * (up.double() @ down.double())
        merged[f"{module}.weight"] = (own.double() + added).to(own.dtype)
    return merged


def _scale(module: str, rank: int, config: Mapping[str, Any]) -> float:
    """How much is added: alpha over the rank, or over its root."""
    alpha = float(_of(module, config.get("alpha_pattern") or {}, config.get("lora_alpha", 8)))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _of(module: str, patterns: Mapping[str, Any], otherwise: Any) -> Any:
    """The value of the first pattern that a module's name ends with, as peft looks it up."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), otherwise)
