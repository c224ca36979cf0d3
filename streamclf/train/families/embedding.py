"""Models whose output is no class but an embedding: of a voice (XVector heads), of any sound (CLAP).

The pack's graph gives it as it is, as `embedding`. The rows that a pack must have are its direction: number j of the
vector of length 1, from [-1, 1] to [0, 1]. So whoever follows the rows has the embedding but for its length, which no
cosine looks at. The labels are hidden: no event begins on the numbers of a direction.
"""

from typing import Any

import numpy as np
from torch import Tensor, nn

from streamclf.errors import UsageError
from streamclf.train.families.family import EMBEDDING, Reference, Wishes
from streamclf.train.pretrained import Checkpoint
from streamclf.types import F32

NOTE = (
    "it knows no classes: its graph gives an `embedding`, and its rows are 0.5 + 0.5 times that vector brought to "
    "length 1; compare two of them by the cosine"
)
_SHORTEST = 1e-12


class EmbeddingHead(nn.Module):
    """What gives embeddings, and their directions before them."""

    def __init__(self, embed: nn.Module) -> None:
        super().__init__()
        self.embed = embed

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """features: as `embed` takes them -> the rows (B, C) in [0, 1] and the embedding (B, C)."""
        embedding = self.embed(features)
        length = embedding.square().sum(dim=-1, keepdim=True).sqrt().clamp(min=_SHORTEST)
        return 0.5 + 0.5 * embedding / length, embedding


def directions(reference: Reference) -> Reference:
    """The rows of embeddings (n, 1, C) that a checkpoint's own code gives."""

    def rows(windows: F32) -> F32:
        given = reference(windows)
        unit: F32 = given / np.maximum(np.linalg.norm(given, axis=-1, keepdims=True), _SHORTEST)
        return 0.5 + 0.5 * unit

    return rows


def parts(size: int) -> dict[str, Any]:
    """What all plans of embeddings of `size` numbers state alike."""
    return {
        "activation": "none",
        "names": tuple(f"dim {index}" for index in range(size)),
        "hidden": frozenset(range(size)),
        "beside": (EMBEDDING,),
    }


def refuse_activation(checkpoint: Checkpoint, wishes: Wishes) -> None:
    """Raises UsageError where an activation was asked for: an embedding has none."""
    if wishes.activation is not None:
        raise UsageError(f"{checkpoint.source} gives an embedding and no classes; leave --activation out")
