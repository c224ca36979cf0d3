"""A websocket client down to the bytes, for what a well-behaved library does not do: never reading, odd headers."""

import asyncio
import base64
import os
import socket
import struct
from collections.abc import Mapping
from typing import Any

import msgspec


class RawClient:
    """One TCP connection. `status` and `headers` of the answer are known after `open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    @classmethod
    async def request(
        cls, port: int, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None, limit: int = 2**16
    ) -> "RawClient":
        """Sends a request with exactly these headers (and a Host, unless given) and reads the answer's head."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=limit)
        client = cls(reader, writer)
        lines = {"Host": f"127.0.0.1:{port}", **(headers or {})}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
        writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())
        await client._read_head()
        return client

    @classmethod
    async def websocket(
        cls, port: int, path: str = "/v1", *, headers: Mapping[str, str] | None = None, limit: int = 2**16
    ) -> "RawClient":
        """Shakes hands. `status` is 101 where that worked."""
        return await cls.request(
            port,
            path,
            limit=limit,
            headers={
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
                **(headers or {}),
            },
        )

    async def _read_head(self) -> None:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        self.status = int(first.split()[1])
        for line in lines:
            name, _, value = line.partition(":")
            self.headers[name.strip().lower()] = value.strip()
        if self.status != 101:
            self.body = await self.reader.read()
            self.close()

    def send(self, text: str) -> None:
        """One masked text message."""
        self.send_frame(0x1, text.encode())

    def send_binary(self, data: bytes) -> None:
        """One masked binary message."""
        self.send_frame(0x2, data)

    def send_frame(self, opcode: int, data: bytes) -> None:
        """One masked frame."""
        length = len(data)
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | length) if length < 126 else None
        head = head or struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
        self.writer.write(head + bytes(4) + data)  # a mask of zeros changes nothing

    async def frame(self) -> tuple[int, bytes]:
        """The next frame: opcode and payload."""
        first, length = await self.reader.readexactly(2)
        if length == 126:
            (length,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first & 0x0F, await self.reader.readexactly(length)

    async def message(self) -> dict[str, Any]:
        """The next JSON message; pings are answered."""
        while True:
            opcode, data = await self.frame()
            if opcode == 0x9:
                self.send_frame(0xA, data)
            elif opcode == 0x1:
                return msgspec.json.decode(data, type=dict[str, Any])
            else:
                raise AssertionError(f"a frame of opcode {opcode} came: {data!r}")

    def close(self) -> None:
        """Drop the connection without a word."""
        self.writer.transport.abort()
        self.writer.close()

    def reset(self) -> None:
        """Drop the connection so that the other side's next write fails, once the loop has turned."""
        sock = self.writer.transport.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()
