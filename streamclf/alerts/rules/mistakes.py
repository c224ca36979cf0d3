"""Mistakes in a file that a person writes: each is told with its line, its key, and what to write instead.

Tables become structs here, whatever the file is about. Lines are looked for once there is a mistake, never before.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec
from msgspec.structs import FieldInfo

from streamclf.text import hide_secrets, meant, near, nearest
from streamclf.times import plain_keys
from streamclf.toml import Path as Key
from streamclf.toml import line_of, lines_of

Check = Callable[[Any], object]
"""Raises ValueError with a problem and, behind "; ", a hint."""

# Names that are gone through for those that are like a given one, in all: 5 times 2,000, which takes 10 ms. A search
# among few takes as long as one among 500 (tools/bench/rules.py).
_MOST_NAMES, _LEAST_NAMES = 10_000, 500
_SECRET = re.compile(r"header|password|secret|token", re.IGNORECASE)  # keys whose values are not shown
_WORDS = {
    "float": "number",
    "int": "whole number",
    "str": "text",
    "array": "list",
    "object": "table",
    "bool": "true or false",
}

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that is wrong: where, what, and what to write instead."""

    line: int
    key: str
    problem: str
    hint: str

    def __str__(self) -> str:
        return f"{self.key}: {self.problem}; {self.hint}" if self.key else f"{self.problem}; {self.hint}"


class Mistakes:
    """Those of one file, as they are found. text: of the file, TOML that was parsed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._found: list[Mistake] = []
        self._gone_through = 0

    def __len__(self) -> int:
        return len(self._found)

    @property
    def by_line(self) -> list[Mistake]:
        """All of them, those of one line in the order in which they were found."""
        return sorted(self._found, key=lambda mistake: mistake.line)

    def add(self, path: Key, key: str, problem: str, hint: str, *, entry: int | None = None) -> None:
        """key: what is told of the path. entry: which one of the list at `path` it is about."""
        self._found.append(Mistake(self.line(path if entry is None else (*path, entry)), key, problem, hint))

    def line(self, path: Key) -> int:
        """Where `path` stands, or the nearest table around it."""
        return line_of(self._lines, path)

    def nearest(self, word: str, known: Collection[str]) -> str:
        """What was probably meant, "" where that is unclear, or where many others were looked for before."""
        if self._gone_through >= _MOST_NAMES:
            return ""
        self._gone_through += max(len(known), _LEAST_NAMES)
        return nearest(word, known)

    def near(self, word: str, known: Collection[str]) -> str:
        """A hint: what was probably meant, or all that there is."""
        return meant(self.nearest(word, known), known)

    @cached_property
    def _lines(self) -> dict[Key, int]:
        return lines_of(self._text)


class TableReader:
    """Makes structs of tables and gathers what is wrong with them. name: what is told of a path."""

    def __init__(self, mistakes: Mistakes, name: Callable[[Key], str]) -> None:
        self.mistakes = mistakes
        self._name = name

    def wrong(self, path: Key, problem: str, hint: str, *, entry: int | None = None) -> None:
        """A mistake at `path`. entry: of the list there."""
        self.mistakes.add(path, self._name(path), problem, hint, entry=entry)

    def read(
        self,
        path: Key,
        raw: Any,
        struct: type[S],
        *,
        examples: Mapping[str, str],
        choices: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
        checks: Mapping[str, Check] = MappingProxyType({}),
        elsewhere: Callable[[str], str] = lambda key: "",
    ) -> S | None:
        """The table at `path` as a struct, None where it has a mistake.

        examples: key -> a value in TOML, for hints. choices: key -> all that may stand there. checks: of a key's value,
        or of each entry where it is a list. elsewhere: a hint for a key that other tables have, or "".
        """
        if not isinstance(raw, Mapping):
            self.wrong(path, "is not a table", f"write [{'.'.join(map(str, path))}] in a line of its own")
            return None
        before, types, values, named = len(self.mistakes), field_types(struct), dict[str, Any](), set[str]()
        for key, name, value in plain_keys(raw, types):
            named.add(name)
            if name not in types:
                likely = self.mistakes.nearest(key, types)
                self.wrong((*path, key), "unknown key", elsewhere(key) or meant(likely, types))
                named.add(likely)
                continue
            instead = _instead(name, value, examples, choices)
            try:
                values[name] = msgspec.convert(value, types[name], strict=True)
            except msgspec.ValidationError as fault:
                entry = _entry(str(fault), value)
                given = value if entry is None else value[entry]
                self.wrong((*path, key), _plainly(str(fault), given, name), instead, entry=entry)
            else:
                if name in checks:
                    self._check((*path, key), values[name], checks[name], instead)
        for item in _fields(struct):
            if item.required and item.name not in named:
                self.wrong(path, f"has no {item.name}", f"add {item.name} = {examples[item.name]}")
        return struct(**values) if len(self.mistakes) == before else None

    def _check(self, path: Key, value: Any, check: Check, instead: str) -> None:
        for at, entry in enumerate(value if isinstance(value, tuple) else (value,)):
            try:
                check(entry)
            except ValueError as fault:
                problem, _, hint = str(fault).partition("; ")
                self.wrong(path, problem, hint or instead, entry=at)


def field_types(struct: type[msgspec.Struct]) -> Mapping[str, Any]:
    """Key -> type of a table's keys."""
    return {field.name: field.type for field in _fields(struct)}


# bound: the kinds of tables that a file may have; finding out takes 0.4 ms, and a file may have thousands of tables
@lru_cache(maxsize=64)
def _fields(struct: type[msgspec.Struct]) -> tuple[FieldInfo, ...]:
    return msgspec.structs.fields(struct)


def given(value: object, key: str = "") -> str:
    """What stands there, cut off where it is long, of URLs the host at most; nothing where `key` keeps a secret."""
    if _SECRET.search(key):
        return "a value that is not shown"
    try:
        text = repr(value)
    except ValueError:  # Python writes no number of more than 4300 digits
        return "a number of very many digits"
    if "://" in text:
        text = "".join(text.split())  # behind a space the rest of a secret would look like another word
    return hide_secrets(text, paths=False)[:60]


def _instead(key: str, value: Any, examples: Mapping[str, str], choices: Mapping[str, tuple[str, ...]]) -> str:
    if key in choices and isinstance(value, str):
        return near(value, choices[key])
    return f"write for example {key} = {examples[key]}" if key in examples else "see the documents on alerts"


def _entry(fault: str, value: Any) -> int | None:
    """Which entry of a list a validation error is about; None where it is about the whole."""
    found = re.search(r" - at `\$\[(\d+)\]", fault)
    return int(found[1]) if found is not None and isinstance(value, list) else None


def _plainly(fault: str, value: Any, key: str) -> str:
    """A validation error in words that need no knowledge of types."""
    problem = fault.partition(" - at `")[0].replace("`", "").replace(" | null", "")
    if "matching regex" in problem or problem.startswith("Invalid enum"):
        return f"{given(value, key)} cannot stand here"
    expected = re.sub(r"\b(float|int|str|array|object|bool)\b", lambda word: _WORDS[word[1]], problem.split(",")[0])
    return f"{expected[0].lower()}{expected[1:]}, got {given(value, key)}"
