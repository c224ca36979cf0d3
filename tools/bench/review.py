"""How many answers the review queue needs for the same fall of false events, against random order.

    python -m tools.bench.review [--data SHARED/data] [--pack yamnet]

Of each of the forty sounds (tools/measure_teach) a class is taught by three clips, with five minutes of ambience as its
background. What it then tells of half of all other clips (the site's past) are its events: wrong ones, and right ones
of the clips of the sound that were not shown. They are answered in the order of the queue and in random order
(20 times); after each answer the head is fitted anew, as the daemon does it. Counted is how many answers it takes until
false events in the other half of the clips, which nobody hears of, have fallen to a half and to a quarter.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamclf.alerts.review import Doubtful, ordered
from streamclf.engine.embed import Embedder, hosts_of
from streamclf.engine.heads import Heads
from streamclf.model.library import find_pack
from streamclf.teach.fit import ENTER, fit
from streamclf.types import F32
from tools.measure_teach.sounds import RATE, Clip, clips, read

SHOWN = 3
BACKGROUND_S = 300
EACH = 10
"""Clips of a sound, about."""
HOP_FRAMES = 12
MOST = 40
"""Answers that are tried."""
RANDOM = 20


@dataclass(frozen=True)
class Embedded:
    """A clip. rows: (n, numbers) float32."""

    sound: str
    source: str
    rows: F32


def embedded(data: Path, pack: str) -> tuple[list[Embedded], F32]:
    """All clips, and the background."""
    (host,) = hosts_of([find_pack(pack)])
    hear = Embedder(host.graph, hop_frames=HOP_FRAMES)
    some: dict[str, list[Clip]] = {}
    for clip in clips(data):
        some.setdefault(clip.sound, []).append(clip)
    found = [
        Embedded(clip.sound, clip.source, hear(clip.samples, RATE)[1])
        for mine in some.values()
        for clip in mine[:: max(1, len(mine) // EACH)]
    ]
    noises = [read(path) for path in sorted((data / "ambience").glob("*.ogg"))]
    seconds = sum(map(len, noises)) / RATE
    rest = np.concatenate([hear(noise, RATE)[1] for noise in noises])
    return found, rest[: int(len(rest) * min(1.0, BACKGROUND_S / seconds))]


@dataclass(frozen=True)
class Site:
    """What is taught, and what has been and will be heard. past, ahead: clips, with whether they are the sound."""

    examples: Sequence[F32]
    background: F32
    past: Sequence[tuple[F32, bool]]
    ahead: Sequence[F32]


def site_of(found: Sequence[Embedded], sound: str, background: F32, rng: np.random.Generator) -> Site:
    """One half of the other sounds' clips is the past, the other is ahead; a source is in one of them alone."""
    own = [clip for clip in found if clip.sound == sound and len(clip.rows)]
    own = [own[at] for at in rng.permutation(len(own))]
    sources = sorted({clip.source for clip in found if clip.sound != sound})
    first = set(rng.permutation(sources)[: len(sources) // 2].tolist())
    others = [clip for clip in found if clip.sound != sound and len(clip.rows)]
    past = [(clip.rows, False) for clip in others if clip.source in first]
    return Site(
        [clip.rows for clip in own[:SHOWN]],
        background,
        [*past, *((clip.rows, True) for clip in own[SHOWN:])],
        [clip.rows for clip in others if clip.source not in first],
    )


def falls(site: Site, order: Callable[[Sequence[Doubtful]], int]) -> list[int]:
    """False events ahead after 0, 1, 2 … answers. order: index of the event to ask about next."""
    examples, against = list(site.examples), list[F32]()
    head = _head(examples, against, site.background)
    told = [(rows, right) for rows, right in site.past if _peak(head, rows) >= ENTER]
    said: dict[int, bool] = {}
    counts = [_false(head, site.ahead)]
    while len(said) < min(MOST, len(told)):
        peaks = [_peak(head, rows) for rows, _ in told]
        heard = [
            Doubtful("x", peak, ENTER, rows[_best(head, rows)], said.get(at))
            for at, ((rows, _), peak) in enumerate(zip(told, peaks, strict=True))
        ]
        at = order(heard)
        rows, right = told[at]
        said[at] = right
        (examples if right else against).append(rows)
        head = _head(examples, against, site.background)
        counts.append(_false(head, site.ahead))
    return counts


def _head(examples: Sequence[F32], against: Sequence[F32], background: F32) -> Heads:
    return Heads(["x"], fit(examples, against, background).weights[:, None])


def _peak(head: Heads, rows: F32) -> float:
    return float(head(rows).max())


def _best(head: Heads, rows: F32) -> int:
    return int(head(rows).argmax())


def _false(head: Heads, ahead: Sequence[F32]) -> int:
    return sum(_peak(head, rows) >= ENTER for rows in ahead)


def by_queue(heard: Sequence[Doubtful]) -> int:
    """As GET /v1/review asks."""
    return ordered(heard, most=1)[0][0]


def by_chance(rng: np.random.Generator) -> Callable[[Sequence[Doubtful]], int]:
    """Any that nobody has answered."""
    return lambda heard: int(rng.choice([at for at, event in enumerate(heard) if event.right is None]))


def answers_until(counts: Sequence[int], share: float) -> int:
    """How many answers it takes until so much of what there was is left, for good; `MOST` + 1 where never."""
    wanted = counts[0] * share
    above = [at for at, count in enumerate(counts) if count > wanted]
    return above[-1] + 1 if above[-1] + 1 < len(counts) else MOST + 1


def main() -> None:
    """Print a line for each sound and the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("STREAMCLF_SHARED", "../shared")) / "data")
    parser.add_argument("--pack", default="yamnet")
    parser.add_argument("--keep", type=Path, help="An .npz of embeddings, made where it is not there.")
    parser.add_argument("--random", type=int, default=RANDOM, help="Random orders of each sound.")
    asked = parser.parse_args()
    found, background = kept(asked.keep, asked.data, asked.pack)
    print(f"{'sound':24} {'false':>5}  half: queue random   quarter: queue random")
    lines = []
    for number, sound in enumerate(sorted({clip.sound for clip in found})):
        site = site_of(found, sound, background, np.random.default_rng(number))
        queue = falls(site, by_queue)
        if queue[0] < 4:
            continue  # so few that a half says nothing
        chance = [falls(site, by_chance(np.random.default_rng(seed))) for seed in range(asked.random)]
        line: list[float] = [answers_until(queue, 0.5), float(np.mean([answers_until(one, 0.5) for one in chance])),
                answers_until(queue, 0.25), float(np.mean([answers_until(one, 0.25) for one in chance]))]  # fmt: skip
        lines.append(line)
        print(f"{sound:24} {queue[0]:5}  {line[0]:11.0f} {line[1]:6.1f} {line[2]:16.0f} {line[3]:6.1f}", flush=True)
    mean = np.mean(lines, axis=0)
    print(
        f"{'mean of ' + str(len(lines)) + ' sounds':30}  {mean[0]:11.1f} {mean[1]:6.1f} {mean[2]:16.1f} {mean[3]:6.1f}"
    )
    print(f"FIGURE answers, queue / random: half {mean[0] / mean[1]:.2f}, quarter {mean[2] / mean[3]:.2f}")


def kept(path: Path | None, data: Path, pack: str) -> tuple[list[Embedded], F32]:
    """As `embedded`, from a file where there is one."""
    if path is not None and path.is_file():
        with np.load(path) as file:
            ends = np.cumsum(file["lengths"])[:-1]
            rows = np.split(file["rows"].astype(np.float32), ends)
            clips_ = [
                Embedded(str(s), str(o), r) for s, o, r in zip(file["sounds"], file["sources"], rows, strict=True)
            ]
            return clips_, file["background"].astype(np.float32)
    found, background = embedded(data, pack)
    if path is not None:
        np.savez(path, rows=np.concatenate([clip.rows for clip in found]), background=background,
                 lengths=[len(clip.rows) for clip in found], sounds=[clip.sound for clip in found],
                 sources=[clip.source for clip in found])  # fmt: skip
    return found, background


if __name__ == "__main__":
    main()
