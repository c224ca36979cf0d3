#!/usr/bin/env python3
"""What hostile clients cost the others: a real daemon, a healthy subscriber, `/healthz` asked 20 times a second.

    tools/bench/hostile.py --seconds 10 [--only flood audio] [--daemon ws://127.0.0.1:8765/v1]

Each line is one kind of client beside the healthy ones: p50, p99 and worst time of `/healthz`, and how late the worst
and the 99th of 100 rows came against the best of a calm time. `calm` at the beginning is what the machine itself does.
"""

import argparse
import asyncio
import base64
import json
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from websockets.asyncio.client import connect

from tools.lab.daemon import Daemon, clean_env, free_port, start_daemon

KINDS = ("calm", "text", "pings", "tiny", "again", "audio", "blocks", "big", "dead", "connections", "handshakes")
RATE = 16_000
DEAD = 50


def frame(opcode: int, data: bytes) -> bytes:
    """One masked frame; a mask of zeros changes nothing."""
    length = len(data)
    if length < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
    elif length < 65536:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
    return head + bytes(4) + data


def asking(port: int, path: str = "/v1") -> socket.socket:
    """A websocket whose handshake was sent, and not read yet."""
    sock = socket.create_connection(("127.0.0.1", port), 10)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    return sock


def opened(port: int, path: str = "/v1") -> socket.socket:
    """A websocket that is read no further than its handshake."""
    sock = asking(port, path)
    while b"\r\n\r\n" not in (sock.recv(65536) or b"\r\n\r\n"):
        pass
    return sock


def send_for_ever(port: int, first: bytes, data: bytes, *, again: bool) -> None:
    """Sends as fast as it goes; where it is cut off, again or never."""
    while True:
        try:
            sock = opened(port)
            sock.sendall(first)
            while True:
                sock.sendall(data)
        except OSError:
            if not again:
                time.sleep(1e6)


def attack(kind: str, port: int) -> None:
    """Runs in a process of its own until that is killed."""
    push = frame(1, json.dumps({"type": "push", "stream": "pushed", "rate": RATE, "format": "s16le"}).encode())
    if kind in ("audio", "blocks"):
        sock = opened(port)
        sock.sendall(push)
        samples = RATE // 50 if kind == "audio" else 100_000
        at = 0
        while True:
            sock.sendall(frame(2, struct.pack("<Q", at) + os.urandom(2 * samples)))
            at += samples
    elif kind == "dead":
        socks = [opened(port, f"/v1?tier=frame&min_prob=0.0{number:03}") for number in range(1, DEAD + 1)]
        time.sleep(1e6 + len(socks))
    elif kind in ("connections", "handshakes"):
        while True:
            held = []
            for _ in range(500):
                try:
                    held.append(
                        socket.create_connection(("127.0.0.1", port), 1) if kind == "connections" else asking(port)
                    )
                except OSError:
                    break
            for sock in held:
                sock.close()
    else:
        data = {
            "text": frame(1, b'{"type":"subscribe","tier":"frame","streams":["nobody"]}') * 500,
            "pings": frame(9, b"") * 5000,
            "tiny": frame(2, b"") * 5000,
            "again": frame(1, b"{}") * 2000,
            "big": frame(2, bytes(250_000)),
        }[kind]
        send_for_ever(port, b"", data, again=kind == "again")


@contextmanager
def attacked(kind: str, port: int) -> Iterator[None]:
    """While somebody does that."""
    if kind == "calm":
        yield
        return
    child = subprocess.Popen([sys.executable, __file__, "--attack", kind, "--port", str(port)])
    try:
        yield
    finally:
        child.kill()
        child.wait()


class HealthySubscriber:
    """A healthy subscriber of one stream: when each frame came."""

    def __init__(self) -> None:
        self.came_s: list[tuple[int, float]] = []
        self.lost = 0

    async def listen(self, url: str) -> None:
        """For ever."""
        async with connect(f"{url}?tier=frame&streams=heard", compression=None) as client:
            async for text in client:
                message = json.loads(text)
                if message["type"] == "scores":
                    self.came_s.append((message["first_frame"], time.monotonic()))
                elif message["type"] == "lagged":
                    self.lost += message["dropped"]


async def ask(port: int) -> float:
    """Seconds for one `/healthz`."""
    began_s = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
    head = await reader.readline()
    took_s = time.monotonic() - began_s
    await reader.read()
    writer.close()
    if b" 200 " not in head and b"ok" not in head and b" 503 " not in head:
        raise OSError(head.decode())
    return took_s


def share(values: list[float], part: float) -> float:
    """A quantile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


async def measure(
    kind: str, running: Daemon, ear: HealthySubscriber, seconds: float, base_s: float
) -> tuple[str, float]:
    """A line of the table, and the earliest that a row came against its frame."""
    process = psutil.Process(running.process.pid)
    before, memory = process.cpu_times(), process.memory_info().rss
    ear.came_s, ear.lost = [], 0
    asked: list[float] = []
    refused = 0
    grown = 0
    with attacked(kind, running.port):
        ends_s = time.monotonic() + seconds
        while time.monotonic() < ends_s:
            try:
                asked.append(await asyncio.wait_for(ask(running.port), 10))
            except (OSError, TimeoutError):
                refused += 1
            grown = max(grown, process.memory_info().rss - memory)
            await asyncio.sleep(0.05)
    after = process.cpu_times()
    at_s = [came_s - 0.02 * number for number, came_s in ear.came_s]
    base_s = min(at_s, default=0.0) if kind == "calm" else base_s
    late = [1000 * (one - base_s) for one in at_s]
    ms = [1000 * one for one in asked]
    cpu = 100 * (after.user + after.system - before.user - before.system) / seconds
    line = (
        f"{kind:12} {len(ms):6} {refused:6} {share(ms, 0.5):7.1f} {share(ms, 0.99):7.1f} {max(ms, default=0):7.1f}"
        f" {len(late):6} {ear.lost:5} {share(late, 0.99):8.1f} {max(late, default=0):8.1f}"
        f" {cpu:6.0f} {grown / 1024:8.0f}"
    )
    return line, base_s


async def table(running: Daemon, kinds: list[str], seconds: float) -> None:
    """All lines."""
    ear = HealthySubscriber()
    listening = asyncio.create_task(ear.listen(running.url))
    await asyncio.sleep(3)
    print("             /healthz          ms                  rows of a healthy subscriber    daemon")
    print("client        asked refused    p50     p99   worst   came  lost  late p99   worst ms  CPU %  KiB more")
    base_s = 0.0
    for kind in kinds:
        line, base_s = await measure(kind, running, ear, seconds, base_s)
        print(line, flush=True)
        await asyncio.sleep(7 if kind == "dead" else 2)
    listening.cancel()
    print(f"the log has {len(running.stderr)} bytes")


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--attack", choices=KINDS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.attack:
        os.nice(10)  # a flood from elsewhere takes no processor of this machine
        attack(options.attack, options.port)
        return
    kinds = ["calm", *(kind for kind in options.only if kind != "calm")]
    with tempfile.TemporaryDirectory() as folder:
        words = ["--source", "demo#name=heard", "--source", f"push:pushed,{RATE}", "--no-store"]
        running = start_daemon(words, port=free_port(), env=clean_env(Path(folder)), log=Path(folder) / "daemon")
        try:
            deadline = time.monotonic() + 60
            while "listening on" not in running.stderr and time.monotonic() < deadline:
                time.sleep(0.1)
            asyncio.run(table(running, kinds, options.seconds))
        finally:
            running.stop()


if __name__ == "__main__":
    main()
