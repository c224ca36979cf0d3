"""A daemon's own side: what its hub publishes goes to JetStream once, for any number of gateways.

Theory of operation. The hub hands each thing over as it numbers it; it is packed and queued, and nobody waits. One task
sends what is queued, a bundle at a time, the next one when JetStream has kept the last. While the server cannot be
reached entries wait; where they become too much, the oldest are dropped, up to facts at which a gateway can go on.
Nobody needs to be told: numbers are missing, and a gateway declares that to its clients. What lost its acknowledgement
is sent again, and a gateway passes over the numbers that it has had.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from streamclf import metrics
from streamclf.protocol import wire
from streamclf.protocol.status import DaemonProblem
from streamclf.serve.fanout.broker import RETRY, NatsPlace
from streamclf.serve.fanout.entries import Facts, entries_of, pack_bundle, pack_entry, pack_fact, stream_facts
from streamclf.serve.hub import Hub
from streamclf.types import Output

if TYPE_CHECKING:
    from nats.js import JetStreamContext

log = logging.getLogger("streamclf")

FACTS_S = 5.0
"""Between two entries of facts: a gateway that starts knows nothing older than the first of them."""
MAX_QUEUED = 32 * 1024 * 1024
_MAX_BUNDLE = 256 * 1024
_ACK_S = 5.0


class _Queued(NamedTuple):
    entry: bytes
    begins: bool
    """Whether a gateway can begin at it."""


class Publisher:
    """A part of the daemon. replay_seconds: how long JetStream keeps what it is given, and some more."""

    name = "what goes to NATS"
    stop_s = 0.5

    def __init__(self, place: NatsPlace, hub: Hub, *, replay_seconds: int) -> None:
        self._place = place
        self._hub = hub
        self._replay_seconds = replay_seconds
        # bound: MAX_QUEUED; the oldest are dropped; counter: NATS_DROPPED
        self._queue: deque[_Queued] = deque()
        self._bytes = 0
        self._facts_at_s = 0.0
        self._news = asyncio.Event()
        self._problem = ""
        self._broken = False
        self._task: asyncio.Task[None] | None = None
        hub.on_numbered = self._take

    def found(self) -> Iterator[DaemonProblem]:
        """What is wrong, of any thread."""
        if problem := self._problem:
            what = f"gateways get nothing: {problem}"
            yield DaemonProblem(what, [], 0, "see that it runs and has JetStream; it is tried again by itself")

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
                while self._queue and not self._problem:
                    await asyncio.sleep(0.01)
        self._task.cancel()
        await asyncio.wait([self._task], timeout=limit_s / 2)
        return self._task.done()

    def _take(self, seq: int, thing: Output | wire.Marked | wire.Taught | None, decided_ns: int) -> None:
        hub = self._hub
        try:
            entries = entries_of(
                seq, thing, decided_ns, streams=hub.streams, packs=hub.packs, captured_ns=hub.captured_ns
            )
            for entry in entries:
                self._add(pack_entry(entry))
            if thing is None or asyncio.get_running_loop().time() >= self._facts_at_s + FACTS_S:
                self._add_facts()
        except Exception:
            # the daemon's own clients are not to suffer from it; to gateways it is a hole
            if not self._broken:
                log.exception("something could not be packed for gateways; please report it")
            self._broken = True

    def _add_facts(self) -> None:
        hub = self._hub
        streams = tuple(stream_facts(info) for info in hub.streams.values())
        packs = tuple(pack_fact(info) for info in hub.packs.values())
        self._add(pack_entry(Facts(hub.seq, 0, self._replay_seconds, streams, packs)), begins=True)
        self._facts_at_s = asyncio.get_running_loop().time()

    def _add(self, entry: bytes, *, begins: bool = False) -> None:
        self._queue.append(_Queued(entry, begins))
        self._bytes += len(entry)
        if self._bytes > MAX_QUEUED:
            self._drop()
        self._news.set()

    def _drop(self) -> None:
        """The oldest, until little enough waits and a gateway can begin at the next."""
        before = self._bytes
        while self._queue and (self._bytes > MAX_QUEUED // 2 or not self._queue[0].begins):
            self._bytes -= len(self._queue.popleft().entry)
        metrics.NATS_DROPPED.inc(before - self._bytes)
        if not self._queue:
            self._add_facts()

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                client = await self._place.connect()
                try:
                    stream = client.jetstream(timeout=_ACK_S)
                    await self._prepare(stream)
                    if self._problem:
                        log.info("%s: gateways get what is heard again", self._place.name)
                    self._problem, failures = "", 0
                    await self._send(stream)
                finally:
                    with suppress(Exception):
                        await client.close()
            except Exception as fault:  # whatever the library raises, it may not end a daemon that hears
                self._fails(self._place.problem(fault))
            await asyncio.sleep(RETRY.delay_s(failures, chance=random.random()))
            failures += 1

    def _fails(self, problem: str) -> None:
        if problem != self._problem:
            log.warning("gateways get nothing: %s", problem)
        self._problem = problem

    async def _prepare(self, stream: "JetStreamContext") -> None:
        """Have a stream of JetStream as this daemon wants it, new or as it is there."""
        from nats.js.api import RetentionPolicy, StorageType, StreamConfig
        from nats.js.errors import NotFoundError

        config = StreamConfig(
            name=self._place.stream,
            subjects=[self._place.subject],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            max_age=self._replay_seconds + 2 * FACTS_S,
        )
        try:
            await stream.stream_info(self._place.stream)
        except NotFoundError:
            await stream.add_stream(config)
        else:
            await stream.update_stream(config)

    async def _send(self, stream: "JetStreamContext") -> None:
        run = self._hub.instance
        while True:
            while not self._queue:
                self._news.clear()
                try:
                    async with asyncio.timeout(FACTS_S):
                        await self._news.wait()
                except TimeoutError:
                    self._add_facts()  # a sign of life
            entries: list[_Queued] = []
            size = 0
            for each in self._queue:
                if entries and size + len(each.entry) > _MAX_BUNDLE:
                    break
                entries.append(each)
                size += len(each.entry)
            data = pack_bundle(run, [each.entry for each in entries])
            await stream.publish(self._place.subject, data, timeout=_ACK_S, stream=self._place.stream)
            for each in entries:
                if self._queue and self._queue[0] is each:  # else it was dropped meanwhile
                    self._bytes -= len(self._queue.popleft().entry)
