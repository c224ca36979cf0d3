"""Files of onset, offset and label as people keep them: CSV, Audacity label tracks, Raven selection tables, RTTM.

Text in, rows out; what cannot be read is a `LabelFileError` with one sentence that names the line. The format is told
from what a file says, not from its suffix alone, because a `.txt` may be Audacity's or Raven's.
"""

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamclf.errors import StreamclfError

# names a column goes by, compared without case, units and punctuation
_NAMES: dict[str, tuple[str, ...]] = {
    "file": ("file", "filename", "filepath", "path", "audio", "audiofile", "recording", "beginfile", "beginpath"),
    "onset": ("onset", "start", "starttime", "begin", "begintime", "tmin", "t0", "from"),
    "offset": ("offset", "end", "endtime", "stop", "stoptime", "tmax", "t1", "to"),
    "duration": ("duration", "length", "deltatime"),
    "label": (
        "label", "annotation", "annotations", "eventlabel", "class", "classname", "category", "species", "speaker",
        "commonname", "tag", "name",
    ),
    "fold": ("fold", "split"),
    "source": ("source", "sourceid", "srcfile", "parent"),
    "selection": ("selection",),
}  # fmt: skip
_UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "seconds": 1.0}


class LabelFileError(StreamclfError):
    """A file of annotations cannot be read; the message is the reason, without the file's name."""


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


def read_rows(path: Path) -> list[LabelRow]:
    """All rows of `path` in its order; an empty file is an empty list. Raises `LabelFileError`."""
    text = _text(path)
    if path.suffix.lower() == ".rttm":
        return list(_rttm(text))
    lines = text.splitlines()
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    if not first:
        return []
    if path.suffix.lower() == ".txt" and _is_number(first.split("\t")[0]):
        return list(_audacity(lines))
    return list(_table(lines, first))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as fault:
        raise LabelFileError(f"it cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError:
        raise LabelFileError("it is not UTF-8 text; save it as UTF-8") from None


def _audacity(lines: Sequence[str]) -> Iterator[LabelRow]:
    for number, line in enumerate(lines, start=1):
        # a line that begins with a backslash holds the frequency range of the label above it
        if not line.strip() or line.startswith(("\\", "#")):
            continue
        cells = line.split("\t")
        if len(cells) < 2:
            raise LabelFileError(f"line {number} is not `onset TAB offset TAB label`")
        onset, offset = _span(cells[0], cells[1], number)
        yield LabelRow(_label(cells[2] if len(cells) > 2 else "", number), onset, offset)


def _rttm(text: str) -> Iterator[LabelRow]:
    for number, line in enumerate(text.splitlines(), start=1):
        cells = line.split()
        if not cells or cells[0].startswith((";", "#")):
            continue
        if cells[0] != "SPEAKER":
            # other types of RTTM lines (SPKR-INFO, NOSCORE ...) do not say who speaks when
            continue
        if len(cells) < 8:
            raise LabelFileError(f"line {number} has {len(cells)} of the 8 or more fields of an RTTM SPEAKER line")
        onset = _number(cells[3], number)
        yield LabelRow(
            _label(cells[7], number), *_checked(onset, onset + _number(cells[4], number), number), file=cells[1]
        )


def _table(lines: Sequence[str], first: str) -> Iterator[LabelRow]:
    delimiter = max("\t;,", key=first.count)
    reader = csv.reader(lines, delimiter=delimiter)
    columns: Mapping[str, tuple[int, float]] | None = None
    seen: set[str] = set()
    for cells in reader:
        number = reader.line_num
        if not any(cell.strip() for cell in cells) or cells[0].startswith("#"):
            continue
        if columns is None:
            if len(cells) >= 3 and _is_number(cells[0]) and _is_number(cells[1]):
                columns = {"onset": (0, 1.0), "offset": (1, 1.0), "label": (2, 1.0)}
            else:
                columns = _columns(cells)
                continue
        cell = _Cells(cells, columns)
        if "selection" in columns and (chosen := cell("selection")):
            # Raven writes a selection once for each view it is drawn in
            if chosen in seen:
                continue
            seen.add(chosen)
        yield _row(cell, number)


class _Cells:
    """The cells of one line by what their column holds."""

    def __init__(self, cells: Sequence[str], columns: Mapping[str, tuple[int, float]]) -> None:
        self._cells = cells
        self.columns = columns

    def __call__(self, what: str) -> str:
        """Text of the cell, "" where there is none."""
        at = self.columns.get(what, (len(self._cells), 1.0))[0]
        return self._cells[at].strip() if at < len(self._cells) else ""

    def seconds(self, what: str, number: int) -> float:
        """The cell as seconds, by the unit in its column's name."""
        return _number(self(what), number) * self.columns[what][1]


def _row(cell: _Cells, number: int) -> LabelRow:
    onset = offset = None
    empty = bool(cell("file")) and not any(map(cell, ("label", "onset", "offset", "duration")))
    if "onset" in cell.columns and not empty:
        onset = cell.seconds("onset", number)
        if "offset" in cell.columns:
            offset = cell.seconds("offset", number)
        else:
            offset = onset + cell.seconds("duration", number)
        onset, offset = _checked(onset, offset, number)
    fold = cell("fold")
    return LabelRow(
        label="" if empty else _label(cell("label"), number),
        onset_s=onset,
        offset_s=offset,
        file=cell("file") or None,
        source=cell("source") or None,
        fold=int(fold) if fold.isdecimal() else None,
    )


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
    if "label" not in found:
        raise LabelFileError(f"none of its columns ({given}) is a label; name one `label`")
    if "onset" in found and not ("offset" in found or "duration" in found):
        raise LabelFileError(f"its columns ({given}) give an onset but no offset; name one `offset`")
    return found


def _normal(title: str) -> tuple[str, float]:
    words = "".join(ch if ch.isalnum() else " " for ch in title.lower()).split()
    factor = 1.0
    if len(words) > 1 and words[-1] in _UNITS:
        factor = _UNITS[words.pop()]
    return "".join(words), factor


def _span(onset: str, offset: str, number: int) -> tuple[float, float]:
    return _checked(_number(onset, number), _number(offset, number), number)


def _checked(onset: float, offset: float, number: int) -> tuple[float, float]:
    if onset < 0 or offset <= onset:
        raise LabelFileError(f"line {number} ends at {offset:g} s, which must be after its onset at {onset:g} s")
    return onset, offset


def _number(text: str, number: int) -> float:
    try:
        value = float(text)
    except ValueError:
        raise LabelFileError(f"line {number} has {text[:40]!r} where a time is expected") from None
    if not math.isfinite(value):
        raise LabelFileError(f"line {number} has {text[:40]!r} where a time is expected")
    return value


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _label(text: str, number: int) -> str:
    if not text.strip():
        raise LabelFileError(f"line {number} has no label")
    return text.strip()
