"""Text and times of tables as programs and spreadsheets write them: their encodings, and seconds or a clock's form."""

import math
import re
from pathlib import Path

from streamclf.errors import StreamclfError

_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_CLOCK = re.compile(r"(?:(\d+):)?(\d+):([0-5]?\d(?:[.,]\d*)?)")  # 1:02:03.5, 62:03,5
_MARKS = {b"\xff\xfe\0\0": "utf-32", b"\0\0\xfe\xff": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_ARCHIVE = b"PK\x03\x04"  # of a zip, which .xlsx and .ods are


class LabelFileError(StreamclfError):
    """A file of annotations cannot be read; the message is the reason, without the file's name."""


def text_of(path: Path) -> tuple[str, str]:
    """(text, a sentence on what was taken for granted, or ""): UTF-8, UTF-16 as Excel's "Unicode text", Windows-1252.

    Raises `LabelFileError`.
    """
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise LabelFileError(f"it cannot be read: {fault.strerror}") from None
    if data.startswith(_ARCHIVE):
        raise LabelFileError("it is a spreadsheet's own file or an archive, not text; save it as CSV")
    encoding = _MARKS.get(data[:4]) or _MARKS.get(data[:2]) or _unmarked(data)
    try:
        return data.decode(encoding), ""
    except UnicodeDecodeError:
        pass
    try:
        if b"\0" not in data:
            return data.decode(
                "cp1252"
            ), "it is not UTF-8 text; it was read as Windows-1252 (Latin-1), so look at its labels"
    except UnicodeDecodeError:
        pass
    raise LabelFileError("it is not UTF-8 text; save it as UTF-8")


def _unmarked(data: bytes) -> str:
    """UTF-16 without a mark has a zero in every second byte of what is mostly Latin text."""
    head = data[:200]
    if len(head) > 8 and head[1::2].count(0) * 4 > len(head):
        return "utf-16-le"
    if len(head) > 8 and head[::2].count(0) * 4 > len(head):
        return "utf-16-be"
    return "utf-8-sig"


def seconds(text: str) -> float:
    """A time: "62.5", "62,5" (many languages write a comma), "1:02.5" or "0:01:02.5". Raises ValueError."""
    text = text.strip()
    if clock := _CLOCK.fullmatch(text):
        hours, minutes, rest = clock.groups()
        return int(hours or 0) * 3600 + int(minutes) * 60 + float(rest.replace(",", "."))
    return float(text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) else text)


def is_time(text: str) -> bool:
    """Whether it is a finite one."""
    try:
        return math.isfinite(seconds(text))
    except ValueError:
        return False
