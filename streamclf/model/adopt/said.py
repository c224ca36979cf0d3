"""What the user of an ONNX file says of it, beside what the graph says itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from streamclf.features.spec import Features


@dataclass(frozen=True, slots=True)
class NamedEnds:
    """What a user says of the ends, each "" or empty where nothing was said."""

    input: str = ""
    output: str = ""
    states: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Adoption:
    """What a user says of the graph.

    activation: "" for what the graph itself shows. group: of all labels. features: None for the waveform. window_ms,
    step_ms, look_ahead_ms, row_at_ms: None for what the graph, or custom, says. layout: "" for what fits. ends: inputs
    and outputs by name. shown: what the graph's numbers are ("" where that is not known), for a graph that ends open.
    """

    rate: int
    licence: str
    name: str = ""
    activation: str = ""
    group: str = ""
    enter: float = 0.5
    features: Features | None = None
    layout: str = ""
    window_ms: float | None = None
    step_ms: float | None = None
    look_ahead_ms: float | None = None
    row_at_ms: float | None = None
    ends: NamedEnds = field(default_factory=NamedEnds)
    shown: Literal["", "shares", "probabilities", "logarithms"] = ""
