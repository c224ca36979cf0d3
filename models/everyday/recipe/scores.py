"""What the members of the pack say of every recording, through the engine that runs live, asked once."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.everyday.recipe.classes import EverydayClass, EverydayClip
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.model.library import find_pack
from streamclf.model.pack import Pack
from streamclf.model.session import Session
from streamclf.types import F32, Provider
from tools.evaluate_everyday.listen import Listener, read_samples

CLIP = 12.0
"""As in the pack."""
MOST_SECONDS = 60
"""Of a recording no more than its beginning is heard."""


@dataclass(frozen=True, slots=True)
class MemberScores:
    """Of one recording, for every 20 ms, the largest logit of each class's names.

    yamnet, default: (frames, classes), NaN where a class has no name there. speech: (frames, 1), of Silero.
    """

    yamnet: F32
    default: F32
    speech: F32
    seconds: float


def listen(
    pack: str, known: Sequence[EverydayClass], recordings: Sequence[EverydayClip], data: Path, work: Path
) -> list[MemberScores]:
    """pack: name or folder of `everyday`, whose members are asked. work: where their scores are kept."""
    fused = find_pack(pack)
    names: dict[str, list[tuple[str, ...]]] = {
        "yamnet": [one.yamnet for one in known],
        "default": [one.default for one in known],
        "silero-vad": [("speech",)],
    }
    rows: dict[str, list[F32]] = {}
    seconds: list[float] = []
    for member, own in zip(fused.manifest.members, fused.members, strict=True):
        engine = Engine([PackRunner(own, Session(own, provider=Provider.CPU))])
        # the same weights behind another level control say something else
        folder = work / f"scores-{member.level.target_db:g}-{member.level.up_db:g}" if member.level else work / "scores"
        listener = Listener(own.manifest.name, engine, cache=folder, hop_ms=member.hop_ms or 20)
        rows[member.name], seconds = [], []
        for heard in listener.hear(_beginning(data / one.path) for one in recordings):
            held = np.concatenate([np.zeros((heard.first, heard.rows.shape[1]), np.float32), heard.rows])
            rows[member.name].append(_best(held, own, names[member.name]))
            seconds.append(heard.seconds)
    return [
        MemberScores(*of_one)
        for of_one in zip(rows["yamnet"], rows["default"], rows["silero-vad"], seconds, strict=True)
    ]


def _beginning(path: Path) -> tuple[F32, int]:
    samples, rate = read_samples(path)
    return samples[: MOST_SECONDS * rate], rate


def _best(rows: F32, pack: Pack, names: Sequence[Sequence[str]]) -> F32:
    """rows: (frames, labels) -> (frames, classes), logits."""
    at = {label.id: column for column, label in enumerate(pack.labels)}
    odds = logits(rows)
    out = np.full((len(rows), len(names)), np.nan, dtype=np.float32)
    for column, own in enumerate(names):
        if own:
            out[:, column] = odds[:, [at[name] for name in own]].max(axis=1)
    return out


def logits(rows: F32) -> npt.NDArray[np.float64]:
    """Of probabilities, kept to +-CLIP."""
    least = 1 / (1 + np.exp(CLIP))
    kept = np.clip(rows.astype(np.float64), least, 1 - least)
    return np.asarray(np.log(kept / (1 - kept)))
