"""What a trained pack keeps of its training for those who judge it later: recordings that it has heard, and figures.

Recordings are known by a hash of their bytes, so nothing of them, not even a name, is in the pack.
"""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from streamclf.model.pack import Pack
from streamclf.train.data.annotations import Recording
from streamclf.train.data.tasks import Partition
from streamclf.train.evaluate.evaluation import Pooling

if TYPE_CHECKING:
    from streamclf.train.evaluate.heldout import Judged

LEARNT = "learnt.json"
_DIGITS = 16


class Learnt(msgspec.Struct, frozen=True):
    """Of a pack. heard: recordings that it learnt from, or that told when to stop. held_out: those it was tried on.

    pooling, hop_ms, figures: of that trial, as its card has them.
    """

    heard: frozenset[str]
    held_out: frozenset[str]
    pooling: Pooling | None = None
    hop_ms: int | None = None
    figures: dict[str, float | None] = {}


def written(parts: Partition, judged: "Judged | None") -> bytes:
    """The content of learnt.json."""
    learnt = Learnt(
        heard=_digests([*parts.train, *parts.validation]),
        held_out=_digests(parts.test),
        pooling=judged.pooling if judged else None,
        hop_ms=judged.hop_ms if judged else None,
        figures=judged.figures if judged else {},
    )
    return msgspec.json.encode(learnt, order="sorted")


def of_pack(pack: Pack) -> Learnt | None:
    """What the pack in its folder keeps; None for one that was trained elsewhere, or before this was kept."""
    path = Path(pack.path) / LEARNT
    expected = pack.manifest.files.get(LEARNT)
    try:
        content = path.read_bytes()
        if expected != hashlib.sha256(content).hexdigest():
            return None
        return msgspec.json.decode(content, type=Learnt)
    except (OSError, msgspec.MsgspecError):
        return None


def heard_before(learnt: Learnt, recordings: Sequence[Recording]) -> list[Recording]:
    """Those of `recordings` that the pack has learnt from."""
    return [recording for recording in recordings if digest(recording.path) in learnt.heard]


def digest(path: Path) -> str:
    """Of a recording's bytes; "" for one that cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:_DIGITS]
    except OSError:
        return ""


def _digests(recordings: Iterable[Recording]) -> frozenset[str]:
    return frozenset(digest(recording.path) for recording in recordings)
