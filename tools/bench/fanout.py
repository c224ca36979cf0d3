#!/usr/bin/env python3
"""Delivering to many: what a message costs the server, and what an idle client, beside the floor and servers of others.

    python tools/bench/fanout.py [--clients 1000] [--seconds 4] [--rounds 3] [--ways streamclf raw] [--json FILE]

One stream, 50 messages a second to every client. Each server runs in a process of its own; the clients are one compiled
program (`listeners.c`, made with gcc), so that they are not the limit. `raw` writes a frame that was built before; the
others are installed once from their wheels into .run/venv-peers. The ways take turns; the least of each figure stands.
Lag: from the time in the message to its arrival, at every 16th client; on a machine with few cores the clients take
theirs from the server, so read it as an upper bound. Memory: resident, after connecting and before the first message.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from streamclf.clock import StreamClock
from streamclf.serve.http.server import Server, ServerSettings
from streamclf.serve.hub import Hub, PackInfo, StreamInfo
from streamclf.types import FrameScores, Label, Shape

ROOT = Path(__file__).resolve().parents[2]
RATE = 16000
HOP = RATE // 50
WARM_UP_S = 1.5
PEERS = {"raw": "", "websockets": "websockets==17.4", "picows": "picows==2.3.1", "aiohttp": "aiohttp==3.14.5"}
WAYS = ("streamclf", *PEERS)


def make_hub(classes: int) -> Hub:
    """One stream and one pack."""
    clock = StreamClock(RATE)
    clock.start(first_sample=0, wall_ns=time.time_ns())
    labels = tuple(Label(f"label_{i}", f"Label {i}") for i in range(classes))
    pack = PackInfo("bench", "1", "0", Shape.STATEFUL, labels, False, 20.0, 0.0, 20.0, None, 20, "none")
    return Hub(streams=[StreamInfo("mic", RATE, clock, "bench", packs=["bench"])], packs=[pack])


async def serve(classes: int) -> None:
    """Our server's process, as those of fanout_peers.py."""
    server = Server(make_hub(classes), ServerSettings(port=0))
    await server.start()
    print(server.port, flush=True)
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    publishing: asyncio.Task[None] | None = None
    while line := await lines.readline():
        if line == b"go\n":
            publishing = loop.create_task(publish(server, classes))
        print(json.dumps({"cpu_s": time.process_time(), "rss_kib": rss_kib()}), flush=True)
    if publishing is not None:
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


class FanoutTurn(NamedTuple):
    """What one turn of one way gave: CPU of the server a message (us), its share of a core (%), bytes of a message."""

    us: float
    percent: float
    size: float
    lag_p50_ms: float
    lag_p99_ms: float
    idle_kib: float


class Talk:
    """A program that answers each line with one."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def read(self) -> str:
        """The next line it says."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args!r} ended with {self._process.wait()}")
        return line

    def ask(self, line: str = "") -> dict[str, Any]:
        """Its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.read())
        return answer

    def end(self) -> None:
        """Close its standard input and wait."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(20)


def turn(way: str, clients: int, seconds: float, *, classes: int, size: int, tools: Path) -> FanoutTurn:
    """One server, its clients, so many seconds."""
    own = [sys.executable, __file__, "--serve", "--classes", str(classes)]
    theirs = [str(tools / "bin" / "python"), str(ROOT / "tools" / "bench" / "fanout_peers.py"), way, str(size)]
    server = Talk(own if way == "streamclf" else theirs)
    port = server.read().strip()
    empty = server.ask()
    listeners = Talk([str(tools / "listeners"), port, str(clients), "/v1?tier=frame"])
    listeners.read()
    time.sleep(WARM_UP_S)
    idle = server.ask()
    server.ask("go")
    time.sleep(WARM_UP_S)
    listeners.ask()
    before, started = server.ask(), time.monotonic()
    time.sleep(seconds)
    heard, after, spent = listeners.ask(), server.ask(), time.monotonic() - started
    listeners.end()
    server.end()
    if heard["ended"] or not heard["messages"]:
        raise RuntimeError(f"{way}: {heard['ended']} clients were lost, {heard['messages']} messages came")
    cpu_s = after["cpu_s"] - before["cpu_s"]
    return FanoutTurn(
        1e6 * cpu_s / heard["messages"],
        100 * cpu_s / spent,
        heard["bytes"] / heard["messages"],
        heard["lag_p50_ms"],
        heard["lag_p99_ms"],
        (idle["rss_kib"] - empty["rss_kib"]) / clients,
    )


def prepared(ways: list[str]) -> Path:
    """The folder with the compiled clients and an environment of the others' wheels, made once."""
    tools = ROOT / ".run" / "venv-peers"
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        sys.exit("tools/bench/fanout.py: there is no gcc, which makes the clients; install it (apt-get install gcc)")
    if not (tools / "bin" / "python").exists():
        subprocess.run([sys.executable, "-m", "venv", str(tools)], check=True)
    wanted = [PEERS[way] for way in ways if PEERS.get(way)]
    if wanted:
        pip = [str(tools / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *wanted], check=True, stderr=subprocess.DEVNULL)
    source = ROOT / "tools" / "bench" / "listeners.c"
    subprocess.run([compiler, "-O2", "-o", str(tools / "listeners"), str(source)], check=True)
    return tools


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clients", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--classes", type=int, default=1)
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--json", type=Path, help="write the figures there, too")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.classes))
        return
    tools = prepared(options.ways)
    size, turns = 200, {way: [] for way in options.ways}  # type: tuple[int, dict[str, list[FanoutTurn]]]
    for _ in range(options.rounds):
        for way in options.ways:
            got = turn(way, options.clients, options.seconds, classes=options.classes, size=size, tools=tools)
            turns[way].append(got)
            size = round(got.size) if way == "streamclf" else size
    least = {way: FanoutTurn(*map(min, zip(*each, strict=True))) for way, each in turns.items()}
    floor = least["raw"].us if "raw" in least else float("nan")
    print(f"{options.clients} clients, 50 messages a second, the least of {options.rounds} turns\n")
    print("| server | CPU a message, us | of raw | a core, % | lag p50, ms | p99 | KiB an idle client | bytes |")
    print("|---|---|---|---|---|---|---|---|")
    for way, row in least.items():
        told = f"| {way} | {row.us:.2f} | {row.us / floor:.2f} | {row.percent:.0f} | {row.lag_p50_ms:.1f} "
        print(f"{told}| {row.lag_p99_ms:.1f} | {row.idle_kib:.1f} | {row.size:.0f} |")
    if options.json:
        rows = {way: row._asdict() for way, row in least.items()}
        options.json.write_text(json.dumps({"clients": options.clients, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
