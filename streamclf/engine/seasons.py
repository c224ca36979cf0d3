"""What may be told of here and now: by the list of species, and by what a pack says of place and week.

A pack that has `range.onnx` knows how likely each of its labels is at a place in a week of the year. Where the place is
known, labels that are less likely than the configuration wants begin no event; their scores stay as they are, so that
they are near misses, and the reason is told.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from streamclf.engine.specieslist import SpeciesList
from streamclf.model.pack import Pack
from streamclf.model.range import likely, week_of
from streamclf.types import F32

Where = tuple[float, float]
"""Latitude and longitude in degrees."""


@dataclass(frozen=True, slots=True)
class Range:
    """How likely each label of a pack is at one place. weeks: (48, classes) float32 in [0, 1]."""

    columns: Mapping[str, int]
    weeks: F32

    def likely(self, label: str, day: date) -> float | None:
        """Of a label id, None of one that the pack does not have."""
        column = self.columns.get(label)
        return None if column is None else float(self.weeks[week_of(day) - 1, column])

    def allowed(self, day: date, least: float) -> frozenset[str]:
        """Ids of what is at least so likely on that day."""
        row = self.weeks[week_of(day) - 1]
        return frozenset(label for label, column in self.columns.items() if row[column] >= least)


def ranges_of(packs: Sequence[Pack], where: Where | None) -> dict[str, Range]:
    """Of each pack that knows of places, by name; none where the place is not known. Raises `PackError`."""
    if where is None:
        return {}
    return {
        pack.manifest.name: Range(
            {label.id: column for column, label in enumerate(pack.labels)},
            likely(pack, latitude=where[0], longitude=where[1]),
        )
        for pack in packs
        if pack.range is not None
    }


@dataclass(slots=True)
class Seasons:
    """packs: those that the list is for. listed: None where there is none. ranges: of packs that know of places.

    where: the place that the ranges are of. least: how likely a label has to be, 0 for any.
    Exchanged as the configuration is, on the event loop's thread.
    """

    packs: Sequence[str] = ()
    listed: SpeciesList | None = None
    ranges: Mapping[str, Range] = field(default_factory=dict)
    where: Where | None = None
    least: float = 0.0

    @property
    def limited(self) -> set[str]:
        """Packs of which not everything may be told at all times."""
        return {*(self.packs if self.listed is not None else ()), *(self.ranges if self.least > 0 else ())}

    def allowed(self, pack: str, day: date) -> frozenset[str] | None:
        """The labels of `pack` that may be told of on that day, None for all of them."""
        found = self.listed.allowed(day) if self.listed is not None and pack in self.packs else None
        own = self.ranges.get(pack)
        if own is None or self.least <= 0:
            return found
        here = own.allowed(day, self.least)
        return here if found is None else found & here

    def likely(self, pack: str, label: str, day: date) -> float | None:
        """How likely a label is here on that day, in [0, 1]; None where nobody knows."""
        own = self.ranges.get(pack)
        return None if own is None else own.likely(label, day)

    def year(self, label: str) -> list[float]:
        """How likely a label is here, of each of the year's 48 weeks; [] where no pack knows."""
        for own in self.ranges.values():
            if (column := own.columns.get(label)) is not None:
                return [round(float(week), 5) for week in own.weeks[:, column]]
        return []

    def held(self, pack: str, label: str, day: date) -> str:
        """Why a label may not be told of on that day, "" where it may."""
        if self.listed is not None and pack in self.packs and label not in self.listed.allowed(day):
            return "the species list: it has it not at this time of the year"
        found = self.likely(pack, label, day)
        if found is None or found >= self.least:
            return ""
        return f"the range model: it is likely by {found:.2g} here in that week, and species.likely is {self.least:g}"
