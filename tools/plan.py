#!/usr/bin/env python
"""How many processes and machines hear so many microphones for so many listeners, by what one unit has cost.

    python -m tools.plan --microphones 100 --listeners 50000
    python -m tools.plan --page           # the tables of docs/operate/planning.md

Theory of operation. Each process of streamclf computes on one core (Python), and is filled up to `FULL` of it: the
rest is for what comes at once. A daemon pays for its streams and its own listeners; where these do not fit, daemons
give what they hear to NATS once, and gateways pay for the streams that they follow and for the listeners. Then the plan
is run: rows come as they do, in time, each process serves them one after the other at those costs, with jitter, and
what waited longest of a hundred is told. How busy a process is by the arithmetic and in the simulation is the same.
"""

import argparse
import random
import sys
from dataclasses import dataclass
from math import ceil
from pathlib import Path

FULL = 0.6
"""Of a core that a process may take."""
LATE_MS = 100.0
"""What ninety-nine of a hundred rows and messages may wait."""
CORES = 4
"""Of a machine; one of them is left to the system, to NATS or to PostgreSQL."""
SLOTS = 256
"""Streams of a pack in one daemon, see engine/batch.py."""
CONNECTIONS = 4096
"""`server.connections` as it is unless it is set."""
BATCHES = 10
"""Messages a second of the tier `batch`, which is the default."""
FRAMES = 50
_JITTER = 0.3
"""How much one and the same piece of work varies: as the repeats in docs/figures/costs.md do."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one unit takes. command: prints it. told: the figure that it is made of, in docs/figures/costs.md."""

    what: str
    us: float
    told: str
    command: str


STREAMS = {
    "default": Cost("20 ms of a stream, default pack, with levels, spectrum, hub and a subscriber", 115,
                    "174 to 206 streams a core", "python tools/bench/streams.py"),
    "silero-vad": Cost("20 ms of a stream, Silero", 275,
                       "64 streams are 88 % of a core", "python tools/bench/sustained.py --streams 64"),
    "yamnet": Cost("20 ms of a stream, YAMNet, a window every 20 ms", 4800,
                   "24 % of a core", "python tools/bench/sustained.py --streams 1 --model yamnet --hop-ms 20"),
}  # fmt: skip
SEND = Cost("a message to a listener", 7.1, "7.1 µs", "python tools/bench/fanout.py")
FOLLOW = Cost("20 ms of a stream that a gateway follows, and somebody has", 83,
              "83 µs", "python tools/bench/gateways.py --streams 16")  # fmt: skip
LISTENER_KIB = 12.1
"""An idle client (python tools/bench/fanout.py)."""
EVENTS_A_YEAR = 360_000
"""Of a microphone, as the year of 100 sites in tools/bench/postgres.py has them."""
EVENT_BYTES = 525
"""Of an event in PostgreSQL, indexes too: 2.1 GB for 4 million (python -m tools.bench.postgres --events 4000000)."""


@dataclass(frozen=True, slots=True)
class Process:
    """A kind of process of a plan: how many, and what each has to do."""

    kind: str
    count: int
    streams: int
    listeners: int
    stream_us: float
    """What 20 ms of a stream take it."""

    @property
    def busy(self) -> float:
        """Of a core."""
        return (self.streams * FRAMES * self.stream_us + self.listeners * BATCHES * SEND.us) / 1e6


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """What hears `microphones` for `listeners`, each of whom follows one stream."""

    microphones: int
    listeners: int
    processes: tuple[Process, ...]
    central: bool
    """Whether there is more than one daemon, so that events of all are worth a PostgreSQL."""

    @property
    def gateways(self) -> int:
        """How many."""
        return sum(process.count for process in self.processes if process.kind == "gateway")

    @property
    def daemons(self) -> int:
        """How many."""
        return sum(process.count for process in self.processes if process.kind == "daemon")

    @property
    def machines(self) -> int:
        """Of `CORES` cores; one more for NATS where there are gateways, and one for PostgreSQL."""
        if self.daemons == 1 and not self.gateways:
            return 1
        held = CORES - 1
        return ceil(self.daemons / held) + ceil(self.gateways / held) + bool(self.gateways) + self.central

    @property
    def memory_mib(self) -> float:
        """Of all listeners' connections."""
        return self.listeners * LISTENER_KIB / 1024

    @property
    def events_gb(self) -> float:
        """Of a year in PostgreSQL."""
        return self.microphones * EVENTS_A_YEAR * EVENT_BYTES / 1e9


def plan(microphones: int, listeners: int, *, pack: str = "default") -> FleetPlan:
    """Raises ValueError where a single stream does not fit on a core."""
    cost = STREAMS[pack].us
    most = min(SLOTS, int(FULL * 1e6 / (FRAMES * cost)))
    if most < 1:
        raise ValueError(f"a stream of {pack} takes more than {FULL:g} of a core; give it a longer hop or a server")
    daemons = ceil(microphones / most)
    each = ceil(microphones / daemons)
    alone = Process("daemon", daemons, each, ceil(listeners / daemons), cost)
    if alone.busy <= FULL and alone.listeners <= CONNECTIONS:
        return FleetPlan(microphones, listeners, (alone,), daemons > 1)
    # half of a gateway for streams at the most: a fleet of more is split by site, each part with gateways of its own
    follows = int(FULL / 2 * 1e6 / (FRAMES * FOLLOW.us))
    parts = ceil(microphones / follows)
    streams = ceil(microphones / parts)
    room = FULL * 1e6 - streams * FRAMES * FOLLOW.us
    holds = min(CONNECTIONS, int(room / (BATCHES * SEND.us)))
    gateways = parts * ceil(ceil(listeners / parts) / holds)
    serving = Process("gateway", gateways, streams, ceil(listeners / gateways), FOLLOW.us)
    return FleetPlan(microphones, listeners, (Process("daemon", daemons, each, 0, cost), serving), daemons > 1)


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a simulation of one process has found. busy: of a core. late_ms: of 99 of 100 rows and messages, at most."""

    busy: float
    late_ms: float


def simulate(process: Process, *, seconds: float = 10.0, seed: int = 1) -> Simulated:
    """One process: rows come every 20 ms, messages go out every fifth, one thing is done after the other.

    A stream's listeners get its message one after the other, and the last of them has waited for all before.
    """
    chance = random.Random(seed)
    hearing = [process.listeners // process.streams] * process.streams
    for at in range(process.listeners % process.streams):
        hearing[at] += 1
    work: list[tuple[float, float, int]] = []  # when it comes (s), what one piece takes (s), how many pieces
    for stream in range(process.streams):
        phase, fifth = chance.random() / FRAMES, chance.randrange(5)
        for frame in range(int(seconds * FRAMES)):
            when = phase + frame / FRAMES
            work.append((when, process.stream_us / 1e6, 1))
            if frame % 5 == fifth and hearing[stream]:
                work.append((when, SEND.us / 1e6, hearing[stream]))
    work.sort()
    free_s, used_s = 0.0, 0.0
    waited: list[tuple[float, int]] = []
    for when, piece_s, pieces in work:
        takes_s = piece_s * pieces * chance.uniform(1 - _JITTER, 1 + _JITTER)
        begins_s = max(when, free_s)
        free_s = begins_s + takes_s
        used_s += takes_s
        parts = min(pieces, 10)  # of many that are served, each tenth waits for those before
        waited += [(begins_s - when + takes_s * (part + 1) / parts, pieces // parts) for part in range(parts)]
    waited.sort(reverse=True)
    spare = 0.01 * sum(count for _, count in waited)
    for late_s, count in waited:
        spare -= count
        if spare < 0:
            return Simulated(used_s / max(seconds, free_s), late_s * 1000)
    return Simulated(used_s / max(seconds, free_s), 0.0)


PAGE = Path(__file__).resolve().parents[1] / "docs/operate/planning.md"
SIZES = ((1, 1), (1, 1_000), (10, 100), (10, 10_000), (100, 1_000), (100, 100_000), (1_000, 1_000), (1_000, 100_000),
         (10_000, 1_000), (10_000, 100_000), (1, 1_000_000), (10_000, 1_000_000))  # fmt: skip


def costs_table() -> str:
    """In Markdown."""
    lines = ["| one unit | µs of a core | made of | command |", "|---|---|---|---|"]
    costs = (*STREAMS.values(), SEND, FOLLOW)
    lines += [f"| {cost.what} | {cost.us:g} | {cost.told} | `{cost.command}` |" for cost in costs]
    return "\n".join(lines)


def plans_table() -> str:
    """In Markdown: every size of `SIZES`, and what the simulation finds of its busiest process."""
    lines = [
        "| microphones | listeners | daemons | gateways | machines | busiest process | late, p99 | connections "
        "| events a year |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for microphones, listeners in SIZES:
        one = plan(microphones, listeners)
        worst = max(one.processes, key=lambda process: process.busy)
        found = simulate(worst)
        events = f"{one.events_gb:,.0f} GB" if one.central else ""
        gateways = f"{one.gateways:,}" if one.gateways else ""
        cells = (
            f"{microphones:,}", f"{listeners:,}", f"{one.daemons:,}", gateways, f"{one.machines:,}",
            f"{worst.kind}, {100 * worst.busy:.0f} %", f"{found.late_ms:.0f} ms", f"{one.memory_mib:,.0f} MiB", events,
        )  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def tell(one: FleetPlan) -> str:
    """For people."""
    what = f"{one.microphones:,} microphones, {one.listeners:,} listeners"
    lines = [f"{what}: {one.machines:,} machines of {CORES} cores"]
    for process in one.processes:
        found = simulate(process)
        lines.append(
            f"  {process.count:,} x {process.kind}: {process.streams:,} streams and {process.listeners:,} listeners "
            f"each, {100 * process.busy:.0f} % of a core; simulated {100 * found.busy:.0f} %, "
            f"{found.late_ms:.0f} ms late (p99)"
        )
    if one.gateways:
        lines.append("  1 x NATS with JetStream (docs/operate/gateway.md)")
    if one.central:
        lines.append(f"  1 x PostgreSQL: {one.events_gb:,.0f} GB a year (docs/operate/postgres.md)")
    return "\n".join(lines)


def main() -> int:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--microphones", type=int, default=1)
    parser.add_argument("--listeners", type=int, default=1)
    parser.add_argument("--model", choices=sorted(STREAMS), default="default")
    parser.add_argument("--page", action="store_true", help="the tables of docs/operate/planning.md")
    asked = parser.parse_args()
    if asked.page:
        print(costs_table(), plans_table(), sep="\n\n")
        return 0
    if asked.microphones < 1 or asked.listeners < 0:
        parser.error("at least one microphone, and no fewer listeners than none")
    print(tell(plan(asked.microphones, asked.listeners, pack=asked.model)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
