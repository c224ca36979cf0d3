"""Feature frames of many streams in one call: what one transform computes for one stream it computes for all.

For one frame a call of numpy costs more than what it computes. Every row comes of its own frame alone, and products are
in float64, so rows do not depend on their company.
"""

from collections.abc import Iterable

import numpy as np

from streamclf.features.frontend import Frontend, SpectralFrontend, Transform
from streamclf.features.power import TOGETHER


def compute_together(frontends: Iterable[Frontend]) -> None:
    """Compute the feature frames that wait, where a transform is shared. The others compute when they are asked."""
    groups: dict[Transform, list[SpectralFrontend]] = {}
    for frontend in frontends:
        # not its kinds, whose rows rest on more than their frame
        if type(frontend) is SpectralFrontend and frontend.waits:
            groups.setdefault(frontend.transform, []).append(frontend)
    for transform, group in groups.items():
        if len(group) == 1:
            continue
        parts = [frontend.waiting() for frontend in group]
        frames = np.concatenate(parts)
        made = [transform(frames[at : at + TOGETHER]) for at in range(0, len(frames), TOGETHER)]
        rows = made[0] if len(made) == 1 else np.concatenate(made)
        at = 0
        for frontend, part in zip(group, parts, strict=True):
            end = at + len(part)
            frontend.take(rows[at:end])
            at = end
