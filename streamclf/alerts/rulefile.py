"""The rules file: TOML in, rules, sinks and a place out; every mistake in it is told with line, key and suggestion.

    [place]            timezone, latitude, longitude
    [sink.NAME]        type and what that type needs (sinks/)
    [[rule]]           one for each rule (ruletable.py)

A file is read as a whole: all its mistakes are found, and nothing of it holds unless there is none.
"""

import difflib
import re
import stat
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self, TypeVar
from zoneinfo import ZoneInfo, available_timezones

import msgspec

from streamclf.alerts.place import Place, TimeRange
from streamclf.alerts.rule import Rule, RuleStage
from streamclf.alerts.ruletable import CHOICES, EXAMPLES, PlaceTable, RuleTable, field_types, listed, rule_of
from streamclf.alerts.sinks.config import SinkConfig
from streamclf.alerts.sinks.registry import kind_named, kinds
from streamclf.alerts.template import Template
from streamclf.alerts.tomllines import Path as Key
from streamclf.alerts.tomllines import line_of, lines_of
from streamclf.errors import ConfigError
from streamclf.types import Label

MAX_BYTES = 1 << 20
_TOP = ("place", "sink", "rule")
_SINK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_WORDS = {
    "float": "number",
    "int": "whole number",
    "str": "text",
    "array": "list",
    "object": "table",
    "bool": "true or false",
}
_TOML_FAULT = re.compile(r"(.*) \(at line (\d+), column \d+\)")

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


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What rules may name. labels: ids and groups (`group:NAME`) that packs tell events of. streams: None for any."""

    labels: frozenset[str]
    streams: frozenset[str] | None = None

    @classmethod
    def of(cls, labels: Iterable[Label], streams: Iterable[str] | None = None) -> Self:
        """Labels, and the groups they are in."""
        known = {name for label in labels for name in (label.id, f"group:{label.group}" if label.group else label.id)}
        return cls(frozenset(known), None if streams is None else frozenset(streams))


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A rules file without a mistake."""

    rules: tuple[Rule, ...] = ()
    sinks: Mapping[str, SinkConfig] = field(default_factory=dict)
    place: Place = field(default_factory=Place)


def load_rules(path: Path, *, known: Vocabulary | None = None) -> RuleFile:
    """Read and check the file. known: without it, any label and stream may be named.

    Raises `ConfigError` with file, line, key and suggestion of the first mistake, and how many more there are.
    """
    file, mistakes = parse_rules(read_rules(path), known=known)
    if mistakes:
        more = f" ({len(mistakes) - 1} more; `streamclf rules check {path}` lists all)" if mistakes[1:] else ""
        raise ConfigError(f"{path}:{mistakes[0].line}: {mistakes[0]}{more}")
    return file


def read_rules(path: Path) -> str:
    """The text of the file. Raises `ConfigError`."""
    try:
        found = path.stat()
        # anything but a regular file could keep the daemon waiting
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
            raise ConfigError(
                f"rules file {path} is no regular file of at most {MAX_BYTES >> 20} MiB; name another one"
            )
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"rules file {path} does not exist; make it, or check the path") from None
    except OSError as fault:
        raise ConfigError(f"rules file {path} cannot be read: {fault.strerror}; check its permissions") from None
    except UnicodeDecodeError as fault:
        raise ConfigError(f"rules file {path} is no UTF-8 text ({fault.reason} at byte {fault.start})") from None


def parse_rules(text: str, *, known: Vocabulary | None = None) -> tuple[RuleFile, list[Mistake]]:
    """The file's content and all of its mistakes, by line. With a mistake the content is not to be used."""
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as fault:
        found = _TOML_FAULT.fullmatch(str(fault))
        problem, line = (found[1], int(found[2])) if found else (str(fault), text.count("\n") + 1)
        return RuleFile(), [Mistake(line, "", f"this is not TOML: {problem}", "check quotes, brackets and = there")]
    reader = _Reader(lines_of(text), known)
    file = reader.file(raw)
    return file, sorted(reader.mistakes, key=lambda mistake: mistake.line)


class _Reader:
    """Goes through the parsed file once and gathers mistakes on the way."""

    def __init__(self, lines: Mapping[Key, int], known: Vocabulary | None) -> None:
        self.mistakes: list[Mistake] = []
        self._lines = dict(lines)
        self._known = known
        self._names: dict[Key, str] = {}

    def file(self, raw: Mapping[str, Any]) -> RuleFile:
        for key in raw:
            if key not in _TOP:
                self._wrong((key,), "no such table in a rules file", _near(key, _TOP))
        place_table = self._table(("place",), raw.get("place", {}), PlaceTable, checks=_PLACE_CHECKS)
        place = self._place(place_table) if place_table else Place()
        sinks = self._sinks(raw.get("sink", {}))
        tables = self._rules(raw.get("rule", []), place_table, sinks)
        if self.mistakes:
            return RuleFile()
        return RuleFile(tuple(rule_of(table, sinks=tuple(sinks)) for table in tables), sinks, place)

    def _place(self, table: PlaceTable) -> Place:
        for one, other in (("latitude", "longitude"), ("longitude", "latitude")):
            if getattr(table, one) is None and getattr(table, other) is not None:
                self._wrong(("place", other), f"stands without {one}", f"add {one} = {EXAMPLES[one]}")
        if not table.timezone:
            return Place(latitude=table.latitude, longitude=table.longitude)
        return Place(ZoneInfo(table.timezone), table.latitude, table.longitude)

    def _sinks(self, raw: Any) -> dict[str, Any]:
        """name -> SinkConfig; None for one that has a mistake, so that rules may name it all the same."""
        sinks: dict[str, Any] = {}
        if not isinstance(raw, Mapping):
            self._wrong(("sink",), "is no table of sinks", "write [sink.NAME] with one pair of brackets")
            return sinks
        for name, table in raw.items():
            path: Key = ("sink", name)
            sinks[name] = self._sink(path, table)
            if not _SINK_NAME.fullmatch(name):
                self._wrong(path, f"{name!r} is no name", "use letters, digits, - and _, such as [sink.phone]")
        return sinks

    def _sink(self, path: Key, table: Any) -> SinkConfig | None:
        if not isinstance(table, Mapping):
            self._wrong(path, "is no table", f"write [{'.'.join(map(str, path))}] in a line of its own")
            return None
        if "type" not in table:
            self._wrong(path, "has no type", f"add type = {' or '.join(map(repr, kinds()))}")
            return None
        given = table["type"]
        try:
            kind = kind_named(given) if isinstance(given, str) else None
        except ConfigError as fault:
            self._wrong((*path, "type"), str(fault), "mend or remove that package")
            return None
        if kind is None:
            self._wrong((*path, "type"), f"{given!r} is no kind of sink", _near(given, kinds()))
            return None
        rest = {key: value for key, value in table.items() if key != "type"}
        config: SinkConfig | None = self._table(path, rest, kind.config, examples=kind.examples)
        return config

    def _rules(self, raw: Any, place: PlaceTable | None, sinks: Iterable[str]) -> list[RuleTable]:
        if not isinstance(raw, list) or not all(isinstance(table, Mapping) for table in raw):
            self._wrong(("rule",), "is one table, and there may be many", "write [[rule]] with two pairs of brackets")
            return []
        tables, lines = [], dict[str, int]()
        for number, entry in enumerate(raw):
            path: Key = ("rule", number)
            name = entry.get("name")
            self._names[path] = f'rule "{name}"' if isinstance(name, str) else f"rule {number + 1}"
            table = self._table(path, entry, RuleTable, checks=_RULE_CHECKS)
            if isinstance(name, str) and name in lines:
                self._wrong((*path, "name"), f"line {lines[name]} has a rule of that name", "give each rule its own")
            elif isinstance(name, str):
                lines[name] = line_of(self._lines, (*path, "name"))
            if table is not None:
                self._rule(path, table, place, sinks)
                tables.append(table)
        return tables

    def _rule(self, path: Key, table: RuleTable, place: PlaceTable | None, sinks: Iterable[str]) -> None:
        """What keys of one rule, each good by itself, must be to each other and to the rest of the file."""
        if (table.count is None) != (table.within_min is None):
            here, missing = ("count", "within_min") if table.within_min is None else ("within_min", "count")
            self._wrong((*path, here), f"stands without {missing}", f"add {missing} = {EXAMPLES[missing]}")
        if table.first is not None and table.days is not None:
            self._wrong((*path, "days"), "stands beside first", 'keep one: first = "day" is the same as days = 1')
        if table.stage is RuleStage.OPEN and table.min_duration_ms is not None:
            hint = 'add stage = "confirmed" (as soon as it has lasted that long) or stage = "close" (at its end)'
            self._wrong((*path, "min_duration_ms"), "an event that opens has no duration yet", hint)
        for key in ("time", "sun", "first", "days", "digest"):
            if not getattr(table, key):
                continue
            if place is not None and not place.timezone:
                hint = f"add [place] with timezone = {EXAMPLES['timezone']}"
                self._wrong((*path, key), "needs the time of day where the microphones are", hint)
            if key == "sun" and place is not None and place.latitude is None:
                hint = f"add [place] with latitude = {EXAMPLES['latitude']}, longitude = {EXAMPLES['longitude']}"
                self._wrong((*path, key), "needs to know where the microphones are", hint)
        for key in ("labels", "streams", "time", "sun", "unless"):
            if getattr(table, key) == () and (*path, key) in self._lines:
                hint = f"name some, such as {EXAMPLES[key]}" if key == "labels" else "leave it out"
                self._wrong((*path, key), "is empty", hint)
        for label in listed(table.unless):
            if label in listed(table.labels):
                self._wrong((*path, "unless"), f"{label!r} is also in labels", "name only what holds the rule back")
        self._meant((*path, "sinks"), listed(table.sinks or ()), sinks, "there is no [sink.{}]")
        if self._known is not None:
            labels = self._known.labels | {"*"}
            for key in ("labels", "unless"):
                self._meant((*path, key), listed(getattr(table, key)), labels, "the packs in use tell no events of {}")
            if self._known.streams is not None:
                self._meant((*path, "streams"), listed(table.streams), self._known.streams, "there is no stream {}")

    def _meant(self, path: Key, given: Iterable[str], known: Iterable[str], problem: str) -> None:
        known = sorted(known)
        for name in given:
            if name not in known:
                self._wrong(path, problem.format(name), _near(name, known))

    def _table(
        self,
        path: Key,
        raw: Any,
        struct: type[S],
        *,
        checks: Mapping[str, Callable[[Any], object]] = MappingProxyType({}),
        examples: Mapping[str, str] = EXAMPLES,
    ) -> S | None:
        """The table as a struct, None where it has a mistake. checks: raise ValueError with problem and hint."""
        if not isinstance(raw, Mapping):
            self._wrong(path, "is no table", f"write [{'.'.join(map(str, path))}] in a line of its own")
            return None
        before, types, values = len(self.mistakes), field_types(struct), {}
        meant = set()
        for key, value in raw.items():
            if key not in types:
                self._wrong((*path, key), "unknown key", _elsewhere(key) or _near(key, types))
                meant.update(difflib.get_close_matches(key, types, n=1, cutoff=0.5))
                continue
            try:
                values[key] = msgspec.convert(value, types[key], strict=True)
                for part in listed(values[key]) if key in checks else ():
                    checks[key](part)
            except msgspec.ValidationError as fault:
                self._wrong((*path, key), _plainly(str(fault), value), _example(key, value, examples))
            except ValueError as fault:
                problem, _, hint = str(fault).partition("; ")
                self._wrong((*path, key), problem, hint or _example(key, value, examples))
        for item in msgspec.structs.fields(struct):
            if item.required and item.name not in raw and item.name not in meant:
                self._wrong(path, f"has no {item.name}", f"add {item.name} = {examples[item.name]}")
        return struct(**values) if len(self.mistakes) == before else None

    def _wrong(self, path: Key, problem: str, hint: str) -> None:
        names = [self._names.get(path[:2], "") or ".".join(map(str, path[:2])), *map(str, path[2:])]
        key = ": ".join(names) if path[0] == "rule" else ".".join(map(str, path))
        self.mistakes.append(Mistake(line_of(self._lines, path), key, problem, hint))


def _example(key: str, value: Any, examples: Mapping[str, str]) -> str:
    if key in CHOICES and isinstance(value, str) and examples is EXAMPLES:
        return _near(value, CHOICES[key])
    return f"write for example {key} = {examples[key]}" if key in examples else "see the README on alerts"


def _elsewhere(key: str) -> str:
    """Where a key stands that is looked for at many places; "" for any other one."""
    if key != "picture":
        return ""
    return f"a picture goes with {', '.join(name for name, kind in kinds().items() if key in field_types(kind.config))}"


def _near(word: object, known: Iterable[str]) -> str:
    """What was probably meant, or all that there is."""
    known = list(known)
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]}?"
    return f"there is {', '.join(known[:30])}{', ...' if known[30:] else ''}" if known else "there is none yet"


def _plainly(fault: str, value: Any) -> str:
    """A validation error in words that need no knowledge of types."""
    problem = fault.partition(" - at `")[0].replace("`", "").replace(" | null", "")
    given = repr(value)[:60]
    if "matching regex" in problem or problem.startswith("Invalid enum"):
        return f"{given} cannot stand here"
    expected = re.sub(r"\b(float|int|str|array|object|bool)\b", lambda word: _WORDS[word[1]], problem.split(",")[0])
    return f"{expected[0].lower()}{expected[1:]}, got {given}"


def _timezone(name: str) -> None:
    if not name:
        raise ValueError("is empty")
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{name!r} is no time zone; {_near(name, sorted(available_timezones()))}") from None


def _one_of(key: str) -> Callable[[str], None]:
    def check(word: str) -> None:
        if word not in CHOICES[key]:
            raise ValueError(f"{word!r} cannot stand here; {_near(word, CHOICES[key])}")

    return check


_PLACE_CHECKS: Mapping[str, Callable[[Any], object]] = {"timezone": _timezone}
_RULE_CHECKS: Mapping[str, Callable[[Any], object]] = {
    "time": TimeRange.parse,
    "sun": _one_of("sun"),
    "first": _one_of("first"),
    "message": Template.parse,
}
