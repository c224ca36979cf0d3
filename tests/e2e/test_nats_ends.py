"""What waits for a real nats-server ends when it is told to, whatever the server does at that moment."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import pytest

from streamclf.serve.fanout.way import NatsWay, next_message
from tests.support.fleet import LIMIT_S, nats
from tools.lab.gateways import NatsServer

pytest.importorskip("nats", reason="nats-py is absent (pip install streamclf[nats])")
pytestmark = pytest.mark.e2e
__all__ = ["nats"]

if TYPE_CHECKING:
    from nats.aio.client import Client

TRIALS = 40


def test_who_is_told_to_stop_as_a_message_comes_stops(nats: NatsServer) -> None:
    async def trial(turns: int) -> int:
        client = await NatsWay(nats.url).connect("test")
        subscription = await client.subscribe("x")
        taken = 0

        async def follow() -> None:
            nonlocal taken
            while True:
                await next_message(subscription, timeout_s=LIMIT_S)
                taken += 1

        task = asyncio.create_task(follow())
        await client.publish("x", b"")
        await client.flush()
        while not subscription.pending_msgs and not taken:
            await asyncio.sleep(0)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=LIMIT_S)
        assert done, "it waits for the next message"
        assert task.cancelled()
        await client.close()
        return taken

    assert set(asyncio.run(all_of(trial))) <= {0, 1}


def test_who_is_told_to_stop_as_the_connection_goes_stops(nats: NatsServer) -> None:
    async def trial(turns: int) -> int:
        client = await NatsWay(nats.url).connect("test")
        subscription = await client.subscribe("x")
        task = asyncio.create_task(next_message(subscription, timeout_s=LIMIT_S))
        await client.flush()
        closing = asyncio.create_task(client.close())
        for _ in range(turns):
            await asyncio.sleep(0)
        asked = task.cancel()
        await asyncio.wait([task, closing], timeout=LIMIT_S)
        assert task.cancelled() or not asked, "the end of the connection was taken for a fault"
        if not task.cancelled():
            task.exception()
        return asked

    assert any(asyncio.run(all_of(trial)))


async def all_of(trial: Callable[[int], Awaitable[int]]) -> list[int]:
    return [await trial(at % 4) for at in range(TRIALS)]


def test_a_server_that_takes_nothing_holds_up_no_end(nats: NatsServer) -> None:
    async def trial() -> bool:
        client = await NatsWay(nats.url).connect("test")
        os.kill(nats.pid, signal.SIGSTOP)
        waiting = asyncio.create_task(give(client))
        for _ in range(50):
            await asyncio.sleep(0.01)
        held = not waiting.done()
        waiting.cancel()
        async with asyncio.timeout(LIMIT_S):
            await client.close()
        return held

    assert asyncio.run(trial()), "the server took everything"


async def give(client: "Client") -> None:
    while True:
        await client.publish("x", bytes(500_000))
        await asyncio.sleep(0)
