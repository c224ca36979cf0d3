"""Line numbers of a TOML file: tomllib gives values only, and a mistake should be told with its line."""

import re
import tomllib
from typing import Any

Path = tuple[str | int, ...]

_ARRAY_HEADER = re.compile(r"\s*\[\[")
_HEADER = re.compile(r"\s*\[")


def lines_of(text: str) -> dict[Path, int]:
    """Path -> line (from 1) of every table and key of `text`, which must be valid TOML.

    An array of tables counts: the third `[[rule]]` is ("rule", 2), its name ("rule", 2, "name").
    """
    found: dict[Path, int] = {}
    arrays: dict[Path, int] = {}
    table: Path = ()
    lines = text.split("\n")
    at = 0
    while at < len(lines):
        end = at + 1
        # a statement may go over several lines; it is complete where it can be parsed by itself
        while (statement := _parsed(lines[at:end])) is None and end < len(lines):
            end += 1
        if _HEADER.match(lines[at]):
            table = ()
            path = _single_path(statement or {})
            for depth, key in enumerate(path):
                table = (*table, key)
                if depth == len(path) - 1 and _ARRAY_HEADER.match(lines[at]):
                    arrays[table] = arrays.get(table, -1) + 1
                    found.setdefault(table, at + 1)
                if table in arrays:
                    table = (*table, arrays[table])
            found[table] = at + 1
        else:
            _note(statement or {}, table, at + 1, found)
        at = end
    return found


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of `path`, or of the nearest table around it; 1 where there is none."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _parsed(lines: list[str]) -> dict[str, Any] | None:
    try:
        return tomllib.loads("\n".join(lines))
    except tomllib.TOMLDecodeError:
        return None


def _single_path(value: Any) -> list[str]:
    """The keys of a header's one table."""
    path = []
    while isinstance(value, dict | list) and value:
        if isinstance(value, list):
            value = value[0]
        else:
            key, value = next(iter(value.items()))
            path.append(key)
    return path


def _note(value: Any, path: Path, line: int, found: dict[Path, int]) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            found.setdefault((*path, key), line)
            _note(inner, (*path, key), line, found)
