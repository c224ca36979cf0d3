"""From the arrival of a block's last sample to the arrival of its score at a local subscriber on the `frame` tier.

A real PortAudio capture without a sound card: a FIFO read by ALSA's `file` plugin (a device that the daemon opens by
name), fed here with a block of 20 ms every 20 ms; the real daemon as a process; a real websocket client. For every
frame: time the client got its row, less the time the block's last sample was written, less the pack's look-ahead.

    python tools/bench/latency.py --model silero-vad [--seconds 60] [--clients 1000]

With `--clients` so many take every row (compiled ones, as in fanout.py), and the one that is measured came last.
Prints p50, p99 and maximum, of all frames after the first two seconds, and the daemon's share of a core.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import websockets

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from tools.bench.fanout import Talk, prepared
from tools.lab.daemon import free_port, start_daemon
from tools.lab.soundserver import FIFO_CHANNELS, fifo_microphone

RATE = 16_000
HOP = RATE // 50
STANDING_MS = 50  # a device that stood still once has sound waiting in its FIFO for ever, as no sound card would


def feed(fifo: int, written: dict[int, int], frames: int, audio: np.ndarray) -> None:
    """Write block k, samples [k * HOP, (k + 1) * HOP), every 20 ms, and note when (ns)."""
    start = time.monotonic_ns() + 20_000_000
    for k in range(frames):
        due = start + k * 20_000_000
        while (left := due - time.monotonic_ns()) > 0:
            time.sleep(left / 1e9)
        block = audio[k * HOP % len(audio) :][:HOP].repeat(FIFO_CHANNELS).tobytes()
        written[k] = time.time_ns()
        os.write(fifo, block)


async def receive(port: int, model: str, arrived: dict[int, int], seconds: float) -> None:
    """Note when the row of each frame arrives (ns)."""
    async with asyncio.timeout(seconds + 30):
        async with websockets.connect(f"ws://127.0.0.1:{port}/v1?tier=frame&packs={model}", compression=None) as ws:
            end = time.monotonic() + seconds
            async for message in ws:
                now = time.time_ns()
                data = json.loads(message)
                if data["type"] == "scores" and data["final"]:
                    for i in range(data["count"]):
                        arrived.setdefault(data["first_frame"] + i, now)
                if time.monotonic() > end:
                    return


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="silero-vad")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=1)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    audio = (0.05 * rng.standard_normal(RATE * 10)).astype(np.float32)
    written: dict[int, int] = {}
    arrived: dict[int, int] = {}
    with fifo_microphone(rate=RATE, silence=False) as microphone:
        port = free_port()
        folder = Path(tempfile.mkdtemp())
        daemon = start_daemon(
            ["--source", microphone.source, "--model", args.model, "--quiet"],
            port=port,
            env={**os.environ, **microphone.env, "STREAMCLF_STORE_PATH": str(folder / "store")},
            log=folder / "daemon",
        )
        feeder = threading.Thread(
            target=feed, args=(microphone.fd, written, int((args.seconds + 6) * 50), audio), daemon=True
        )
        try:
            daemon.wait_ready()
            # the device takes a block every 20 ms: what waits in the FIFO when it opens would stay a lag for ever
            time.sleep(1.5)
            others = None
            if args.clients > 1:
                command = [
                    str(prepared([]) / "listeners"),
                    str(port),
                    str(args.clients - 1),
                    f"/v1?tier=frame&packs={args.model}",
                ]
                others = Talk(command)
                others.read()
            feeder.start()
            asyncio.run(receive(port, args.model, arrived, args.seconds))
            process = psutil.Process(daemon.process.pid)
            spent, age = process.cpu_times(), time.time() - process.create_time()
            if others is not None:
                others.end()
        finally:
            daemon.stop()
            feeder.join(10)
    report(written, arrived, (spent.user + spent.system) / age)


def report(written: dict[int, int], arrived: dict[int, int], share: float) -> None:
    """The device was open before the first block, so block k is frame k."""
    frames = sorted(arrived)[100:]
    lags = np.array([(arrived[k] - written[k]) / 1e6 for k in frames])
    p50, p99 = np.percentile(lags, [50, 99])
    missing = frames[-1] - frames[0] + 1 - len(frames)
    if lags.min() > STANDING_MS:
        print(f"no row in less than {lags.min():.0f} ms: the device fell behind once, and that stays; run again")
    print(f"{len(lags)} frames: p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {lags.max():.2f} ms; {missing} frames missing")
    print(f"daemon: {share * 100:.1f} % of a core, its start included")


if __name__ == "__main__":
    main()
