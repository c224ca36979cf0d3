#!/usr/bin/env python3
"""Two gateways against one daemon: what a subscriber costs at each, and how many more two of them serve.

    python tools/bench/gateways.py [--clients 500] [--seconds 10]

A real daemon with one stream (50 messages a second to each client), a real nats-server and two real gateways. In turn
the same number of clients sits at the daemon, at one gateway, and, twice as many, half at each of two. CPU is that of
the serving processes, from /proc; lag is from the time in the message to its arrival at every 16th client.

Gateways share nothing but NATS, so on machines of their own the number of subscribers doubles with the second. On one
machine they also share its cores with the clients: where the serving processes and the clients together want more than
there are, the figure for two at once says what the cores allowed, and CPU for each subscriber is what counts.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.bench.fanout import WARM_UP_S, Talk, prepared
from tools.lab.daemon import Daemon
from tools.lab.gateways import site_with_gateways

_TICKS = os.sysconf("SC_CLK_TCK")


class Served(NamedTuple):
    """percent: of a core, of all that serve together. us: CPU for each message; lag in ms."""

    clients: int
    messages: float
    percent: float
    us: float
    lag_p50_ms: float
    lag_p99_ms: float


def cpu_s(daemon: Daemon) -> float:
    """What the process has taken, user and system."""
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def serve(at: list[Daemon], clients: int, seconds: float, tools: Path) -> Served:
    """clients: at each of `at`."""
    crowds = [Talk([str(tools / "listeners"), str(each.port), str(clients), "/v1?tier=frame"]) for each in at]
    for crowd in crowds:
        crowd.read()
    time.sleep(WARM_UP_S)
    for crowd in crowds:
        crowd.ask()
    before, began = sum(map(cpu_s, at)), time.monotonic()
    time.sleep(seconds)
    heard, spent = [crowd.ask() for crowd in crowds], time.monotonic() - began
    used = sum(map(cpu_s, at)) - before
    for crowd in crowds:
        crowd.end()
    if any(each["ended"] or not each["messages"] for each in heard):
        raise RuntimeError(f"clients were lost: {[each['ended'] for each in heard]}")
    messages = sum(each["messages"] for each in heard)
    lags = [max(each[name] for each in heard) for name in ("lag_p50_ms", "lag_p99_ms")]
    return Served(clients * len(at), messages / spent, 100 * used / spent, 1e6 * used / messages, *lags)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0)
    asked = parser.parse_args()
    tools = prepared([])
    with tempfile.TemporaryDirectory() as name, site_with_gateways(Path(name), 2) as (_, daemon, gateways):
        print(f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} before")
        print("| served by | clients | messages a second | CPU, % of a core | us a message | lag p50, p99 (ms) |")
        print("|---|---|---|---|---|---|")
        for said, at in (("the daemon", [daemon]), ("one gateway", gateways[:1]), ("two gateways", gateways)):
            one = serve(at, asked.clients, asked.seconds, tools)
            print(
                f"| {said} | {one.clients} | {one.messages:,.0f} | {one.percent:.0f} | {one.us:.1f} | "
                f"{one.lag_p50_ms:.1f}, {one.lag_p99_ms:.1f} |"
            )


if __name__ == "__main__":
    main()
