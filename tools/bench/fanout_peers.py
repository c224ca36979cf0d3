"""Servers of others that send what ours does: one message to every client every 20 ms. Run by tools/bench/fanout.py.

    python tools/bench/fanout_peers.py raw|websockets|picows|aiohttp SIZE

Prints its port, answers each line of standard input with its CPU time and memory, publishes from the line `go` on, and
ends with it. `raw` is the floor: a transport that gets a frame that was built before; no library, no ping, nothing is
watched.
"""

import asyncio
import base64
import hashlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar

Send = Callable[[bytes], Any]
EVERY_S = 0.02


def message(size: int) -> bytes:
    """JSON of `size` bytes; its last field is the time at which it was made."""
    tail = b'","sent_ns":%d}' % time.time_ns()
    return b'{"type":"scores","rows":"' + b"x" * (size - 25 - len(tail)) + tail


def text_frame(data: bytes) -> bytes:
    """Of up to 65,535 bytes."""
    head = bytes([0x81, len(data)]) if len(data) < 126 else b"\x81\x7e" + len(data).to_bytes(2, "big")
    return head + data


class Raw(asyncio.Protocol):
    """Shakes hands and lets what comes lie."""

    transports: ClassVar[set[asyncio.Transport]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """The request, or a client's pong."""
        if not data.startswith(b"GET "):
            return
        key = data.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        head = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
        )
        self._transport.write(head + accept + b"\r\n\r\n")
        self.transports.add(self._transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Gone."""
        self.transports.discard(self._transport)


async def raw() -> tuple[int, Send]:
    """The floor."""
    server = await asyncio.get_running_loop().create_server(Raw, "127.0.0.1", 0, backlog=1024)

    def send(data: bytes) -> None:
        frame = text_frame(data)
        for transport in Raw.transports:
            transport.write(frame)

    return server.sockets[0].getsockname()[1], send


async def websockets_broadcast() -> tuple[int, Send]:
    """`websockets.broadcast`, with its own pings."""
    from websockets.asyncio.server import broadcast, serve

    everybody: set[Any] = set()

    async def handle(connection: Any) -> None:
        everybody.add(connection)
        try:
            await connection.wait_closed()
        finally:
            everybody.discard(connection)

    server = await serve(handle, "127.0.0.1", 0, compression=None, backlog=1024)
    port: int = next(iter(server.sockets)).getsockname()[1]
    return port, lambda data: broadcast(everybody, data.decode())


async def picows() -> tuple[int, Send]:
    """Written in C."""
    from picows import WSListener, WSMsgType, ws_create_server

    transports: set[Any] = set()

    class PicowsClient(WSListener):  # type: ignore[misc]
        def on_ws_connected(self, transport: Any) -> None:
            transports.add(transport)

        def on_ws_disconnected(self, transport: Any) -> None:
            transports.discard(transport)

        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            pass

    server = await ws_create_server(lambda request: PicowsClient(), "127.0.0.1", 0, backlog=1024)

    def send(data: bytes) -> None:
        for transport in transports:
            transport.send(WSMsgType.TEXT, data)

    return server.sockets[0].getsockname()[1], send


async def aiohttp() -> tuple[int, Send]:
    """One task sends to all, one after another, as its documentation does."""
    from aiohttp import web

    everybody: set[Any] = set()

    async def handle(request: Any) -> Any:
        socket = web.WebSocketResponse(compress=False, heartbeat=20)
        await socket.prepare(request)
        everybody.add(socket)
        try:
            async for _ in socket:
                pass
        finally:
            everybody.discard(socket)
        return socket

    app = web.Application()
    app.router.add_get("/v1", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
    await site.start()

    async def send(data: bytes) -> None:
        text = data.decode()
        for socket in list(everybody):
            await socket.send_str(text)

    return runner.addresses[0][1], send


PEERS = {"raw": raw, "websockets": websockets_broadcast, "picows": picows, "aiohttp": aiohttp}


async def main(name: str, size: int) -> None:
    """Serve."""
    port, send = await PEERS[name]()
    print(port, flush=True)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    publishing: asyncio.Task[None] | None = None
    while line := await lines.readline():
        if line == b"go\n":
            publishing = loop.create_task(publish(send, size))
        with open("/proc/self/statm", encoding="ascii") as statm:
            rss_kib = int(statm.read().split()[1]) * 4
        print(json.dumps({"cpu_s": time.process_time(), "rss_kib": rss_kib}), flush=True)
    if publishing is not None:
        publishing.cancel()


async def publish(send: Send, size: int) -> None:
    """A message every 20 ms."""
    due = time.monotonic()
    while True:
        sending = send(message(size))
        if sending is not None:
            await sending
        due += EVERY_S
        await asyncio.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
