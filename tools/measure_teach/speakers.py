"""How well voices are told apart that were shown with three sentences each, of the spoken digits' speakers.

A sentence is six digits of one speaker. Those that are shown are made of the first third of his recordings, those that
are judged of the rest. A head is fitted to each speaker; the others' sentences are what it is not.
"""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from streamclf.engine.embed import Embedder, hosts_of
from streamclf.model.activation import normalised
from streamclf.model.library import find_pack
from streamclf.teach import fit, sound
from streamclf.types import F32
from tools.measure_teach.sounds import RATE, read

SHOWN, JUDGED, DIGITS = 3, 8, 6
_HISS = 0.0005


def measure_speakers(data: Path, model: str) -> str:
    """A sentence: how many unseen sentences are the right speaker's, and the AUC of all pairs. data: the recordings."""
    embedder = Embedder(hosts_of([find_pack(model)])[0].graph)
    takes: dict[str, list[Path]] = defaultdict(list)
    for path in (data / "digits").glob("*.flac"):
        takes[path.stem.split("_")[1]].append(path)
    shown, judged = {}, {}
    for speaker, paths in sorted(takes.items()):
        paths.sort(key=lambda path: (int(path.stem.split("_")[2]), path.name))
        third = len(paths) // 3
        shown[speaker] = [sound.spread(_heard(embedder, paths[:third], at)) for at in range(SHOWN)]
        judged[speaker] = [_heard(embedder, paths[third:], 100 + at) for at in range(JUDGED)]
    quiet = embedder(_HISS * np.random.default_rng(7).standard_normal(10 * RATE).astype(np.float32), RATE)[1][::10]
    heads = {}
    for speaker, own in shown.items():
        others = [rows for other, some in shown.items() if other != speaker for rows in some]
        heads[speaker] = fit.fit(own, [], np.concatenate([quiet, *others])).weights
    right, same, different = 0, [], []
    for speaker, sentences in judged.items():
        for rows in sentences:
            scores = {name: float((normalised(rows) @ head[:-1] + head[-1]).mean()) for name, head in heads.items()}
            right += max(scores, key=lambda name: scores[name]) == speaker
            same.append(scores[speaker])
            different += [score for name, score in scores.items() if name != speaker]
    auc = float((np.array(same)[:, None] > np.array(different)).mean())
    return (
        f"{model}: {len(heads)} speakers, {SHOWN} sentences each; of {len(same)} unseen ones {right} are the right "
        f"speaker's, AUC {auc:.3f}"
    )


def _heard(embedder: Embedder, paths: Sequence[Path], seed: int) -> F32:
    """Embeddings of a sentence of some of these digits."""
    rng = np.random.default_rng(seed)
    parts = []
    for at in rng.permutation(len(paths))[:DIGITS]:
        parts += [read(paths[at]), np.zeros(RATE // 10, dtype=np.float32)]
    said = np.concatenate(parts)
    said *= 0.1 / max(1e-6, float(np.abs(said).max()))
    hiss = _HISS * rng.standard_normal(len(said)).astype(np.float32)
    return embedder(said + hiss, RATE)[1]
