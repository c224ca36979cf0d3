"""Labelled recordings: a folder is read for what it is, and none of it is left out without a word.

Four layouts are known, looked for in this order:

1. one table `annotations.csv`, `.tsv` or `.rttm` in the folder: a column for the file, one for the label, and onset
   and offset, or neither (labels of whole clips); columns `fold` and `source` where there are any;
2. recordings with a neighbour of the same name, with or without its suffix: `.csv`, `.tsv`, `.txt` (Audacity or
   Raven), `.selections.txt` (Raven), BirdNET's tables or `.rttm`; an empty one says that the recording holds no event.
   Where none has any, such files may lie in another folder;
3. one table of any other name, or export of Label Studio, anywhere in the folder, that names recordings which are
   there;
4. a folder per class with clips in it; one named not_LABEL holds clips that bear none of the labels. A table
   `sources.csv` (columns file and source) says what clips are cut from, as `streamclf events export` writes it.

Clips named FOLD-ID-TAKE, as ESC-50 names them, carry their fold and their source in the name.
"""

import csv
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from streamclf.audio.sources.recording import FFMPEG_SUFFIXES, SUFFIXES, readable
from streamclf.errors import SourceError, StreamclfError, UsageError
from streamclf.train.data.beside import alike, may_be_labels, names_of, neighbours, unread
from streamclf.train.data.labelfiles import LabelRow, LabelRows, read_rows
from streamclf.train.data.tabletext import LabelFileError

_EVERY_SUFFIX = SUFFIXES | FFMPEG_SUFFIXES
_TABLES = ("annotations.csv", "annotations.tsv", "annotations.rttm")
_SOURCES = "sources.csv"
_NOT = "not_"
_BEYOND_S = 1.0  # an annotation drawn a little over the end of its recording is cut there
_ALIKE = "\0"  # before a name of which case does not matter
_SEGMENT = re.compile(r"([\w-]{11})_(\d+)")  # AudioSet's: a recording and the milliseconds at which a clip of it begins
_FOLD_ID_TAKE = re.compile(r"(\d+)-(\d+)-[A-Z](?:-\d+)?")


@dataclass(frozen=True, slots=True)
class Span:
    """A label from onset to offset, in seconds from the start of its recording."""

    onset_s: float
    offset_s: float
    label: str


@dataclass(frozen=True, slots=True)
class Recording:
    """An audio file and what is known of it.

    source: recordings with the same one must never be split apart. labels: of the clip, or the set of its spans'
    labels, sorted. spans: strong labels by onset; None for clips, whose labels have no times.
    """

    path: Path
    source: str
    labels: tuple[str, ...]
    spans: tuple[Span, ...] | None = None
    fold: int | None = None


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A file that was left out, and the reason in a sentence."""

    path: Path
    reason: str


def read_data(folder: Path) -> tuple[list[Recording], list[LeftOut]]:
    """All labelled recordings below `folder` by path, and the files that were left out.

    Raises UsageError where the folder is not there, StreamclfError where it holds no labelled recording at all.
    Audio is not opened here: whether it can be read shows when it is.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise UsageError(f"the data folder {folder} {found}; give a folder of labelled recordings")
    files = _files(folder)
    read = readable()
    audio = [path for path in files if path.suffix.lower() in read]
    table = next((folder / name for name in _TABLES if (folder / name).is_file()), None)
    beside = {} if table else neighbours(audio, files)
    problems = [
        LeftOut(path, f"{path.suffix.lower()} is read with PyAV alone; install streamclf[url], or convert it to FLAC")
        for path in files
        if path.suffix.lower() in FFMPEG_SUFFIXES - read
    ]
    if table is not None:
        recordings, more = _from_table(folder, table, audio)
    elif beside:
        recordings, more = _from_neighbours(folder, audio, beside)
    else:
        recordings, more = _from_anything(folder, audio, files)
    problems += more
    if not recordings:
        why = f"; the first of {len(problems)} problems: {problems[0].path}: {problems[0].reason}" if problems else ""
        raise StreamclfError(
            f"{folder} holds no labelled recording (of {len(audio)} audio files); expected a folder per class, "
            f"recordings with a .csv, .txt or .rttm of the same name, or one table that names them{why}"
        )
    return recordings, problems


def within(recording: Recording, seconds: float) -> tuple[Recording, list[LeftOut]]:
    """`recording` with the spans that begin in it, cut at its end, and what was done to each that goes beyond.

    seconds: how long it lasts. Where all begin beyond its end they belong to another recording: a SourceError.
    """
    spans = recording.spans or ()
    beyond = [span for span in spans if span.offset_s > seconds + _BEYOND_S or span.onset_s >= seconds]
    if not beyond:
        return recording, []
    why = f"{recording.path} lasts {seconds:.2f} s, but"
    kept = tuple(
        span if span not in beyond else replace(span, offset_s=seconds) for span in spans if span.onset_s < seconds
    )
    if not kept:
        last = max(span.offset_s for span in beyond)
        raise SourceError(f"{why} its annotations go on to {last:.2f} s; check that they belong to it")
    reasons = [
        f"{why} the annotation {span.label!r} goes from {span.onset_s:.2f} to {span.offset_s:.2f} s; it is "
        + ("cut there" if span.onset_s < seconds else "left out")
        for span in beyond
    ]
    labels = tuple(sorted({span.label for span in kept}))
    return replace(recording, labels=labels, spans=kept), [LeftOut(recording.path, reason) for reason in reasons]


def split_by_source(
    recordings: Sequence[Recording], shares: Sequence[float], *, seed: int = 0
) -> list[list[Recording]]:
    """Recordings in as many parts as there are shares, no source in two of them, the same parts for the same seed.

    Sources are dealt out label by label (a source counts for its first label), so that each part has its share of
    every label as far as whole sources allow (dealt as Sainte-Laguë deals seats: each next one to the part that is
    furthest behind).
    """
    if not shares or min(shares) < 0 or sum(shares) <= 0:
        raise ValueError(f"shares {shares} must be at least 0 and not all 0")
    by_source: dict[str, list[Recording]] = {}
    for recording in recordings:
        by_source.setdefault(recording.source, []).append(recording)
    by_label: dict[str, list[str]] = {}
    for source, group in by_source.items():
        by_label.setdefault(min((label for r in group for label in r.labels), default=""), []).append(source)
    parts: list[list[Recording]] = [[] for _ in shares]
    for label in sorted(by_label):
        counts = [0.0] * len(shares)
        for source in sorted(by_label[label], key=lambda source: _hash(seed, source)):
            want = [
                (share / (2 * count + 1), -at) for at, (share, count) in enumerate(zip(shares, counts, strict=True))
            ]
            part = -max(want)[1]
            counts[part] += len(by_source[source])
            parts[part] += by_source[source]
    return [sorted(part, key=lambda recording: recording.path) for part in parts]


def _hash(seed: int, source: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{source}".encode()).digest()


def _files(folder: Path) -> list[Path]:
    """Regular files below `folder` without hidden ones, sorted."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _from_neighbours(
    folder: Path, audio: Sequence[Path], beside: dict[Path, list[Path]]
) -> tuple[list[Recording], list[LeftOut]]:
    recordings, problems = [], []
    for path in audio:
        labels = beside.get(path, [])
        if not labels:
            more = unread(path) or "; an empty one says that it holds no event"
            problems.append(LeftOut(path, f"it has no file of annotations{more}"))
        elif len(labels) > 1:
            names = " and ".join(label.name for label in labels)
            problems.append(LeftOut(path, f"it has several files of annotations, {names}; keep one"))
        else:
            try:
                read = read_rows(labels[0])
                recordings.append(_recording(folder, path, _own_rows(path, read.rows), strong=True))
                problems += [LeftOut(labels[0], sentence) for sentence in read.told]
            except LabelFileError as fault:
                problems.append(LeftOut(labels[0], str(fault)))
    return recordings, problems


def _own_rows(path: Path, rows: list[LabelRow]) -> list[LabelRow]:
    """Those of the rows that speak of `path`; where all name one file, it is taken to be this one."""
    named = {row.file for row in rows if row.file is not None}
    if len(named) < 2:
        return rows
    own = [row for row in rows if row.file is None or Path(row.file).stem == path.stem]
    if not own:
        raise LabelFileError(f"it speaks of {len(named)} recordings, but not of {path.name}")
    return own


class _RecordingNames:
    """Finds a recording by what a table calls it: its path below the folder, or its name, with suffix or without."""

    def __init__(self, folder: Path, audio: Sequence[Path]) -> None:
        self._by_name: dict[str, list[Path]] = {}
        for path in audio:
            relative = path.relative_to(folder)
            keys = {relative.as_posix(), relative.with_suffix("").as_posix(), path.name, path.stem}
            for key in keys | {f"{_ALIKE}{alike(key)}" for key in keys}:
                self._by_name.setdefault(key, []).append(path)

    def find(self, name: str) -> list[Path]:
        """All that it may be. Recordings are often kept in another format than when their table was made."""
        path = Path(name.replace("\\", "/"))
        tails = ["/".join(path.parts[at:]) for at in range(len(path.parts))]  # the longest that is known
        if path.suffix.lower() in _EVERY_SUFFIX:
            tails.append(path.stem)
        tails += [f"{_ALIKE}{alike(tail)}" for tail in tails]
        if segment := _SEGMENT.fullmatch(path.stem):
            tails += [segment[1], f"Y{segment[1]}", f"{segment[1]}_{int(segment[2]) // 1000}"]
        return next((found for tail in tails if (found := self._by_name.get(tail))), [])


def _from_table(folder: Path, table: Path, audio: Sequence[Path]) -> tuple[list[Recording], list[LeftOut]]:
    try:
        read = read_rows(table)
    except LabelFileError as fault:
        raise StreamclfError(f"{table}: {fault}") from None
    if read.rows and all(row.file is None for row in read.rows):
        raise StreamclfError(f"{table} has no column that names the recording; name one `file`")
    return _from_rows(folder, table, read, audio)


def _from_rows(
    folder: Path, table: Path, read: LabelRows, audio: Sequence[Path]
) -> tuple[list[Recording], list[LeftOut]]:
    names = _RecordingNames(folder, audio)
    grouped: dict[Path, list[LabelRow]] = {}
    problems: dict[Path, str] = {}
    for row in read.rows:
        name = (row.file or "").removeprefix("./")
        matches = names.find(name)
        if len(matches) == 1:
            grouped.setdefault(matches[0], []).append(row)
        elif not matches:
            problems[folder / name] = f"{table.name} names it, but it is not there"
        else:
            problems[folder / name] = f"{len(matches)} recordings have this name; give their folders in {table.name}"
    strong = any(row.onset_s is not None for row in read.rows)
    recordings = []
    for path in audio:
        if path not in grouped:
            problems[path] = f"{table.name} does not name it"
            continue
        try:
            recordings.append(_recording(folder, path, grouped[path], strong=strong))
        except LabelFileError as fault:
            problems[path] = str(fault)
    left_out = [LeftOut(table, sentence) for sentence in read.told]
    return recordings, left_out + [LeftOut(path, reason) for path, reason in sorted(problems.items())]


def _from_anything(folder: Path, audio: Sequence[Path], files: Sequence[Path]) -> tuple[list[Recording], list[LeftOut]]:
    """By one table that names recordings, else by folders; a file that looks like annotations is then named."""
    names = _RecordingNames(folder, audio)
    tables: dict[Path, LabelRows] = {}
    others: dict[Path, str] = {}
    called = names_of(audio)
    for path in files:
        if path == folder / _SOURCES or not may_be_labels(path, called):
            continue
        try:
            read = read_rows(path)
        except LabelFileError as fault:
            others[path] = str(fault)
            continue
        if any(row.file is not None and names.find(row.file) for row in read.rows):
            tables[path] = read
        else:
            others[path] = _names_none(read)
    if len(tables) > 1:
        found = " and ".join(str(path.relative_to(folder)) for path in tables)
        raise StreamclfError(f"{folder} holds several tables of annotations, {found}; join them to one annotations.csv")
    for table, read in tables.items():
        recordings, problems = _from_rows(folder, table, read, audio)
        return recordings, [*problems, *(LeftOut(path, f"not used: {why}") for path, why in others.items())]
    recordings, problems = _from_folders(folder, audio)
    taken = "its folders were taken for classes" if recordings else "nothing else was found"
    unused = [
        LeftOut(path, f"no annotations of these recordings ({why}); {taken}") for path, why in _first_of_each(others)
    ]
    return recordings, problems + unused if recordings else unused + problems


def _names_none(read: LabelRows) -> str:
    """Why a table is of no use here."""
    if not read.rows:
        return "it holds no annotation"
    named = any(row.file is not None for row in read.rows)
    return "it names no recording that is there" if named else "no column names the recording; name one `file`"


def _first_of_each(others: Mapping[Path, str]) -> list[tuple[Path, str]]:
    """The first file of each reason, and how many there are like it."""
    by_reason: dict[str, list[Path]] = {}
    for path, why in others.items():
        by_reason.setdefault(why, []).append(path)
    return [
        (paths[0], why if len(paths) == 1 else f"{why} (so of {len(paths)} files)") for why, paths in by_reason.items()
    ]


def _from_folders(folder: Path, audio: Sequence[Path]) -> tuple[list[Recording], list[LeftOut]]:
    recordings, problems = [], []
    sources = _sources(folder / _SOURCES)
    for path in audio:
        parts = path.relative_to(folder).parts
        if len(parts) == 1:
            problems.append(LeftOut(path, f"it lies in no folder of a class and has no annotations{unread(path)}"))
        else:
            label = "" if parts[0].startswith(_NOT) else parts[0]
            row = LabelRow(label, source=sources.pop(path.name, None))
            recordings.append(_recording(folder, path, [row], strong=False))
    problems += [LeftOut(folder / name, f"{_SOURCES} names it, but it is not there") for name in sorted(sources)]
    return recordings, problems


def _sources(table: Path) -> dict[str, str]:
    """Name of a clip, whichever folder it is in by now -> its source. Raises StreamclfError."""
    if not table.is_file():
        return {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as fault:
        raise StreamclfError(f"{table} cannot be read: {fault}; it is a CSV in UTF-8") from None
    if rows and not {"file", "source"} <= rows[0].keys():
        raise StreamclfError(f"{table} has the columns {', '.join(map(str, rows[0]))[:120]}; it needs file and source")
    return {Path(row["file"]).name: row["source"] for row in rows if row["file"] and row["source"]}


def _recording(folder: Path, path: Path, rows: Sequence[LabelRow], *, strong: bool) -> Recording:
    source, fold = _source_of(folder, path)
    source = next((row.source for row in rows if row.source is not None), source)
    fold = next((row.fold for row in rows if row.fold is not None), fold)
    spans = None
    if strong:
        if any(row.onset_s is None for row in rows if row.label):
            raise LabelFileError(
                "its annotations have labels without onset and offset; name two columns so, in seconds"
            )
        timed = [Span(row.onset_s, row.offset_s, row.label) for row in rows if row.onset_s is not None and row.offset_s]
        spans = tuple(sorted(timed, key=lambda span: (span.onset_s, span.offset_s, span.label)))
    labels = tuple(sorted({row.label for row in rows} - {""}))
    return Recording(path, source, labels, spans, fold)


def _source_of(folder: Path, path: Path) -> tuple[str, int | None]:
    """(source, fold) by the file's name; a file that says nothing of its source is its own."""
    match = _FOLD_ID_TAKE.fullmatch(path.stem)
    if match:
        return match[2], int(match[1])
    return path.relative_to(folder).with_suffix("").as_posix(), None
