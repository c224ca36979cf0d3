"""How many answers the review queue needs for the same fall of false events, against random order.

    python -m tools.bench.review [--data SHARED/data] [--pack yamnet] [--others]

With --others it is done with sounds that are none of the forty: the order of the queue was chosen on those.

Of each of the forty sounds (tools/measure_teach) a class is taught by three clips, with five minutes of ambience as its
background. What it then tells of half of all other clips (the site's past) are its events: wrong ones, and right ones
of the clips of the sound that were not shown. They are answered in the order of the queue and in random order
(20 times); after each answer the head is fitted anew, as the daemon does it. Counted is how many answers it takes until
false events in the other half of the clips, which nobody hears of, have fallen to a quarter and to a tenth.
"""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamclf.alerts.review import Doubtful, ordered
from streamclf.engine.embed import Embedder, hosts_of
from streamclf.engine.heads import Heads
from streamclf.model.library import find_pack
from streamclf.teach.fit import ENTER, fit
from streamclf.types import F32
from tools.measure_teach.sounds import RATE, Clip, clips, others, read

SHOWN = 3
BACKGROUND_S = 300
EACH = 10
"""Clips of a sound, about."""
HOP_FRAMES = 12
MOST = 24
"""Answers that are tried."""
RANDOM = 20
SHARES = (0.25, 0.1)
"""Of the false events ahead that are left."""
ROWS = 200
"""Of the background, spread over it: so many let a head be fitted in a moment."""


@dataclass(frozen=True)
class Embedded:
    """A clip. rows: (n, numbers) float32."""

    sound: str
    source: str
    rows: F32


def embedded(data: Path, pack: str, take: Callable[[Path], Iterator[Clip]]) -> tuple[list[Embedded], F32]:
    """All clips that are taken, and the background."""
    (host,) = hosts_of([find_pack(pack)])
    hear = Embedder(host.graph, hop_frames=HOP_FRAMES)
    some: dict[str, list[Clip]] = {}
    for clip in take(data):
        some.setdefault(clip.sound, []).append(clip)
    found = [
        Embedded(clip.sound, clip.source, hear(clip.samples, RATE)[1])
        for mine in some.values()
        for clip in mine[:: max(1, len(mine) // EACH)]
    ]
    noises = [read(path) for path in sorted((data / "ambience").glob("*.ogg"))]
    seconds = sum(map(len, noises)) / RATE
    rest = np.concatenate([hear(noise, RATE)[1] for noise in noises])
    first = rest[: int(len(rest) * min(1.0, BACKGROUND_S / seconds))]
    return found, first[:: max(1, len(first) // ROWS)]


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
    taught = head = _head(examples, against, site.background)
    told = [(rows, right) for rows, right in site.past if _peak(head, rows) >= ENTER]
    said: dict[int, bool] = {}
    counts = [_false(head, site.ahead)]
    while len(said) < min(MOST, len(told)) and counts[-1] > SHARES[-1] * counts[0]:
        peaks = [_peak(head, rows) for rows, _ in told]
        heard = [
            Doubtful("x", peak, rows[_best(head, rows)], said.get(at))
            for at, ((rows, _), peak) in enumerate(zip(told, peaks, strict=True))
        ]
        shown = [Doubtful("x", 1.0, rows[_best(taught, rows)], True, shown=True) for rows in site.examples]
        at = order([*heard, *shown])
        rows, right = told[at]
        said[at] = right
        best = _best(head, rows)
        (examples if right else against).append(rows[max(0, best - 1) : best + 2])
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
    """How many answers it takes until so much of what there was is left; `MOST` where more than those tried."""
    return next((at for at, count in enumerate(counts) if count <= counts[0] * share), MOST)


def main() -> None:
    """Print a line for each sound and the sums."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("STREAMCLF_SHARED", "../shared")) / "data")
    parser.add_argument("--pack", default="yamnet")
    parser.add_argument("--others", action="store_true", help="Sounds that are none of the forty.")
    parser.add_argument("--keep", type=Path, help="An .npz of embeddings, made where it is not there.")
    parser.add_argument("--every", type=int, default=1, help="Of the sounds one in so many.")
    parser.add_argument("--random", type=int, default=RANDOM, help="Random orders of each sound.")
    asked = parser.parse_args()
    found, background = kept(asked.keep, asked.data, asked.pack, others if asked.others else clips)
    print(f"{'sound':24} {'false':>5}  quarter: queue random   tenth: queue random")
    lines = []
    for number, sound in enumerate(sorted({clip.sound for clip in found})[:: asked.every]):
        site = site_of(found, sound, background, np.random.default_rng(number))
        queue = falls(site, by_queue)
        if queue[0] < 4:
            continue  # so few that a half says nothing
        chance = [falls(site, by_chance(np.random.default_rng(seed))) for seed in range(asked.random)]
        line = [
            number
            for share in SHARES
            for number in (answers_until(queue, share), float(np.mean([answers_until(one, share) for one in chance])))
        ]
        lines.append(line)
        print(f"{sound:24} {queue[0]:5}  {line[0]:14.0f} {line[1]:6.1f} {line[2]:14.0f} {line[3]:6.1f}", flush=True)
    for name, sums in (("median", np.median(lines, axis=0)), ("mean", np.mean(lines, axis=0))):
        print(f"{name} of {len(lines)}: {sums[0]:.1f} {sums[1]:.1f}, {sums[2]:.1f} {sums[3]:.1f}")
        print(f"FIGURE answers, queue / random, {name}: quarter {sums[0] / sums[1]:.2f}, tenth {sums[2] / sums[3]:.2f}")


def kept(
    path: Path | None, data: Path, pack: str, take: Callable[[Path], Iterator[Clip]]
) -> tuple[list[Embedded], F32]:
    """As `embedded`, from a file where there is one."""
    if path is not None and path.is_file():
        with np.load(path) as file:
            ends = np.cumsum(file["lengths"])[:-1]
            rows = np.split(file["rows"].astype(np.float32), ends)
            clips_ = [
                Embedded(str(s), str(o), r) for s, o, r in zip(file["sounds"], file["sources"], rows, strict=True)
            ]
            return clips_, file["background"].astype(np.float32)
    found, background = embedded(data, pack, take)
    if path is not None:
        np.savez(path, rows=np.concatenate([clip.rows for clip in found]), background=background,
                 lengths=[len(clip.rows) for clip in found], sounds=[clip.sound for clip in found],
                 sources=[clip.source for clip in found])  # fmt: skip
    return found, background


if __name__ == "__main__":
    main()
