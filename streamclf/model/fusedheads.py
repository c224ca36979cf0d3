"""heads.npz of a fused pack: what its members' embeddings add to its labels."""

from collections.abc import Sequence

import numpy as np

from streamclf.errors import PackError
from streamclf.model import graph
from streamclf.model.npz import arrays_of
from streamclf.model.pack import Manifest, Pack
from streamclf.text import one_line
from streamclf.types import F32

_MOST_BYTES = 256 << 20  # of all arrays
_MOST_WEIGHT = 1e4


def read_heads(content: bytes, manifest: Manifest, members: Sequence[Pack], labels: int) -> dict[str, F32]:
    """Of each member that has one its head, (numbers + 1, labels). Raises `PackError`, whatever the bytes are."""
    places = {member.name: own for member, own in zip(manifest.members, members, strict=True)}
    try:
        found = {name: array.astype(np.float32) for name, array in arrays_of(content, _MOST_BYTES).items()}
    except Exception as fault:  # numpy and what unpacks for it raise a dozen unrelated types
        why = one_line(str(fault)) or type(fault).__name__
        raise PackError(
            f"heads.npz cannot be used ({why}); it must hold an array for each member with a head"
        ) from None
    for name, weights in found.items():
        own = places.get(name)
        if own is None:
            raise PackError(f"heads.npz names the member {name[:70]!r}; there are {', '.join(places)}, so correct it")
        if not own.manifest.embedding or own.manifest.state:
            raise PackError(
                f"heads.npz has a head of the member {name}, which is no window pack with an `embedding`; leave it out"
            )
        numbers = graph.interface(f"the model of {name}", own.model).outputs[own.manifest.embedding][-1] or 0
        if weights.shape != (numbers + 1, labels):
            raise PackError(
                f"heads.npz has a head of {' x '.join(map(str, weights.shape))} for the member {name}; expected "
                f"{numbers + 1} x {labels}: its {numbers} numbers and a bias, for each label"
            )
        if not np.abs(weights).max() <= _MOST_WEIGHT:
            raise PackError(f"heads.npz has a weight for {name} that is no number within +-{_MOST_WEIGHT:g}; mend it")
    return found
