"""The rules file: TOML in, rules, sinks and a place out; every mistake in it is told with line, key and suggestion.

    [place]            timezone, latitude, longitude
    [sink.NAME]        type and what that type needs (sinks/)
    [[rule]]           one for each rule (table.py)

A file is read as a whole: all its mistakes are found, and none of it holds unless there is none.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from zoneinfo import ZoneInfo, available_timezones

from streamclf.alerts.rules.mistakes import Check, Mistake, Mistakes, TableReader, field_types, given
from streamclf.alerts.rules.place import Location, TimeRange
from streamclf.alerts.rules.rule import Rule, RuleStage
from streamclf.alerts.rules.table import (
    CHOICES,
    EXAMPLES,
    PlaceTable,
    RuleTable,
    key_meant,
    listed,
    period_in_words,
    rule_of,
)
from streamclf.alerts.rules.template import Template
from streamclf.alerts.sinks.config import SinkConfig
from streamclf.alerts.sinks.kind import kind_meant, kind_named, kinds
from streamclf.errors import ConfigError
from streamclf.text import near
from streamclf.toml import Path as Key
from streamclf.toml import TomlFault, deep_line, parse
from streamclf.trust import read_trusted
from streamclf.types import Label

_TOP = ("place", "sink", "rule")
_CALENDAR = ("weekday", "weekdays", "weekend", "day", "date", "dates", "month", "months", "week", "year")
_SINK_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What rules may name. labels: ids and groups (`group:NAME`) that packs tell events of. streams: None for any.

    sites: whether there may be others, by `[nats]`. gone: what was taught once and is not heard now; rules that name it
    wait for it.
    """

    labels: frozenset[str]
    streams: frozenset[str] | None = None
    sites: bool = True
    gone: frozenset[str] = frozenset()

    @classmethod
    def of(
        cls,
        labels: Iterable[Label],
        streams: Iterable[str] | None = None,
        *,
        sites: bool = True,
        gone: Iterable[str] = (),
    ) -> Self:
        """Labels, and the groups they are in."""
        known = {name for label in labels for name in (label.id, f"group:{label.group}" if label.group else label.id)}
        return cls(frozenset(known), None if streams is None else frozenset(streams), sites, frozenset(gone) - known)

    def waiting(self, rules: Iterable[Rule]) -> tuple[str, ...]:
        """A sentence for each of these rules that names what is gone."""
        return tuple(
            f"the rule '{rule.name}' waits for {word!r}, which is not taught now; `streamclf teach` shows it"
            for rule in rules
            for word in dict.fromkeys((*rule.labels, *rule.unless))
            if word in self.gone
        )


@dataclass(frozen=True, slots=True)
class RuleFile:
    """A rules file without a mistake."""

    rules: tuple[Rule, ...] = ()
    sinks: Mapping[str, SinkConfig] = field(default_factory=dict)
    place: Location = field(default_factory=Location)


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
    return read_trusted(path, "rules file", missing="make it, or check the path", regular=True)


def parse_rules(text: str, *, known: Vocabulary | None = None) -> tuple[RuleFile, list[Mistake]]:
    """The file's content and all of its mistakes, by line. With a mistake the content is not to be used."""
    try:
        raw = parse(text)
    except TomlFault as fault:
        problem = f"this is not TOML: {fault}"
        return RuleFile(), [Mistake(fault.line, "", problem, "check quotes, brackets and = there")]
    reader = _Reader(Mistakes(text), known)
    try:
        file = reader.file(raw)
    except RecursionError:
        return RuleFile(), [
            Mistake(deep_line(text), "", "lists and tables lie too deep in each other", "write them flat")
        ]
    return file, reader.mistakes.by_line


class _Reader(TableReader):
    """Goes through the parsed file once and gathers mistakes on the way."""

    def __init__(self, mistakes: Mistakes, known: Vocabulary | None) -> None:
        super().__init__(mistakes, self._told)
        self._known = known
        self._labels = frozenset() if known is None else known.labels | known.gone | {"*"}
        self._orders: dict[frozenset[str], list[str]] = {}
        self._names: dict[Key, str] = {}

    def file(self, raw: Mapping[str, Any]) -> RuleFile:
        for key in raw:
            if key not in _TOP:
                self.wrong((key,), "no such table in a rules file", self.mistakes.near(key, _TOP))
        place_table = self.read(
            ("place",), raw.get("place", {}), PlaceTable,
            examples=EXAMPLES, checks=_PLACE_CHECKS, elsewhere=_elsewhere,
        )  # fmt: skip
        place = self._place(place_table) if place_table else Location()
        sinks = self._sinks(raw.get("sink", {}))
        tables = self._rules(raw.get("rule", []), place_table, frozenset(sinks))
        if self.mistakes:
            return RuleFile()
        names = tuple(sinks)
        return RuleFile(tuple(rule_of(table, sinks=names) for table in tables), sinks, place)

    def _place(self, table: PlaceTable) -> Location:
        for one, other in (("latitude", "longitude"), ("longitude", "latitude")):
            if getattr(table, one) is None and getattr(table, other) is not None:
                self.wrong(("place", other), f"stands without {one}", f"add {one} = {EXAMPLES[one]}")
        if not table.timezone:
            return Location(latitude=table.latitude, longitude=table.longitude)
        return Location(ZoneInfo(table.timezone), table.latitude, table.longitude)

    def _sinks(self, raw: Any) -> dict[str, Any]:
        """name -> SinkConfig; None for one that has a mistake, so that rules may name it all the same."""
        sinks: dict[str, Any] = {}
        if not isinstance(raw, Mapping):
            self.wrong(("sink",), "is not a table of sinks", "write [sink.NAME] with one pair of brackets")
            return sinks
        for name, table in raw.items():
            path: Key = ("sink", name)
            sinks[name] = self._sink(path, table)
            if not _SINK_NAME.fullmatch(name):
                self.wrong(path, f"{name!r} is not a name", "use letters, digits, - and _, such as [sink.phone]")
        return sinks

    def _sink(self, path: Key, table: Any) -> SinkConfig | None:
        if not isinstance(table, Mapping):
            self.wrong(path, "is not a table", f"write [{'.'.join(map(str, path))}] in a line of its own")
            return None
        if "type" not in table:
            word = str(table.get("kind", ""))
            found = kinds().get(word) or kind_meant(word)
            added = found.name if found else " or ".join(map(repr, kinds()))
            hint = f"write type = {added!r} in place of kind" if found else f"add type = {added}"
            self.wrong(path, "has no type", hint)
            return None
        name = table["type"]
        try:
            kind = kind_named(name) if isinstance(name, str) else None
        except ConfigError as fault:
            self.wrong((*path, "type"), str(fault), "mend or remove that package")
            return None
        if kind is None:
            word = name if isinstance(name, str) else ""
            meant = kind_meant(word)
            hint = f"write type = {meant.name!r}, which {meant.does}" if meant else self.mistakes.near(word, kinds())
            self.wrong((*path, "type"), f"{given(name)} is not a kind of sink", hint)
            return None
        rest = {key: value for key, value in table.items() if key != "type"}
        config: SinkConfig | None = self.read(path, rest, kind.config, examples=kind.examples, elsewhere=_elsewhere)
        return config

    def _rules(self, raw: Any, place: PlaceTable | None, sinks: frozenset[str]) -> list[RuleTable]:
        if not isinstance(raw, list) or not all(isinstance(table, Mapping) for table in raw):
            self.wrong(("rule",), "is one table, and there may be many", "write [[rule]] with two pairs of brackets")
            return []
        tables, first = [], dict[str, Key]()
        for number, entry in enumerate(raw):
            path: Key = ("rule", number)
            name = entry.get("name")
            if "digest" in entry:
                entry = {**entry, "digest": period_in_words(entry["digest"])}
            self._names[path] = f'rule "{name}"' if isinstance(name, str) else f"rule {number + 1}"
            table = self.read(
                path, entry, RuleTable,
                examples=EXAMPLES, choices=CHOICES, checks=_RULE_CHECKS, elsewhere=_of_rule,
            )  # fmt: skip
            if isinstance(name, str) and first.setdefault(name, path) != path:
                line = self.mistakes.line((*first[name], "name"))
                self.wrong((*path, "name"), f"line {line} has a rule of that name", "give each rule its own")
            if table is not None:
                self._keys(path, table)
                self._where_and_when(path, table, place)
                self._empty(path, table, entry)
                self._words(path, table, sinks)
                tables.append(table)
        return tables

    def _keys(self, path: Key, table: RuleTable) -> None:
        """What keys of one rule, each good by itself, must be to each other."""
        if (table.count is None) != (table.within_min is None):
            here, missing = ("count", "within_min") if table.within_min is None else ("within_min", "count")
            self.wrong((*path, here), f"stands without {missing}", f"add {missing} = {EXAMPLES[missing]}")
        if table.first is not None and table.days is not None:
            self.wrong((*path, "days"), "stands beside first", 'keep one: first = "day" is the same as days = 1')
        if table.shared_s and table.digest is not None:
            hint = "leave it out: each site gathers what it hears"
            self.wrong((*path, "shared_s"), "stands beside digest", hint)
        elif table.shared_s and self._known is not None and not self._known.sites:
            hint = "add [nats] with url and site to the configuration, or leave it out"
            self.wrong((*path, "shared_s"), "needs other sites, and the configuration has no [nats]", hint)
        if table.stage is RuleStage.OPEN and table.min_duration_ms is not None:
            hint = 'add stage = "confirmed" (as soon as it has lasted that long) or stage = "close" (at its end)'
            self.wrong((*path, "min_duration_ms"), "an event that opens has no duration yet", hint)

    def _where_and_when(self, path: Key, table: RuleTable, place: PlaceTable | None) -> None:
        """What `[place]` has to say for these keys; nothing is told where it has mistakes of its own."""
        if place is None:
            return
        for key in ("time", "sun", "first", "days", "digest", "max_likely"):
            if getattr(table, key) in (None, ()):
                continue
            if not place.timezone:
                hint = f"add [place] with timezone = {EXAMPLES['timezone']}"
                self.wrong((*path, key), "needs the time of day where the microphones are", hint)
            if key in ("sun", "max_likely") and place.latitude is None:
                hint = f"add [place] with latitude = {EXAMPLES['latitude']}, longitude = {EXAMPLES['longitude']}"
                self.wrong((*path, key), "needs to know where the microphones are", hint)

    def _empty(self, path: Key, table: RuleTable, entry: Mapping[str, Any]) -> None:
        for key in ("labels", "streams", "time", "sun", "unless"):
            if key in entry and getattr(table, key) == ():
                hint = f"name some, such as {EXAMPLES[key]}" if key == "labels" else "leave it out"
                self.wrong((*path, key), "is empty", hint)

    def _words(self, path: Key, table: RuleTable, sinks: frozenset[str]) -> None:
        """Labels, streams and sinks that a rule names."""
        labels = set(listed(table.labels))
        for at, label in enumerate(listed(table.unless)):
            if label in labels:
                hint = "name only what holds the rule back"
                self.wrong((*path, "unless"), f"{label!r} is also in labels", hint, entry=at)
        self._meant((*path, "sinks"), listed(table.sinks or ()), sinks, "there is no [sink.{}]")
        if self._known is not None:
            for key in ("labels", "unless"):
                words = listed(getattr(table, key))
                self._meant((*path, key), words, self._labels, "the packs in use tell no events of {}")
            if self._known.streams is not None:
                self._meant((*path, "streams"), listed(table.streams), self._known.streams, "there is no stream {}")

    def _meant(self, path: Key, names: Iterable[str], known: frozenset[str], problem: str) -> None:
        for at, name in enumerate(names):
            if name not in known:
                self.wrong(path, problem.format(name), self.mistakes.near(name, self._in_order(known)), entry=at)

    def _in_order(self, known: frozenset[str]) -> list[str]:
        """Sorted once, whatever the number of mistakes."""
        if known not in self._orders:
            self._orders[known] = sorted(known)
        return self._orders[known]

    def _told(self, path: Key) -> str:
        if path[0] != "rule":
            return ".".join(map(str, path))
        return ": ".join([self._names.get(path[:2], "") or ".".join(map(str, path[:2])), *map(str, path[2:])])


def _of_rule(key: str) -> str:
    """What people mean by a key that no rule has; "" for any other one."""
    if meant := key_meant(key):
        # a word that is a value of that key is its example
        example = f'"{key.lower()}"' if key.lower() in CHOICES.get(meant, ()) else EXAMPLES[meant]
        return f"did you mean {meant}? An example is {meant} = {example}"
    if key in ("enabled", "disabled", "active"):
        return "a rule that stands here holds; put a # in front of its lines, or take it out"
    if key.lower() in _CALENDAR:
        return "rules know hours (time) and the sun, not the day of the week or the month; leave it out"
    kind = kinds().get(key) or kind_meant(key)
    if kind is not None:
        return f'where alerts go stands in a table of its own, [sink.NAME] with type = "{kind.name}"'
    return _elsewhere(key)


def _elsewhere(key: str) -> str:
    """Where a key stands that is looked for at many places; "" for any other one."""
    if key != "picture":
        return ""
    return f"a picture goes with {', '.join(name for name, kind in kinds().items() if key in field_types(kind.config))}"


def _timezone(name: str) -> None:
    if not name:
        raise ValueError("is empty")
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ValueError(f"{name!r} is not a time zone; {near(name, sorted(available_timezones()))}") from None


def _one_of(key: str) -> Callable[[str], None]:
    def check(word: str) -> None:
        if word not in CHOICES[key]:
            raise ValueError(f"{word!r} cannot stand here; {near(word, CHOICES[key])}")

    return check


def _first(word: str) -> None:
    if word not in CHOICES["first"]:
        raise ValueError(f"{word!r} cannot stand here; there is day and season; for other lengths write days = 365")


_PLACE_CHECKS: Mapping[str, Check] = {"timezone": _timezone}
_RULE_CHECKS: Mapping[str, Check] = {
    "time": TimeRange.parse,
    "sun": _one_of("sun"),
    "first": _first,
    "message": Template.parse,
}
