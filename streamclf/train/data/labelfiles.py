"""Files of onset, offset and label as people keep them: CSV, Audacity label tracks, tables of Raven, BirdNET,
Kaleidoscope, DCASE, AudioSet and UrbanSound8K, a column of 0 and 1 for each label, Label Studio's exports, RTTM.

Text in, rows out. A row that cannot be used is left out with one sentence that names its line; a file that cannot be
read is a `LabelFileError`. The format is told from what a file says, not from its suffix alone, because a `.txt` may be
Audacity's or Raven's.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

from streamclf.train.data import labelstudio
from streamclf.train.data.beside import foreign
from streamclf.train.data.columns import Columns, is_marked, untaken_times
from streamclf.train.data.heading import Heading, check_guess, clip_name, heading_of, lines_of
from streamclf.train.data.tabletext import LabelFileError, is_time, seconds, text_of

_SEPARATOR = re.compile(r"sep=(.)", re.IGNORECASE)  # Excel's word on the first line
_FOLD_DIGITS = 10


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
    if why := foreign(path):
        raise LabelFileError(why)
    text, granted = text_of(path)
    found = _RowsOfLines([], [], [granted] if granted else [])
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
        found.take(_table(lines, said[1] if said else max("\t;,", key=first.count), found.granted))
    if found.unusable and not found.rows:
        more = f" (and {len(found.unusable) - 1} more rows)" if len(found.unusable) > 1 else ""
        raise LabelFileError(f"{found.unusable[0]}{more}")
    told = [f"{sentence}; the row is left out" for sentence in found.unusable]
    return LabelRows(found.rows, [*found.granted, *told])


_Line = Callable[[], Iterable[LabelRow]]
"""The rows of one line; raises `LabelFileError` where it cannot be used."""


class _RowsOfLines(NamedTuple):
    rows: list[LabelRow]
    unusable: list[str]
    granted: list[str]

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


def _table(lines: Sequence[str], delimiter: str, granted: list[str]) -> Iterator[_Line]:
    heading = heading_of(lines, delimiter)
    columns = heading.columns
    seen: set[tuple[str, ...]] = set()
    if heading.guessed:
        check_guess(lines, delimiter, columns)
    elif strange := untaken_times(heading.names, columns):
        granted.append(f"its columns {', '.join(strange)} are not read as times, so each label holds for the whole of "
                       "its recording; if they are, name them onset and offset or duration, in seconds")  # fmt: skip
    for number, cells in lines_of(lines, delimiter):
        if number <= heading.line:
            continue
        cell = _Cells(cells, heading)
        if "selection" in columns and cell("selection"):
            # Raven writes a selection once for each view it is drawn in; joined tables count anew
            chosen = tuple(map(cell, ("selection", "file", "onset", "offset", "file_onset", "label")))
            if chosen in seen:
                continue
            seen.add(chosen)
        yield partial(_rows, cell, number)


class _Cells:
    """The cells of one line by what their column holds."""

    def __init__(self, cells: Sequence[str], heading: Heading) -> None:
        self._cells = cells
        self.columns: Columns = heading.columns
        self._marks = heading.marks
        self._names = len(heading.names)

    @property
    def beyond(self) -> bool:
        """Whether it has more cells than there are names, which happens where a separator stands in one of them."""
        return bool(self._names) and any(cell.strip() for cell in self._cells[self._names :])

    @property
    def marked(self) -> list[str] | None:
        """The labels whose column says 1; None where labels stand in a column of theirs."""
        held = {at for at, cell in enumerate(self._cells) if is_marked(cell)}
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
    if cell.beyond:
        raise LabelFileError(f"line {number} has more cells than there are names of columns; a decimal comma, or a "
                             "separator in a label, needs quotation marks around it")  # fmt: skip
    onset = offset = None
    said = cell.marked or any(map(cell, ("label", "labels", "onset", "offset", "duration")))
    empty = bool(cell("file")) and not said
    if {"onset", "offset"} & cell.columns.keys() and not empty:
        onset, offset = _times(cell, number)
        if cell("file_onset"):
            # times count from the beginning of a sequence of files; this one from that of its own
            began = cell.seconds("file_onset", number)
            onset, offset = began, began + offset - onset
        onset, offset = _checked(onset, offset, f"line {number}")
    fold, file = cell("fold"), cell("file") or None
    if cell("clip"):
        # UrbanSound8K's and AudioSet's say where the clip lies in what it was cut from
        file = clip_name(cell("clip"), onset)
        onset = offset = None
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


def _times(cell: _Cells, number: int) -> tuple[float, float]:
    """Onset and offset, of which a duration may stand for one."""
    if "onset" not in cell.columns:
        offset = cell.seconds("offset", number)
        return offset - cell.seconds("duration", number), offset
    onset = cell.seconds("onset", number)
    if "offset" in cell.columns:
        return onset, cell.seconds("offset", number)
    return onset, onset + cell.seconds("duration", number)


def _labels(cell: _Cells, number: int) -> list[str]:
    """One, or where the column holds several (DCASE's weak labels) each of them."""
    if (marked := cell.marked) is not None:
        return marked or [""]
    if "label" not in cell.columns:
        return [_label(text, number) for text in cell("labels").split(",")]
    return [_label(cell("label") or cell("second_label"), number)]


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
