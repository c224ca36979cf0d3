"""The line of a table that names its columns, and what is taken where there is none."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import NamedTuple

from streamclf.audio.sources.recording import FFMPEG_SUFFIXES, SUFFIXES
from streamclf.train.data.columns import WANTED, Columns, columns_of, marks_of
from streamclf.train.data.tabletext import LabelFileError, is_time, seconds

_BY_PLACE: Columns = {"onset": (0, 1.0), "offset": (1, 1.0), "label": (2, 1.0)}
_ABOVE = "put a line with names above it, such as onset,offset,label or onset,duration,label or file,onset,offset,label"


class Heading(NamedTuple):
    """What stands where. marks: label -> the column that is 1 where it holds. line: that of the names, 0 for none."""

    columns: Columns
    marks: Mapping[str, int]
    names: Sequence[str]
    line: int

    @property
    def guessed(self) -> bool:
        """Whether columns are told by their place alone."""
        return not self.names


def lines_of(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, Sequence[str]]]:
    """(line, its cells), without those that are empty or a comment. Raises `LabelFileError`."""
    return ((number, cells) for number, cells in _split(lines, delimiter) if not cells[0].startswith("#"))


def heading_of(lines: Sequence[str], delimiter: str) -> Heading:
    """Of the first line that is no comment, or of the comment above it. Raises `LabelFileError` for neither."""
    _check_quotes(lines, delimiter)
    comment: tuple[int, Sequence[str]] = 0, ()
    for number, cells in _split(lines, delimiter):
        if cells[0].startswith("#"):
            comment = number, [cells[0].lstrip("# "), *cells[1:]]
            continue
        by_place = _by_place(cells)
        named = None if by_place else _named(lines, delimiter, number, cells)
        if isinstance(named, Heading):
            return named
        above = _named(lines, delimiter, *comment) if len(comment[1]) > 1 else None
        if isinstance(above, Heading):
            return above
        if by_place:
            return Heading(by_place, {}, (), 0)
        assert isinstance(named, LabelFileError)
        raise named
    raise LabelFileError(f"it has no line but comments; {WANTED}")


def check_guess(lines: Sequence[str], delimiter: str, columns: Columns) -> None:
    """That what was taken by its place may be so in all lines. Raises `LabelFileError`."""
    first, second, third = (columns[what][0] if what in columns else -1 for what in ("onset", "offset", "label"))
    if first < 0:
        return
    rows = [cells for _, cells in lines_of(lines, delimiter) if len(cells) > third]
    if rows and all(is_time(cells[third]) for cells in rows):
        raise LabelFileError(
            f"it has no names of columns, and its column {third + 1} holds numbers where labels are expected; {_ABOVE}"
        )
    timed = [cells for cells in rows if is_time(cells[first]) and is_time(cells[second])]
    back = sum(seconds(cells[second]) <= seconds(cells[first]) for cells in timed)
    if back > 1 and 2 * back >= len(timed):
        raise LabelFileError(
            f"it has no names of columns, and {back} of its {len(timed)} lines would end before they begin, so its "
            f"second time may be a duration; {_ABOVE}"
        )


def clip_name(name: str, onset_s: float | None) -> str:
    """What a clip is called that was cut from a recording at this time: AudioSet's have an id and milliseconds."""
    return name if onset_s is None or PurePath(name).suffix else f"{name}_{round(1000 * onset_s)}"


def _split(lines: Sequence[str], delimiter: str) -> Iterator[tuple[int, Sequence[str]]]:
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                yield reader.line_num, cells
    except csv.Error as fault:
        raise LabelFileError(f"line {reader.line_num} is no line of a table: {fault}") from None


def _named(lines: Sequence[str], delimiter: str, number: int, cells: Sequence[str]) -> Heading | LabelFileError:
    """By the names in `cells`, or why they are none."""
    try:
        columns = columns_of(cells)
        marks = {}
        if not {"label", "labels"} & columns.keys():
            below = (row for at, row in lines_of(lines, delimiter) if at > number)
            marks = marks_of(below, cells, columns)
    except LabelFileError as fault:
        return fault
    return Heading(columns, marks, cells, number)


def _by_place(cells: Sequence[str]) -> Columns | None:
    """Of a first line that is data: two times and a label, with a recording before them or not."""
    if len(cells) >= 3 and is_time(cells[0]) and is_time(cells[1]):
        return _BY_PLACE
    if PurePath(cells[0].strip()).suffix.lower() not in SUFFIXES | FFMPEG_SUFFIXES:
        return None
    times = [at for at in range(1, len(cells) - 1) if is_time(cells[at]) and is_time(cells[at + 1])]
    if times and len(cells) == times[0] + 3:
        return {"file": (0, 1.0), "onset": (times[0], 1.0), "offset": (times[0] + 1, 1.0), "label": (times[0] + 2, 1.0)}
    if len(cells) == 2 and not is_time(cells[1]):
        return {"file": (0, 1.0), "label": (1, 1.0)}
    raise LabelFileError(
        f"its first line ({', '.join(cell.strip() for cell in cells)[:120]}) names a recording where names of columns "
        f"are expected; {_ABOVE}"
    )


def _check_quotes(lines: Sequence[str], delimiter: str) -> None:
    """A quotation mark that is never closed would swallow all that follows. Raises `LabelFileError`."""
    begun = 1
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        while next(reader, None) is not None:
            begun = reader.line_num + 1
    except csv.Error as fault:
        if "end of data" in str(fault):
            raise LabelFileError(
                f"a quotation mark in line {begun} is never closed, so all behind it would be lost; take it out"
            ) from None
