"""A server on a free port of this process, and what a test's client does with it."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from websockets.asyncio.client import ClientConnection

from streamclf.serve.http.route import Route
from streamclf.serve.http.server import Server, ServerSettings
from streamclf.serve.hub import Hub
from streamclf.serve.marks import Keep
from streamclf.serve.orders import Orders
from streamclf.serve.push import PushSink
from streamclf.types import FrameScores, Label
from tests.support.serving import HOP, make_hub

TOKEN = "0123456789abcdef"
MANY = tuple(Label(f"label_number_{i:03}", f"Label {i}") for i in range(521))


@asynccontextmanager
async def serving(
    hub: Hub | None = None,
    *,
    push_sinks: dict[str, PushSink] | None = None,
    routes: Mapping[str, Route] | None = None,
    keep: Keep | None = None,
    orders: Orders | None = None,
    **settings: Any,
) -> AsyncIterator[Server]:
    settled = ServerSettings(port=0, **settings)
    server = Server(hub or make_hub(), settled, push_sinks=push_sinks, routes=routes, keep=keep, orders=orders)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(2.0)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def url(server: Server, query: str = "") -> str:
    return f"ws://127.0.0.1:{server.port}/v1{query}"


async def take(client: ClientConnection) -> dict[str, Any]:
    """The next message; fails after 20 s."""
    message: dict[str, Any] = json.loads(await asyncio.wait_for(client.recv(), 20))
    return message


async def subscribed(client: ClientConnection, **wish: Any) -> dict[str, Any]:
    """Reads hello, subscribes, and returns the answer."""
    assert (await take(client))["type"] == "hello"
    await client.send(json.dumps({"type": "subscribe", **wish}))
    return await take(client)


def rows_of(frame: int, classes: int = len(MANY)) -> FrameScores:
    """One row of stream `mic`; with 521 classes a message of 12 KB."""
    rows = np.full((1, classes), 0.123456, dtype=np.float32)
    return FrameScores("mic", "big", frame, rows, True, (frame + 1) * HOP)
