"""Nets of our own: a small residual ConvNet on log-mel windows, and two causal nets that run a frame at a time.

A causal net is a function `forward(x, *states)` of any number of frames and the state before them; it gives the rows
and the state behind them. Training runs it over whole stretches from a zero state. A pack that runs once a row has
`step`, the same function of one row written in as few operations as can be: in a run of 0.1 ms each of them counts.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

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

    def step(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """One row, not in training. x: (B, 2, bands) and the states -> logits (B, classes) and the states behind."""
        rows, *after = self(x, *states)
        return rows[:, 0], *after


class _Convolved(CausalNet):
    """Three causal convolutions over time and bands, whose weights serve every band, and a projection; 20 ms a row."""

    def __init__(self, *, bands: int, channels: int, size: int, dropout: float) -> None:
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
        self.project = nn.Linear(third * bands // 8, size)
        self.states = {
            "past1": (0, 1, 2, bands),
            "past2": (0, first, 2, bands // 2),
            "past3": (0, second, 2, bands // 4),
        }

    def _heard(self, x: Tensor, past1: Tensor, past2: Tensor, past3: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, 2 * n, bands) and the frames before each convolution -> (B, third, n, bands / 8) and those behind."""
        new = x[:, None]
        heard, past1 = _behind(past1, new)
        new = functional.relu(self.norm1(self.conv1(heard)))
        heard, past2 = _behind(past2, new)
        new = functional.relu(self.norm2(self.conv2(heard)))
        heard, past3 = _behind(past3, new)
        return functional.relu(self.norm3(self.conv3(heard))), past1, past2, past3

    def _rows(self, heard: Tensor) -> Tensor:
        """(B, third, n, bands / 8) -> (B, n, size)."""
        return functional.relu(self.project(self.dropout(heard.transpose(1, 2).flatten(2))))

    def _row(self, heard: Tensor) -> Tensor:
        """(B, third, 1, bands / 8) -> (B, size)."""
        return functional.relu(self.project(heard.flatten(1)))


class CausalCRNN(_Convolved):
    """Three causal convolutions over time and bands, a recurrent layer or two, a linear head; 20 ms a row.

    forward: x (B, 2 * rows, bands) and the states -> logits (B, rows, classes) and the states behind them.
    """

    def __init__(
        self, classes: int, *, bands: int, channels: int = 24, units: int = 160, layers: int = 2, dropout: float = 0.2
    ) -> None:
        super().__init__(bands=bands, channels=channels, size=units, dropout=dropout)
        self.recurrent = nn.GRU(units, units, num_layers=layers, batch_first=True)
        self.head = nn.Linear(units, classes)
        self.states["memory"] = (0, layers * units)

    def forward(
        self, x: Tensor, past1: Tensor, past2: Tensor, past3: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """See the class."""
        heard, past1, past2, past3 = self._heard(x, past1, past2, past3)
        layers = memory.reshape(len(memory), self.recurrent.num_layers, -1).transpose(0, 1)
        rows, layers = self.recurrent(self._rows(heard), layers.contiguous())
        return self.head(self.dropout(rows)), past1, past2, past3, layers.transpose(0, 1).flatten(1)

    def step(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """See `CausalNet`. The cells are written out: graph capture wraps the operator for them in much else."""
        *pasts, memory = states
        heard, *pasts = self._heard(x, *pasts)
        row, after = self._row(heard), []
        for layer, before in enumerate(memory.chunk(self.recurrent.num_layers, dim=1)):
            row = _gru_cell(row, before, *(getattr(self.recurrent, f"{name}_l{layer}") for name in _GRU_WEIGHTS))
            after.append(row)
        return self.head(row), *pasts, torch.cat(after, dim=1)


class CausalTCN(_Convolved):
    """Three causal convolutions over time and bands, then residual blocks of dilated ones over time; 20 ms a row.

    forward: x (B, 2 * rows, bands) and the states -> logits (B, rows, classes) and the states behind them. A block's
    input is kept as long as its convolution reaches back; all of it lies in one tensor, block after block.
    """

    def __init__(
        self,
        classes: int,
        *,
        bands: int,
        channels: int = 128,
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 32),
        convolved: int = 24,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(bands=bands, channels=convolved, size=channels, dropout=dropout)
        self.blocks = nn.ModuleList(_Dilated(channels, dilation, dropout) for dilation in dilations)
        self.head = nn.Linear(channels, classes)
        self._kept = [2 * dilation for dilation in dilations]
        begins = [0, *accumulate(self._kept)]
        self.states["past"] = (0, begins[-1], channels)
        # for a step, among the rows kept: where each block's two taps lie, and what is kept of them and the new ones
        taps = [at for begin, dilation in zip(begins, dilations, strict=False) for at in (begin, begin + dilation)]
        after = [
            at
            for block, (begin, end) in enumerate(pairwise(begins))
            for at in (*range(begin + 1, end), begins[-1] + block)
        ]
        self.register_buffer("_taps", torch.tensor(taps), persistent=False)
        self.register_buffer("_after", torch.tensor(after), persistent=False)

    @property
    def reach(self) -> int:
        """Rows that can change a row, itself included; the convolutions over bands reach four back."""
        return 1 + 4 + sum(self._kept)

    def forward(
        self, x: Tensor, past1: Tensor, past2: Tensor, past3: Tensor, past: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """See the class."""
        heard, past1, past2, past3 = self._heard(x, past1, past2, past3)
        rows, after = self._rows(heard), []
        for block, before in zip(self.blocks, torch.split(past, self._kept, dim=1), strict=True):
            rows, kept = block(rows, before)
            after.append(kept)
        return self.head(rows), past1, past2, past3, torch.cat(after, dim=1)

    def step(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """See `CausalNet`."""
        *pasts, past = states
        heard, *pasts = self._heard(x, *pasts)
        row, new = self._row(heard), []
        taps = torch.index_select(past, 1, self.get_buffer("_taps")).flatten(1).chunk(len(self.blocks), dim=1)
        for block, before in zip(self.blocks, taps, strict=True):
            assert isinstance(block, _Dilated)
            new.append(row)
            row = block.step(row, before)
        kept = torch.cat([past, torch.cat(new, dim=1).reshape(len(past), len(new), -1)], dim=1)
        return self.head(row), *pasts, torch.index_select(kept, 1, self.get_buffer("_after"))


class _Dilated(nn.Module):
    """Three taps, `dilation` rows apart, as one matrix product; then back to the residual stream."""

    def __init__(self, channels: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.dilation = dilation
        self.taps = nn.Linear(3 * channels, channels, bias=False)
        self.norm = nn.BatchNorm1d(channels)
        self.dropout = nn.Dropout(dropout)
        # no bias, so that a product can take the residual stream in its place
        self.back = nn.Linear(channels, channels, bias=False)

    def forward(self, rows: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """rows: (B, n, channels); past: the 2 * dilation rows before them -> rows, and what is past behind them."""
        heard = torch.cat([past, rows], dim=1)
        count, reach = rows.shape[1], self.dilation
        taps = torch.cat([heard[:, at : at + count] for at in (0, reach, 2 * reach)], dim=2)
        new = functional.relu(self.norm(self.taps(taps.flatten(0, 1))))
        return rows + self.back(self.dropout(new)).reshape(rows.shape), heard[:, count:]

    def step(self, row: Tensor, before: Tensor) -> Tensor:
        """row: (B, channels); before: the two taps in the past, (B, 2 * channels) -> (B, channels)."""
        new = functional.relu(self.norm(self.taps(torch.cat([before, row], dim=1))))
        return torch.addmm(row, new, self.back.weight.T)


_GRU_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def _gru_cell(x: Tensor, before: Tensor, w_in: Tensor, w_past: Tensor, b_in: Tensor, b_past: Tensor) -> Tensor:
    """One step of torch's GRU: (B, inputs), (B, units) -> (B, units)."""
    gates = 2 * before.shape[1]
    # reset and update look at the sum of both products, which is one product of both inputs
    weights = torch.cat([w_in[:gates], w_past[:gates]], dim=1)
    both = functional.linear(torch.cat([x, before], dim=1), weights, (b_in + b_past)[:gates])
    reset, update = torch.sigmoid(both).chunk(2, dim=1)
    heard = functional.linear(x, w_in[gates:], b_in[gates:])
    new = torch.tanh(heard + reset * functional.linear(before, w_past[gates:], b_past[gates:]))
    return new + update * (before - new)


def _behind(past: Tensor, new: Tensor) -> tuple[Tensor, Tensor]:
    """Frames and the two before them, and the two that those behind them need; time is axis 2."""
    heard = torch.cat([past, new], dim=2)
    return heard, new if new.shape[2] == past.shape[2] else heard[:, :, -past.shape[2] :]
