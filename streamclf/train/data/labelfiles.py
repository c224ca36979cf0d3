"""Files of onset, offset and label as people keep them: CSV, Audacity label tracks, tables of Raven, BirdNET,
Kaleidoscope, DCASE, AudioSet and UrbanSound8K, a column of 0 and 1 for each label, Label Studio's exports, RTTM.

Text in, rows out. A row that cannot be used is left out with one sentence that names its line; a file that cannot be
read is a `LabelFileError`. The format is told from what a file says, not from its suffix alone, because a `.txt` may be
Audacity's or Raven's.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from streamclf.train.data import labelstudio
from streamclf.train.data.tabletext import LabelFileError, is_time, seconds, text_of

# names a column goes by, compared without case, units and punctuation
_NAMES: dict[str, tuple[str, ...]] = {
    "file": (
        "file", "filename", "filepath", "path", "audio", "audiofile", "recording", "beginfile", "beginpath", "infile",
        "segmentid", "soundfile", "fname", "wavfile", "slicefilename",
    ),
    "clip": ("slicefilename",),
    "folder": ("folder", "indir"),
    "onset": ("onset", "start", "starttime", "begin", "begintime", "tmin", "t0", "from"),
    "offset": ("offset", "end", "endtime", "stop", "stoptime", "tmax", "t1", "to"),
    "file_onset": ("fileoffset",),
    "duration": ("duration", "length", "deltatime"),
    "label": (
        "label", "annotation", "annotations", "eventlabel", "class", "classname", "category", "species", "speaker",
        "commonname", "manualid", "tag", "name", "ebirdcode", "speciesebirdcode", "speciescode", "primarylabel",
        "autoid",
    ),
    "labels": ("eventlabels", "labels", "categories"),
    "second_label": ("autoid",),
    "fold": ("fold", "split"),
    "source": ("source", "sourceid", "srcfile", "parent", "fsid"),
    "selection": ("selection",),
}  # fmt: skip
_YES, _NO = {"1", "1.0", "true"}, {"0", "0.0", "false", ""}
_NO_LABEL = "none of its columns ({}) is a label; name one `label`"
_SEPARATOR = re.compile(r"sep=(.)", re.IGNORECASE)  # Excel's word on the first line
_FOLD_DIGITS = 10
_UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "seconds": 1.0}


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One annotation as it stands in a file. Times in seconds, None where the file gives none (labels of clips).

    A label "" says that the recording holds none: a table's line with a file and nothing else.
    """

    label: str
    onset_s: float | None = None
    offset_s: float | None = None
    file: str | None = None
    source: str | None = None
    fold: int | None = None


@dataclass(frozen=True, slots=True)
class LabelRows:
    """What a file says. told: a sentence for each row that is left out, and for what was taken for granted."""

    rows: list[LabelRow]
    told: list[str]


def read_rows(path: Path) -> LabelRows:
    """All rows of `path` in its order; an empty file has none. Raises `LabelFileError` where no row can be used."""
    text, granted = text_of(path)
    found = _RowsOfLines([], [])
    lines = text.splitlines()
    said = _SEPARATOR.match(lines[0]) if lines else None
    if said:
        lines[0] = ""
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    if path.suffix.lower() == ".json":
        found.take(partial(_region, *region) for region in labelstudio.tasks(text))
    elif path.suffix.lower() == ".rttm":
        found.take(_rttm(lines))
    elif path.suffix.lower() == ".txt" and is_time(_fields(first)[0]):
        found.take(_audacity(lines))
    elif first:
        found.take(_table(lines, said[1] if said else max("\t;,", key=first.count)))
    if found.unusable and not found.rows:
        more = f" (and {len(found.unusable) - 1} more rows)" if len(found.unusable) > 1 else ""
        raise LabelFileError(f"{found.unusable[0]}{more}")
    told = [f"{sentence}; the row is left out" for sentence in found.unusable]
    return LabelRows(found.rows, [granted, *told] if granted else told)


_Line = Callable[[], Iterable[LabelRow]]
"""The rows of one line; raises `LabelFileError` where it cannot be used."""


class _RowsOfLines(NamedTuple):
    rows: list[LabelRow]
    unusable: list[str]

    def take(self, lines: Iterator[_Line]) -> None:
        """Their rows, and the reasons of those that give none."""
        for line in lines:
            try:
                self.rows.extend(line())
            except LabelFileError as fault:
                self.unusable.append(str(fault))


def _region(file: str, label: str, onset: object, offset: object) -> Iterator[LabelRow]:
    """One of Label Studio's; a label of the whole recording has no times."""
    if onset is None and offset is None:
        yield LabelRow(label, file=file)
    elif isinstance(onset, int | float) and isinstance(offset, int | float):
        yield LabelRow(label, *_checked(onset, offset, f"a region of {file}"), file=file)
    else:
        raise LabelFileError(f"a region of {file} has no times")


def _fields(line: str) -> list[str]:
    """Of a label track; editors make blanks of its tabs."""
    return line.split("\t") if "\t" in line else line.split(maxsplit=2) or [""]


def _audacity(lines: Sequence[str]) -> Iterator[_Line]:
    for number, line in enumerate(lines, start=1):
        # a line that begins with a backslash holds the frequency range of the label above it
        if line.strip() and not line.startswith(("\\", "#")):
            yield partial(_audacity_row, _fields(line), number)


def _audacity_row(cells: Sequence[str], number: int) -> Iterator[LabelRow]:
    if len(cells) < 2:
        raise LabelFileError(f"line {number} is not `onset TAB offset TAB label`")
    onset, offset = _span(cells[0], cells[1], number)
    yield LabelRow(_label(cells[2] if len(cells) > 2 else "", number), onset, offset)


def _rttm(lines: Sequence[str]) -> Iterator[_Line]:
    for number, line in enumerate(lines, start=1):
        cells = line.split()
        # other types of RTTM lines (SPKR-INFO, NOSCORE ...) do not say who speaks when
        if cells and cells[0] == "SPEAKER":
            yield partial(_rttm_row, cells, number)


def _rttm_row(cells: Sequence[str], number: int) -> Iterator[LabelRow]:
    if len(cells) < 8:
        raise LabelFileError(f"line {number} has {len(cells)} of the 8 or more fields of an RTTM SPEAKER line")
    onset = _number(cells[3], number)
    yield LabelRow(
        _label(cells[7], number), *_checked(onset, onset + _number(cells[4], number), f"line {number}"), file=cells[1]
    )


def _table(lines: Sequence[str], delimiter: str) -> Iterator[_Line]:
    reader = csv.reader(lines, delimiter=delimiter)
    columns: Mapping[str, tuple[int, float]] | None = None
    marks: Mapping[str, int] = {}
    seen: set[tuple[str, ...]] = set()
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells) or cells[0].startswith("#"):
                continue
            if columns is None:
                if len(cells) >= 3 and is_time(cells[0]) and is_time(cells[1]):
                    columns = {"onset": (0, 1.0), "offset": (1, 1.0), "label": (2, 1.0)}
                else:
                    columns = _columns(cells)
                    if not {"label", "labels"} & columns.keys():
                        marks = _marks(csv.reader(lines, delimiter=delimiter), cells, columns)
                    continue
            cell = _Cells(cells, columns, marks)
            if "selection" in columns and cell("selection"):
                # Raven writes a selection once for each view it is drawn in; joined tables count anew
                chosen = tuple(map(cell, ("selection", "file", "onset", "offset", "file_onset", "label")))
                if chosen in seen:
                    continue
                seen.add(chosen)
            yield partial(_rows, cell, reader.line_num)
    except csv.Error as fault:
        raise LabelFileError(f"line {reader.line_num} is no line of a table: {fault}") from None


class _Cells:
    """The cells of one line by what their column holds. marks: the columns that are 1 where their label holds."""

    def __init__(
        self, cells: Sequence[str], columns: Mapping[str, tuple[int, float]], marks: Mapping[str, int]
    ) -> None:
        self._cells = cells
        self.columns = columns
        self._marks = marks

    @property
    def marked(self) -> list[str] | None:
        """The labels whose column says 1; None where labels stand in a column of theirs."""
        held = {at for at, cell in enumerate(self._cells) if cell.strip().lower() in _YES}
        return [label for label, at in self._marks.items() if at in held] if self._marks else None

    def __call__(self, what: str) -> str:
        """Text of the cell, "" where there is none."""
        at = self.columns.get(what, (len(self._cells), 1.0))[0]
        return self._cells[at].strip() if at < len(self._cells) else ""

    def seconds(self, what: str, number: int) -> float:
        """The cell as seconds, by the unit in its column's name."""
        return _number(self(what), number) * self.columns[what][1]


def _rows(cell: _Cells, number: int) -> Iterator[LabelRow]:
    if (regions := labelstudio.regions(cell("label"))) is not None:
        place = labelstudio.name_of(cell("file"))
        for region in regions:
            for label in labelstudio.labels_of(region):
                yield from _region(place, label, region.get("start"), region.get("end"))
        return
    onset = offset = None
    empty = bool(cell("file")) and not any(map(cell, ("label", "labels", "onset", "offset", "duration")))
    if "onset" in cell.columns and not empty:
        onset = cell.seconds("onset", number)
        if "offset" in cell.columns:
            offset = cell.seconds("offset", number)
        else:
            offset = onset + cell.seconds("duration", number)
        if cell("file_onset"):
            # times count from the beginning of a sequence of files; this one from that of its own
            began = cell.seconds("file_onset", number)
            onset, offset = began, began + offset - onset
        onset, offset = _checked(onset, offset, f"line {number}")
    if cell("clip"):
        onset = offset = None  # UrbanSound8K's say where the clip lies in what it was cut from
    fold, file = cell("fold"), cell("file") or None
    if file is not None and cell("folder"):
        file = f"{cell('folder')}/{file}"
    for label in [""] if empty else _labels(cell, number):
        yield LabelRow(
            label=label,
            onset_s=onset if label else None,
            offset_s=offset if label else None,
            file=file,
            source=cell("source") or None,
            fold=int(fold) if fold.isdecimal() and len(fold) < _FOLD_DIGITS else None,
        )


def _labels(cell: _Cells, number: int) -> list[str]:
    """One, or where the column holds several (DCASE's weak labels) each of them."""
    if (marked := cell.marked) is not None:
        return marked or [""]
    if "label" not in cell.columns:
        return [_label(text, number) for text in cell("labels").split(",")]
    return [_label(cell("label") or cell("second_label"), number)]


def _columns(header: Sequence[str]) -> dict[str, tuple[int, float]]:
    """What a column holds -> (its index, the seconds in one of its unit). Of several names the first listed counts."""
    named: dict[str, tuple[int, float]] = {}
    for at, title in enumerate(header):
        name, factor = _normal(title)
        named.setdefault(name, (at, factor))
    found = {}
    for what, names in _NAMES.items():
        for name in names:
            if name in named:
                found[what] = named[name]
                break
    given = ", ".join(title.strip() for title in header)[:120]
    if "onset" not in found and {"offset", "duration"} <= found.keys():
        found["onset"] = found.pop("offset")  # Kaleidoscope calls it so
    if "label" not in found and "labels" not in found and "file" not in found:
        raise LabelFileError(_NO_LABEL.format(given))
    if "onset" in found and not ("offset" in found or "duration" in found):
        raise LabelFileError(f"its columns ({given}) give an onset but no offset; name one `offset`")
    return found


def _marks(
    lines: Iterable[Sequence[str]], header: Sequence[str], columns: Mapping[str, tuple[int, float]]
) -> dict[str, int]:
    """Label -> its column, of a table with one of 0 and 1 for each. Raises `LabelFileError` where it is none."""
    used = {at for at, _ in columns.values()}
    marks = {title.strip(): at for at, title in enumerate(header) if title.strip() and at not in used}
    for cells in lines:
        if any(cell.strip() for cell in cells) and list(cells) != list(header) and not cells[0].startswith("#"):
            said = [cell.strip().lower() for cell in cells]
            marks = {label: at for label, at in marks.items() if at < len(said) and said[at] in _YES | _NO}
    if not marks:
        raise LabelFileError(_NO_LABEL.format(", ".join(title.strip() for title in header)[:120]))
    return marks


def _normal(title: str) -> tuple[str, float]:
    words = "".join(ch if ch.isalnum() else " " for ch in title.lower()).split()
    factor = 1.0
    if len(words) > 1 and words[-1] in _UNITS:
        factor = _UNITS[words.pop()]
    return "".join(words), factor


def _span(onset: str, offset: str, number: int) -> tuple[float, float]:
    return _checked(_number(onset, number), _number(offset, number), f"line {number}")


def _checked(onset: float, offset: float, what: str) -> tuple[float, float]:
    if onset < 0:
        raise LabelFileError(f"{what} begins at {onset:g} s, which is before its recording")
    if offset <= onset:
        raise LabelFileError(f"{what} ends at {offset:g} s, which must be after its onset at {onset:g} s")
    return onset, offset


def _number(text: str, number: int) -> float:
    if not is_time(text):
        raise LabelFileError(f"line {number} has {text[:40]!r} where a time is expected")
    return seconds(text)


def _label(text: str, number: int) -> str:
    if not text.strip():
        raise LabelFileError(f"line {number} has no label")
    return text.strip()
