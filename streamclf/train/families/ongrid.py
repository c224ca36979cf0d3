"""Rows of an encoder on frames of 20 ms: shorter ones are averaged, longer ones hold for all the frames they cover."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from streamclf.clock import FRAME_MS, hop_of
from streamclf.train.families.family import Reference
from streamclf.train.pretrained import CheckpointError
from streamclf.types import F32


@dataclass(frozen=True, slots=True)
class Grid:
    """each: encoder rows that one frame of 20 ms is the mean of. times: frames that one encoder row holds for."""

    each: int = 1
    times: int = 1

    def whole(self, rows: float) -> int:
        """The count of encoder rows nearest to `rows` that makes whole frames."""
        return self.each * max(1, round(rows / self.each))

    def of_reference(self, reference: Reference) -> Reference:
        """The same of logits that a checkpoint's own code gives, by numpy."""

        def rows(windows: F32) -> F32:
            given = reference(windows)
            if self.each > 1:
                given = given.reshape(len(given), -1, self.each, given.shape[-1]).mean(axis=2)
            return np.repeat(given, self.times, axis=1)

        return reference if self == SAME else rows

    def notes(self, stride: int, rate: int) -> tuple[str, ...]:
        """What a user must know of it. stride: samples of an encoder row."""
        if self == SAME:
            return ()
        own = f"its rows come every {1000 * stride / rate:g} ms: "
        if self.each > 1:
            return (own + f"the mean of the logits of {self.each} is a frame of {FRAME_MS} ms",)
        return (own + f"each holds for {self.times} frames of {FRAME_MS} ms",)


SAME = Grid()


def grid_of(stride: int, rate: int, source: str) -> Grid:
    """How encoder rows of `stride` samples become frames. Raises `CheckpointError` where neither divides the other."""
    hop = hop_of(rate)
    if hop % stride and stride % hop:
        raise CheckpointError(
            f"the frames of {source} come every {stride} samples at {rate} Hz, which is {1000 * stride / rate:g} ms; a "
            f"frame head must give rows that make {FRAME_MS} ms up or are a multiple of it, so export a checkpoint "
            "with such a stride or with a head for whole windows"
        )
    return Grid(each=max(1, hop // stride), times=max(1, stride // hop))


def on_grid(rows: Tensor, grid: Grid) -> Tensor:
    """rows: (B, F, C) of an encoder -> (B, F * times / each, C); those of a whole window, (B, C), stay."""
    if grid.each > 1:
        rows = rows.reshape(-1, rows.shape[1] // grid.each, grid.each, rows.shape[2]).mean(dim=2)
    if grid.times > 1:
        rows = rows[:, :, None].expand(-1, -1, grid.times, -1).flatten(1, 2)
    return rows


class OnGrid(nn.Module):
    """A head whose rows are put on the grid."""

    def __init__(self, head: nn.Module, grid: Grid) -> None:
        super().__init__()
        self.head = head
        self.grid = grid

    def forward(self, features: Tensor) -> Tensor:
        """features: as the head takes them -> (B, F, C)."""
        return on_grid(self.head(features), self.grid)
