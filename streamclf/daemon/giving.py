"""What a daemon gives to NATS, what it is asked there, and what it may be ordered. Imported where a server is named."""

from typing import TYPE_CHECKING

from streamclf.config import Config
from streamclf.daemon.health import Health
from streamclf.serve.fanout.asking import CLIP, EVENTS, Answering
from streamclf.serve.fanout.broker import NatsPlace
from streamclf.serve.fanout.claims import Claims
from streamclf.serve.fanout.handing import HANDED_ON
from streamclf.serve.fanout.publisher import Publisher
from streamclf.serve.fanout.way import way_of
from streamclf.serve.http.server import Server
from streamclf.serve.hub import Hub

if TYPE_CHECKING:
    from nats.aio.client import Client

    from streamclf.daemon.wiring import Archive


def publisher_of(config: Config, archive: "Archive | None", hub: Hub, health: Health, server: Server) -> Publisher:
    """What gives to NATS what the hub publishes. There alerts ask whether another site tells. Raises `ConfigError`."""
    place = NatsPlace(way_of(config.nats), config.nats.site)
    paths = (*(EVENTS if config.nats.events else ()), *((CLIP,) if config.nats.clips else ()))
    routes = {path: server.routes[path] for path in paths}
    orders = {kind: server.orders[kind] for kind in HANDED_ON} if config.nats.marks else {}
    answering, claims = Answering(place, routes, orders), Claims(place)
    if archive is not None:
        archive.alerts.claim_by(claims.claim)
        archive.feed.on_committed = answering.kept

    async def connected(client: "Client") -> None:
        claims.connected(client)
        await answering.listen(client)

    publisher = Publisher(place, hub, replay_seconds=config.server.replay_seconds, on_connected=connected)
    health.problems.parts.also(publisher.found)
    return publisher
