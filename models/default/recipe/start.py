"""A net that goes on from a pack of this recipe in place of fresh weights.

The pack has one head and its normalisations are folded into the convolutions; here every delay begins with that head,
the normalisations are undone so that they give the same on what is learnt from, and the teacher's head is fitted to
what the teacher says of it.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from models.default.recipe.classes import CLASSES, teacher_columns
from models.default.recipe.features import HOP, spectra
from models.default.recipe.net import DELAYS, LevelNet, Trainee, renumbered
from models.default.recipe.pool import Pool
from streamclf.errors import StreamclfError
from streamclf.model.loader import load_pack
from streamclf.types import F32

_SCENES = 64
"""Scenes by which the normalisations are set and the teacher's head is fitted."""
_RIDGE = 0.01


def shipped(pack: Path, classes: int) -> LevelNet:
    """The net of the pack in the folder `pack`, as it runs there. Raises StreamclfError where it is another net."""
    held = {one.name: one for one in onnx.load(pack / "model.onnx").graph.initializer}
    net = LevelNet(classes, renumbered(teacher_columns())[1] if "net.second.bias" in held else ())
    for at, conv in enumerate(net.convs):
        assert isinstance(conv, nn.Conv2d)
        conv.bias = nn.Parameter(torch.zeros(conv.out_channels))
        net.norms[at] = nn.Identity()
    weights = {
        name: torch.from_numpy(numpy_helper.to_array(held[f"net.{name}"]).copy())
        for name in net.state_dict()
        if f"net.{name}" in held
    }
    for name, value in net.state_dict().items():
        if name not in weights or weights[name].shape != value.shape:
            raise StreamclfError(f"{pack} is no pack of this net ({name} is absent or of another size); name another")
    net.load_state_dict(weights)
    return net.eval()


def listener(pack: Path) -> Callable[[F32], F32]:
    """What the net of the pack in the folder `pack` says of (n, ) samples: (rows, classes) of log odds, in time."""
    torch.set_num_threads(1)
    net = shipped(pack, len(CLASSES))
    delay = load_pack(pack).manifest.look_ahead // HOP

    @torch.inference_mode()
    def heard(samples: F32) -> F32:
        rows = net.logits(torch.from_numpy(spectra(samples[None])))[0, delay:]
        odds: F32 = torch.cat([rows, rows[-1:].expand(delay, -1)]).numpy()
        return odds

    return heard


@torch.no_grad()
def begin(net: Trainee, pack: Path, pool: Pool, taught: F32) -> None:
    """Give `net` the weights of the pack in the folder `pack`. taught: (n, windows, teacher's classes), what its output
    for the teacher is to give for the scenes of `pool`.
    """
    before = shipped(pack, net.classes)
    chosen = np.linspace(0, len(pool.spectra) - 1, min(_SCENES, len(pool.spectra))).astype(int)
    x = torch.from_numpy(pool.spectra[chosen].astype(np.float32))
    for at, conv in enumerate(before.convs):
        own = net.net.convs[at]
        assert isinstance(conv, nn.Conv2d)
        assert isinstance(own, nn.Conv2d)
        own.weight.copy_(conv.weight)
        assert conv.bias is not None
        _undo(net.net.norms[at], _output(before, at, x), conv.bias)
    rest = {name: value for name, value in before.state_dict().items() if not name.startswith(("convs.", "head."))}
    net.net.load_state_dict(rest, strict=False)
    net.heads.weight.copy_(before.head.weight.repeat(len(DELAYS), 1))
    net.heads.bias.copy_(before.head.bias.repeat(len(DELAYS)))
    net.eval()
    rows = net.pool(net.net.logits(x).transpose(1, 2)).transpose(1, 2)
    _fit(net.teacher_head, rows.flatten(0, 1), torch.from_numpy(taught[chosen]).flatten(0, 1))


def _output(net: LevelNet, at: int, x: Tensor) -> Tensor:
    """(n, channels): values of convolution `at`, bias included, over the scenes."""
    held: list[Tensor] = []
    hook = net.convs[at].register_forward_hook(lambda module, given, out: held.append(out))
    net.logits(x)
    hook.remove()
    return held[0].transpose(0, 1).flatten(1).T


def _undo(norm: nn.Module, values: Tensor, bias: Tensor) -> None:
    """Make `norm` leave what the convolution gives without its bias as it was with it."""
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    mean, spread = values.mean(dim=0), values.var(dim=0)
    norm.running_mean.copy_(mean - bias)
    norm.running_var.copy_(spread)
    norm.weight.copy_((spread + norm.eps).sqrt())
    norm.bias.copy_(mean)


def _fit(head: nn.Linear, rows: Tensor, wanted: Tensor) -> None:
    """Least squares with a ridge."""
    mean, centre = rows.mean(dim=0), wanted.mean(dim=0)
    rows, wanted = rows - mean, wanted - centre
    both = rows.T @ rows + _RIDGE * len(rows) * torch.eye(rows.shape[1])
    weights = torch.linalg.solve(both, rows.T @ wanted)
    head.weight.copy_(weights.T)
    head.bias.copy_(centre - mean @ weights)
