"""The recordings that are judged: a folder with an index (file, label, source), and what of it is left out, and why."""

import csv
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamclf.errors import UsageError
from tools.evaluate_everyday.classes import Truth, truth_of

BACKGROUND = "background"
"""Label of recordings in which nothing is to be told."""
_NO_SOUND = frozenset({"rir"})
"""Labels of recordings that are not of a sound: responses of rooms."""


@dataclass(frozen=True, slots=True)
class JudgedClip:
    """One recording. label: the index's own. source: clips of one source are never on both sides of a split."""

    path: Path
    label: str
    source: str
    truth: Truth

    @property
    def background(self) -> bool:
        """Whether nothing is to be told in it."""
        return self.label == BACKGROUND


@dataclass(frozen=True, slots=True)
class Index:
    """clips: what is judged. left_out: why -> how many."""

    clips: list[JudgedClip]
    left_out: dict[str, int]


def read_index(folder: Path, *, sources: frozenset[str] | None = None, most: int | None = None) -> Index:
    """folder/index.csv: columns file, label, source (or source_id); weak and support are looked at where they are.

    sources: take only these. most: clips of one class, those of new sources first; None is all. Raises UsageError where
    the index is not there or lacks a column.
    """
    path = folder / "index.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as fault:
        raise UsageError(f"{path} cannot be read ({fault.strerror}); give a folder with an index.csv") from None
    has = set(rows[0]) if rows else set()
    source = "source_id" if "source_id" in has else "source"
    if missing := sorted({"file", "label", source} - has):
        raise UsageError(f"{path} has no column {missing[0]!r}; expected file, label and source")
    left: Counter[str] = Counter()
    clips = []
    for row in rows:
        if row["label"] in _NO_SOUND:
            left["no recording of a sound"] += 1
        elif row.get("weak") or row.get("state") in ("weak", "no support"):
            left["label is weak"] += 1
        elif sources is not None and row[source] not in sources:
            left["source not asked for"] += 1
        elif not (folder / row["file"]).is_file():
            left["file not there"] += 1
        else:
            truth = truth_of(row["label"], row["file"])
            clips.append(JudgedClip(folder / row["file"], row["label"], row[source], truth))
    if not clips:
        raise UsageError(f"{path} leaves no recording to judge ({dict(left)}); give another folder or other sources")
    kept = clips if most is None else _fewer(clips, most)
    if len(kept) < len(clips):
        left[f"beyond {most} of its class"] = len(clips) - len(kept)
    return Index(kept, dict(left))


def read_sources(path: Path) -> frozenset[str]:
    """Source ids from a text file, one a line."""
    try:
        return frozenset(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except OSError as fault:
        raise UsageError(f"{path} cannot be read ({fault.strerror}); give a text file with one source a line") from None


def folds(sources: Iterable[str], count: int) -> dict[str, int]:
    """Source -> fold, 0 to count - 1: in turn through the sources in order of their names."""
    return {source: at % count for at, source in enumerate(sorted(set(sources)))}


def _fewer(clips: Sequence[JudgedClip], most: int) -> list[JudgedClip]:
    """At most `most` clips of each finest class, or label without one: a second clip of a source comes last."""
    taken: Counter[tuple[str, str]] = Counter()
    turn: dict[int, int] = {}
    for at, clip in enumerate(clips):
        turn[at] = taken[clip.label, clip.source]
        taken[clip.label, clip.source] += 1
    count: Counter[str] = Counter()
    chosen = []
    for at in sorted(turn, key=lambda at: (turn[at], at)):
        kind = clips[at].truth.leaf or clips[at].label
        count[kind] += 1
        if count[kind] <= most:
            chosen.append(at)
    return [clips[at] for at in sorted(chosen)]


def sources_of(clips: Sequence[JudgedClip], name: str) -> int:
    """How many sources have class `name`."""
    return len({clip.source for clip in clips if name in clip.truth.own})


def spread(items: Sequence[JudgedClip], most: int) -> list[JudgedClip]:
    """At most `most` clips, each of another source, evenly through the sources."""
    first = list({clip.source: clip for clip in reversed(items)}.values())[::-1]
    step = max(1, math.ceil(len(first) / most))
    return first[::step][:most]
