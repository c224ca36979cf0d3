"""Steps of a training: AdamW, its schedule, the running average that is kept as the result, and all of it as a state.

Who trains brings the net, the loss of each step and the order of what is learnt from; see `training.py`, and the recipe
of the default model. A state that was saved between two steps and is taken up goes on to the same weights, bit for bit.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from streamclf.errors import StreamclfError
from streamclf.train.fit import runstate

Rate = Callable[[int], float]
"""Steps made before -> share of the highest learning rate."""
_BETAS = (0.9, 0.98)


class Loop:
    """A net while it learns. step: how many steps are made."""

    def __init__(
        self,
        net: nn.Module,
        *,
        learning_rate: float,
        rate: Rate,
        decay: float,
        average: float,
        clip: float,
        share: Callable[[str], float] = lambda name: 1.0,
    ) -> None:
        """learning_rate: at its highest; share: of it for the weight of a name. decay: of matrices, since biases and
        norms do not decay. average: weight of the past in the running average. clip: the most that the norm of all
        gradients may be.
        """
        self.net, self.step = net, 0
        self._highest, self._clip = learning_rate, clip
        self._optimiser = torch.optim.AdamW(_groups(net, learning_rate, decay, share), betas=_BETAS)
        self._schedule = LambdaLR(self._optimiser, rate)
        self._average = AveragedModel(net, multi_avg_fn=_following(average), use_buffers=True)
        self._average.update_parameters(net)

    @property
    def learning_rate(self) -> float:
        """Of the first group of weights in the step to come."""
        return float(self._optimiser.param_groups[0]["lr"])

    @property
    def averaged(self) -> dict[str, Tensor]:
        """The running average of weights and buffers, by name; the memory changes with the next step."""
        weights: dict[str, Tensor] = self._average.module.state_dict()
        return weights

    def learn(self, loss: Tensor) -> float:
        """Step down the gradient of `loss`; returns its value. Raises StreamclfError where it is not a number."""
        value = float(loss.item())
        if not math.isfinite(value):
            raise StreamclfError(
                f"the loss is {value} at step {self.step}; train with a --learning-rate under {self._highest:g}"
            )
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.net.parameters(), self._clip)
        self._optimiser.step()
        self._average.update_parameters(self.net)
        self.step += 1
        self._schedule.step()
        return value

    def save(self, folder: Path, **more: Any) -> None:
        """Write a checkpoint into `folder`. more: what else decides how the run goes on."""
        state = {
            "net": self.net.state_dict(),
            "average": self._average.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "schedule": self._schedule.state_dict(),
            "random": runstate.random_states(),
            "step": self.step,
        }
        runstate.save(folder, state | more)

    def restore(self, folder: Path) -> runstate.State:
        """Take up the checkpoint in `folder`; returns what else was saved with it. Raises StreamclfError."""
        state = runstate.load(folder)
        if "schedule" not in state:
            raise StreamclfError(f"the run in {folder} was begun by an older version; start another one")
        self.net.load_state_dict(state["net"])
        self._average.load_state_dict(state["average"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._schedule.load_state_dict(state["schedule"])
        runstate.restore_random(state["random"])
        self.step = state["step"]
        return state


def averaged_weights(state: runstate.State) -> dict[str, Tensor]:
    """What `Loop.averaged` was when the checkpoint was made."""
    return {
        name.removeprefix("module."): value for name, value in state["average"].items() if name.startswith("module.")
    }


def _groups(net: nn.Module, highest: float, decay: float, share: Callable[[str], float]) -> list[dict[str, Any]]:
    """Weights that learn: matrices decay, biases and norms do not."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, weight in net.named_parameters():
        if weight.requires_grad:
            groups.setdefault((decay if weight.ndim > 1 else 0.0, share(name)), []).append(weight)
    return [{"params": each, "weight_decay": decay, "lr": highest * share} for (decay, share), each in groups.items()]


def _following(most: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """An average in which the past weighs `most`; early on it is short, and weighs less. Counts are taken over."""

    @torch.no_grad()
    def follow(kept: Sequence[Tensor], new: Sequence[Tensor], count: Tensor | int) -> None:
        keep = min(most, int(count) / (9 + int(count)))
        for held, value in zip(kept, new, strict=True):
            if held.dtype.is_floating_point:
                held.lerp_(value, 1 - keep)
            else:
                held.copy_(value)

    return follow
