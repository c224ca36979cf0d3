"""Which files of a folder may be annotations, of which recording, and those of other programs that are not read."""

from collections.abc import Container, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from unicodedata import normalize

from streamclf.audio.sources.recording import FFMPEG_SUFFIXES, SUFFIXES
from streamclf.text import some
from streamclf.train.data.tabletext import is_time

LABEL_SUFFIXES = (
    ".csv", ".tsv", ".selections.txt", ".Table.1.selections.txt", ".BirdNET.selection.table.txt",
    ".BirdNET.results.csv", ".BirdNET.results.txt", ".txt", ".rttm",
)  # fmt: skip
_SAVE = "save it as CSV with onset, offset and label"
_SHEET = "a spreadsheet's own file", _SAVE
_SUBTITLES = "a file of subtitles", "Audacity's Export Labels gives text that is"
_FOREIGN = {
    ".textgrid": ("a TextGrid of Praat", "Praat's Down to Table and Save as tab-separated file give a table that is"),
    ".eaf": ("a file of ELAN", "its Export As, Tab-delimited Text with column headers gives a table that is"),
    ".svl": ("a layer of Sonic Visualiser", "its Export Annotation Layer as CSV with a header gives one that is"),
    ".lab": ("a label file of HTK or Praat", _SAVE),
    ".jams": ("a JAMS file", _SAVE),
    ".antx": ("a file of Annotation Pro", _SAVE),
    ".data": ("a file of AviaNZ", _SAVE),
    ".aup3": ("a project of Audacity", "its Export Labels gives text that is"),
    ".srt": _SUBTITLES,
    ".vtt": _SUBTITLES,
    ".xlsx": _SHEET,
    ".xls": _SHEET,
    ".ods": _SHEET,
}
"""Suffix -> what it is, and what to do."""
_SIDECARS = {".json", ".xml", ".yaml", ".yml"}
"""Taken for annotations only where they bear the name of a recording beside them."""
_HEARD = SUFFIXES | FFMPEG_SUFFIXES
_AUDIO = tuple(suffix.encode() for suffix in sorted(_HEARD))


def foreign(path: Path) -> str:
    """Why a file is not read, in a sentence; "" for one that may be."""
    suffix = path.suffix.lower()
    if known := _FOREIGN.get(suffix):
        return "it is {}, which is not read; {}".format(*known)
    return f"{suffix} is not read; {_SAVE}" if suffix in _SIDECARS - {".json"} else ""


def names_of(audio: Iterable[Path]) -> frozenset[str]:
    """What files of annotations of these recordings may be called, without their suffix."""
    return frozenset(name for path in audio for name in (path.stem, path.name))


def may_be_labels(path: Path, names: Container[str]) -> bool:
    """By its name; of text files only those that are called so or look it, since there are many of other kinds.

    names: those of the recordings (`names_of`).
    """
    suffix = path.suffix.lower()
    called = any(word in path.name.lower() for word in ("selection", "label", "annotation"))
    beside = path.stem in names
    if suffix in (".csv", ".tsv", ".rttm"):
        return True
    if suffix == ".txt":
        return called or _begins(path, b"Selection\t") or _lists_recordings(path)
    if suffix == ".json":
        return called or beside or _begins(path, b'"annotations"', b'"label"')
    return (suffix in _FOREIGN and (beside or called)) or (suffix in _SIDECARS and beside)


def unread(path: Path) -> str:
    """What lies beside a recording under its name and is read by nobody here, as words behind a sentence."""
    with suppress(OSError):
        beside = sorted(
            one.name
            for one in path.parent.iterdir()
            if path.stem in (one.stem, Path(one.stem).stem) and one.suffix.lower() not in _HEARD
        )
        if beside:
            return f" that are read ({some(beside)} beside it is not); save them as CSV with onset, offset and label"
    return ""


def alike(name: str) -> str:
    """What names of one file have in common that went by a Mac (ü in two signs) or by Windows (either case)."""
    return normalize("NFC", name).casefold()


def neighbours(audio: Sequence[Path], files: Sequence[Path]) -> dict[Path, list[Path]]:
    """Recording -> its files of annotations: those beside it; where none has any, those in another folder."""
    there = set(files)
    first: dict[str, Path] = {}
    for path in files:
        first.setdefault(alike(str(path)), path)
    found = {}
    for path in audio:
        beside = [path.with_name(name + suffix) for name in (path.stem, path.name) for suffix in LABEL_SUFFIXES]
        present = [candidate for candidate in beside if candidate in there]
        present = present or [first[key] for key in map(alike, map(str, beside)) if key in first]
        if present:
            found[path] = present
    return found or _elsewhere(audio, files)


def _elsewhere(audio: Sequence[Path], files: Sequence[Path]) -> dict[Path, list[Path]]:
    """Files of annotations that lie in a folder of their own, under the name of one recording alone."""
    by_name: dict[str, list[Path]] = {}
    for path in audio:
        for name in (path.stem, path.name):
            by_name.setdefault(alike(name), []).append(path)
    found: dict[Path, list[Path]] = {}
    for path in files:
        suffix = max((suffix for suffix in LABEL_SUFFIXES if path.name.endswith(suffix)), key=len, default="")
        meant = by_name.get(alike(path.name.removesuffix(suffix)), []) if suffix else []
        if len(meant) == 1 and (path.suffix.lower() != ".txt" or _is_track(path)):
            found.setdefault(meant[0], []).append(path)
    return found


def _is_track(path: Path) -> bool:
    """Whether a .txt begins as a label track or a table of Raven does, and is no prose."""
    words = _head(path).split(maxsplit=3)
    timed = len(words) > 1 and all(is_time(word.decode("ascii", "replace")) for word in words[:2])
    return timed or _begins(path, b"Selection\t")


def _lists_recordings(path: Path) -> bool:
    """Whether it begins as a table split by tabs that names a recording, as DCASE's lists do."""
    cells = [cell.strip(b' "') for line in _head(path).lower().split(b"\n")[:2] for cell in line.split(b"\t")]
    return len(cells) > 2 and any(cell.endswith(_AUDIO) for cell in cells)


def _begins(path: Path, *words: bytes) -> bool:
    """Whether one of them stands in its beginning, as in a table of Raven or an export of Label Studio."""
    head = _head(path)
    return any(word in head for word in words)


def _head(path: Path) -> bytes:
    with suppress(OSError), path.open("rb") as file:
        return file.read(1000).replace(b"\0", b"")
    return b""
