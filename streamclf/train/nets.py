"""Nets of our own: a small residual ConvNet on log-mel windows, and two causal nets that run a frame at a time.

The causal nets are written once: `forward(x, *states)` takes any number of frames and the state before them, and gives
the rows and the state behind them. Training runs it over whole stretches from a zero state, the pack one row at a
time: the two are the same function.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

FRAMES_PER_ROW = 2
"""Feature frames of 10 ms that one row of 20 ms takes."""


class ConvNet(nn.Module):
    """Residual ConvNet: (B, 1, frames, bands) -> logits (B, classes). Mean and maximum over time are added up."""

    def __init__(self, classes: int, *, width: int = 16, dropout: float = 0.3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2, padding=2, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        widths = [width, 2 * width, 4 * width, 8 * width]
        self.blocks = nn.Sequential(*(_Residual(before, after, stride=2) for before, after in pairwise(widths)))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], classes)
        # convolutions are quicker with the channels last, in training and after
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, 1, frames, bands) -> (B, classes)."""
        heard = self.blocks(self.stem(x.contiguous(memory_format=torch.channels_last))).mean(dim=3)
        pooled = heard.mean(dim=2) + heard.amax(dim=2)
        logits: Tensor = self.head(self.dropout(pooled))
        return logits


class _Residual(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    def __init__(self, before: int, after: int, *, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True), nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after)
        )

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, before, t, f) -> (B, after, ceil(t / stride), ceil(f / stride))."""
        return functional.relu(self.body(x) + self.shortcut(x))


class CausalNet(nn.Module):
    """What the causal nets share: states by name, with 0 where the batch stands."""

    states: dict[str, tuple[int, ...]]

    def zero_states(self, batch: int, like: Tensor) -> tuple[Tensor, ...]:
        """The states of fresh streams."""
        return tuple(like.new_zeros([size or batch for size in shape]) for shape in self.states.values())

    def logits(self, x: Tensor) -> Tensor:
        """Rows of fresh streams. x: (B, frames, bands) -> (B, rows, classes)."""
        rows: Tensor = self(x, *self.zero_states(len(x), x))[0]
        return rows


class CausalCRNN(CausalNet):
    """Three causal convolutions over time and bands, a recurrent layer or two, a linear head; 20 ms a row.

    forward: x (B, 2 * rows, bands) and the states -> logits (B, rows, classes) and the states behind them.
    """

    def __init__(
        self, classes: int, *, bands: int, channels: int = 24, units: int = 160, layers: int = 2, dropout: float = 0.2
    ) -> None:
        super().__init__()
        if bands % 8:
            raise ValueError(f"bands must be a multiple of 8, got {bands}")
        first, second, third = channels, 2 * channels, 2 * channels
        self.conv1 = nn.Conv2d(1, first, (3, 3), stride=(1, 2), padding=(0, 1), bias=False)
        self.norm1 = nn.BatchNorm2d(first)
        # the one that goes from 10 to 20 ms; its kernel of 4 takes the two frames of a row and the two before them
        self.conv2 = nn.Conv2d(first, second, (4, 3), stride=(FRAMES_PER_ROW, 2), padding=(0, 1), bias=False)
        self.norm2 = nn.BatchNorm2d(second)
        self.conv3 = nn.Conv2d(second, third, (3, 3), stride=(1, 2), padding=(0, 1), bias=False)
        self.norm3 = nn.BatchNorm2d(third)
        self.dropout = nn.Dropout(dropout)
        self.project = nn.Linear(third * bands // 8, units)
        self.recurrent = nn.GRU(units, units, num_layers=layers, batch_first=True)
        self.head = nn.Linear(units, classes)
        self.states = {
            "past1": (0, 1, 2, bands),
            "past2": (0, first, 2, bands // 2),
            "past3": (0, second, 2, bands // 4),
            "memory": (layers, 0, units),
        }

    def forward(
        self, x: Tensor, past1: Tensor, past2: Tensor, past3: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """See the class."""
        heard = torch.cat([past1, x[:, None]], dim=2)
        past1 = heard[:, :, -2:]
        heard = torch.cat([past2, functional.relu(self.norm1(self.conv1(heard)))], dim=2)
        past2 = heard[:, :, -2:]
        heard = torch.cat([past3, functional.relu(self.norm2(self.conv2(heard)))], dim=2)
        past3 = heard[:, :, -2:]
        heard = functional.relu(self.norm3(self.conv3(heard)))
        rows = functional.relu(self.project(self.dropout(heard.transpose(1, 2).flatten(2))))
        rows, memory = self._remember(rows, memory)
        return self.head(self.dropout(rows)), past1, past2, past3, memory

    def _remember(self, rows: Tensor, memory: Tensor) -> tuple[Tensor, Tensor]:
        if rows.shape[1] > 1 or self.training:
            rows, memory = self.recurrent(rows, memory)
            return rows, memory
        # one row: the cell written out, which becomes a handful of products where the operator brings a loop
        row, after = rows[:, 0], []
        for layer, before in enumerate(memory.unbind(0)):
            weights = [getattr(self.recurrent, f"{name}_l{layer}") for name in _GRU_WEIGHTS]
            row = _gru_cell(row, before, *weights)
            after.append(row)
        return row[:, None], torch.stack(after)


class CausalTCN(CausalNet):
    """Residual blocks of dilated causal convolutions in matrix form, channels last; 20 ms a row.

    A block's input is kept as long as its convolution reaches back; all of it lies in one tensor, block after block.
    """

    def __init__(
        self,
        classes: int,
        *,
        bands: int,
        channels: int = 128,
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 1, 2, 4, 8, 16),
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.project = nn.Linear(FRAMES_PER_ROW * bands, channels)
        self.norm = nn.BatchNorm1d(channels)
        self.blocks = nn.ModuleList(_Dilated(channels, dilation, dropout) for dilation in dilations)
        self.head = nn.Linear(channels, classes)
        self._reach = [2 * dilation for dilation in dilations]
        self.states = {"past": (0, sum(self._reach), channels)}

    def forward(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """x: (B, 2 * rows, bands) and the state -> logits (B, rows, classes) and the state behind them."""
        pairs = x.reshape(x.shape[0], x.shape[1] // FRAMES_PER_ROW, FRAMES_PER_ROW * x.shape[2])
        rows = functional.relu(_norm_last(self.norm, self.project(pairs)))
        after = []
        for block, before in zip(self.blocks, torch.split(past, self._reach, dim=1), strict=True):
            rows, kept = block(rows, before)
            after.append(kept)
        return self.head(rows), torch.cat(after, dim=1)


class _Dilated(nn.Module):
    """Three taps, `dilation` rows apart, as one matrix product; then back to the residual stream."""

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.taps = nn.Linear(3 * channels, channels, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)
        self.back = nn.Linear(channels, channels)

    def forward(self, rows: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """rows: (B, n, channels); past: the 2 * dilation rows before them -> rows, and what is past behind them."""
        heard = torch.cat([past, rows], dim=1)
        count, step = rows.shape[1], self.dilation
        taps = torch.cat([heard[:, at : at + count] for at in (0, step, 2 * step)], dim=2)
        new = functional.relu(_norm_last(self.norm, self.taps(taps)))
        return rows + self.back(self.dropout(new)), heard[:, count:]


_GRU_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _gru_cell(x: Tensor, before: Tensor, w_in: Tensor, w_past: Tensor, b_in: Tensor, b_past: Tensor) -> Tensor:
    """One step of torch's GRU: (B, inputs), (B, units) -> (B, units)."""
    reset_in, update_in, new_in = functional.linear(x, w_in, b_in).chunk(3, dim=1)
    reset_past, update_past, new_past = functional.linear(before, w_past, b_past).chunk(3, dim=1)
    update = torch.sigmoid(update_in + update_past)
    new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_past) * new_past)
    return new + update * (before - new)


def _norm_last(norm: nn.BatchNorm1d, rows: Tensor) -> Tensor:
    """Batch normalisation of (B, n, channels) with the channels last."""
    flat: Tensor = norm(rows.reshape(-1, rows.shape[2]))
    return flat.reshape(rows.shape)
