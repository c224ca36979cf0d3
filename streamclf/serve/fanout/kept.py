"""What is kept, at a gateway: asked of the daemons that keep it, and put together.

A page of many sites says where to go on by one text, `barn:17,garden:4`: of each site the number that its own store
gives. So nothing is kept here, and a client goes on at any gateway. A site that is not named there is read from its
beginning. One that does not answer is named in `silent`, and its number stays where it was: what it has follows later.
Of a site that did not answer when somebody began to follow, `barn:now` says so: its past is not wanted.
"""

import heapq
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from typing import Annotated, Any, NamedTuple

import msgspec

from streamclf.errors import ServeError, StreamclfError
from streamclf.protocol.kept import EventPage, FleetPage, StoredEvent
from streamclf.serve.fanout import merged
from streamclf.serve.fanout.asking import CLIP, EVENTS, Asking, Question, SiteAwayError
from streamclf.serve.fanout.broker import NatsPlace
from streamclf.serve.fanout.fleet import FleetRelay
from streamclf.serve.fanout.roster import place_at
from streamclf.serve.http.alike import AlikeList
from streamclf.serve.http.feed import PAGE, FeedPage, numbered_page
from streamclf.serve.http.hours import HoursAnswer
from streamclf.serve.http.lessons import TaughtList
from streamclf.serve.http.loudness import LoudnessAnswer
from streamclf.serve.http.review import ReviewAnswer
from streamclf.serve.http.route import NotKeptError, Query, Reply, Route
from streamclf.serve.http.rules import RulesAnswer
from streamclf.serve.http.species import SpeciesAnswer, SpeciesPageAnswer
from streamclf.serve.http.why import EventWhy, InstantWhy
from streamclf.serve.query import NOT_OURS, asked
from streamclf.serve.roles import Role

_NOW = "now"
PLACES = re.compile(rf"0|[A-Za-z0-9_-]{{1,64}}:([0-9]{{1,18}}|{_NOW})(,[A-Za-z0-9_-]{{1,64}}:([0-9]{{1,18}}|{_NOW}))*")
"""What `after` looks like."""
Places = Mapping[str, int | None]
"""Site -> the number of its store that was read last; None for now."""
_ROLES = {"/v1/review": Role.ADMIN, CLIP: Role.AUDIO}


class FleetQuery(msgspec.Struct, frozen=True):
    """What is looked at here; the rest is the daemon's affair."""

    streams: tuple[str, ...] = ()
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    after: str | None = None
    event: str = ""
    stream: str = ""
    label: str = ""
    best: Annotated[int, msgspec.Meta(ge=0, le=12)] = 5


class _Found(NamedTuple):
    """replies: by site. silent: sites that did not answer. nothing: why one that did has nothing."""

    replies: dict[str, Reply]
    silent: list[str]
    nothing: NotKeptError | None


class KeptBySites:
    """place: of a site. relay: says which sites there are, and may be seen. Any thread may ask."""

    def __init__(self, asking: Asking, place: Callable[[str], NatsPlace], relay: FleetRelay) -> None:
        self._asking = asking
        self._place = place
        self._relay = relay
        self._here = merged.Here(relay)

    def routes(self) -> dict[str, Route]:
        """By address."""
        answers: dict[str, Callable[[Query], Reply]] = {
            "/v1/events": self._events,
            "/v1/hours": partial(self._of_all, "/v1/hours", HoursAnswer, merged.hours),
            "/v1/species": self._species,
            "/v1/why": self._why,
            "/v1/rules": partial(self._of_all, "/v1/rules", RulesAnswer, merged.rules),
            "/v1/review": self._review,
            "/v1/taught": partial(self._of_all, "/v1/taught", TaughtList, merged.taught),
            "/v1/like": self._alike,
            "/v1/loudness": partial(self._of_all, "/v1/loudness", LoudnessAnswer, merged.loudness),
            CLIP: lambda query: self._at_one(CLIP, query)[1],
        }
        return {path: Route(_ROLES.get(path, Role.LABELS), answer, in_thread=True) for path, answer in answers.items()}

    def live(self, after: str | None) -> FeedPage:
        """What was kept after this place, for /v1/live. Raises `ServeError`."""
        before = _numbers(after)
        pages, silent = self._pages(self._wanted(()), before, PAGE, {}, Role.LABELS)
        if before is None:
            numbers = {**{site: page.after for site, page in pages.items()}, **dict.fromkeys(silent)}
            text = _text(numbers)
            return FeedPage([], [], text, text, False, tuple(silent))
        page, places = _next(pages, before, PAGE)
        return FeedPage(page.events, places, after or "0", page.after, page.more, tuple(silent))

    def _events(self, query: Query) -> Reply:
        wish = _wish(query)
        before = _numbers(wish.after)
        wanted = self._wanted(wish.streams)
        more = {name: values for name, values in query.fields.items() if name not in ("streams", "after", "limit")}
        pages, silent = self._pages(wanted, before, wish.limit, more, query.role)
        page = _newest(pages, wish.limit) if before is None else _next(pages, before, wish.limit)[0]
        return Reply(msgspec.json.encode(msgspec.structs.replace(page, silent=silent)))

    def _pages(
        self,
        wanted: Mapping[str, list[str]],
        before: Places | None,
        limit: int,
        more: Mapping[str, list[str]],
        role: Role,
    ) -> tuple[dict[str, EventPage], list[str]]:
        """A page of each site with the names of here, and those that did not answer. wanted: see `_wanted`."""
        questions = {}
        for site, streams in wanted.items():
            number = None if before is None else before.get(site, 0)
            fields = {"limit": [str(limit)]} if number is None else {"limit": [str(limit)], "after": [str(number)]}
            questions[site] = _question("/v1/events", {**more, **fields}, streams, role)
        found = self._ask_all(questions)
        pages = {}
        for site, reply in found.replies.items():
            page = msgspec.json.decode(reply.body, type=EventPage)
            begins_now = before is not None and before.get(site, 0) is None
            events = [] if begins_now else [self._here.event(site, event) for event in page.events]
            pages[site] = EventPage(events, page.after, page.more)
        return pages, found.silent

    def _of_all(
        self, path: str, kind: type[msgspec.Struct], merge: Callable[..., msgspec.Struct], query: Query, **more: int
    ) -> Reply:
        """What all sites answer. more: what `merge` takes besides."""
        fields = {name: values for name, values in query.fields.items() if name != "streams"}
        wanted = self._wanted(_wish(query).streams)
        found = self._ask_all({
            site: _question(path, fields, streams, query.role) for site, streams in wanted.items()
        })  # fmt: skip
        if not found.replies:
            if found.silent:
                raise SiteAwayError(f"no site answers: {', '.join(found.silent)}")
            raise found.nothing or NotKeptError("no site has such streams; /v1/status names those that there are")
        answers = {site: msgspec.json.decode(reply.body, type=kind) for site, reply in found.replies.items()}
        return Reply(msgspec.json.encode(merge(answers, self._here, found.silent, **more)))

    def _species(self, query: Query) -> Reply:
        wish = _wish(query)
        query = query._replace(fields={**query.fields, "dates": ["true"]})
        if wish.label:
            return self._of_all("/v1/species", SpeciesPageAnswer, merged.species_page, query, best=wish.best)
        return self._of_all("/v1/species", SpeciesAnswer, merged.species, query)

    def _review(self, query: Query) -> Reply:
        limit = _wish(query).limit if "limit" in query.fields else 20
        return self._of_all("/v1/review", ReviewAnswer, merged.review, query, limit=limit)

    def _why(self, query: Query) -> Reply:
        site, reply = self._at_one("/v1/why", query)
        answer: msgspec.Struct
        if "event" in query.fields:
            answer = merged.event_why(site, msgspec.json.decode(reply.body, type=EventWhy), self._here)
        else:
            answer = merged.instant_why(site, msgspec.json.decode(reply.body, type=InstantWhy), self._here)
        return Reply(msgspec.json.encode(answer))

    def _alike(self, query: Query) -> Reply:
        site, reply = self._at_one("/v1/like", query)
        answer = merged.alike(site, msgspec.json.decode(reply.body, type=AlikeList), self._here)
        return Reply(msgspec.json.encode(answer))

    def _at_one(self, path: str, query: Query) -> tuple[str, Reply]:
        """The site that `event` or `stream` names, and what it answers."""
        wish = _wish(query)
        given = {"event": wish.event, "stream": wish.stream}
        named = {name: place_at(text) for name, text in given.items() if name in query.fields}
        sites = {each.site for each in named.values()}
        if len(sites) != 1:
            raise ServeError("say event=ID, as /v1/events gives it, or stream=SITE/NAME, and one of them")
        (site,) = sites
        if site not in self._relay.sites:
            raise NotKeptError("there is no such event or stream here; /v1/events and /v1/status say which there are")
        fields = {**query.fields, **{name: [each.name] for name, each in named.items()}}
        return site, self._asking.ask(self._place(site), _question(path, fields, [], query.role))

    def _wanted(self, streams: Collection[str]) -> dict[str, list[str]]:
        """Site -> streams of it, none for all."""
        if not streams:
            return {site: [] for site in self._relay.sites}
        wanted: dict[str, list[str]] = {}
        for name in streams:
            site, stream = place_at(name)
            if site in self._relay.sites:
                wanted.setdefault(site, []).append(stream)
        return wanted

    def _ask_all(self, questions: Mapping[str, Question]) -> _Found:
        """Raises `ServeError` for what none takes."""
        places = {self._place(site): question for site, question in sorted(questions.items())}
        found = _Found({}, [], None)
        refused: list[ServeError] = []
        for place, answer in self._asking.ask_all(places).items():
            if isinstance(answer, NotKeptError):
                found = found._replace(nothing=answer)
            elif isinstance(answer, ServeError):
                refused.append(answer)
            elif isinstance(answer, StreamclfError):
                found.silent.append(place.site)
            else:
                found.replies[place.site] = answer
        if refused:
            raise refused[0]
        found.silent.sort()
        return found


class KeptByOne:
    """The same of a gateway of one site, which says what its daemon says."""

    def __init__(self, asking: Asking, place: NatsPlace) -> None:
        self._asking = asking
        self._place = place

    def routes(self) -> dict[str, Route]:
        """By address."""
        paths = (*EVENTS, CLIP)
        return {
            path: Route(_ROLES.get(path, Role.LABELS), partial(self._answer, path), in_thread=True) for path in paths
        }

    def live(self, after: str | None) -> FeedPage:
        """What was kept after this number, for /v1/live. Raises `SiteAwayError` where nobody says what now is."""
        fields = {"limit": ["1"]} if after is None else {"limit": [str(PAGE)], "after": [after]}
        try:
            reply = self._asking.ask(self._place, _question("/v1/events", fields, [], Role.LABELS))
        except SiteAwayError:
            if after is None:
                raise
            return FeedPage([], [], after, after, False, (self._place.site,))
        page = msgspec.json.decode(reply.body, type=EventPage)
        return numbered_page([] if after is None else page.events, page.after, more=page.more, after=after)

    def _answer(self, path: str, query: Query) -> Reply:
        return self._asking.ask(self._place, _question(path, query.fields, [], query.role))


def _question(path: str, fields: Mapping[str, list[str]], streams: list[str], role: Role) -> Question:
    found = {name: values for name, values in fields.items() if name not in NOT_OURS}
    if streams:
        found["streams"] = streams
    return Question(path, found, int(role))


def _wish(query: Query) -> FleetQuery:
    ours = {name: values for name, values in query.fields.items() if name in FleetQuery.__struct_fields__}
    return asked(ours, FleetQuery)


def _numbers(after: str | None) -> Places | None:
    if after is None:
        return None
    if not PLACES.fullmatch(after):
        raise ServeError("after is none of this gateway's; expected what its last page said, such as garden:17, or 0")
    parts = [part.partition(":") for part in ([] if after == "0" else after.split(","))]
    return {site: None if number == _NOW else int(number) for site, _, number in parts}


def _newest(pages: Mapping[str, EventPage], limit: int) -> FleetPage:
    events = [event for page in pages.values() for event in page.events]
    events.sort(key=lambda event: event.onset_ns, reverse=True)
    return FleetPage(events[:limit], _text({site: page.after for site, page in pages.items()}), False)


def _next(pages: Mapping[str, EventPage], before: Places, limit: int) -> tuple[FleetPage, list[str]]:
    """What follows, of each site in its own order, and so that the sites' times go together; the place behind each."""
    each: Iterable[Iterable[StoredEvent]] = [page.events for page in pages.values()]
    together = list(heapq.merge(*each, key=lambda event: event.decided_ns))
    numbers = dict(before)
    left = {site: len(page.events) for site, page in pages.items()}
    places = []
    for event in together[:limit]:
        site = place_at(event.id).site
        numbers[site] = event.seq
        left[site] -= 1
        places.append(_text(numbers))
    for site, page in pages.items():
        if not left[site]:
            numbers[site] = page.after
    more = len(together) > limit or any(page.more for page in pages.values())
    return FleetPage(together[:limit], _text(numbers), more), places


def _text(numbers: Mapping[str, Any]) -> str:
    said = (f"{site}:{_NOW if number is None else number}" for site, number in sorted(numbers.items()))
    return ",".join(said) or "0"
