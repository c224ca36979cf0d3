"""A hub behind a real server in the test's own event loop, and a TCP proxy that cuts connections at a chosen byte."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

from streamclf.serve.http.server import Server, ServerSettings
from streamclf.serve.hub import Hub


@asynccontextmanager
async def served(hub: Hub, *, port: int = 0, **settings: Any) -> AsyncIterator[Server]:
    """Serves `hub` on 127.0.0.1; port 0 takes a free one, which `server.port` names."""
    server = Server(hub, ServerSettings(port=port, **settings))
    await server.start()
    try:
        yield server
    finally:
        await server.stop(2.0)


@asynccontextmanager
async def answering(reply: bytes) -> AsyncIterator[int]:
    """A port where any request is answered with these bytes and the end of the connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            if reply.startswith(b"HTTP"):
                await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


class Proxy:
    """Forwards connections to `port`. Each drops, on both sides, after the next number of bytes from the server.

    cuts: these numbers; connections beyond them are never dropped. connections: made so far.
    """

    def __init__(self, port: int, cuts: Iterable[int] = ()) -> None:
        self.connections = 0
        self._target = port
        self._cuts = list(cuts)
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> "Proxy":
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.cut()

    def cut(self) -> None:
        """Drop every connection now."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        limit = self._cuts[self.connections] if self.connections < len(self._cuts) else None
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers += [writer, far_writer]
        up = asyncio.create_task(_copy(reader, far_writer, None))
        await _copy(far_reader, writer, limit)
        up.cancel()
        writer.transport.abort()
        far_writer.transport.abort()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, limit: int | None) -> None:
    left = limit
    with suppress(ConnectionError):
        while left != 0 and (data := await reader.read(65536 if left is None else min(left, 65536))):
            writer.write(data)
            await writer.drain()
            left = None if left is None else left - len(data)
