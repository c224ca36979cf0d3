"""The hub of a gateway that follows many sites.

Theory of operation. All sites give to one stream of JetStream, which puts their bundles into one order, the same for
every gateway and after each restart of one. So what a gateway of many sites sends is numbered by that: the bundle's
place times 1024, and what is in the bundle counts on from there. Numbers grow and are never given twice, but are not
consecutive. It does not matter which of the sites a gateway follows, nor which of them a client may see: a client that
comes with `since` from one gateway to another gets what follows, of what it may see there. `hello.instance` is that
stream of JetStream: it stays the same while daemons come and go.

What a site told of itself last (its facts) is the roster, and lies in JetStream for a month: so a gateway knows of a
site that is gone, and since when. A site that starts anew with the same streams and packs goes on in the same hub; its
clients are asked to come again, since its frames count from another moment. Where streams, packs or labels are others,
or a site is new, the gateway reads all that is held anew, and clients come again to another hub, with the same numbers.
Rows of before that do not fit any more are not held, and `hello.oldest_seq` says so.

Of each scope, which is a set of sites that somebody may see, there is a hub of its own. It is never given anything of
another site: so there is nothing that would have to be left out.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.protocol.status import DaemonProblem
from streamclf.serve.fanout.bundles import (
    Announced,
    AnyEntry,
    Bundle,
    Ended,
    Facts,
    Relabelling,
    message_of,
)
from streamclf.serve.fanout.doubles import Doubles
from streamclf.serve.fanout.follower import DEAD_S, SiteFacts
from streamclf.serve.fanout.relay import Relay
from streamclf.serve.fanout.roster import BETWEEN, Roster, merged_packs, place_at
from streamclf.serve.published import Item, place_before, place_of
from streamclf.types import StreamState

log = logging.getLogger("streamclf")

NUMBER_BITS = 10
"""Of a number, for what is within a bundle: MAX_NUMBERS of bundles.py fit in."""


@dataclass(slots=True)
class _Part:
    """How far a site has come. run: of its daemon, "" before the first. passed: something was not repeated.

    heard_s: when something came last (monotonic); at_ns: the same by the clock of NATS. gone: why it counts as lost.
    ended: its daemon said that it stops.
    """

    run: str = ""
    seq: int = 0
    fits: bool = False
    passed: bool = False
    heard_s: float = 0.0
    at_ns: int = 0
    gone: str = ""
    ended: bool = False


@dataclass(frozen=True, slots=True)
class SitesSeen:
    """sites: those that may be seen; None for all that there are."""

    sites: frozenset[str] | None = None

    def has(self, site: str) -> bool:
        """Whether it may be seen."""
        return self.sites is None or site in self.sites


class FleetRelay(Relay):
    """scope: whose sites it has. told: what each of them told of itself last. metered: whether it counts for /metrics.

    Raises `ServeError` for facts that cannot be read.
    """

    def __init__(self, identity: str, scope: SitesSeen, told: Mapping[str, SiteFacts], *, metered: bool = True) -> None:
        told = {site: each for site, each in told.items() if scope.has(site)}
        self.scope = scope
        facts = {site: fact for site, each in told.items() for fact in facts_in(each.bundle)[-1:]}
        self._roster = Roster(facts)
        super().__init__(identity, self._roster.merged)
        self.overview.metered = metered
        self.greets_anew = False
        """Whether a site began anew, so that clients have to be greeted again."""
        self._ring.counted = False
        self._facts = dict(self._roster.told)
        now_s, now_ns = time.monotonic(), time.time_ns()
        self._parts = {
            site: _Part(at_ns=told[site].at_ns, heard_s=now_s - max(0.0, (now_ns - told[site].at_ns) / 1e9))
            for site in facts
        }
        self._told_ns = {site: told[site].at_ns for site in facts}
        self._begun = False

    @property
    def sites(self) -> list[str]:
        """Those that it knows, by name."""
        return list(self._parts)

    def pack_at(self, site: str, name: str) -> str:
        """What a pack of that site is called here, also one that it had before."""
        try:
            return self._roster.pack(site, name)
        except KeyError:
            return f"{site}{BETWEEN}{name}"

    def feed(self, site: str, place: int, at_ns: int, bundle: Bundle) -> bool:
        """Repeat a bundle of a site that it knows. Returns whether the roster does not hold any more.

        place, at_ns: of the bundle in JetStream. Raises `ServeError` for what cannot be read.
        """
        part = self._parts[site]
        part.heard_s = time.monotonic() - (0.0 if at_ns > self._told_ns[site] else self._age_s(at_ns))
        part.at_ns = at_ns
        if not self._begun:
            self._begun = True
            self._forget(place << NUMBER_BITS)
        first = bundle.entries[0].seq if bundle.entries else 0
        for entry in bundle.entries:
            number = (place << NUMBER_BITS) + entry.seq - first
            if isinstance(entry, Facts) and bundle.run != part.run:
                self._restart(site, part, bundle.run, entry, number)
            fits = part.fits and bundle.run == part.run
            if isinstance(entry, Facts) and fits:
                fits = part.fits = self._roster.fits(site, entry)
            if isinstance(entry, Relabelling) and fits:
                fits = part.fits = False
            if not fits:
                part.passed = True
                if at_ns > self._told_ns[site] and isinstance(entry, Facts):
                    return True
                continue
            try:
                self._turn(site, part, number, entry)
            except (KeyError, ValueError) as fault:
                raise ServeError(f"what came does not fit what {site} told of itself ({fault!r})") from None
        return False

    def note(self, now_s: float) -> None:
        """Look which sites are silent. now_s: of the monotonic clock."""
        for site, part in self._parts.items():
            if not part.gone and now_s - part.heard_s > DEAD_S:
                self._lose(site, part, f"nothing has come of {site} since {_clock(part.at_ns)}")

    def _age_s(self, at_ns: int) -> float:
        return max(0.0, (time.time_ns() - at_ns) / 1e9)

    def _forget(self, number: int) -> None:
        """What has a lower number is not held."""
        self.seq = max(self.seq, number)
        self._ring.items.forgotten_place = max(self._ring.items.forgotten_place, place_of(number))

    def _restart(self, site: str, part: _Part, run: str, facts: Facts, number: int) -> None:
        """Another run of that daemon begins here."""
        self.greets_anew = self.greets_anew or bool(part.run)
        self._close_site(site, number)
        for name in self.streams:
            if place_at(name).site == site:
                self._on_demand.forget(name)
        part.run, part.seq, part.ended = run, facts.seq, False
        part.fits = self._roster.fits(site, facts)

    def _turn(self, site: str, part: _Part, number: int, entry: AnyEntry) -> None:
        if entry.seq < part.seq:
            return
        if entry.seq > part.seq:
            if not isinstance(entry, Facts):
                return
            self._site_hole(site, part, number, entry)
        if part.passed and isinstance(entry, Facts):
            part.passed = False
            self._forget(number)
        self.seq = max(self.seq, number)
        before = self.seq
        if isinstance(entry, Facts) and not part.ended:
            self._look_at(site, part, entry)
        elif isinstance(entry, Ended):
            part.ended = True
            self._close_site(site, number + 1)
            self._lose(site, part, f"the daemon of {site} has stopped")
        elif isinstance(entry, Announced):
            self.tell(self._roster.said(site, message_of(entry)))
        elif not isinstance(entry, Facts):
            self._repeat(self._roster.renamed(site, part.run, entry), time.time_ns())
        part.seq = entry.seq + self.seq - before

    def _site_hole(self, site: str, part: _Part, number: int, entry: Facts) -> None:
        self._close_site(site, number)
        hole = wire.Lagged(seq=number, from_seq=number, to_seq=number, dropped=entry.seq - part.seq, reason="replay")
        self.seq, part.seq = max(self.seq, number), entry.seq
        self._publish_item(Item(place_of(number), "", "", "", hole))

    def _close_site(self, site: str, number: int) -> None:
        for at, track in enumerate(self._ring.tracks.values()):
            if place_at(track.stream).site == site:
                self._close(track, place_before(number, at))

    def _look_at(self, site: str, part: _Part, facts: Facts) -> None:
        part.gone = ""
        self._facts[site] = facts
        for each in facts.streams:
            name = f"{site}{BETWEEN}{each.name}"
            info = self.streams[name]
            if (info.state, info.detail) != (each.state, each.detail):
                self._state(name, each.state, each.detail)
            self._set_clock(name, each.epoch_ns)
        for pack in merged_packs(self._roster, self._facts):
            info_of_pack = self.packs[pack.name]
            info_of_pack.hop_ms, info_of_pack.provider, info_of_pack.problem = (
                pack.hop_ms,
                pack.provider,
                pack.problem,
            )

    def _lose(self, site: str, part: _Part, why: str) -> None:
        part.gone = why
        for name in self.streams:
            if place_at(name).site == site:
                self._state(name, StreamState.LOST, why)

    def _state(self, name: str, state: StreamState, detail: str) -> None:
        """What is known here alone has no number."""
        info = self.streams[name]
        info.state, info.detail = state, detail
        message = wire.Status(stream=name, pack="", state=state, detail=detail, seq=0)
        for channel in self._channels:
            if name in channel.spec.streams:
                for recipient in list(channel.recipients):
                    recipient.control(message)


class Fleet:
    """Reads many sites: a `BundleReader`. scopes: by name; "" is that of everybody who has no other.

    on_relays: awaited with the relay of each scope, which are to be served from now on in place of former ones.
    on_greet: awaited where clients have to be greeted anew.
    """

    def __init__(
        self,
        scopes: Mapping[str, SitesSeen],
        on_relays: Callable[[Mapping[str, FleetRelay]], Awaitable[None]],
        on_greet: Callable[[], Awaitable[None]],
    ) -> None:
        self._scopes = scopes
        self._on_relays = on_relays
        self._on_greet = on_greet
        self._told: dict[str, SiteFacts] = {}
        self._relays: dict[str, FleetRelay] = {}
        self._served = False
        self._doubles: dict[str, Doubles] = {}
        """By site."""

    def found(self, scope: SitesSeen) -> Iterator[DaemonProblem]:
        """What is wrong with sites of `scope`, of any thread."""
        for site, doubles in list(self._doubles.items()):
            if scope.has(site):
                yield from doubles.found()

    def begin(self, told: Mapping[str, SiteFacts], identity: str) -> None:
        """See `BundleReader`."""
        for site, each in told.items():
            former = self._doubles.get(site)
            if former is None or not former.over(each.bundle.run):  # of two under one name the newer one is shown
                self._note(site, each)
        self._doubles = {}
        instance = sha256(f"streamclf {identity}".encode()).hexdigest()[:16]
        self._relays = {
            name: FleetRelay(instance, scope, self._told, metered=not name) for name, scope in self._scopes.items()
        }
        self._served = False

    def take(self, site: str, place: int, at_ns: int, bundle: Bundle) -> bool:
        """See `BundleReader`."""
        doubles = self._doubles.setdefault(site, Doubles(site))
        if doubles.passed(bundle.run, ends=bundle.ends):
            return False
        facts = facts_in(bundle)
        if facts:
            self._note(site, SiteFacts(Bundle(bundle.run, facts[-1:]), at_ns))
        anew = False
        for name, relay in self._relays.items():
            if site in relay.sites:
                anew = relay.feed(site, place, at_ns, bundle) or anew
            elif facts and self._scopes[name].has(site):
                anew = True
        return anew

    async def caught_up(self) -> None:
        """See `BundleReader`."""
        if not self._served and self._told:
            self._served = True
            await self._on_relays(self._relays)
        elif any(relay.greets_anew for relay in self._relays.values()):
            await self._on_greet()
        for relay in self._relays.values():
            relay.greets_anew = False

    def _note(self, site: str, told: SiteFacts) -> None:
        if site not in self._told or told.at_ns > self._told[site].at_ns:
            self._told[site] = told


def facts_in(bundle: Bundle) -> tuple[Facts, ...]:
    """The facts among its entries."""
    return tuple(entry for entry in bundle.entries if isinstance(entry, Facts))


def _clock(at_ns: int) -> str:
    return datetime.fromtimestamp(at_ns / 1e9, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
