#!/usr/bin/env python
"""What many streams cost: microseconds of the engine for each stream and 20 ms, stage by stage, and streams a core.

    python tools/bench/streams.py [--streams 64] [--rounds 9] [--pack FOLDER] [--json FILE]

Streams come from memory at 16 kHz, 20 ms a turn, as live ones do. Thread-CPU time; of the rounds the least, because
other programs only ever add to a time; all ways are measured in each round, so that their ratios hold on a machine that
others use too. `runtime` is ONNX Runtime alone on as many rows; `glue` is all that is not ONNX Runtime. Streams a core:
how many are heard in real time by one core.
"""

import streamclf.blas  # noqa: F401  one thread, as in the daemon; before numpy is imported

# isort: split
import argparse
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from streamclf.audio.ring import Ring
from streamclf.clock import FRAMES_PER_SECOND, StreamClock
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.stream import Stream
from streamclf.model.fusedsession import open_session
from streamclf.model.loader import load_pack
from streamclf.protocol import wire
from streamclf.serve.hub import Hub
from streamclf.serve.info import StreamInfo
from streamclf.serve.mailbox import Outgoing
from streamclf.serve.packinfo import pack_info
from streamclf.serve.subscription import Channel
from streamclf.types import F32, Provider

ROOT = Path(__file__).resolve().parents[2]
RATE = 16_000
HOP = RATE // FRAMES_PER_SECOND
TURNS = 50  # of 20 ms, in one measurement
# what reading the clock takes: as much as a small net where each read is a call of the system
_CLOCK_NS = min(-(time.thread_time_ns() - time.thread_time_ns()) for _ in range(50))


class Crowd:
    """So many streams of one pack, from memory. drawn: with levels and spectrum columns. told: to a hub."""

    def __init__(self, folder: Path, streams: int, *, levels: bool = False, drawn: bool = False, told: bool = False):
        self.pack = load_pack(folder)
        self.session = open_session(self.pack, provider=Provider.CPU, max_batch=max(64, streams))
        self.engine = Engine([PackRunner(self.pack, self.session)])
        self._rings = [Ring(4 * RATE) for _ in range(streams)]
        for number, ring in enumerate(self._rings):
            self.engine.add(Stream(f"s{number}", rate=RATE, ring=ring, levels=levels or drawn))
        self.engine.draw(drawn)
        self._blocks = _sound(streams)
        self._hub = self._made_hub(streams) if told else None
        self._streams = streams
        self.turns(2 * TURNS)

    def turns(self, count: int = TURNS) -> float:
        """A block of 20 ms for every stream, a tick, and so on. Returns what the ticks took; sources are not in it."""
        taken = 0
        for turn in range(count):
            for ring, blocks in zip(self._rings, self._blocks, strict=True):
                ring.write(blocks[turn % TURNS])
            began = time.thread_time_ns()
            outputs = self.engine.tick()
            if self._hub is not None:
                now = time.time_ns()
                self._hub.publish(outputs, decided_ns=now, sent_ns=now)
            taken += time.thread_time_ns() - began - _CLOCK_NS
        return taken / 1000 / count

    def runtime(self) -> float:
        """ONNX Runtime alone, with as many rows as the engine gives it."""
        began = time.thread_time_ns()
        hops_ms = {member.name: member.hop_ms for member in self.pack.manifest.members}
        for member, graph in zip(self.session.members, self.pack.graphs, strict=True):
            step = graph.manifest.step or HOP * (hops_ms.get(graph.manifest.name) or 20) // 20
            for _ in range(round(TURNS * HOP / step)):
                member.runtime(self._streams)
        return (time.thread_time_ns() - began) / 1000 / TURNS

    def _made_hub(self, streams: int) -> Hub:
        clock = StreamClock(RATE)
        clock.start(first_sample=0, wall_ns=time.time_ns())
        name = self.pack.manifest.name
        infos = [StreamInfo(f"s{number}", RATE, clock, "bench", packs=[name]) for number in range(streams)]
        hub = Hub(streams=infos, packs=[pack_info(self.pack, hop_ms=20, provider="cpu", latency_ms=500)])
        hub.subscribe(_Listening(), wire.Subscribe(picture=True))
        return hub


class _Listening:
    """A subscriber of everything that takes every message at once."""

    def deliver(self, message: Outgoing) -> None:
        """Taken."""

    def show(self, frame: bytes) -> bool:
        """Taken."""
        return True

    def control(self, message: wire.Message) -> None:
        """Taken."""

    def moved(self, channel: Channel, answer: wire.Subscribed) -> None:
        """No pack is taught."""


def _sound(streams: int) -> F32:
    """(streams, turns, hop): noise that swells and fades, so that labels come and go."""
    random = np.random.default_rng(0)
    swell = 0.001 + 0.1 * np.abs(np.sin(np.arange(TURNS * HOP) / 9000))
    return (random.standard_normal((streams, TURNS * HOP)) * swell).astype(np.float32).reshape(streams, TURNS, HOP)


def measured(ways: Mapping[str, Callable[[], float]], rounds: int) -> dict[str, float]:
    """Thread-CPU microseconds of one turn, the least of the rounds; every way in each round."""
    least = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds):
        for name, way in ways.items():
            least[name] = min(least[name], way())
    return least


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--streams", type=int, nargs="+", default=[64])
    asked.add_argument("--rounds", type=int, default=9)
    asked.add_argument("--pack", type=Path, default=ROOT / "models" / "default")
    asked.add_argument("--json", type=Path)
    chosen = asked.parse_args()
    print("| streams | way | us a stream and 20 ms | glue | streams a core |", "|---|---|---|---|---|", sep="\n")
    found = []
    for streams in chosen.streams:
        crowds = {
            "engine": Crowd(chosen.pack, streams),
            "engine, levels": Crowd(chosen.pack, streams, levels=True),
            "engine, levels and spectrum": Crowd(chosen.pack, streams, drawn=True),
            "the same, hub and a subscriber": Crowd(chosen.pack, streams, drawn=True, told=True),
        }
        ways: dict[str, Callable[[], float]] = {"runtime": crowds["engine"].runtime}
        ways |= {name: one.turns for name, one in crowds.items()}
        taken = measured(ways, chosen.rounds)
        for name, us in taken.items():
            us, glue = us / streams, (us - taken["runtime"]) / streams
            print(f"| {streams} | {name} | {us:.1f} | {glue:.1f} | {20_000 / us:.0f} |", flush=True)
            found.append({"streams": streams, "way": name, "us": us, "glue_us": glue, "streams_a_core": 20_000 / us})
    if chosen.json:
        chosen.json.write_text(json.dumps({"pack": chosen.pack.name, "rows": found}, indent=1))


if __name__ == "__main__":
    main()
