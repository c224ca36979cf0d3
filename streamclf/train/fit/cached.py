"""A causal transformer that keeps keys and values, so that a row is computed once however long it is looked back to.

In every layer a row attends to itself and to the `context` rows before it. What is kept of each layer is their keys
and values: tensors of a fixed size, newest last, and one number, `heard`, which says how many of them are true. Zeros
everywhere are therefore a fresh stream, and a stream that runs for days keeps nothing else. Only the distance between
two rows enters, never their position, so nothing changes with the age of a stream.

`forward` takes any number of rows. Training runs it over whole stretches from zero states, a pack over chunks of a
fixed number of rows: a wider chunk costs its wait, (rows - 1) * 20 ms, and shares one pass over weights and cache.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from streamclf.clock import hop_of
from streamclf.features.spec import LogMel
from streamclf.model.geometry import layout_dims
from streamclf.model.pack import Manifest, StateTensor
from streamclf.train.export.onnxgraph import Graph, to_onnx
from streamclf.train.fit.nets import FRAMES_PER_ROW, CausalNet
from streamclf.types import Shape

# what the weight of a row out of reach becomes a true 0 by, in float16 as well
_FAR = 1e4
HEADS = 4


class CachedTransformer(CausalNet):
    """Layers of attention over `context` past rows and a feed-forward part, a linear head; 20 ms a row.

    forward: x (B, 2 * rows, bands) and the states -> logits (B, rows, classes) and the states behind them.
    """

    def __init__(
        self,
        classes: int,
        *,
        bands: int,
        dim: int = 256,
        layers: int = 4,
        heads: int = HEADS,
        context: int = 50,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"dim must be a multiple of heads, got {dim} and {heads}")
        if min(classes, layers, heads, context) < 1:
            raise ValueError("classes, layers, heads and context must be at least 1")
        self.context = context
        self.project = nn.Linear(FRAMES_PER_ROW * bands, dim)
        self.layers = nn.ModuleList(_Layer(dim, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)
        # begins as a penalty that grows with distance, at another pace in each head
        slopes = torch.tensor([2.0 ** (-8.0 * (head + 1) / heads) for head in range(heads)])
        self.distance = nn.Parameter(-slopes[:, None] * torch.arange(context + 1))
        # one tensor, layer after layer, keys before values: a tensor more costs each run more than its copy does
        self.states = {"heard": (0, 1), "keys_values": (0, 2 * heads * layers, context, dim // heads)}

    @property
    def reach(self) -> int:
        """Rows that can change a row, itself included: each layer looks `context` rows further back."""
        return len(self.layers) * self.context + 1

    def forward(self, x: Tensor, heard: Tensor, kept: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class. heard: rows that `kept` truly holds; kept: (B, layers * 2 * heads, context, dim / heads)."""
        count = x.shape[1] // FRAMES_PER_ROW
        # rows of all streams below one another: products of matrices, which take their bias along
        rows = self.project(x.reshape(len(x) * count, FRAMES_PER_ROW * x.shape[2]))
        bias, new = self._bias(heard, count), []
        for layer, before in zip(self.layers, kept.chunk(len(self.layers), dim=1), strict=True):
            rows, added = layer(rows, before, bias)
            new.append(added)
        logits = self.head(self.norm(rows)).reshape(len(x), count, -1)
        kept = torch.cat([kept, torch.cat(new, dim=1)], dim=2)[:, :, -self.context :]
        return logits, torch.clamp(heard + count, max=self.context), kept

    def _bias(self, heard: Tensor, rows: int) -> Tensor:
        """What is added to the scores: (B, heads, rows, context + rows)."""
        key = torch.arange(self.context + rows, device=heard.device)
        distance = self.context + torch.arange(rows, device=heard.device)[:, None] - key
        bias = self.distance[:, distance.clamp(0, self.context)]
        bias = bias.masked_fill((distance < 0) | (distance > self.context), -_FAR)
        # a place of the cache that nothing has been put into yet lies at least one row before the first
        absent = (key - self.context + heard[:, :, None, None]).clamp(max=0.0) * _FAR
        return bias + absent


class _Layer(nn.Module):
    """Attention and a feed-forward part, each behind a normalisation and beside a shortcut."""

    def __init__(self, dim: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.attend = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.wide = nn.Linear(dim, 4 * dim)
        self.narrow = nn.Linear(4 * dim, dim)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Tensor, kept: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """rows: (B * n, dim); kept: (B, 2 * heads, context, dim / heads), keys and values before the rows.

        Returns the rows, and their own keys and values: (B, 2 * heads, n, dim / heads).
        """
        batch, heads = len(kept), self.heads
        # queries, keys and values, each by head: (B, 3 * heads, n, dim / heads)
        three = self.attend(self.norm1(rows)).reshape(batch, len(rows) // batch, 3 * heads, -1).transpose(1, 2)
        query, new = three.split([heads, 2 * heads], dim=1)
        keys, values = torch.cat([kept, new], dim=2).chunk(2, dim=1)
        weights = torch.softmax((query * query.shape[3] ** -0.5) @ keys.transpose(2, 3) + bias, dim=3)
        rows = rows + self.dropout(self.out((weights @ values).transpose(1, 2).reshape(rows.shape)))
        rows = rows + self.dropout(self.narrow(functional.relu(self.wide(self.norm2(rows)))))
        return rows, new


class Chunk(nn.Module):
    """One run of a causal net in a pack: `rows` rows and the states -> logits and the states behind them.

    Logits are (B, rows, classes), or (B, classes) where a run has one row, as a manifest has it.
    """

    def __init__(self, net: CausalNet, rows: int) -> None:
        super().__init__()
        self.net = net
        self.rows = rows
        # torch captures a graph by the names of parameters, so each state needs one of its own
        self.forward = _under_names(self._run, ("x", *net.states))

    def _run(self, x: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """x: (B, 2 * rows, bands)."""
        run = self.net.step if self.rows == 1 else self.net
        logits, *after = run(x, *states)
        return logits, *after


def _under_names(function: Callable[..., Any], names: Sequence[str]) -> Callable[..., Any]:
    """The function with positional parameters of these names."""

    def forward(*values: Tensor) -> Any:
        return function(*values)

    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    cast(Any, forward).__signature__ = inspect.Signature(parameters)
    return forward


def chunk_manifest(
    net: CausalNet,
    *,
    name: str,
    features: LogMel,
    rate: int,
    rows: int,
    activation: Literal["sigmoid", "softmax"],
    **more: Any,
) -> Manifest:
    """The manifest of a causal net that runs once in `rows` frames of 20 ms.

    features: 10 ms apart and 30 ms long, so that the newest frame ends where a chunk does. more: further keys, and
    those to put in place of the ones here. Raises ValueError for features that do not fit a row.
    """
    hop = hop_of(rate)
    shift = hop // FRAMES_PER_ROW
    if rows < 1:
        raise ValueError(f"rows must be at least 1, got {rows}")
    if (features.frame_shift, features.frame_length) != (shift, 3 * shift):
        raise ValueError(
            f"features have frame_shift {features.frame_shift} and frame_length {features.frame_length}; a row of "
            f"{hop} samples takes {shift} and {3 * shift}"
        )
    given: dict[str, Any] = {
        "format": 1,
        "name": name,
        "version": "1",
        "title": name,
        "licence": "the trainer's own",
        "source": f"{type(net).__name__}, runs of {rows} rows",
        "rate": rate,
        "shape": Shape.STATEFUL,
        "window": (rows + 1) * hop,
        "step": rows * hop,
        "look_ahead": (rows - 1) * hop,
        "rows_per_window": rows,
        "features": features,
        "input": "features",
        "input_layout": "time-bands",
        "output": "scores",
        "activation": activation,
        "exclusive": activation == "softmax",
        "state": tuple(
            StateTensor(input=f"{key}_in", output=f"{key}_out", shape=shape) for key, shape in net.states.items()
        ),
        "files": {},
    }
    return Manifest(**(given | more))


def chunk_graph(net: CausalNet, manifest: Manifest) -> Graph:
    """The graph of `chunk_manifest`'s pack. Raises StreamclfError where torch cannot capture the net."""
    states: Sequence[StateTensor] = manifest.state
    return to_onnx(
        Chunk(net, manifest.rows_per_window).eval(),
        [torch.randn(2, *layout_dims(manifest)), *(torch.zeros([size or 2 for size in one.shape]) for one in states)],
        inputs=[manifest.input, *(one.input for one in states)],
        outputs=[manifest.output, *(one.output for one in states)],
        batch_axes=[0, *(one.batch_axis for one in states)],
    )
