"""Tables of learned positions, stretched for another window than the one a transformer was trained with."""

from typing import Literal

import torch
from torch import Tensor, nn


def stretch(
    table: Tensor, before: tuple[int, int], after: tuple[int, int], mode: Literal["bilinear", "bicubic"]
) -> nn.Parameter:
    """table: (1, n + rows * columns, dim), `before` = (rows, columns) -> the same with the grid `after`.

    The first n positions, of class tokens, stay as they are.
    """
    tokens = table.shape[1] - before[0] * before[1]
    grid = table.detach()[:, tokens:].transpose(1, 2).reshape(1, -1, *before)
    grid = nn.functional.interpolate(grid, size=after, mode=mode, align_corners=False)
    return nn.Parameter(torch.cat([table.detach()[:, :tokens], grid.flatten(2).transpose(1, 2)], dim=1))
