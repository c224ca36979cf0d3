#!/usr/bin/env python3
"""Cost of delivering: server CPU per message, lag and memory, for N subscribers of one stream at 50 messages a second.

    tools/bench/fanout.py --clients 0 100 1000 --seconds 10 [--classes 1]

The server runs in a process of its own; the clients here only count frames and read the send time of some. On a
machine with few cores the clients take theirs from the server: read the CPU column, and the lag as an upper bound.
"""

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import Any

import numpy as np

from streamclf.clock import StreamClock
from streamclf.serve.http.server import Server, ServerSettings
from streamclf.serve.hub import Hub, PackInfo, StreamInfo
from streamclf.types import FrameScores, Label, Shape

RATE = 16000
HOP = RATE // 50
WARM_UP_S = 2.0


def make_hub(classes: int) -> Hub:
    """One stream and one pack."""
    clock = StreamClock(RATE)
    clock.start(first_sample=0, wall_ns=time.time_ns())
    labels = tuple(Label(f"label_{i}", f"Label {i}") for i in range(classes))
    pack = PackInfo("bench", "1", "0", Shape.STATEFUL, labels, False, 20.0, 0.0, 20.0, None, 20, "none")
    return Hub(streams=[StreamInfo("mic", RATE, clock, "bench", packs=["bench"])], packs=[pack])


async def serve(classes: int) -> None:
    """The server's process: says its port, publishes until standard input ends, and answers each line with its CPU."""
    server = Server(make_hub(classes), ServerSettings(port=0))
    await server.start()
    print(server.port, flush=True)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    publishing = loop.create_task(publish(server, classes))
    while await lines.readline():
        cpu, seq = time.process_time(), server.hub.seq
        print(json.dumps({"cpu_s": cpu, "seq": seq, "rss_kib": rss_kib()}), flush=True)
    publishing.cancel()
    await server.stop(2.0)


async def publish(server: Server, classes: int) -> None:
    """A row every 20 ms."""
    rng = np.random.default_rng(0)
    due = time.monotonic()
    frame = 0
    while True:
        rows = rng.random((1, classes), dtype=np.float32)
        server.publish([FrameScores("mic", "bench", frame, rows, True, (frame + 1) * HOP)], time.time_ns())
        frame += 1
        due += 0.02
        await asyncio.sleep(max(0.0, due - time.monotonic()))


def rss_kib() -> int:
    """Memory of this process."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4


class Counting(asyncio.Protocol):
    """A client that counts messages and answers pings. sampled: it also looks into each message for its send time."""

    def __init__(self, sampled: bool) -> None:
        self.messages = 0
        self.bytes = 0
        self.lags_ms: list[float] = []
        self.sampled = sampled
        self._data = bytearray()
        self._shaken = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shakes hands."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(
            b"GET /v1?tier=frame HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        """Cuts frames out of the stream."""
        self._data += data
        if not self._shaken:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            del self._data[: end + 4]
            self._shaken = True
        buffer = self._data
        while len(buffer) >= 2:
            length, at = buffer[1], 2
            if length == 126:
                length, at = int.from_bytes(buffer[2:4], "big"), 4
            elif length == 127:
                length, at = int.from_bytes(buffer[2:10], "big"), 10
            if len(buffer) < at + length:
                return
            if buffer[0] & 0x0F == 9:
                self.transport.write(bytes([0x8A, 0x80 | length]) + bytes(4) + buffer[at : at + length])
            else:
                self.messages += 1
                self.bytes += length
                if self.sampled:
                    found = buffer.find(b'"sent_ns":', 0, at + length)
                    if found > 0:
                        self.lags_ms.append((time.time_ns() - int(buffer[found + 10 : at + length - 1])) / 1e6)
            del buffer[: at + length]


async def measure(clients: int, seconds: float, classes: int) -> dict[str, Any]:
    """One row of the table."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--serve", "--classes", str(classes), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdin is not None
    assert child.stdout is not None
    loop = asyncio.get_running_loop()
    port = int(await child.stdout.readline())

    async def ask() -> dict[str, float]:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"\n")
        answer: dict[str, float] = json.loads(await child.stdout.readline())
        return answer

    empty = await ask()
    protocols: list[Counting] = []
    for number in range(clients):
        _, protocol = await loop.create_connection(partial(Counting, number % 20 == 0), "127.0.0.1", port)
        protocols.append(protocol)
    await asyncio.sleep(WARM_UP_S)
    for protocol in protocols:
        protocol.lags_ms.clear()
    before, counted = await ask(), sum(p.messages for p in protocols)
    await asyncio.sleep(seconds)
    after, delivered = await ask(), sum(p.messages for p in protocols) - counted
    child.stdin.close()
    await child.wait()
    for protocol in protocols:
        protocol.transport.abort()
    lags = sorted(lag for p in protocols for lag in p.lags_ms)
    cpu = after["cpu_s"] - before["cpu_s"]
    return {
        "clients": clients,
        "rows": int(after["seq"] - before["seq"]),
        "delivered": delivered,
        "bytes": statistics.mean(p.bytes / max(1, p.messages) for p in protocols) if protocols else 0,
        "cpu_percent": 100 * cpu / seconds,
        "us_a_message": 1e6 * cpu / delivered if delivered else float("nan"),
        "lag_p50_ms": lags[len(lags) // 2] if lags else float("nan"),
        "lag_p99_ms": lags[len(lags) * 99 // 100] if lags else float("nan"),
        "kib_a_client": (before["rss_kib"] - empty["rss_kib"]) / clients if clients else float("nan"),
    }


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, nargs="+", default=[0, 100, 500, 1000])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--classes", type=int, default=1)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.classes))
        return
    print("clients   rows  delivered  bytes   CPU %  us/message  lag p50  p99 ms  KiB/client")
    for clients in options.clients:
        row = asyncio.run(measure(clients, options.seconds, options.classes))
        print(
            "{clients:7} {rows:6} {delivered:10} {bytes:6.0f} {cpu_percent:7.1f} {us_a_message:11.1f}"
            " {lag_p50_ms:8.2f} {lag_p99_ms:7.2f} {kib_a_client:11.1f}".format(**row),
            flush=True,
        )


if __name__ == "__main__":
    main()
