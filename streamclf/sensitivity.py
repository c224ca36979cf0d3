"""How readily events begin, in one word: what that does to thresholds. Packs say which thresholds there are."""

import math
from enum import StrEnum

SENSITIVITY_LOGITS = 1.0
"""By how much low sensitivity raises, and high lowers, the logits of `enter` and `leave` where a pack says nothing: the
odds that an event needs to begin are e (2.7) times as high, or as low.
"""


class Sensitivity(StrEnum):
    """`low` tells fewer and surer events than `normal`, `high` more."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"

    def thresholds(self, enter: float, leave: float, *, low: float | None, high: float | None) -> tuple[float, float]:
        """`enter` and `leave`, which hold for normal, at this sensitivity.

        low, high: what a pack states in place of `enter`; None shifts its logit. The logit of `leave` is shifted by as
        much as that of `enter` was.
        """
        if self is Sensitivity.NORMAL:
            return enter, leave
        own, shift = (low, SENSITIVITY_LOGITS) if self is Sensitivity.LOW else (high, -SENSITIVITY_LOGITS)
        if own is None:
            return _shifted(enter, shift), _shifted(leave, shift)
        if 0.0 < enter < 1.0 and own < 1.0:
            shift = _logit(own) - _logit(enter)
        return own, min(own, _shifted(leave, shift))


def _shifted(p: float, logits: float) -> float:
    """`p` with its logit moved; what is certain stays so."""
    return 1.0 / (1.0 + math.exp(-_logit(p) - logits)) if 0.0 < p < 1.0 else p


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))
