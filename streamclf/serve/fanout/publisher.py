"""A daemon's own side: what its hub publishes goes to JetStream once, for any number of gateways.

Theory of operation. The hub hands each thing over as it numbers it; it is packed and queued, and nobody waits. One task
sends what is queued, a bundle at a time, the next one when JetStream has kept the last. While the server cannot be
reached entries wait; where they become too much, the oldest are dropped, up to facts at which a gateway can go on.
Nobody needs to be told: numbers are missing, and a gateway declares that to its clients. What lost its acknowledgement
is sent again as the same bundle under the same id, which JetStream keeps once; where a bundle has come twice all the
same, a gateway passes over the numbers that it has had.

All sites share one stream of JetStream, each with a subject of its own. So everything that any of them heard has one
order, which a gateway of many sites counts in (fleet.py).
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from streamclf import metrics
from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.protocol.status import DaemonProblem
from streamclf.serve.fanout.broker import KEEP_SITES_S, RETRY, SITES, STREAM, NatsPlace
from streamclf.serve.fanout.bundles import (
    MAX_NUMBERS,
    Facts,
    entries_of,
    pack_bundle,
    pack_entry,
    sent_pack,
    sent_stream,
    unpack_bundle,
)
from streamclf.serve.fanout.doubles import Doubles
from streamclf.serve.hub import Hub
from streamclf.types import OtherLabels, Output

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

log = logging.getLogger("streamclf")

FACTS_S = 5.0
"""Between two entries of facts: a gateway that starts knows nothing older than the first of them."""
MAX_QUEUED = 32 * 1024 * 1024
_MAX_BUNDLE = 256 * 1024
_ENVELOPE = 1024  # bytes of a message besides its entries, at most
_ACK_S = 5.0


class _Queued(NamedTuple):
    entry: bytes
    seq: int
    """The number before it."""
    begins: bool
    """Whether a gateway can begin at it."""


class Publisher:
    """A part of the daemon. replay_seconds: how long JetStream keeps what it is given, and some more.

    on_connected: awaited with each connection, for what else is done there.
    """

    name = "what goes to NATS"
    stop_s = 0.5

    def __init__(
        self,
        place: NatsPlace,
        hub: Hub,
        *,
        replay_seconds: int,
        on_connected: Callable[["Client"], Awaitable[None]] | None = None,
    ) -> None:
        self._on_connected = on_connected
        self._place = place
        self._hub = hub
        self._replay_seconds = replay_seconds
        # bound: MAX_QUEUED; the oldest are dropped; counter: NATS_DROPPED
        self._queue: deque[_Queued] = deque()
        self._bytes = 0
        self._sending: list[_Queued] = []  # what is on its way, until JetStream has it
        self._bundles = 0
        self._facts_at_s = 0.0
        self._news = asyncio.Event()
        self._calm = asyncio.Event()  # nothing waits, or it cannot be sent
        self._problem = ""
        self._failures = 0
        self._broken = False
        self._doubles = Doubles(place.site, own=hub.instance)
        self._task: asyncio.Task[None] | None = None
        hub.on_numbered = self._take

    def found(self) -> Iterator[DaemonProblem]:
        """What is wrong, of any thread."""
        if problem := self._problem:
            what = f"gateways get nothing: {problem}"
            yield DaemonProblem(what, [], 0, "see that it runs and has JetStream; it is tried again by itself")
        yield from self._doubles.found()

    async def start(self) -> None:
        """Begin; a server that is not there yet is waited for."""
        self._add_facts()
        self._task = asyncio.create_task(self._run(), name="nats")

    async def stop(self, limit_s: float) -> bool:
        """Send what waits, as far as that goes in the time."""
        self._hub.on_numbered = None
        if self._task is None:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(limit_s / 2):
                await self._calm.wait()
        self._task.cancel()
        await asyncio.wait([self._task], timeout=limit_s / 2)
        return self._task.done()

    def _take(self, seq: int, thing: Output | wire.Marked | wire.Taught | None, decided_ns: int) -> None:
        hub = self._hub
        try:
            entries = entries_of(
                seq, thing, decided_ns, streams=hub.streams, packs=hub.packs, captured_ns=hub.overview.captured_ns
            )
            for entry in entries:
                self._add(pack_entry(entry), entry.seq)
            changed = thing is None or isinstance(thing, OtherLabels)
            if changed or asyncio.get_running_loop().time() >= self._facts_at_s + FACTS_S:
                self._add_facts()
        except Exception:
            # the daemon's own clients are not to suffer from it; to gateways it is a hole
            if not self._broken:
                log.exception("something could not be packed for gateways; please report it")
            self._broken = True

    def _add_facts(self) -> None:
        hub = self._hub
        streams = tuple(sent_stream(info) for info in hub.streams.values())
        packs = tuple(sent_pack(info) for info in hub.packs.values())
        self._add(pack_entry(Facts(hub.seq, 0, self._replay_seconds, streams, packs)), hub.seq, begins=True)
        self._facts_at_s = asyncio.get_running_loop().time()

    def _add(self, entry: bytes, seq: int, *, begins: bool = False) -> None:
        self._queue.append(_Queued(entry, seq, begins))
        self._bytes += len(entry)
        if self._bytes > MAX_QUEUED:
            self._drop()
        self._news.set()
        self._settle()

    def _settle(self) -> None:
        (self._calm.set if self._problem or not self._queue else self._calm.clear)()

    def _drop(self) -> None:
        """The oldest, until little enough waits and a gateway can begin at the next."""
        before = self._bytes
        while self._queue and (self._bytes > MAX_QUEUED // 2 or not self._queue[0].begins):
            self._bytes -= len(self._queue.popleft().entry)
        metrics.NATS_DROPPED.inc(before - self._bytes)
        if not self._queue:
            self._add_facts()

    async def _run(self) -> None:
        while True:
            try:
                client = await self._place.connect()
                try:
                    stream = client.jetstream(timeout=_ACK_S)
                    await self._prepare(stream)
                    await self._hear_others(client)
                    if self._on_connected is not None:
                        await self._on_connected(client)
                    await self._send(stream, most_bytes=client.max_payload - _ENVELOPE)
                finally:
                    with suppress(Exception):
                        await client.close()
            except Exception as fault:  # whatever the library raises, it may not end a daemon that hears
                self._fails(self._place.problem(fault))
            await asyncio.sleep(RETRY.delay_s(self._failures, chance=random.random()))
            self._failures += 1

    async def _hear_others(self, client: "Client") -> None:
        """What is told under the same name, by this daemon and by another that should have another name."""

        async def heard(message: "Msg") -> None:
            with suppress(ServeError):  # of another version: whatever it is, gateways say so
                self._doubles.passed(unpack_bundle(message.data).run)

        await client.subscribe(self._place.site_subject, cb=heard, pending_msgs_limit=64)

    def _works(self) -> None:
        if self._problem:
            log.info("%s: gateways get what is heard again", self._place.name)
        self._problem, self._failures = "", 0
        self._settle()

    def _fails(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("gateways get nothing: %s", problem)
        self._problem = problem
        self._settle()

    async def _prepare(self, stream: "JetStreamContext") -> None:
        """Have the streams of JetStream as this daemon wants them, new or as they are there."""
        from nats.js.api import RetentionPolicy, StorageType, StreamConfig
        from nats.js.errors import NotFoundError

        common: dict[str, Any] = {"retention": RetentionPolicy.LIMITS, "storage": StorageType.FILE}
        for name, subject, keep_s, most in (
            (STREAM, self._place.every, self._replay_seconds + 2 * FACTS_S, -1),
            (SITES, self._place.every_site, KEEP_SITES_S, 1),
        ):
            try:
                there = (await stream.stream_info(name)).config
            except NotFoundError:
                config = StreamConfig(name=name, subjects=[subject], max_msgs_per_subject=most, **common)
                await stream.add_stream(config.evolve(max_age=keep_s, num_replicas=self._place.replicas))
                continue
            # another site may want it kept longer, or on more servers; limits are whose server it is
            keep_s = max(keep_s, there.max_age or 0)
            replicas = max(self._place.replicas, there.num_replicas or 1)
            if (there.max_age, there.num_replicas or 1) != (keep_s, replicas):
                twice_s = min(there.duplicate_window, keep_s)  # how long an id is known, which may not be longer
                await stream.update_stream(
                    there.evolve(max_age=keep_s, num_replicas=replicas, duplicate_window=twice_s)
                )

    async def _send(self, stream: "JetStreamContext", *, most_bytes: int) -> None:
        """For ever. most_bytes: what the server takes in a message."""
        while True:
            while not self._queue and not self._sending:
                self._news.clear()
                try:
                    async with asyncio.timeout(FACTS_S):
                        await self._news.wait()
                except TimeoutError:
                    self._add_facts()  # a sign of life
            if not self._sending:
                self._sending = self._portion(min(_MAX_BUNDLE, most_bytes))
                self._bundles += 1
            await self._send_bundle(stream, self._sending)
            self._works()
            for each in self._sending:
                if self._queue and self._queue[0] is each:  # else it was dropped meanwhile
                    self._bytes -= len(self._queue.popleft().entry)
            self._sending = []
            self._settle()

    def _portion(self, most_bytes: int) -> list[_Queued]:
        """The oldest that wait, as many as one message takes: in bytes, and in numbers."""
        entries: list[_Queued] = []
        size = 0
        for at, each in enumerate(self._queue):
            behind = self._queue[at + 1].seq if at + 1 < len(self._queue) else self._hub.seq
            full = size + len(each.entry) > most_bytes or behind - self._queue[0].seq > MAX_NUMBERS
            if entries and full:
                break
            entries.append(each)
            size += len(each.entry)
        return entries

    async def _send_bundle(self, stream: "JetStreamContext", entries: Sequence[_Queued]) -> None:
        run = self._hub.instance
        data = pack_bundle(run, [each.entry for each in entries])
        once = {"Nats-Msg-Id": f"{self._place.site}/{run}/{self._bundles}"}
        await stream.publish(self._place.subject, data, timeout=_ACK_S, stream=STREAM, headers=once)
        facts = [each.entry for each in entries if each.begins]
        if facts:
            told = pack_bundle(run, facts[-1:])
            await stream.publish(self._place.site_subject, told, timeout=_ACK_S, stream=SITES)
