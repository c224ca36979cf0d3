"""`/v1/events`, `/v1/hours` and `/v1/clip` at a gateway: asked of the daemons that keep it, and put together.

A page of many sites says where to go on by one text, `barn:17,garden:4`: of each site the number that its own store
gives. So nothing is kept here, and a client goes on at any gateway. A site that is not named there is read from its
beginning. One that does not answer is named in `silent`, and its number stays where it was: what it has follows later.
"""

import heapq
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Annotated

import msgspec

from streamclf.errors import ServeError, StreamclfError
from streamclf.protocol.kept import EventPage, FleetPage, StoredEvent
from streamclf.serve.fanout.asking import CLIP, Asking, Question, SiteAwayError
from streamclf.serve.fanout.broker import NatsPlace
from streamclf.serve.fanout.fleet import FleetRelay
from streamclf.serve.fanout.roster import BETWEEN, place_at
from streamclf.serve.http.hours import HoursAnswer
from streamclf.serve.http.route import NotKeptError, Query, Reply, Route
from streamclf.serve.query import NOT_OURS, asked
from streamclf.serve.roles import Role
from streamclf.store.hours import LabelHours

_AFTER = re.compile(r"0|[A-Za-z0-9_-]{1,64}:[0-9]{1,18}(,[A-Za-z0-9_-]{1,64}:[0-9]{1,18})*")


class FleetQuery(msgspec.Struct, frozen=True):
    """What is looked at here; the rest is the daemon's affair."""

    streams: tuple[str, ...] = ()
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100
    after: str | None = None
    event: str = ""


class KeptBySites:
    """place: of a site. relay: says which sites there are, and may be seen. Any thread may ask."""

    def __init__(self, asking: Asking, place: Callable[[str], NatsPlace], relay: FleetRelay) -> None:
        self._asking = asking
        self._place = place
        self._relay = relay

    def routes(self) -> dict[str, Route]:
        """By address."""
        return {
            "/v1/events": Route(Role.LABELS, self._events, in_thread=True),
            "/v1/hours": Route(Role.LABELS, self._hours, in_thread=True),
            CLIP: Route(Role.AUDIO, self._clip, in_thread=True),
        }

    def _events(self, query: Query) -> Reply:
        wish = _wish(query)
        before = _numbers(wish.after)
        fields = {"limit": [str(wish.limit)]}
        questions = {}
        for site, streams in self._wanted(wish.streams).items():
            more = fields if before is None else {**fields, "after": [str(before.get(site, 0))]}
            questions[site] = self._question("/v1/events", query, streams, more)
        pages, silent = self._ask_all(questions)
        found = {site: msgspec.json.decode(reply.body, type=EventPage) for site, reply in pages.items()}
        page = _newest(found, wish.limit) if before is None else _next(found, before, wish.limit)
        events = [self._here(place_at(event.id).site, event) for event in page.events]
        return Reply(msgspec.json.encode(msgspec.structs.replace(page, events=events, silent=sorted(silent))))

    def _hours(self, query: Query) -> Reply:
        wish = _wish(query)
        wanted = self._wanted(wish.streams)
        pages, silent = self._ask_all(
            {site: self._question("/v1/hours", query, streams, {}) for site, streams in wanted.items()}
        )
        if silent and not pages:
            raise SiteAwayError(f"no site answers: {', '.join(sorted(silent))}")
        left_out = 0
        found: dict[tuple[str, str], LabelHours] = {}
        for site, reply in pages.items():
            answer = msgspec.json.decode(reply.body, type=HoursAnswer)
            left_out += answer.left_out
            for each in answer.labels:
                pack = self._relay.pack_at(site, each.pack)
                so_far = found.setdefault((each.label, pack), LabelHours(each.label, pack, [0] * len(each.hours)))
                so_far.hours = [one + other for one, other in zip(so_far.hours, each.hours, strict=True)]
                so_far.total += each.total
                so_far.seconds += each.seconds
        labels = sorted(found.values(), key=lambda each: -each.total)
        return Reply(msgspec.json.encode(HoursAnswer(labels, left_out)))

    def _clip(self, query: Query) -> Reply:
        site, event = place_at(_wish(query).event)
        if site not in self._relay.sites:
            raise NotKeptError("there is no such event here; say ?event=ID, as /v1/events gives it")
        return self._asking.ask(self._place(site), Question(CLIP, {"event": [event]}, int(query.role)))

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

    def _question(self, path: str, query: Query, streams: list[str], more: Mapping[str, list[str]]) -> Question:
        ours = {*NOT_OURS, "streams", "after", "limit"}
        fields = {name: values for name, values in query.fields.items() if name not in ours}
        if streams:
            fields["streams"] = streams
        return Question(path, {**fields, **more}, int(query.role))

    def _ask_all(self, questions: Mapping[str, Question]) -> tuple[dict[str, Reply], list[str]]:
        """Site -> what it answered, and the sites that did not. Raises `ServeError` for what none takes."""
        places = {self._place(site): question for site, question in questions.items()}
        found: dict[str, Reply] = {}
        silent: list[str] = []
        refused: list[ServeError] = []
        for place, answer in self._asking.ask_all(places).items():
            if isinstance(answer, NotKeptError):
                continue  # nothing is kept there
            if isinstance(answer, ServeError):
                refused.append(answer)
            elif isinstance(answer, StreamclfError):
                silent.append(place.site)
            else:
                found[place.site] = answer
        if refused:
            raise refused[0]
        return found, silent

    def _here(self, site: str, event: StoredEvent) -> StoredEvent:
        """An event with the names of here; its id has been one already."""
        names = {"stream": f"{site}{BETWEEN}{event.stream}", "pack": self._relay.pack_at(site, event.pack)}
        return msgspec.structs.replace(event, **names)


def kept_by_one(asking: Asking, place: NatsPlace) -> dict[str, Route]:
    """The same of a gateway of one site, which says what its daemon says."""

    def asked_there(path: str) -> Callable[[Query], Reply]:
        def answer(query: Query) -> Reply:
            fields = {name: values for name, values in query.fields.items() if name not in NOT_OURS}
            return asking.ask(place, Question(path, fields, int(query.role)))

        return answer

    found = {path: Route(Role.LABELS, asked_there(path), in_thread=True) for path in ("/v1/events", "/v1/hours")}
    return {**found, CLIP: Route(Role.AUDIO, asked_there(CLIP), in_thread=True)}


def _wish(query: Query) -> FleetQuery:
    ours = {name: values for name, values in query.fields.items() if name in FleetQuery.__struct_fields__}
    return asked(ours, FleetQuery, lists=("streams",))


def _numbers(after: str | None) -> dict[str, int] | None:
    if after is None:
        return None
    if not _AFTER.fullmatch(after):
        raise ServeError("after is none of this gateway's; expected what its last page said, such as garden:17, or 0")
    parts = [] if after == "0" else after.split(",")
    return {site: int(number) for site, _, number in (part.partition(":") for part in parts)}


def _newest(pages: Mapping[str, EventPage], limit: int) -> FleetPage:
    events = [_named(site, event) for site, page in pages.items() for event in page.events]
    events.sort(key=lambda event: event.onset_ns, reverse=True)
    return FleetPage(events[:limit], _text({site: page.after for site, page in pages.items()}), False)


def _next(pages: Mapping[str, EventPage], before: Mapping[str, int], limit: int) -> FleetPage:
    """What follows, of each site in its own order, and so that the sites' times go together."""
    each: Iterable[Iterable[StoredEvent]] = (
        [_named(site, event) for event in page.events] for site, page in pages.items()
    )
    merged = list(heapq.merge(*each, key=lambda event: event.decided_ns))
    numbers = dict(before)
    left = {site: len(page.events) for site, page in pages.items()}
    for event in merged[:limit]:
        site = place_at(event.id).site
        numbers[site] = event.seq
        left[site] -= 1
    for site, page in pages.items():
        if not left[site]:
            numbers[site] = page.after
    more = len(merged) > limit or any(page.more for page in pages.values())
    return FleetPage(merged[:limit], _text(numbers), more)


def _named(site: str, event: StoredEvent) -> StoredEvent:
    return msgspec.structs.replace(event, id=f"{site}{BETWEEN}{event.id}")


def _text(numbers: Mapping[str, int]) -> str:
    return ",".join(f"{site}:{number}" for site, number in sorted(numbers.items())) or "0"
