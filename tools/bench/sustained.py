"""Many streams at once: does each get its 50 rows a second, and what does the daemon cost?

    python tools/bench/sustained.py --streams 16 --model silero-vad [--seconds 30]
    python tools/bench/sustained.py --streams 1 --model yamnet --hop-ms 20

Sources are recordings played at real time (the demo's, or --file), each a stream of its own; one subscriber takes
every row of every stream. Events are kept in a folder of the run; STREAMCLF_STORE_ENABLED=false keeps none,
STREAMCLF_SCORES_ENABLED=true logs every row as well. Prints rows a second of the slowest stream, gaps, and the daemon's
share of a core, and how often one of its threads was woken.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import websockets

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from streamclf.audio.sources.demo import DEMO_FILE
from tools.lab.daemon import free_port, start_daemon


async def count(port: int, seconds: float) -> tuple[dict[str, set[int]], Counter[str], float]:
    """Frames seen of each stream, how many messages of every other type, and the seconds it took."""
    frames: dict[str, set[int]] = {}
    others: Counter[str] = Counter()
    async with websockets.connect(f"ws://127.0.0.1:{port}/v1?tier=batch&final=final&top_k=1", compression=None) as ws:
        begin = time.monotonic()
        async for message in ws:
            data = json.loads(message)
            if data["type"] == "scores":
                first = data["first_frame"]
                frames.setdefault(data["stream"], set()).update(range(first, first + data["count"]))
            else:
                others[data["type"]] += 1
            lasted = time.monotonic() - begin
            if lasted > seconds:
                break
    return frames, others, lasted


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--model", default="silero-vad")
    parser.add_argument("--hop-ms", default="0")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--file", default=str(DEMO_FILE))
    args = parser.parse_args()
    sources = [f"--source=file:{args.file}#name=stream-{n}&loop=yes" for n in range(args.streams)]
    port = free_port()
    log = Path(tempfile.mkdtemp()) / "daemon"
    options = ["--model", args.model, "--hop-ms", args.hop_ms, "--quiet"]
    env = {**os.environ, "STREAMCLF_STORE_PATH": str(log.parent / "store")}
    daemon = start_daemon([*sources, *options], port=port, env=env, log=log)
    try:
        daemon.wait_ready()
        time.sleep(2)
        process = psutil.Process(daemon.process.pid)
        before, woken, started = process.cpu_times(), wakings(process.pid), time.monotonic()
        frames, others, lasted = asyncio.run(count(port, args.seconds))
        after, woken, spent = process.cpu_times(), wakings(process.pid) - woken, time.monotonic() - started
    finally:
        daemon.stop()
    share = (after.user + after.system - before.user - before.system) / spent
    rates = [len(seen) / lasted for seen in frames.values()]
    holes = sum(max(seen) - min(seen) + 1 - len(seen) for seen in frames.values())
    slowest = min(rates)
    print(
        f"{len(frames)} of {args.streams} streams, {lasted:.0f} s: slowest {slowest:.1f} rows/s, {holes} rows missing"
    )
    print(f"gaps {others['gap']}, lagged {others['lagged']}, statuses {others['status']}")
    print(f"daemon: {share * 100:.1f} % of a core, woken {woken / spent:.0f} times a second, {warnings_of(log)}")


def wakings(pid: int) -> int:
    """How often a thread of the process has waited for something so far."""
    states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(line.split()[1]) for text in states for line in text.splitlines() if line.startswith("voluntary"))


def warnings_of(log: Path) -> str:
    """What the daemon printed, if anything: a warning there belongs to the figure."""
    lines = log.with_suffix(".err").read_text(errors="replace").strip().splitlines()
    return f"{len(lines)} warnings, the first: {lines[0]}" if lines else "no warnings"


if __name__ == "__main__":
    main()
