"""The addresses that read what is kept on disk."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Protocol

from streamclf.config import ClipsConfig
from streamclf.serve.http.alike import LikeQuery, alike_of
from streamclf.serve.http.clip import Clips
from streamclf.serve.http.events import HistoryQuery, page_of
from streamclf.serve.http.hours import HoursQuery, hours_of
from streamclf.serve.http.lessons import Lessons
from streamclf.serve.http.review import ReviewQuery, review_of
from streamclf.serve.http.route import NotKeptError, Query, Reply, Route, from_store
from streamclf.serve.http.rules import Rules
from streamclf.serve.http.species import SpeciesQuery, species_of
from streamclf.serve.http.thresholds import Thresholds
from streamclf.serve.http.why import Live, Why
from streamclf.serve.roles import Role


class Schooling(Protocol):
    """names: host -> the pack of what was taught on it. problems: label -> why it is not heard."""

    problems: dict[str, str]

    @property
    def names(self) -> Mapping[str, str]:
        """See the class."""


def stored_routes(
    folder: Path | None,
    live: Live | None = None,
    *,
    clips: Callable[[], ClipsConfig] = ClipsConfig,
    school: Schooling | None = None,
    likely: Callable[[str], list[float]] = lambda label: [],
) -> dict[str, Route]:
    """folder: of the store, None where nothing is kept; the addresses then say so. clips: what is kept of sound now.
    school: what is taught. likely: of a label id how likely it is here, of each of 48 weeks; [] where nobody knows.

    live: the running daemon, which alone knows its rules and why. Call it on the event loop's thread.
    """
    routes = dict.fromkeys(
        ("/v1/events", "/v1/hours", "/v1/species", "/v1/why", "/v1/rules"), Route(Role.LABELS, nothing_kept)
    )
    routes["/v1/clip"] = Route(Role.AUDIO, nothing_kept)
    routes |= dict.fromkeys(("/v1/thresholds", "/v1/review"), Route(Role.ADMIN, nothing_kept))
    routes |= dict.fromkeys(("/v1/taught", "/v1/like"), Route(Role.LABELS, nothing_kept))
    if folder is None:
        return routes
    lessons = Lessons(folder, {} if school is None else school.names, lambda: {} if school is None else school.problems)
    routes["/v1/taught"] = Route(Role.LABELS, lessons.answer, in_thread=True)
    routes["/v1/like"] = Route(Role.LABELS, from_store(folder, LikeQuery, alike_of), in_thread=True)
    routes["/v1/events"] = Route(Role.LABELS, from_store(folder, HistoryQuery, page_of), in_thread=True)
    routes["/v1/hours"] = Route(Role.LABELS, from_store(folder, HoursQuery, hours_of), in_thread=True)
    species = from_store(folder, SpeciesQuery, partial(species_of, likely=likely))
    routes["/v1/species"] = Route(Role.LABELS, species, in_thread=True)
    routes["/v1/review"] = Route(Role.ADMIN, from_store(folder, ReviewQuery, review_of), in_thread=True)
    routes["/v1/thresholds"] = Route(Role.ADMIN, Thresholds(folder).answer, in_thread=True)
    routes["/v1/clip"] = Route(Role.AUDIO, Clips(folder, clips).answer, in_thread=True)
    if live is not None:
        routes["/v1/why"] = Route(Role.LABELS, Why(folder, live).answer, in_thread=True)
        routes["/v1/rules"] = Route(Role.LABELS, Rules(live.rules).answer)
    return routes


def nothing_kept(query: Query) -> Reply:
    """Raises `NotKeptError`."""
    raise NotKeptError("no events are kept; [store] enabled switches it on")
