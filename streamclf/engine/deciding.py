"""How each label of a pack is decided: by the pack's defaults, by what its labels say, and by what the user says."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from streamclf.clock import frames_of_ms
from streamclf.engine.segment import Decision
from streamclf.model.pack import Manifest
from streamclf.sensitivity import Sensitivity
from streamclf.types import Label


def decisions_of(
    labels: Sequence[Label],
    manifest: Manifest,
    *,
    per_label: Mapping[str, Mapping[str, object]],
    sensitivity: Sensitivity,
) -> list[Decision]:
    """One `Decision` for each label of a pack. per_label, sensitivity: see `decide`."""
    return decide(labels, default_decision(manifest), per_label=per_label, sensitivity=sensitivity)


def default_decision(manifest: Manifest) -> Decision:
    """The pack's own defaults in frames."""
    own = manifest.segmentation
    return Decision(
        enter=own.enter,
        leave=own.leave,
        min_on=max(1, frames_of_ms(own.min_on_ms)),
        min_off=max(1, frames_of_ms(own.min_off_ms)),
        reach_back=frames_of_ms(own.reach_back_ms),
        lag=frames_of_ms(own.lag_ms),
        smoothing=own.smoothing,
        smoothing_frames=max(1, frames_of_ms(own.smoothing_ms)),
    )


def decide(
    labels: Sequence[Label],
    default: Decision,
    *,
    per_label: Mapping[str, Mapping[str, object]],
    sensitivity: Sensitivity = Sensitivity.NORMAL,
) -> list[Decision]:
    """One `Decision` for each label: the pack's default, the label's own threshold and durations, then the user's
    `per_label`.

    per_label: label id, `group:NAME` or `*` -> fields of `Decision` to replace; the most specific wins. A hidden label
    is off unless it is named by its id. Where `enter` is replaced without `leave`, their ratio stays the default's.
    sensitivity: moves the pack's `enter` and `leave`; what the user says comes after it.
    """
    ratio = default.leave / default.enter if default.enter > 0 else 1.0
    out = []
    for label in labels:
        enter, leave = default.enter, default.leave
        if label.enter is not None:
            enter, leave = label.enter, label.enter * ratio
        enter, leave = sensitivity.thresholds(enter, leave, low=label.enter_low, high=label.enter_high)
        fields: dict[str, Any] = {}
        if label.min_on_ms is not None:
            fields["min_on"] = max(1, frames_of_ms(label.min_on_ms))
        if label.min_off_ms is not None:
            fields["min_off"] = max(1, frames_of_ms(label.min_off_ms))
        for key in ("*", f"group:{label.group}", label.id):
            fields.update(per_label.get(key, {}))
        if "enter" in fields and "leave" not in fields:
            fields["leave"] = fields["enter"] * ratio
        if label.hidden and label.id not in per_label:
            fields["enabled"] = False
        out.append(replace(default, **{"enter": enter, "leave": leave, **fields}))
    return out
