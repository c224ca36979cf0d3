"""A client followed inside a test's own event loop: until enough has come, or until it gives up."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from streamclf.client import Client
from streamclf.errors import ServeError
from streamclf.protocol import wire

LIMIT_S = 60.0


def run(main: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(LIMIT_S):
            await main

    asyncio.run(limited())


async def collect(client: Client, enough: Callable[[list[wire.ServerMessage]], bool]) -> list[wire.ServerMessage]:
    """Everything until `enough` holds of it."""
    got: list[wire.ServerMessage] = []
    async with client.messages() as messages:
        async for message in messages:
            got.append(message)
            if enough(got):
                break
    return got


def published(messages: list[wire.ServerMessage]) -> list[tuple[str, int]]:
    """Kind and number of everything that the hub had published, in order."""
    kinds = (wire.Scores, wire.Event, wire.Gap, wire.Status)
    return [(type(message).__name__, message.seq) for message in messages if isinstance(message, kinds)]


async def refusal(client: Client) -> str:
    with pytest.raises(ServeError) as caught:
        await collect(client, lambda got: False)
    said = str(caught.value)
    assert said.isprintable()
    return said


class Waits(list[tuple[str, float]]):
    """What `on_wait` was called with."""

    def __call__(self, why: str, delay_s: float) -> None:
        self.append((why, delay_s))
