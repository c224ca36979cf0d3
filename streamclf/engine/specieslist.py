"""Which labels of a pack may be told of here and now: a list of species by place and season.

A list is CSV with a header: `label` (an id, or either name of a species), and where they matter `from` and `to` (days
of the year as MM-DD, both included, over the turn of the year where `to` is the smaller) and `place`. A label with
several lines may be told of on any of their days; one that is not in it never is. Scores stay as they are.
"""

import csv
import io
import logging
import re
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from streamclf.errors import ConfigError
from streamclf.text import nearest, some
from streamclf.types import Label

log = logging.getLogger("streamclf")

_COLUMNS = ("label", "from", "to", "place")
_DAY = re.compile(r"(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])")
_LARGEST = 8 << 20


@dataclass(frozen=True, slots=True)
class Season:
    """Days of the year as (month, day), both included."""

    first: tuple[int, int] = (1, 1)
    last: tuple[int, int] = (12, 31)

    def holds(self, day: date) -> bool:
        """Whether `day` lies in it."""
        today = day.month, day.day
        if self.first <= self.last:
            return self.first <= today <= self.last
        return today >= self.first or today <= self.last


class SpeciesList:
    """seasons: label id -> when it may be told of. unknown: sentences on lines whose label no pack has."""

    def __init__(self, seasons: dict[str, list[Season]], unknown: Sequence[str] = ()) -> None:
        self.seasons = seasons
        self.unknown = tuple(unknown)

    def allowed(self, day: date) -> frozenset[str]:
        """Ids that may be told of on `day`."""
        return frozenset(label for label, some in self.seasons.items() if any(season.holds(day) for season in some))


def read(path: Path, labels: Sequence[Label], *, place: str) -> SpeciesList:
    """The list for `place` (lines without one hold everywhere). labels: those of the packs that it is for.

    A list is often of a whole region, and a pack does not know every species: a line whose label no pack has is left
    out, and told in the log. Raises `ConfigError` where that is every line, and for a day that does not exist.
    """
    text = _text(path)
    known = _names(labels)
    seasons: dict[str, list[Season]] = {}
    unknown: list[str] = []
    rows = csv.DictReader(io.StringIO(text))
    try:
        if "label" not in (rows.fieldnames or ()) or set(rows.fieldnames or ()) - set(_COLUMNS):
            raise ConfigError(
                f"species.file {path} begins with {text.partition(chr(10))[0][:60]!r}; its header is label, and if "
                "they matter from, to and place"
            )
        for row in rows:
            where = f"species.file {path}:{rows.line_num}"
            if (row.get("place") or "").strip() in ("", place):
                season = Season(_day(row.get("from"), (1, 1), where), _day(row.get("to"), (12, 31), where))
                if label := known.get((row["label"] or "").strip().lower()):
                    seasons.setdefault(label, []).append(season)
                else:
                    unknown.append(_unknown(row["label"], known, rows.line_num))
    except csv.Error as fault:
        raise ConfigError(f"species.file {path}:{rows.line_num + 1} is not CSV: {fault}; mend that line") from None
    if unknown and not seasons:
        raise ConfigError(
            f"species.file {path}: no pack of the list knows a label of it ({some(unknown, 3)}); "
            "`streamclf models show NAME` lists them"
        )
    if not seasons:
        raise ConfigError(f"species.file {path} has no line for place {place!r}; nothing would ever be told")
    if unknown:
        lines = "a line is" if len(unknown) == 1 else f"{len(unknown)} lines are"
        log.warning("species.file %s: %s left out, for no pack knows it: %s", path, lines, some(unknown, 5))
    return SpeciesList(seasons, unknown)


def _text(path: Path) -> str:
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _LARGEST:
            raise ConfigError(
                f"species.file {path} is not a regular file of at most 8 MiB; give a CSV with a line for each species"
            )
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise ConfigError(f"species.file {path} is not UTF-8 text; save it as UTF-8") from None
    except (OSError, ValueError) as fault:
        why = getattr(fault, "strerror", None) or str(fault)
        raise ConfigError(f"species.file {str(path)!r} cannot be read: {why}; check the path") from None


def _names(labels: Iterable[Label]) -> dict[str, str]:
    """What a label may be called, in small letters -> its id."""
    names: dict[str, str] = {}
    for label in labels:
        common, _, scientific = label.name.partition(" (")
        for name in (common, scientific.removesuffix(")"), label.name, label.id):
            if name:
                names[name.lower()] = label.id
    return names


def _unknown(text: str | None, known: dict[str, str], line: int) -> str:
    name = (text or "").strip()[:60]
    meant = nearest(name, known)
    return f"{name!r} in line {line}" + (f", did you mean {meant}?" if meant else "")


def _day(text: str | None, default: tuple[int, int], where: str) -> tuple[int, int]:
    if not (text or "").strip():
        return default
    found = _DAY.fullmatch((text or "").strip())
    if found is None:
        raise ConfigError(f"{where}: {(text or '')[:60]!r} is not a day of the year; write MM-DD, such as 04-15")
    return int(found[1]), int(found[2])
