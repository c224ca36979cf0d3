"""The classes of `everyday`: what each is made of, and which recordings hold it."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

LEAST_SOURCES = 10
"""A class that fewer recordings back is off: nobody can say how well it is told."""
_TABLE = Path(__file__).parent / "classes.csv"
_PACKAGES = Path(__file__).parent / "packages.csv"
MOST_SPEECH = 160
"""So many recordings of speech are judged, each of another source: more of them say nothing more, and take an hour."""
_SETS = {"esc10": "ESC-10", "ambience": "ambience", "clips": "clips", "animal_song": "animal_song"}


@dataclass(frozen=True, slots=True)
class EverydayClass:
    """One label. yamnet, default: labels of these packs that answer for it. truth: label of a recording -> pattern of
    its file's name, "" for every file. also: classes that may be heard beside it without being wrong. taken_for_it:
    classes that speak against it once more. min_on_ms, min_off_ms: how long it lasts at least, and how long it must be
    away to be over; None is the pack's.
    """

    id: str
    name: str
    group: str
    yamnet: tuple[str, ...]
    default: tuple[str, ...]
    truth: tuple[tuple[str, str], ...]
    also: frozenset[str]
    taken_for_it: tuple[str, ...]
    min_on_ms: int | None = None
    min_off_ms: int | None = None


@dataclass(frozen=True, slots=True)
class EverydayClip:
    """path: below the data folder, or absolute. source: one original recording or session; such files stay together.
    origin: the collection that it comes out of.
    """

    path: str
    label: str
    source: str
    origin: str = ""


@cache
def classes() -> list[EverydayClass]:
    """The rows of classes.csv."""
    with _TABLE.open(encoding="utf-8", newline="") as file:
        return [
            EverydayClass(
                id=row["id"],
                name=row["name"],
                group=row["group"],
                yamnet=tuple(row["yamnet"].split()),
                default=tuple(row["default"].split()),
                truth=tuple(_truth(one) for one in row["truth"].split(";") if one.strip()),
                also=frozenset(row["also"].split()),
                taken_for_it=tuple(row["taken_for_it"].split()),
                min_on_ms=int(row["min_on_ms"]) if row["min_on_ms"] else None,
                min_off_ms=int(row["min_off_ms"]) if row["min_off_ms"] else None,
            )
            for row in csv.DictReader(file)
        ]


def _truth(text: str) -> tuple[str, str]:
    label, _, pattern = text.strip().partition(":")
    return label, pattern


def recordings(data: Path, debs: Path | None = None) -> Iterator[EverydayClip]:
    """What is judged: data/more, and the labelled folders beside it. debs: where Debian packages were unpacked, of
    which those named in data/more/packages.csv and beside this module are taken, as far as they are there and hold a
    class that too few of the others hold.
    """
    speakers: set[str] = set()
    sources: dict[str, set[str]] = {one.id: set() for one in classes()}
    for one in named(data):
        if one.label == "speech":
            if one.source in speakers or len(speakers) == MOST_SPEECH:
                continue
            speakers.add(one.source)
        for own in classes():
            if holds(own, one):
                sources[own.id].add(one.source)
        yield one
    rare = [own for own in classes() if len(sources[own.id]) < LEAST_SOURCES]
    if debs is not None:
        yield from (one for one in _packaged(data, debs) if any(holds(own, one) for own in rare))


def named(data: Path) -> Iterator[EverydayClip]:
    """All labelled recordings of the data folder."""
    with (data / "more" / "index.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["label"] != "rir":
                yield EverydayClip(f"more/{row['file']}", row["label"], row["source_id"], row["origin"])
    for folder, label in _SETS.items():
        for path in sorted((data / folder).rglob("*")):
            if path.suffix in (".ogg", ".flac"):
                # ESC-10 names a file by fold, recording and take
                source = path.stem.split("-")[1] if label == "ESC-10" else f"{folder}/{path.stem}"
                yield EverydayClip(str(path.relative_to(data)), label, source, f"{folder}/{source}")


def _packaged(data: Path, debs: Path) -> Iterator[EverydayClip]:
    for table in (data / "more" / "packages.csv", _PACKAGES):
        with table.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                path = debs / row["path"].lstrip("/")
                if path.is_file() and row.get("state") not in ("no support", "unchecked"):
                    yield EverydayClip(str(path), row["label"], f"{row['package']}:{path.name}", row["package"])


def holds(one: EverydayClass, recording: EverydayClip) -> bool:
    """Whether the recording is one of the class."""
    # of a file in data/more only what stands behind its origin names it
    name = recording.path if recording.label == "ESC-10" else recording.path.rpartition("/")[2].rpartition("__")[2]
    return any(label == recording.label and re.search(pattern, name) for label, pattern in one.truth)
