"""A gateway, from top to bottom: it follows a daemon on NATS, and serves the same websocket and page to many more.

It keeps nothing. What a client asks of the daemon itself, marks, lessons, sound, is refused in words.
"""

import asyncio
import logging
from dataclasses import replace
from functools import partial
from typing import NoReturn

from streamclf.config import Config
from streamclf.daemon.health import Health
from streamclf.daemon.hearing import Hearing
from streamclf.daemon.parts import Background, Life, live
from streamclf.daemon.problems import DaemonProblems, PartProblems
from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.serve.fanout.broker import NatsPlace
from streamclf.serve.fanout.follower import Follower
from streamclf.serve.fanout.relay import Relay
from streamclf.serve.http.access import ServerSettings, check_bind
from streamclf.serve.http.route import Route
from streamclf.serve.http.server import Server
from streamclf.serve.orders import Order
from streamclf.serve.roles import Role
from streamclf.serve.subscriber import Subscriber

log = logging.getLogger("streamclf")

NO_AUDIO = "a gateway has no sound; listen at the daemon itself"
_EXCHANGE_S = 1.0


def run_gateway(place: NatsPlace, settings: ServerSettings) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code. Raises `ConfigError` for a bind that needs a token."""
    check_bind(settings)
    live(partial(_start, place=place, settings=replace(settings, no_audio=NO_AUDIO)))
    return 0


async def _start(life: Life, *, place: NatsPlace, settings: ServerSettings) -> None:
    counter = _Counter(life, settings)
    follower = Follower(place, counter.serve)
    counter.follower = follower
    await life.start(counter)
    log.info("following %s on %s", place.site, place.name)
    await life.start(Background("the follower", follower.run, life.failed))


class _Counter:
    """A part: where clients are served, by one server after the other: another run of the daemon has another hub."""

    name = "the server"
    stop_s = 1.0

    def __init__(self, life: Life, settings: ServerSettings) -> None:
        self.follower: Follower | None = None
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
        await self.stop(_EXCHANGE_S)
        health = self._health(relay)
        self._server = Server(
            relay,
            self._settings,
            routes={
                "/v1/status": Route(Role.LABELS, health.answer, in_thread=True),
                "/metrics": Route(Role.ADMIN, health.gauges.answer),
            },
            problems=health.problems,
            orders={
                wire.Mark: Order("bad-mark", "marking events", _refuse),
                wire.Adjust: Order("bad-adjust", "adjusting thresholds", _refuse),
                wire.Teach: Order("bad-teach", "teaching", _refuse),
                wire.Forget: Order("bad-teach", "teaching", _refuse),
            },
            on_fault=self._life.failed,
        )
        await self._server.start()
        self._settings = replace(self._settings, port=self._server.port)
        self._watch = asyncio.create_task(health.watch(), name="health")
        log.info("listening on %s", self._server.address)

    def _health(self, relay: Relay) -> Health:
        parts = PartProblems(writer=None, alerts=None, selftest=None)
        if self.follower is not None:
            parts.also(self.follower.found)
        needs_token = self._settings.token is not None
        hearing = Hearing(relay, [])
        return Health(relay, [], Config(), hearing, DaemonProblems(relay, parts), needs_token=needs_token)


def _refuse(subscriber: Subscriber, wish: object) -> NoReturn:
    raise ServeError("this is a gateway, which keeps nothing; ask the daemon itself")
