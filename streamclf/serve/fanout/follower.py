"""A gateway's side: reads what daemons gave to JetStream, from the oldest that is held, and goes on after any fault.

Theory of operation. Bundles come in order from an ordered consumer. The place reached is the stream's own sequence:
after a lost connection, a server that was restarted or a consumer that has vanished, reading goes on behind it. What is
not held any more shows as missing numbers, which the relay declares. What is made of the bundles is the reader's
affair: of one site (`OneSite`) or of many (fleet.py). It is told when everything has been read that JetStream held when
reading began, so that its first clients find the past.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple, Protocol

from streamclf.errors import ServeError, StreamclfError
from streamclf.protocol.status import DaemonProblem
from streamclf.serve.fanout.broker import EVERY_SITE, RETRY, SITES, STREAM, NatsPlace, site_of
from streamclf.serve.fanout.bundles import Bundle, Facts, unpack_bundle
from streamclf.serve.fanout.doubles import Doubles
from streamclf.serve.fanout.publisher import FACTS_S
from streamclf.serve.fanout.relay import Relay
from streamclf.serve.fanout.way import next_message

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

log = logging.getLogger("streamclf")

_SILENT_S = 3.0
DEAD_S = 2 * FACTS_S + _SILENT_S
"""A daemon of which nothing has come for so long is gone, or cut off."""
_TURN = 64  # bundles between two turns of others
_TIMEOUT_S = 5.0


class SiteFacts(NamedTuple):
    """What a site told of itself last. at_ns: when, by the clock of NATS."""

    bundle: Bundle
    at_ns: int


class BundleReader(Protocol):
    """What bundles are read for."""

    def begin(self, told: Mapping[str, SiteFacts], identity: str) -> None:
        """Everything that is held will be read, from the oldest on. told: by site. identity: of that stream."""

    def take(self, site: str, place: int, at_ns: int, bundle: Bundle) -> bool:
        """A bundle, in its order. place: its number in the stream. Returns whether to begin anew."""

    async def caught_up(self) -> None:
        """What was held when reading began has been read; told after each bundle from then on."""


class Follower:
    """place: of one site, or of all. on_kept: called with a site that keeps what it did not before; "": any may."""

    def __init__(self, place: NatsPlace, reader: BundleReader, on_kept: Callable[[str], object]) -> None:
        self._on_kept = on_kept
        self.client: Client | None = None
        """The connection that there is now."""
        self._place = place
        self._reader = reader
        self._at = 0
        """The newest sequence of JetStream that was read."""
        self._identity = ""
        """Of the stream that this counts in."""
        self._problem = ""

    def found(self) -> Iterator[DaemonProblem]:
        """What is wrong with NATS, of any thread."""
        if problem := self._problem:
            yield DaemonProblem(problem, [], 0, "see that it can be reached; it is tried again by itself", "down")

    async def run(self) -> None:
        """For ever."""
        import nats.errors

        failures = 0
        while True:
            try:
                client = await self._place.connect()
                try:
                    self.client = client
                    await self._hear_kept(client)
                    stream = client.jetstream(timeout=_TIMEOUT_S)
                    while True:
                        await self._read(stream, await self._begin(stream))
                        failures = 0
                finally:
                    self.client = None
                    with suppress(Exception):
                        await client.close()
            except StreamclfError as fault:
                self._has(str(fault))
            except Exception as fault:  # whatever the library raises, it may not end a gateway that serves
                if not isinstance(fault, (nats.errors.Error, OSError, TimeoutError)):
                    log.exception("reading from %s failed; please report it", self._place.name)
                self._has(self._place.problem(fault))
            await asyncio.sleep(RETRY.delay_s(failures, chance=random.random()))
            failures += 1

    async def _hear_kept(self, client: "Client") -> None:
        async def heard(message: "Msg") -> None:
            self._on_kept(site_of(message.subject))

        await client.subscribe(self._place.kept_subject, cb=heard, pending_msgs_limit=1024)
        self._on_kept("")

    def _has(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.warning("%s", problem)
        elif self._problem and not problem:
            log.info("%s: it comes again", self._place.name)
        self._problem = problem

    async def _begin(self, stream: "JetStreamContext") -> int:
        """The number of the newest bundle that is held. Raises `ServeError` where there is none."""
        from nats.js.errors import NotFoundError

        try:
            info = await stream.stream_info(STREAM)
            newest = await self._newest(stream, info.state.last_seq)
        except NotFoundError:
            raise ServeError(_nothing(self._place)) from None
        identity = str(info.created)
        if identity != self._identity or newest < self._at:
            self._at = 0
            self._identity = identity
        if not self._at:
            self._reader.begin(await self._told(stream), identity)
        return newest

    async def _newest(self, stream: "JetStreamContext", of_all: int) -> int:
        if self._place.site == EVERY_SITE:
            return of_all
        return (await stream.get_last_msg(STREAM, self._place.subject)).seq or 0

    async def _told(self, stream: "JetStreamContext") -> dict[str, SiteFacts]:
        """What each site told of itself last, also of one that is gone."""
        from nats.js.api import ConsumerConfig, DeliverPolicy
        from nats.js.errors import NotFoundError

        try:
            waiting = (await stream.stream_info(SITES)).state.messages
        except NotFoundError:
            return {}
        config = ConsumerConfig(deliver_policy=DeliverPolicy.LAST_PER_SUBJECT)
        subscription = await stream.subscribe(
            self._place.every_site, stream=SITES, ordered_consumer=True, config=config
        )
        found: dict[str, SiteFacts] = {}
        try:
            for _ in range(waiting):
                message = await next_message(subscription, timeout_s=_SILENT_S)
                bundle = unpack_bundle(message.data)
                found[site_of(message.subject)] = SiteFacts(bundle, _ns_of(message))
        except TimeoutError:
            pass  # one of them told anew meanwhile
        finally:
            with suppress(Exception):
                await subscription.unsubscribe()
        return found

    async def _read(self, stream: "JetStreamContext", held: int) -> None:
        """Returns where it is to begin again behind the place reached. held: the newest bundle that there was."""
        from nats.js.api import ConsumerConfig, DeliverPolicy

        subscription = await stream.subscribe(
            self._place.subject,
            stream=STREAM,
            ordered_consumer=True,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self._at + 1),
        )
        try:
            await self._serve_from(held)
            self._has("")
            count = 0
            while True:
                try:
                    message = await next_message(subscription, timeout_s=_SILENT_S)
                except TimeoutError:
                    if await self._begin(stream) != self._at:
                        return  # there is more, and the consumer has not told
                    continue
                if self._take(message):
                    self._at = 0
                    return
                await self._serve_from(held)
                count += 1
                if count % _TURN == 0:
                    await asyncio.sleep(0)
        finally:
            with suppress(Exception):
                await subscription.unsubscribe()

    async def _serve_from(self, held: int) -> None:
        if self._at >= held:
            await self._reader.caught_up()

    def _take(self, message: "Msg") -> bool:
        place = message.metadata.sequence.stream
        if place <= self._at:
            return False
        self._at = place
        return self._reader.take(site_of(message.subject), place, _ns_of(message), unpack_bundle(message.data))


class OneSite:
    """Reads one site for relays that repeat its daemon under its own numbers. Another run of it is another relay.

    on_relay: awaited with each relay that is to be served from now on, in place of a former one.
    """

    def __init__(self, site: str, on_relay: Callable[[Relay], Awaitable[None]]) -> None:
        self._site = site
        self._on_relay = on_relay
        self._relay: Relay | None = None
        self._served: Relay | None = None
        self._heard_s = time.monotonic()
        self._doubles = Doubles(site)

    def found(self) -> Iterator[DaemonProblem]:
        """What is wrong with the daemon, of any thread."""
        yield from self._doubles.found()
        if self._relay is not None and self._relay.ended:
            yield DaemonProblem(f"the daemon of {self._site} has stopped", [], 0, "start it again", "down")
        elif (silent_s := time.monotonic() - self._heard_s) > DEAD_S:
            what = f"nothing has come of {self._site} for {silent_s:.0f} s"
            yield DaemonProblem(what, [], 0, "see that its daemon runs and reaches NATS", "down")

    def begin(self, told: Mapping[str, SiteFacts], identity: str) -> None:
        """See `BundleReader`."""
        self._doubles = Doubles(self._site)

    async def caught_up(self) -> None:
        """Hand the relay on."""
        if self._relay is not None and self._relay is not self._served:
            self._served = self._relay
            await self._on_relay(self._relay)

    def take(self, site: str, place: int, at_ns: int, bundle: Bundle) -> bool:
        """See `BundleReader`."""
        self._heard_s = time.monotonic()
        if self._doubles.passed(bundle.run, ends=bundle.ends):
            return False
        for entry in bundle.entries:
            relay = self._relay
            anew = relay is None or relay.instance != bundle.run
            if isinstance(entry, Facts) and (anew or (relay is not None and not relay.fits(entry))):
                relay = self._relay = Relay(bundle.run, entry)
                anew = False
            if relay is not None and not anew:
                relay.take(entry, sent_ns=time.time_ns())
        return False


def _ns_of(message: "Msg") -> int:
    return int(message.metadata.timestamp.timestamp() * 1e9)


def _nothing(place: NatsPlace) -> str:
    if place.site == EVERY_SITE:
        return f"{place.name} has nothing of any site yet; is there a daemon with url and site in [nats]?"
    return f'{place.name} has nothing of {place.site} yet; is there a daemon with site = "{place.site}" in [nats]?'
