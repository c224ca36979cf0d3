"""A client that waits asks a silent daemon whether it is still there."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from streamclf.client import Client, Reconnect, link
from streamclf.client.link import Link
from streamclf.protocol import wire
from streamclf.serve.framing import text_frame
from tests.support.following import Waits, run
from tests.support.serving import make_hub

PINGS = 3


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link, "SILENT_S", 0.3)


class Pinged(ServerConnection):
    """Says when it was pinged PINGS times."""

    def __init__(self, *args: object, **more: object) -> None:
        super().__init__(*args, **more)  # type: ignore[arg-type]
        self.pings = 0
        self.enough = asyncio.Event()

    def process_event(self, event: Frame | Request) -> None:  # type: ignore[override]
        if isinstance(event, Frame) and event.opcode is Opcode.PING:
            self.pings += 1
            if self.pings == PINGS:
                self.enough.set()
        super().process_event(event)


def test_one_that_answers_is_waited_for() -> None:
    async def answer(socket: ServerConnection) -> None:
        assert isinstance(socket, Pinged)
        await socket.send("first")
        await socket.enough.wait()
        await socket.send("second")
        await socket.wait_closed()

    async def main() -> None:
        protocols = [Subprotocol(wire.PROTOCOL)]
        async with serve(answer, "127.0.0.1", 0, create_connection=Pinged, subprotocols=protocols) as server:
            port = server.sockets[0].getsockname()[1]
            async with await Link.open(f"ws://127.0.0.1:{port}/v1", None) as opened:
                assert [await opened.receive(), await opened.receive()] == ["first", "second"]

    run(main())


@asynccontextmanager
async def falling_silent() -> AsyncIterator[int]:
    """A port where every client gets its `hello`, and nothing after it: no message, no answer to a ping."""
    hello = text_frame(wire.encode(make_hub().hello()))

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol = ServerProtocol(subprotocols=[Subprotocol(wire.PROTOCOL)])
        protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
        request = protocol.events_received()[0]
        assert isinstance(request, Request)
        protocol.send_response(protocol.accept(request))
        writer.write(b"".join(protocol.data_to_send()) + hello)
        while await reader.read(65536):
            pass
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def test_one_that_does_not_is_given_up_and_tried_again() -> None:
    async def main() -> None:
        waits = Waits()
        async with falling_silent() as port:
            client = Client(f"127.0.0.1:{port}", reconnect=Reconnect(on_wait=waits))
            async with client.messages() as messages:
                got = [await anext(messages), await anext(messages)]

        assert [type(message) for message in got] == [wire.Hello, wire.Hello]
        assert waits[0][0] == f"ws://127.0.0.1:{port}/v1 did not answer within 10 s"

    run(main())
