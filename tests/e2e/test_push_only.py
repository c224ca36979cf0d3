"""A client that only sends sound: it need not read, and a count that begins anew is refused aloud."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect

from streamclf import metrics
from streamclf.audio.sources.push import PushSource
from streamclf.audio.sources.spec import parse_source
from streamclf.serve import subscriber as subscriber_module
from streamclf.types import F32
from tests.support.listening import Listening
from tests.support.rawclient import RawClient
from tests.support.server import run, serving, take, url

pytestmark = pytest.mark.e2e

BLOCK = bytes(640)  # 20 ms
PUSH = {"type": "push", "stream": "phone", "rate": 16000}


class Taken:
    """A stream's end of the line. firsts: the index of each block that came."""

    rate = 16000

    def __init__(self) -> None:
        self.firsts: list[int] = []
        self.gone = False

    def connect(self, *, again: bool) -> None:
        self.gone = False

    def feed(self, first_sample: int, samples: F32) -> None:
        self.firsts.append(first_sample)

    def disconnect(self, *, left: bool) -> None:
        self.gone = True


def message(first: int) -> bytes:
    return first.to_bytes(8, "little") + BLOCK


def test_one_that_never_reads_is_not_cut_off_while_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in (("PING_EVERY_S", 0.05), ("PONG_LIMIT_S", 0.2), ("SENDS_S", 0.6)):
        monkeypatch.setattr(subscriber_module, name, seconds)

    async def main() -> None:
        loop, sink = asyncio.get_running_loop(), Taken()
        cut = metrics.sums(metrics.CUT_OFF, "reason")["silent"]
        async with serving(push_sinks={"phone": sink}) as server:
            client = await RawClient.websocket(server.port)
            client.send(json.dumps(PUSH))
            began, first = loop.time(), 0
            while loop.time() < began + 1.5:  # many times as long as a ping may stay without an answer
                client.send_binary(message(first))
                first += 320
                await asyncio.sleep(0.02)
            assert metrics.sums(metrics.CUT_OFF, "reason")["silent"] == cut
            while len(sink.firsts) < first // 320:
                await asyncio.sleep(0.01)
            assert sink.firsts == list(range(0, first, 320))
            while not sink.gone:  # it sends nothing more and answers nothing: it is gone
                await asyncio.sleep(0.02)
            assert metrics.sums(metrics.CUT_OFF, "reason")["silent"] == cut + 1
            client.close()

    run(main)


@asynccontextmanager
async def pushing(sink: Taken, **more: str) -> AsyncIterator[ClientConnection]:
    async with serving(push_sinks={"phone": sink}) as server, connect(url(server)) as client:
        await take(client)
        await client.send(json.dumps(PUSH | more))
        assert (await take(client))["type"] == "pushing"
        yield client


@pytest.mark.parametrize("sender", ["", "a secret word"])
def test_index_0_again_is_refused_with_what_to_do_and_that_works(sender: str) -> None:
    async def main() -> None:
        sink = Taken()
        async with pushing(sink, sender=sender) as client:
            for first in (0, 320, 320, 640):
                await client.send(message(first))
            await client.send(bytes(8))  # an index and no samples: nothing begins anew
            await client.send(message(0))
            refused = await take(client)
            assert (refused["type"], refused["code"]) == ("error", "bad-push")
            assert "sample index 0 came again at stream 'phone', where 960 is next" in refused["message"]
            await client.send(message(320))
            assert "samples came without a push message before them" in (await take(client))["message"]
            await client.send(json.dumps(PUSH | {"sender": sender}))
            assert (await take(client))["type"] == "pushing"
            await client.send(message(0))
            await client.send("{}")
            await take(client)
            assert sink.firsts == [0, 320, 320, 640, 0]

    run(main)


def test_a_program_that_was_started_again_and_takes_its_place_is_told_too() -> None:
    async def main() -> None:
        sink = Taken()
        async with serving(push_sinks={"phone": sink}) as server:
            for expected in ("pushing", "error"):
                async with connect(url(server)) as client:
                    await take(client)
                    await client.send(json.dumps(PUSH | {"sender": "one"}))
                    assert (await take(client))["type"] == "pushing"
                    await client.send(message(0))
                    await client.send(message(320))
                    if expected == "error":
                        assert "send `push` again before index 0" in (await take(client))["message"]

    run(main)


def test_who_comes_before_the_source_has_started_loses_nothing() -> None:
    async def main() -> None:
        source = PushSource(parse_source("push:phone,16000"))
        async with serving(push_sinks={"phone": source}) as server:
            async with connect(url(server)) as gives_up:
                await take(gives_up)
                await gives_up.send(json.dumps(PUSH))
                await gives_up.ping()
            async with connect(url(server)) as client:
                await take(client)
                await client.send(json.dumps(PUSH))
                for first in range(0, 9600, 320):
                    await client.send(message(first))
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(client.recv(), 0.3)
                listening = Listening(source)
                assert (await take(client))["type"] == "pushing"
                while listening.ring.written < 9600:
                    await asyncio.sleep(0.01)
                assert listening.told[-1][0] == "live"
            while listening.told[-1][0] != "waiting":
                await asyncio.sleep(0.01)
            assert listening.ring.written == 9600

    run(main)
