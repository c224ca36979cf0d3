"""The recordings in the folder `more`, and those of packages that its list names: what each is, and in which split.

Both lists name, for every file, one original recording or one recordist's session as its source; no source is in two
splits. A third of the sources of the folder are the test, and nothing that is shipped learns from them; the packages'
are for learning and choosing only.

    python -m models.default.recipe.more FOLDER > held-out.txt
    python -m tools.evaluate_everyday FOLDER --sources held-out.txt --pack default --out OUT

The first prints the sources that are the test, one a line; with --unlearnt those that only chose as well.
"""

import csv
import itertools
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from models.default.recipe.classes import LABELS
from models.default.recipe.corpus import CorpusClip, Kind, Split
from models.default.recipe.sources import clip, shuffled
from streamclf.errors import StreamclfError

PREFIX = "more:"
"""How the sources of the folder begin: what is kept of them for the test is never learnt from."""
PACKAGES: tuple[str, ...] = (
    "brainparty-data",
    "btanks-data",
    "bzflag-data",
    "codec2-examples",
    "crrcsim-data",
    "deepin-sound-theme",
    "foobillardplus-data",
    "freeciv-data",
    "heroes-sound-effects",
    "jami-daemon",
    "libreoffice-common",
    "linphone-common",
    "lomiri-sounds",
    "minetest-data",
    "oxygen-sounds",
    "psi-plus-sounds",
    "ri-li-data",
    "scorched3d-data",
    "searchandrescue-data",
    "simutrans-pak64",
    "sound-icons",
    "tuxfootball",
    "twinkle-common",
    "yaru-theme-sound",
)
"""Those of the list that are under 50 MB and hold more than music and shots."""

_CLASSES: dict[str, str] = {**{label: label for label in LABELS}, "aircraft": "helicopter", "owl": "bird"}
del _CLASSES["background"]
"""Label of the lists -> class; what is not here is a sound of no class, but for `background` and `rir`."""
_UNSURE: dict[str, tuple[str, ...]] = {
    "breath": ("speech",),
    "singing": ("speech", "music"),
    "snore": ("dog",),
    "whisper": ("speech",),
}
_TOGETHER = ("Picovoice", "DroneDetection", "nilomr/pykanto")
"""Origins whose recordings of one label are so much alike that all of them are on one side."""
_ALWAYS_LEARNT = ("Picovoice",)
_FOLDER: tuple[Split, ...] = ("test", "train", "train", "test", "choose", "train")
_PACKAGES: tuple[Split, ...] = ("choose", "train", "train", "train", "train", "train")
HELD_OUT: tuple[Split, ...] = ("test",)
UNLEARNT: tuple[Split, ...] = ("choose", "test")
"""What nothing is learnt from."""
_USED = frozenset({"checked", "weak"})


def folder(data: Path) -> Iterator[CorpusClip]:
    """The recordings in `data`, which holds `index.csv`."""
    yield from _clips(_listed(data), _FOLDER)


def held_out(data: Path, splits: Collection[Split] = HELD_OUT) -> list[str]:
    """The sources that are kept for `splits`, as `index.csv` in `data` writes them, sorted."""
    rows = _used(_listed(data))
    by_source = _splits(rows, _FOLDER)
    return sorted({row["source_id"] for row in rows if by_source[row["source"]] in splits})


def packaged(data: Path, unpacked: Path) -> Iterator[CorpusClip]:
    """Of the packages in `unpacked`, what `packages.csv` in `data` names."""
    rows = [
        {
            **row,
            "path": f"{unpacked / row['package']}{row['path']}",
            "source": row["source_id"],
            "origin": row["package"],
            "weak": "yes" if row["state"] == "weak" else "",
        }
        for row in _read(data / "packages.csv")
        if row["package"] in PACKAGES and row["state"] in _USED
    ]
    yield from _clips(rows, _PACKAGES)


def credits(data: Path) -> dict[str, str]:
    """Origin -> who made its recordings. data: the folder, which holds `origins.csv`."""
    named = {row["origin"]: row["authors"] or row["taken_from"] for row in _read(data / "origins.csv")}
    return named | dict.fromkeys(PACKAGES, "the authors that the copyright file of that Debian package names")


def _clips(rows: Iterable[dict[str, str]], splits: tuple[Split, ...]) -> Iterator[CorpusClip]:
    used = _used(rows)
    by_source = _splits(used, splits)
    for row in used:
        label, name = _CLASSES.get(row["label"]), row["label"]
        kind: Kind = "speech" if label == "speech" else "background" if name == "background" else "event"
        yield clip(
            Path(row["path"]),
            label,
            kind,
            row["source"],
            by_source[row["source"]],
            row["licence"],
            row["origin"],
            _UNSURE.get(name, ()),
            name="" if label else name,
        )


def _listed(data: Path) -> list[dict[str, str]]:
    return [
        {**row, "path": str(data / row["file"]), "source": _source(row)}
        for row in _read(data / "index.csv")
        # heard already, as a clip of ESC-10
        if "ESC-10" not in row["notes"]
    ]


def _used(rows: Iterable[dict[str, str]]) -> list[dict[str, str]]:
    # a sound whose label is in doubt is still no other class
    return [row for row in rows if row["label"] != "rir" and not (row["weak"] and row["label"] in _CLASSES)]


def _splits(rows: list[dict[str, str]], turns: tuple[Split, ...]) -> dict[str, Split]:
    """Source -> split: label by label, the rarest first, its sources in turn."""
    by_label: dict[str, set[str]] = {}
    for row in rows:
        by_label.setdefault(row["label"], set()).add(row["source"])
    found: dict[str, Split] = {
        row["source"]: "train" for row in rows if row.get("origin", "").startswith(_ALWAYS_LEARNT)
    }
    for label in sorted(by_label, key=lambda one: (len(by_label[one]), one)):
        fresh = [source for source in shuffled(by_label[label]) if source not in found]
        found |= dict(zip(fresh, itertools.cycle(turns), strict=False))
    return found


def _source(row: dict[str, str]) -> str:
    for origin in _TOGETHER:
        if row["origin"].startswith(origin):
            return f"{PREFIX}{origin}-{row['label']}"
    return f"{PREFIX}{row['source_id']}"


def _read(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise StreamclfError(f"{path} is absent; the folder of recordings holds `more`, with its lists")
    with path.open(encoding="utf-8", newline="") as text:
        return list(csv.DictReader(text))


if __name__ == "__main__":
    print("\n".join(held_out(Path(sys.argv[1]), UNLEARNT if "--unlearnt" in sys.argv[2:] else HELD_OUT)))
