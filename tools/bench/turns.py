#!/usr/bin/env python3
"""How long a hostile client keeps the server's loop from everybody else: its longest turn, in CPU time of its own.

    tools/bench/turns.py --seconds 4 [--only text pings]

The server runs in this process with a row every 20 ms, the client in another. Other than `hostile.py`, which measures
the real daemon by the clock, this says the same on a busy machine. `taken`: seconds of pushed sound that were taken.
"""

import argparse
import asyncio
import time

import numpy as np

from streamclf.clock import StreamClock
from streamclf.serve.http.server import Server, ServerSettings
from streamclf.serve.hub import Hub, PackInfo, StreamInfo
from streamclf.types import F32, FrameScores, Label, Shape
from tools.bench.hostile import KINDS, RATE, attacked

HOP = RATE // 50


class CountingSink:
    """A push stream that counts."""

    rate = RATE

    def __init__(self) -> None:
        self.samples = 0

    def connect(self, *, again: bool) -> None:
        """Somebody sends."""

    def feed(self, first_sample: int, samples: F32) -> None:
        """Samples came."""
        self.samples += len(samples)

    def disconnect(self, *, left: bool) -> None:
        """Nobody does."""


def make_server(sink: CountingSink) -> Server:
    """One stream, one pack of one label."""
    clock = StreamClock(RATE)
    clock.start(first_sample=0, wall_ns=time.time_ns())
    pack = PackInfo("bench", "1", "0", Shape.STATEFUL, (Label("a", "A"),), False, 20.0, 0.0, 20.0, None, 20, "none")
    hub = Hub(streams=[StreamInfo("heard", RATE, clock, "bench", packs=["bench"])], packs=[pack])
    return Server(hub, ServerSettings(port=0), push_sinks={"pushed": sink})


async def measure(kind: str, seconds: float) -> str:
    """A line of the table."""
    sink = CountingSink()
    server = make_server(sink)
    await server.start()
    worst_s, frame = 0.0, 0
    cpu_s = time.thread_time()
    with attacked(kind, server.port):
        began_s = time.monotonic()
        while (now_s := time.monotonic()) < began_s + seconds:
            if now_s >= began_s + frame * 0.02:
                rows = np.zeros((1, 1), np.float32)
                server.publish([FrameScores("heard", "bench", frame, rows, True, (frame + 1) * HOP)], time.time_ns())
                frame += 1
            before_s = time.thread_time()
            await asyncio.sleep(0)
            worst_s = max(worst_s, time.thread_time() - before_s)
    cpu_s = time.thread_time() - cpu_s
    await server.stop(1.0)
    return f"{kind:12} {1000 * worst_s:8.1f} {cpu_s:8.1f} {sink.samples / RATE:8.1f}"


def main() -> None:
    """The table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    print("client       longest turn ms    CPU s    taken s")
    for kind in options.only:
        print(asyncio.run(measure(kind, options.seconds)), flush=True)


if __name__ == "__main__":
    main()
