"""A small reverse proxy on a free port, as people put one before the daemon: it passes bytes on, websockets too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Proxy:
    """Listens on 127.0.0.1 and passes every request on to `port`.

    strip: a prefix that is taken off the path, and without which nothing is answered; "" passes paths as they are.
    told: headers that the proxy adds; the browser's own of these names are taken out.
    """

    def __init__(self, port: int, *, strip: str = "", told: dict[str, str] | None = None) -> None:
        self.port = 0
        self._target = port
        self._strip = strip
        self.told = told or {}

    async def start(self) -> None:
        """Listen; `port` is known then."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Listen no more."""
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            first, *lines = head.rstrip("\r\n").split("\r\n")
            method, path, version = first.split(" ")
            if not path.startswith(self._strip):
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            path = path.removeprefix(self._strip) or "/"
            known = {name.lower() for name in self.told}
            lines = [line for line in lines if line.partition(":")[0].lower() not in known]
            lines += [f"{name}: {value}" for name, value in self.told.items()]
            target_reader, target = await asyncio.open_connection("127.0.0.1", self._target)
            try:
                target.write("\r\n".join([f"{method} {path} {version}", *lines, "", ""]).encode("latin-1"))
                there = asyncio.create_task(_pass_on(reader, target))
                await _pass_on(target_reader, writer)
                there.cancel()
            finally:
                target.close()
        except (OSError, asyncio.IncompleteReadError):
            pass  # a browser opens connections that it never uses
        finally:
            writer.close()


@asynccontextmanager
async def proxied(port: int, *, strip: str = "", told: dict[str, str] | None = None) -> AsyncIterator[Proxy]:
    """A proxy before `port`, until the block ends."""
    proxy = Proxy(port, strip=strip, told=told)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.stop()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
