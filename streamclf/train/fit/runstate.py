"""A training run as a file: everything that decides how it goes on, replaced whole or not at all.

Nothing in it can execute: it is read as tensors, numbers, texts and containers of them alone.
"""

import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch

from streamclf.errors import StreamclfError

State = dict[str, Any]
NAME = "checkpoint.pt"


def save(folder: Path, state: State) -> None:
    """Write `state` so that a kill at any moment leaves either the old file or the new one, whole."""
    part = folder / f"{NAME}.part"
    with part.open("wb") as out:
        torch.save(state, out)
        out.flush()
        os.fsync(out.fileno())
    os.replace(part, folder / NAME)


def load(folder: Path) -> State:
    """What `save` wrote. Raises StreamclfError where it is not there or cannot be read."""
    path = folder / NAME
    try:
        state: State = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise StreamclfError(f"{folder} holds no {NAME} to resume; start without --resume") from None
    except Exception as fault:  # torch raises half a dozen unrelated types
        reason = (str(fault).splitlines() or [type(fault).__name__])[0]
        raise StreamclfError(f"{path} cannot be read ({reason}); remove it and start anew") from None
    return state


def random_states() -> State:
    """Where the three generators stand that libraries draw from: torch's, numpy's old global one, python's."""
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "numpy": [name, [int(key) for key in keys], position, has_gauss, cached],
        "python": random.getstate(),
    }


def restore_random(states: State) -> None:
    """Put the generators back to where `random_states` found them."""
    name, keys, position, has_gauss, cached = states["numpy"]
    torch.set_rng_state(states["torch"])
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))


def seed_all(seed: int) -> None:
    """Start the three generators from `seed`."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
