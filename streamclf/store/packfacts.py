"""What is kept of a pack with each of its events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from streamclf.engine.segment import Decision
from streamclf.types import Label, OtherLabels


@dataclass(frozen=True, slots=True)
class PackFacts:
    """What is kept of a pack with each of its events: its hash, and how each label is decided."""

    digest: str
    labels: Mapping[str, tuple[Label, Decision]]
    look_ahead_ms: float = 0.0
    """How much later than its frame a row can be known."""

    @classmethod
    def of(
        cls, digest: str, labels: Sequence[Label], decisions: Sequence[Decision], *, look_ahead_ms: float = 0.0
    ) -> Self:
        """labels and decisions: one for each class, in the same order."""
        decided = {label.id: (label, decision) for label, decision in zip(labels, decisions, strict=True)}
        return cls(digest, decided, look_ahead_ms)

    @classmethod
    def relabelled(cls, other: OtherLabels, before: Self | None) -> Self:
        """Of a pack that has these labels now."""
        look_ahead_ms = 0.0 if before is None else before.look_ahead_ms
        return cls.of(other.digest, other.labels, other.decisions, look_ahead_ms=look_ahead_ms)
