"""What a family of models is: how to recognise its checkpoints and how to turn one into a pack.

A family is one module of this folder with a `FAMILY`; who brings one from elsewhere calls `families.register`. Its
`plan` reads the checkpoint's settings, loads its weights, and answers with a `Plan`: the geometry, the features that
streamclf computes incrementally, the torch module behind them, and a *reference*, which goes from samples to logits
through the checkpoint's own feature extractor and shares nothing with our features. Export does the rest, the same for
every family.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from streamclf.clock import hop_of
from streamclf.errors import UsageError
from streamclf.model.geometry import MAX_WINDOW_S
from streamclf.model.pack import Features, Manifest
from streamclf.train.pretrained import Checkpoint, CheckpointError, quiet
from streamclf.types import F32, Shape

Activation = Literal["none", "sigmoid", "softmax"]
Layout = Literal["flat", "time-bands", "channel-time-bands", "channel-bands-time", "bands-time"]
Reference = Callable[[F32], F32]
"""(n, window) samples -> (n, F, classes) float32 logits."""

EMBEDDING = "embedding"
"""What a graph calls the output that describes its sound in numbers, where it has one beside its rows."""
DEFAULT_WINDOW_MS = 1000.0


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the user asks for; None leaves it to the checkpoint.

    settings: of the features, key -> text, for checkpoints that do not state them (`rate`, `layout`, or a key of
    `features.spec.LogMel`). image: the same of a picture of a whole window, KEY=VALUE each. one_graph: run the encoder
    with every window, though its rows could be kept. running_statistics: keep its rows even where they rest on the
    whole window, by the statistics of what came before.
    """

    window_ms: float | None = None
    look_ahead_ms: float | None = None
    activation: Literal["sigmoid", "softmax"] | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    image: tuple[str, ...] = ()
    one_graph: bool = False
    running_statistics: bool = False

    def __post_init__(self) -> None:
        for what, value, least in (("window", self.window_ms, 1.0), ("look-ahead", self.look_ahead_ms, 0.0)):
            # written so that a value which is not a number fails too
            if value is not None and not least <= value <= 1000.0 * MAX_WINDOW_S:
                raise UsageError(
                    f"a {what} of {value:g} ms was asked for; expected {least:g} to {1000 * MAX_WINDOW_S} ms"
                )

    def window_samples(self, rate: int, default_ms: float) -> int:
        """The window asked for, else the default, in samples."""
        return max(1, round((self.window_ms or default_ms) * rate / 1000))


@dataclass(frozen=True, slots=True)
class Plan:
    """How a checkpoint becomes a pack.

    module: features (B, window) or (B, frames, bands), as `layout` has them, to logits (B, C) or (B, F, C).
    names: of the classes, in the order of the output; hidden: indexes of those that displays leave out.
    notes: what a user must know of it, a sentence each. exact: parts of `module`, by attribute, whose arithmetic must
    keep float32 whatever variant is made. beside: names of what `module` gives behind the logits.
    """

    rate: int
    shape: Shape
    window: int
    features: Features
    module: Any
    reference: Reference
    activation: Activation
    names: tuple[str, ...]
    rows: int = 1
    layout: Layout = "flat"
    hidden: frozenset[int] = frozenset()
    notes: tuple[str, ...] = ()
    exact: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def exclusive(self) -> bool:
        """Whether exactly one class holds at a time."""
        return self.activation == "softmax"


@dataclass(frozen=True, slots=True)
class Family:
    """title, output: what it is and what comes out, for people. classes: names of architectures, as in config.json.

    plan: loads a checkpoint and tells how it becomes a pack. model_types: that mark a checkpoint, where the classes do
    not. config: makes `Checkpoint.config` of a config.json's table, for models that transformers does not know; it has
    `model_type` and `architectures`, and `id2label` and `problem_type` where `Checkpoint.names` and `activation_of` are
    asked. None: transformers' own.
    """

    title: str
    output: str
    classes: tuple[str, ...]
    plan: Callable[[Checkpoint, Wishes], Plan]
    takes_settings: bool = False
    """Whether the user may state settings of its features."""
    model_types: tuple[str, ...] = ()
    config: Callable[[dict[str, Any]], Any] | None = None

    def takes(self, config: Mapping[str, Any]) -> bool:
        """Whether a checkpoint with such a config.json is of this family."""
        stated = config.get("architectures") or [None]
        return stated[0] in self.classes or config.get("model_type") in self.model_types


def activation_of(
    checkpoint: Checkpoint, wishes: Wishes, *, unset: Literal["sigmoid", "softmax"]
) -> tuple[Activation, tuple[str, ...]]:
    """The head's activation and what is to be noted of it: the user's, else by `config.problem_type`, else `unset`."""
    one = getattr(checkpoint.config, "num_labels", None) == 1
    if one and wishes.activation == "softmax":
        raise UsageError(
            f"{checkpoint.source} has one output, of which softmax makes 1 whatever is heard; leave --activation out"
        )
    if wishes.activation is not None:
        return wishes.activation, ()
    kind = getattr(checkpoint.config, "problem_type", None)
    if one and kind != "regression":
        return "sigmoid", ("it has one output, so sigmoid is taken: softmax over one class is always 1",)
    if kind == "multi_label_classification":
        return "sigmoid", ()
    if kind == "single_label_classification":
        return "softmax", ()
    if kind is not None:
        raise CheckpointError(
            f"{checkpoint.source} has the problem_type {kind!r}; expected single_label_classification or "
            "multi_label_classification, or state --activation"
        )
    note = f"config.json states no problem_type: {unset} is taken, as is usual for {checkpoint.architecture}"
    return unset, (f"{note} (--activation decides otherwise)",)


def middle_look_ahead(window: int, hop: int) -> int:
    """Look-ahead with which a row belongs to the 20 ms frame in the middle of its window."""
    return window - (window // 2 // hop + 1) * hop


def row_geometry(window: int, rate: int, look_ahead: int) -> dict[str, int]:
    """`look_ahead` and `row_at` of a window-row manifest."""
    hop = hop_of(rate)
    return {"look_ahead": look_ahead, "row_at": (-((look_ahead - window) // hop) - 1) * hop}


def manifest_geometry(plan: Plan, wishes: Wishes) -> dict[str, Any]:
    """The manifest's keys that place rows. Raises UsageError for a look-ahead that the shape cannot have."""
    hop = hop_of(plan.rate)
    if plan.shape is Shape.WINDOW_FRAMES:
        if wishes.look_ahead_ms is not None:
            raise UsageError(
                "a look-ahead belongs to models with one row a window; a frame model's latency is chosen when it "
                "runs (--latency-ms), so leave --look-ahead-ms out"
            )
        return {"look_ahead": plan.window - plan.rows * hop, "rows_per_window": plan.rows}
    if wishes.look_ahead_ms is None:
        return row_geometry(plan.window, plan.rate, middle_look_ahead(plan.window, hop))
    look_ahead = round(wishes.look_ahead_ms * plan.rate / 1000)
    if not 0 <= look_ahead <= plan.window - hop:
        most = 1000 * (plan.window - hop) / plan.rate
        raise UsageError(f"a look-ahead of {wishes.look_ahead_ms:g} ms was asked for; expected 0 to {most:g} ms")
    return row_geometry(plan.window, plan.rate, look_ahead)


def manifest_of(plan: Plan, wishes: Wishes, *, name: str, title: str, licence: str, source: str) -> Manifest:
    """Of the pack that a plan becomes, before its files are written. Raises UsageError as `manifest_geometry` does."""
    return Manifest(
        format=1,
        name=name,
        version="1",
        title=title,
        licence=licence,
        source=source,
        rate=plan.rate,
        shape=plan.shape,
        window=plan.window,
        features=plan.features,
        input="features",
        output="scores",
        activation=plan.activation,
        files={},
        input_layout=plan.layout,
        exclusive=plan.exclusive,
        embedding=EMBEDDING if EMBEDDING in plan.beside else "",
        **manifest_geometry(plan, wishes),
    )


def run_torch(model: Any, inputs: Mapping[str, Any], *, taken: str = "logits") -> F32:
    """Logits of transformers' model on what its extractor gave: (n, F, classes) or (n, 1, classes) float32.

    taken: which of its outputs.
    """
    import torch

    with torch.inference_mode(), quiet():
        given = getattr(model(**inputs), taken)
    rows: F32 = given.float().numpy()
    return rows if rows.ndim == 3 else rows[:, None, :]


def extracted(extractor: Any, model: Any, rate: int, *, taken: str = "logits", **more: Any) -> Reference:
    """The reference of a checkpoint with an audio feature extractor: its own extractor, window by window.

    more: for the extractor.
    """

    def reference(windows: F32) -> F32:
        with quiet():
            inputs = extractor(list(windows.astype(np.float32)), sampling_rate=rate, return_tensors="pt", **more)
        return run_torch(model, inputs, taken=taken)

    return reference
