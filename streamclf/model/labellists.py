"""Lists of labels as they come with models: a name a line, a table, or JSON; always in the order of the output."""

import csv
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from streamclf.errors import UsageError

_NAMES = (
    "display_name",
    "name",
    "label",
    "common_name",
    "class_name",
    "class",
    "species",
    "scientific_name",
    "category",
)
"""Columns that hold the name, the one for people first."""
_INDEXES = ("index", "id", "target", "class_id", "label_id")
_NUMBERED = re.compile(r"\s*(\d{1,6})(?:\s*[:;,\t)]\s*|\s+)(\S.*)")
_WRITE = "give a text file with one name a line, in the order of the output"


def read_lines(path: Path) -> tuple[str, ...]:
    """Names in order: a text file of one a line; `.csv` and `.tsv` with a head, such as YAMNet's class map; `.json`: a
    list, names by index, or a checkpoint's config with `id2label`. Raises UsageError where it cannot be read.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except OSError as fault:
        raise UsageError(f"{path} cannot be read as labels ({fault}); give a text file with one name a line") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: it is not UTF-8 text; save it as UTF-8, one name a line") from None
    if path.suffix.lower() == ".json":
        return _of_json(path, text)
    lines = [line for line in text.splitlines() if line.strip()]
    if path.suffix.lower() in (".csv", ".tsv") and lines:
        return _of_table(lines, max("\t;,", key=lines[0].count))
    return _without_numbers(lines)


def _without_numbers(lines: Sequence[str]) -> tuple[str, ...]:
    """Names of lines such as `0 background`, where each bears its number; else the lines as they are."""
    found = [_NUMBERED.fullmatch(line) for line in lines]
    numbers = [int(one[1]) for one in found if one]
    if len(numbers) > 1 and len(numbers) == len(lines) and numbers == list(range(numbers[0], numbers[0] + len(lines))):
        return tuple(one[2] for one in found if one)
    return tuple(lines)


def _of_table(lines: Sequence[str], delimiter: str) -> tuple[str, ...]:
    head, *rows = ([cell.strip() for cell in row] for row in csv.reader(lines, delimiter=delimiter))
    columns = {title.lower().replace(" ", "_"): at for at, title in enumerate(head)}
    at = next((columns[name] for name in _NAMES if name in columns), None)
    if at is None:  # no head: the names alone
        alone = [row[0] for row in csv.reader(lines) if len(row) == 1]
        return _without_numbers(alone if len(alone) == len(lines) else lines)
    rows = [row for row in rows if len(row) > at]
    index = next((columns[name] for name in _INDEXES if name in columns), None)
    order = [row[index] for row in rows if len(row) > index] if index is not None else []
    if index is not None and sorted(order) == sorted(map(str, range(len(rows)))):
        rows.sort(key=lambda row: int(row[index]))
    return tuple(row[at] for row in rows)


def _of_json(path: Path, text: str) -> tuple[str, ...]:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError) as fault:
        raise UsageError(f"{path} is no JSON ({fault}); {_WRITE}") from None
    if isinstance(found, Mapping):
        found = found.get("id2label", found)
    if isinstance(found, Mapping):
        if all(isinstance(value, int) for value in found.values()):  # label2id
            found = {str(index): name for name, index in found.items()}
        if sorted(found) != sorted(map(str, range(len(found)))):
            raise UsageError(f"{path} does not count its labels from 0 on; {_WRITE}")
        found = [found[str(at)] for at in range(len(found))]
    if not isinstance(found, list) or not found or not all(isinstance(name, str) and name.strip() for name in found):
        raise UsageError(f"{path} is neither a list of names nor names by their index; {_WRITE}")
    return tuple(found)
