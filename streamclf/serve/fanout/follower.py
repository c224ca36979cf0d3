"""A gateway's side: reads what a daemon gave to JetStream, from the oldest that is held, and goes on after any fault.

Theory of operation. Bundles come in order from an ordered consumer. The place reached is the stream's own sequence:
after a lost connection, a server that was restarted or a consumer that has vanished, reading goes on behind it. What is
not held any more shows as missing numbers, which the relay declares. Another run of the daemon, or other labels behind
a hole, is another relay. A relay is handed on once everything has been read that JetStream held at that time, so that
its first clients find the past.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from streamclf.errors import ServeError
from streamclf.protocol.status import DaemonProblem
from streamclf.serve.fanout.broker import RETRY, NatsPlace
from streamclf.serve.fanout.entries import Facts, unpack_bundle
from streamclf.serve.fanout.publisher import FACTS_S
from streamclf.serve.fanout.relay import Relay

if TYPE_CHECKING:
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext
    from nats.js.api import StreamInfo as JetStreamInfo

log = logging.getLogger("streamclf")

_SILENT_S = 3.0
_DEAD_S = 2 * FACTS_S + _SILENT_S
_TURN = 64  # bundles between two turns of others
_TIMEOUT_S = 5.0


class Follower:
    """on_relay: awaited with each relay that is to be served from now on, in place of a former one."""

    def __init__(self, place: NatsPlace, on_relay: Callable[[Relay], Awaitable[None]]) -> None:
        self._place = place
        self._on_relay = on_relay
        self._relay: Relay | None = None
        self._served: Relay | None = None
        self._at = 0
        """The newest sequence of JetStream that was read."""
        self._created: object = None
        """Of the stream that this counts in."""
        self._problem = ""
        self._heard_s = time.monotonic()

    def found(self) -> Iterator[DaemonProblem]:
        """What is wrong, of any thread."""
        if problem := self._problem:
            yield DaemonProblem(problem, [], 0, "see that it can be reached; it is tried again by itself", "down")
        elif self._relay is not None and self._relay.ended:
            yield DaemonProblem(f"the daemon of {self._place.site} has stopped", [], 0, "start it again", "down")
        elif (silent_s := time.monotonic() - self._heard_s) > _DEAD_S:
            what = f"nothing has come of {self._place.site} for {silent_s:.0f} s"
            yield DaemonProblem(what, [], 0, "see that its daemon runs and reaches NATS", "down")

    async def run(self) -> None:
        """For ever."""
        import nats.errors

        failures = 0
        while True:
            try:
                client = await self._place.connect()
                try:
                    stream = client.jetstream(timeout=_TIMEOUT_S)
                    while True:
                        await self._read(stream, await self._find(stream))
                        failures = 0
                finally:
                    with suppress(Exception):
                        await client.close()
            except (nats.errors.Error, OSError, TimeoutError, ServeError) as fault:
                self._has(str(fault) if isinstance(fault, ServeError) else self._place.problem(fault))
            await asyncio.sleep(RETRY.delay_s(failures, chance=random.random()))
            failures += 1

    def _has(self, problem: str) -> None:
        if problem and problem != self._problem:
            log.warning("%s", problem)
        elif self._problem and not problem:
            log.info("%s: it comes again", self._place.name)
        self._problem = problem

    async def _find(self, stream: "JetStreamContext") -> "JetStreamInfo":
        """The stream as it is now. Raises `ServeError` where there is none."""
        from nats.js.errors import NotFoundError

        try:
            info = await stream.stream_info(self._place.stream)
        except NotFoundError:
            site, name = self._place.site, self._place.name
            raise ServeError(
                f'{name} has nothing of {site} yet; is there a daemon with site = "{site}" in [nats]?'
            ) from None
        if info.created != self._created or info.state.last_seq < self._at:
            self._created, self._at = info.created, 0
        return info

    async def _read(self, stream: "JetStreamContext", info: "JetStreamInfo") -> None:
        """Returns where it is to begin again behind the place reached."""
        from nats.js.api import ConsumerConfig, DeliverPolicy

        subscription = await stream.subscribe(
            self._place.subject,
            stream=self._place.stream,
            ordered_consumer=True,
            config=ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_SEQUENCE, opt_start_seq=self._at + 1),
        )
        try:
            held = info.state.last_seq
            await self._serve_from(held)
            self._has("")
            count = 0
            while True:
                try:
                    message = await subscription.next_msg(timeout=_SILENT_S)
                except TimeoutError:
                    if (await self._find(stream)).state.last_seq != self._at:
                        return  # there is more, and the consumer has not told
                    continue
                self._take(message)
                await self._serve_from(held)
                count += 1
                if count % _TURN == 0:
                    await asyncio.sleep(0)
        finally:
            with suppress(Exception):
                await subscription.unsubscribe()

    async def _serve_from(self, held: int) -> None:
        """Hand the relay on, once what was held has been read."""
        if self._relay is not None and self._relay is not self._served and self._at >= held:
            self._served = self._relay
            await self._on_relay(self._relay)

    def _take(self, message: "Msg") -> None:
        place = message.metadata.sequence.stream
        if place <= self._at:
            return
        self._at = place
        bundle = unpack_bundle(message.data)
        self._heard_s = time.monotonic()
        for entry in bundle.entries:
            relay = self._relay
            anew = relay is None or relay.instance != bundle.run
            if isinstance(entry, Facts) and (anew or (relay is not None and not relay.fits(entry))):
                relay = self._relay = Relay(bundle.run, entry)
                anew = False
            if relay is not None and not anew:
                relay.take(entry, sent_ns=time.time_ns())
