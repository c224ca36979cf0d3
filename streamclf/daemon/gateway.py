"""A gateway, from top to bottom: it follows daemons on NATS, and serves the same websocket and page to many more.

Of one site it repeats the daemon as it is (serve/fanout/relay.py). Of many it is one daemon with the streams of all
(serve/fanout/fleet.py), and lets in some who see only some of the sites. It keeps nothing. What is kept is asked of the
daemons that keep it, and marks and lessons are handed on to them; thresholds, and sound, are refused in words.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import NoReturn, Protocol

from streamclf.config import Config
from streamclf.daemon.diagnosis import DaemonProblems, PartProblems
from streamclf.daemon.followed import Followed
from streamclf.daemon.health import Health
from streamclf.daemon.hearing import Hearing
from streamclf.daemon.parts import Background, Life, live
from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.protocol.status import DaemonProblem
from streamclf.serve.fanout.asking import Asking
from streamclf.serve.fanout.broker import EVERY_SITE, NatsPlace
from streamclf.serve.fanout.fleet import Fleet, FleetRelay, SitesSeen
from streamclf.serve.fanout.follower import Follower, OneSite
from streamclf.serve.fanout.handing import Handing
from streamclf.serve.fanout.kept import PLACES, KeptByOne, KeptBySites
from streamclf.serve.fanout.relay import Relay
from streamclf.serve.http.access import ServerSettings, check_bind
from streamclf.serve.http.feed import KEEP_ALIVE_S, Feed, FeedPage
from streamclf.serve.http.pages import Face
from streamclf.serve.http.route import NotKeptError, Query, Route
from streamclf.serve.http.server import Server
from streamclf.serve.orders import Order, Orderer
from streamclf.serve.roles import Role

log = logging.getLogger("streamclf")

NO_AUDIO = "a gateway has no sound; listen at the daemon itself"
_EXCHANGE_S = 1.0
_LOOK_S = 1.0


def run_gateway(followed: Followed, settings: ServerSettings) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code.

    Raises `ConfigError` for an address that cannot be read, and for a bind that needs a token.
    """
    check_bind(settings)
    place = NatsPlace(followed.way, followed.sites[0] if followed.one else EVERY_SITE)
    live(partial(_start, followed=followed, place=place, settings=replace(settings, no_audio=NO_AUDIO)))
    return 0


async def _start(life: Life, *, followed: Followed, place: NatsPlace, settings: ServerSettings) -> None:
    counter = _Counter(life, settings)
    if followed.one:
        one = OneSite(place.site, counter.serve)
        follower = Follower(place, one, counter.committed)
        asking = Asking(asyncio.get_running_loop(), lambda: follower.client)
        counter.kept = lambda relay: KeptByOne(asking, place)
        counter.handing = Handing(asking, lambda site: place)
        counter.found = [follower.found, one.found]
    else:
        fleet = Fleet({"": followed.all, **followed.scopes}, counter.serve_all, counter.greet_anew)
        follower = Follower(place, fleet, counter.committed)
        asking = Asking(asyncio.get_running_loop(), lambda: follower.client)
        counter.kept = partial(_kept, asking, partial(NatsPlace, followed.way))
        counter.handing = Handing(asking, partial(NatsPlace, followed.way))
        counter.found = [follower.found]
        counter.found_of = fleet.found
        counter.named = followed.named
    await life.start(counter)
    what = "all sites" if EVERY_SITE in followed.sites else ", ".join(followed.sites)
    log.info("following %s on %s", what, place.name)
    await life.start(Background("the follower", follower.run, life.failed))


class Kept(Protocol):
    """What a gateway tells of what its daemons keep."""

    def routes(self) -> Mapping[str, Route]:
        """By address."""

    def live(self, after: str | None) -> FeedPage:
        """What was kept after this place, None for now."""


class _Counter:
    """A part: where clients are served, by one server after the other: another run of the daemon has another hub."""

    name = "the server"
    stop_s = 1.0

    def __init__(self, life: Life, settings: ServerSettings) -> None:
        self.found: list[Callable[[], Iterator[DaemonProblem]]] = []
        """What finds what is wrong with NATS, and the site."""
        self.named: tuple[str, ...] = ()
        """Sites that there should be."""
        self.found_of: Callable[[SitesSeen], Iterator[DaemonProblem]] | None = None
        """Of many sites: what is wrong with some of them."""
        self.kept: Callable[[Relay], Kept]
        """Of a relay: what its daemons keep."""
        self.handing: Handing
        """What is ordered here and done there."""
        self._feeds: list[tuple[Relay, Feed]] = []
        self._life = life
        self._settings = settings
        self._server: Server | None = None
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Nothing yet: before anything has come of the daemon there is nothing to tell clients."""

    async def stop(self, limit_s: float) -> bool:
        """Say good-bye."""
        if self._watch is not None:
            self._watch.cancel()
        if self._server is not None:
            await self._server.stop(limit_s)
        return True

    async def serve(self, relay: Relay) -> None:
        """Serve `relay` from now on; clients of a former one come again."""
        await self._serve(relay, {})

    async def serve_all(self, relays: Mapping[str, FleetRelay]) -> None:
        """Serve a fleet from now on. relays: by scope."""
        others = {scope: relay for scope, relay in relays.items() if scope}
        await self._serve(relays[""], others)

    async def greet_anew(self) -> None:
        """Frames of some stream count from another moment."""
        if self._server is not None:
            self._server.greet_anew("a daemon has started anew")

    def committed(self, site: str) -> None:
        """That site keeps what it did not before; "": any may."""
        for relay, feed in self._feeds:
            if not site or not isinstance(relay, FleetRelay) or relay.scope.has(site):
                feed.committed()

    async def _serve(self, relay: Relay, scoped: Mapping[str, FleetRelay]) -> None:
        await self.stop(_EXCHANGE_S)
        self._feeds = []
        own, health = self._face(relay)
        found = {scope: self._face(other) for scope, other in scoped.items()}
        faces = {scope: face for scope, (face, _) in found.items()}
        healths = [each for _, each in found.values()]
        self._server = Server(
            relay,
            self._settings,
            routes={**own.routes, "/metrics": Route(Role.ADMIN, health.gauges.answer)},
            problems=health.problems,
            feed=own.feed,
            orders={
                **self.handing.orders(relay),
                wire.Adjust: Order("bad-adjust", "adjusting thresholds", _refuse),
            },
            faces=faces,
            on_fault=self._life.failed,
        )
        await self._server.start()
        self._settings = replace(self._settings, port=self._server.port)
        relays = [relay, *scoped.values()]
        self._watch = asyncio.create_task(_watch(relays, [health, *healths], self.committed), name="health")
        log.info("listening on %s", self._server.address)

    def _face(self, relay: Relay) -> tuple[Face, Health]:
        """What those see who see `relay`."""
        health, kept = self._health(relay), self.kept(relay)
        if isinstance(relay, FleetRelay):
            feed = Feed(kept.live, relay.instance, place=PLACES)
        else:
            feed = Feed(kept.live, relay.instance)
        self._feeds.append((relay, feed))
        routes = {
            **kept.routes(),
            "/v1/status": Route(Role.LABELS, health.answer, in_thread=True),
            "/v1/thresholds": Route(Role.ADMIN, _no_thresholds),
        }
        return Face(relay, health.problems, routes, feed), health

    def _health(self, relay: Relay) -> Health:
        parts = PartProblems(writer=None, alerts=None, selftest=None)
        for found in self.found:
            parts.also(found)
        problems = DaemonProblems(relay, parts)
        if isinstance(relay, FleetRelay):
            parts.also(partial(_absent, self.named, relay))
            if self.found_of is not None:
                parts.also(partial(self.found_of, relay.scope))
            problems = FleetProblems(relay, parts)
        needs_token = self._settings.token is not None
        return Health(relay, [], Config(), Hearing(relay, []), problems, needs_token=needs_token)


class FleetProblems(DaemonProblems):
    """Of many sites: while some stream is heard the gateway does its work, and others that are not degrade it."""

    def found(self) -> list[DaemonProblem]:
        """See `Problems`."""
        found = super().found()
        heard = any(info.state.heard for info in list(self._hub.streams.values()))
        for problem in found:
            if heard and problem.streams and problem.grade == "down":
                problem.grade = "degraded"
        return found


async def _watch(relays: list[Relay], healths: list[Health], look: Callable[[str], object]) -> None:
    """For ever. look: at what is kept, now and then, also where nothing was said of it."""
    watches = [asyncio.create_task(health.watch()) for health in healths]
    looked_s = time.monotonic()
    try:
        while True:
            if time.monotonic() - looked_s >= KEEP_ALIVE_S:
                looked_s = time.monotonic()
                look("")
            for relay in relays:
                if isinstance(relay, FleetRelay):
                    relay.note(time.monotonic())
            await asyncio.sleep(_LOOK_S)
    finally:
        for watch in watches:
            watch.cancel()


def _absent(named: tuple[str, ...], relay: FleetRelay) -> Iterator[DaemonProblem]:
    for site in named:
        if relay.scope.has(site) and site not in relay.sites:
            what = f"nothing has ever come of {site}"
            yield DaemonProblem(what, [], 0, f'see that its daemon runs with site = "{site}" in [nats]', "degraded")


def _kept(asking: Asking, place: Callable[[str], NatsPlace], relay: Relay) -> Kept:
    assert isinstance(relay, FleetRelay)
    return KeptBySites(asking, place, relay)


def _no_thresholds(query: Query) -> NoReturn:
    raise NotKeptError("thresholds are tried and changed at the daemon that decides by them; ask it")


def _refuse(orderer: Orderer, wish: object) -> NoReturn:
    raise ServeError("this is a gateway, which decides nothing; set thresholds at the daemon itself")
