"""Thresholds over real sockets: who may set them, what cannot be set, one change at a time."""

import json
import threading
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from streamclf.protocol import wire
from streamclf.serve.http.stored import stored_routes
from streamclf.serve.thresholds import threshold_orders
from tests.support.rawclient import RawClient
from tests.support.server import TOKEN, run, serving, subscribed, take, url
from tests.support.serving import make_hub

BIRD = {"label": "bird", "enter": 0.7, "leave": 0.5, "min_on_ms": 120}


async def adjust(client: ClientConnection, **changes: Any) -> dict[str, Any]:
    """The answer."""
    await client.send(json.dumps({"type": "adjust", **BIRD, **changes}))
    return await take(client)


def test_it_is_written_once_and_answered_with_where_the_old_file_is() -> None:
    async def main() -> None:
        written: list[wire.Adjust] = []
        hub = make_hub()

        def edit(wish: wire.Adjust) -> str:
            written.append(wish)
            return "config.toml.before-1"

        async with serving(hub, orders=threshold_orders(hub, edit)) as server, connect(url(server)) as client:
            await subscribed(client)
            assert await adjust(client) == {"type": "adjusted", **BIRD, "kept": "config.toml.before-1"}
            assert [(wish.label, wish.enter) for wish in written] == [("bird", 0.7)]

    run(main)


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"label": "unicorn"}, "bad-adjust", "no pack that runs tells events of 'unicorn'"),
        ({"leave": 0.8}, "bad-adjust", "leave 0.8 is above enter 0.7"),
        ({"enter": 1.5}, "bad-message", "expected a number <= 1.0"),
        ({"min_on_ms": 0}, "bad-message", "expected a whole number >= 20"),
        ({"label": "bird]\n[x"}, "bad-message", "matching regex"),
    ],
)
def test_what_cannot_be_set_is_a_sentence(changes: dict[str, Any], code: str, words: str) -> None:
    async def main() -> None:
        hub = make_hub()
        orders = threshold_orders(hub, lambda wish: pytest.fail("it was written"))
        async with serving(hub, orders=orders) as server, connect(url(server)) as client:
            await subscribed(client)
            answer = await adjust(client, **changes)
            assert (answer["type"], answer["code"]) == ("error", code)
            assert words in answer["message"]

    run(main)


def test_who_may_only_look_can_neither_ask_nor_set() -> None:
    async def main() -> None:
        hub = make_hub()
        orders = threshold_orders(hub, lambda wish: pytest.fail("it was written"))
        settings: dict[str, Any] = {"token": "a" * 24, "labels_token": TOKEN}
        async with serving(hub, orders=orders, routes=stored_routes(None), **settings) as server:
            async with connect(url(server, f"?token={TOKEN}")) as client:
                await subscribed(client)
                answer = await adjust(client)
                assert (answer["code"], "needs the role admin" in answer["message"]) == ("bad-adjust", True)
            asked = await RawClient.request(server.port, f"/v1/thresholds?label=bird&token={TOKEN}")
            assert asked.status == 403

    run(main)


def test_a_second_change_waits_until_the_first_is_written_and_no_file_is_said() -> None:
    async def main() -> None:
        hub = make_hub()
        goes_on = threading.Event()

        def edit(wish: wire.Adjust) -> str:
            goes_on.wait(20)
            return ""

        async with serving(hub, orders=threshold_orders(hub, edit)) as server, connect(url(server)) as client:
            await subscribed(client)
            await client.send(json.dumps({"type": "adjust", **BIRD}))
            assert "other thresholds are being written" in (await adjust(client))["message"]
            goes_on.set()
            assert (await take(client))["type"] == "adjusted"
        async with serving(hub, orders=threshold_orders(hub, None)) as server, connect(url(server)) as client:
            await subscribed(client)
            assert "reads no configuration file" in (await adjust(client))["message"]

    run(main)
