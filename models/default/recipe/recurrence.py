"""Two recurrences over time that training runs in bulk and a pack one row at a time: a held level and running means."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

DECAY = 0.0184
"""By how much the level (log of power) falls in a row of 20 ms: 4 dB a second."""


def held_level(loudness: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """A maximum that fades, never under 0: (B, rows) and the level before, (B, 1) -> (B, rows), and the last."""
    rows = loudness.shape[1]
    if rows == 1:
        level = torch.maximum(loudness, functional.relu(before - DECAY))
        return level, level
    # a maximum that fades is the plain one of what is tilted against the fading
    tilt = DECAY * torch.arange(rows + 1, dtype=loudness.dtype)
    tilted = torch.cat([before, loudness.clamp(min=0.0)], dim=1) + tilt
    held = (tilted.cummax(dim=1).values - tilt)[:, 1:]
    return held, held[:, -1:]


def recur(pace: Tensor, new: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Running means h[t] = h[t-1] + pace[t] * (new[t] - h[t-1]), and the last: (B, rows, units), or (B, units) of one
    row; before: (B, units).
    """
    if pace.ndim == before.ndim:
        mean = before + pace * (new - before)
        return mean, mean
    means: Tensor = _Recurrence.apply(pace.float(), new.float(), before)  # type: ignore[no-untyped-call]
    return means.to(pace.dtype), means[:, -1]


class _Recurrence(torch.autograd.Function):
    """`recur`, whose gradient is a recurrence of the same kind backwards: two operations a row in all."""

    @staticmethod
    def forward(context: Any, pace: Tensor, new: Tensor, before: Tensor) -> Tensor:
        """See `recur`."""
        keep = (1 - pace).transpose(0, 1).contiguous()
        means = (pace * new).transpose(0, 1).contiguous()
        last = before
        for row, kept in zip(means, keep, strict=True):
            last = row.addcmul_(kept, last)
        means = means.transpose(0, 1)
        context.save_for_backward(pace, new, before, means)
        return means

    @staticmethod
    def backward(context: Any, *wanted: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients for `forward`'s inputs."""
        pace, new, before, means = context.saved_tensors
        keep = (1 - pace).transpose(0, 1).contiguous()
        total = wanted[0].transpose(0, 1).contiguous().clone()
        for at in range(len(total) - 1, 0, -1):
            total[at - 1].addcmul_(keep[at], total[at])
        carried = keep[0] * total[0]
        total = total.transpose(0, 1)
        past = torch.cat([before[:, None], means[:, :-1]], dim=1)
        return total * (new - past), total * pace, carried
