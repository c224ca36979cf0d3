"""`GET /v1/species`: which labels were ever heard here, or all of one: when, how often by hour and day, its best clips.

    label      an id: the page of that one; left out: the list of all
    tz         minutes east of UTC of the zone whose hours and days are meant; 0 where it is left out
    since_ns   onsets from then on; left out: all that is kept
    streams    a list by commas or repetition
    best       events of the page, 5 unless something else is said, at most 12
    dates      true: also `dates` beside `days`, counted from 1970, for who puts the answers of several daemons together

Without `label`: `{"species": [{"label", "pack", "group", "total", "days", "first_ns", "last_ns", "best", "seconds"}]}`,
who was new last first. With it: `{"heard": [the same, of each pack], "hours": [24 counts], "days": [{"day", "count"}],
"streams": {name: count}, "best": [events as at /v1/events], "likely": [48 numbers]}`; `best` has those with a clip
first, by their peaks, and none that was marked as wrong; `likely` says how likely the species is at `[place]` in each
of the year's 48 weeks, and is empty where nobody knows. Events of the self-test are not counted.
"""

import sqlite3
from collections.abc import Callable
from typing import Annotated

import msgspec

from streamclf.store.species import HeardLabel, SpeciesPage, heard_labels, species_page


class SpeciesQuery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request. See the module's text."""

    label: str = ""
    tz: Annotated[int, msgspec.Meta(ge=-900, le=900)] = 0
    since_ns: int | None = None
    streams: tuple[str, ...] = ()
    best: Annotated[int, msgspec.Meta(ge=0, le=12)] = 5
    dates: bool = False


class SpeciesAnswer(msgspec.Struct, frozen=True):
    """The list."""

    species: list[HeardLabel]


class SpeciesPageAnswer(SpeciesPage, frozen=True):
    """The page of one label. likely: how likely it is here in each of 48 weeks, empty where nobody knows."""

    likely: tuple[float, ...] = ()


def species_of(
    connection: sqlite3.Connection, wish: SpeciesQuery, *, likely: Callable[[str], list[float]]
) -> SpeciesAnswer | SpeciesPageAnswer:
    """The list, or the page of one. likely: of a label id how likely it is here, of each of 48 weeks."""
    if not wish.label:
        found = heard_labels(
            connection, minutes_east=wish.tz, streams=wish.streams, since_ns=wish.since_ns, dates=wish.dates
        )
        return SpeciesAnswer(found)
    page = species_page(
        connection,
        wish.label,
        minutes_east=wish.tz,
        streams=wish.streams,
        best=wish.best,
        since_ns=wish.since_ns,
        dates=wish.dates,
    )
    return SpeciesPageAnswer(page.heard, page.hours, page.days, page.streams, page.best, tuple(likely(wish.label)))
