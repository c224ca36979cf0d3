"""The net of the default model: spectra brought to one level as they come, a causal net on them, a head for each delay.

Everything is written once, for any number of rows from the states before them: training runs it over whole scenes from
a zero state, the pack over one row at a time.
"""

import copy
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import fusion

from models.default.recipe.features import BANDS
from models.default.recipe.recurrence import held_level, recur
from streamclf.train.fit.nets import FRAMES_PER_ROW, CausalNet

DELAYS = (0, 2, 5)
"""Rows by which a head answers after the frame that it tells of; the heads are trained side by side, one is shipped."""

_CHANNELS = (32, 64, 96, 128)
_TIMES = (6, 3, 1, 1)
"""How many frames of 10 ms the first convolution hears, and how many rows the others."""
_UNITS = 256
_LAYERS = 3
_DROPOUT = 0.2

OPINION = 0.3
"""How much what the teacher is thought to say of a class weighs beside the class's own head."""
_QUIETEST = -13.0
"""Level (log of mel power) down to which a sound is lifted: white noise of about -80 dBFS."""
_DEPTH = 13.8
"""What lies so far below the level (in log of power: 60 dB) and deeper is as good as silence."""
_SILENT = _QUIETEST + 2.0 * math.log(FRAMES_PER_ROW * BANDS)


class LevelNet(CausalNet):
    """A level control, four convolutions over time and bands, gated recurrent layers; 20 ms a row.

    forward: x (B, 2 * rows, bands) of log power and the states -> logits (B, rows, classes) and the states behind them.

    The level is the loudest row so far, which fades by 4 dB a second; a fresh stream stands at `_QUIETEST`, which is a
    state of 0. What the net sees is how far each band stands out of what is as good as silence at that level, so the
    same sound looks the same at any loudness, and from its first row on, since a louder row raises the level at once.

    A class's logit is its own head's and, where `names` are given, the largest of what the teacher's names for it are
    thought to score: what is learnt of all sounds holds where few recordings of the class were to be had.
    """

    def __init__(self, classes: int, names: Sequence[Sequence[int]] = ()) -> None:
        """names: of each class the outputs of `second` that answer for it."""
        super().__init__()
        before, bands = (1, *_CHANNELS[:-1]), [BANDS >> at for at in range(len(_CHANNELS) + 1)]
        # the first goes from 10 to 20 ms
        self.convs = nn.ModuleList(
            nn.Conv2d(was, now, (high, 3), stride=(1 + (at == 0), 2), padding=(0, 1), bias=False)
            for at, (was, now, high) in enumerate(zip(before, _CHANNELS, _TIMES, strict=True))
        )
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for channels in _CHANNELS)
        self.project = nn.Linear(_CHANNELS[-1] * bands[-1], _UNITS)
        self.layers = nn.ModuleList(_Gated(_UNITS) for _ in range(_LAYERS))
        self.last = nn.LayerNorm(_UNITS)
        self.dropout = _Dropout()
        self.head = nn.Linear(_UNITS, classes)
        self.second = nn.Linear(_UNITS, 1 + max(max(own) for own in names)) if names else None
        self.names = rectangle(names) if names else None
        self.states = {
            "level": (0, 1),
            "frames": (0, 1, _TIMES[0] - FRAMES_PER_ROW, BANDS),
            "rows": (0, _CHANNELS[0], _TIMES[1] - 1, bands[1]),
            **{f"memory{at}": (0, _UNITS) for at in range(_LAYERS)},
        }
        # convolutions are quicker with the channels last
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """See the class."""
        logits, *after = self.heard(x, *states)
        return logits[:, None] if logits.ndim == 2 else logits, *after[:-1]

    def heard(self, x: Tensor, level: Tensor, frames: Tensor, rows: Tensor, *memories: Tensor) -> tuple[Tensor, ...]:
        """`forward`, but that the logits of a single row are (B, classes); last what the head sees of the rows."""
        # one row goes on without an axis of rows: every product is then a single operation of the graph
        one = x.shape[1] == FRAMES_PER_ROW
        pairs = x if one else x.unflatten(1, (-1, FRAMES_PER_ROW))  # type: ignore[no-untyped-call]
        loudness = 2.0 * torch.logsumexp(0.5 * pairs, dim=(-2, -1)) - _SILENT
        levels, level = held_level(loudness[:, None] if one else loudness, level)
        silence = levels + (_QUIETEST - _DEPTH)
        seen = functional.softplus(x - (silence if one else silence.repeat_interleave(FRAMES_PER_ROW, 1))[:, :, None])
        joined = torch.cat([frames, seen[:, None]], dim=2)
        frames = joined[:, :, FRAMES_PER_ROW if one else -frames.shape[2] :]
        heard = self._convolved(0, joined)
        # in the type of what is heard: joined to float32, halves would become whole again
        joined = torch.cat([rows.to(heard.dtype), heard], dim=2)
        rows = joined[:, :, -rows.shape[2] :]
        heard = joined
        for at in range(1, len(self.convs)):
            heard = self._convolved(at, heard)
        carried = functional.relu(self.project(heard.flatten(1) if one else heard.transpose(1, 2).flatten(2)))
        kept = []
        for layer, before in zip(self.layers, memories, strict=True):
            carried, memory = layer(carried, before)
            kept.append(memory)
        described = self.last(carried)
        return self._scored(self.dropout(described)), level, frames, rows, *kept, described

    def _scored(self, described: Tensor) -> Tensor:
        logits: Tensor = self.head(described)
        if self.second is None:
            return logits
        said: Tensor = self.second(described)[..., self.names].amax(dim=-1)
        return logits + said

    def _convolved(self, at: int, x: Tensor) -> Tensor:
        return functional.relu(self.norms[at](self.convs[at](x)))


@torch.no_grad()
def rescale(net: LevelNet, levels: Tensor, factor: float) -> None:
    """Make its logits what they are less `levels`, (classes, ), times `factor`."""
    net.head.weight.mul_(factor)
    net.head.bias.sub_(levels).mul_(factor)
    if net.second is not None:
        net.second.weight.mul_(factor)
        net.second.bias.mul_(factor)


def renumbered(names: Sequence[Sequence[int]]) -> tuple[list[int], list[list[int]]]:
    """The outputs of the teacher that answer for any class, and of each class its own by their places among these."""
    asked = sorted({name for own in names for name in own})
    return asked, [[asked.index(name) for name in own] for own in names]


def rectangle(names: Sequence[Sequence[int]]) -> Tensor:
    """(classes, most names of one): indices, the first of a class again where it has fewer."""
    most = max(len(own) for own in names)
    return torch.tensor([[*own, *[own[0]] * (most - len(own))] for own in names])


class Step(nn.Module):
    """A run of the pack: the spectra of one row and the states -> logits (B, classes), the states behind it, and what
    describes the row in numbers, (B, units)."""

    def __init__(self, net: LevelNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self,
        x: Tensor,
        level: Tensor,
        frames: Tensor,
        rows: Tensor,
        memory0: Tensor,
        memory1: Tensor,
        memory2: Tensor,
    ) -> tuple[Tensor, ...]:
        """Named one by one: torch captures a graph by the names of parameters."""
        return self.net.heard(x, level, frames, rows, memory0, memory1, memory2)


class _Dropout(nn.Module):
    """Leaves out the same units at every row of a scene (Gal and Ghahramani, 2016)."""

    def forward(self, rows: Tensor) -> Tensor:
        """rows: (B, n, units), or (B, units) of one."""
        if not self.training:
            return rows
        return rows * functional.dropout(torch.ones_like(rows[:, :1]), _DROPOUT)


class _Gated(nn.Module):
    """A recurrent layer whose gates depend on its input alone, beside a shortcut (minGRU, Feng et al., 2024).

    Each unit is a running mean with a pace of its own at each row; the mean of bounded values stays bounded, so a
    stream may go on for days.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(units)
        self.gates = nn.Linear(units, 2 * units)
        self.dropout = _Dropout()
        with torch.no_grad():
            # units remember for 2 rows to 200
            rows = torch.logspace(0.3, 2.3, units)
            self.gates.bias[:units] = -torch.log(rows)

    def forward(self, rows: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """rows: (B, n, units), or (B, units) of one; before: (B, units) -> rows, and the memory behind them."""
        pace, new = self.gates(self.norm(rows)).chunk(2, dim=-1)
        memories, last = recur(torch.sigmoid(pace), torch.tanh(new), before)
        return rows + self.dropout(memories), last


class Trainee(nn.Module):
    """The net with all its heads: classes at every delay, and what YAMNet says of the last second.

    forward: spectra (B, 2 * rows, bands) -> logits (B, rows, len(DELAYS), classes), (B, windows, teacher's classes).
    Once it is trained the logits hold the second opinion as well, as those of the net that ships do.

    centre, spread: of the teacher's log odds, by which what the output for the teacher says is multiplied and moved.
    """

    centre: Tensor
    spread: Tensor

    def __init__(
        self, classes: int, *, taught: int, window_rows: int, step_rows: int, names: Sequence[Sequence[int]] = ()
    ) -> None:
        """names: of each class the teacher's that answer for it; where there are none, there is no second opinion."""
        super().__init__()
        self.names = names
        self.register_buffer("centre", torch.zeros(taught))
        self.register_buffer("spread", torch.ones(taught))
        self.classes = classes
        self.net = LevelNet(classes * len(DELAYS))
        self.heads = self.net.head
        self.net.head = nn.Identity()  # type: ignore[assignment]
        self.teacher_head = nn.Linear(_UNITS, taught)
        # the teacher's window ends with a row, and its own rows are averaged as those of its window are
        self.pool = nn.AvgPool1d(window_rows, stride=step_rows)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        rows = self.net.logits(x)
        logits = self.heads(rows).reshape(*rows.shape[:2], len(DELAYS), self.classes)
        if self.names and not self.training:
            said = OPINION * (self.teacher_head(rows) * self.spread + self.centre)
            logits = logits + said[..., rectangle(self.names)].amax(dim=-1)[:, :, None]
        return logits, self.teacher_head(self.pool(rows.transpose(1, 2)).transpose(1, 2))

    def shipped(self, delay: int) -> LevelNet:
        """A copy of the net with the head for `delay` alone and normalisations folded into what is before them."""
        at = DELAYS.index(delay) * self.classes
        net = copy.deepcopy(self.net).eval()
        net.head = nn.Linear(_UNITS, self.classes)
        if self.names:
            asked, own = renumbered(self.names)
            net.second = nn.Linear(_UNITS, len(asked))
            net.names = rectangle(own)
            with torch.no_grad():
                net.second.weight.copy_(OPINION * self.spread[asked, None] * self.teacher_head.weight[asked])
                net.second.bias.copy_(OPINION * (self.spread * self.teacher_head.bias + self.centre)[asked])
        with torch.no_grad():
            net.head.weight.copy_(self.heads.weight[at : at + self.classes])
            net.head.bias.copy_(self.heads.bias[at : at + self.classes])
        for place, norm in enumerate(net.norms):
            conv = net.convs[place]
            assert isinstance(conv, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            net.convs[place] = fusion.fuse_conv_bn_eval(conv, norm)
            net.norms[place] = nn.Identity()
        return net
