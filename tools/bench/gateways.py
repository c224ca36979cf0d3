#!/usr/bin/env python3
"""Two gateways against one daemon: what a subscriber costs at each, and how many more two of them serve.

    python tools/bench/gateways.py [--clients 500] [--seconds 10] [--streams 1]

A real daemon (50 messages a second of each stream to each client), a real nats-server and two real gateways in one run.
In turn the clients sit nowhere, at the daemon, at one gateway, at the other, and as many at each of both. Who serves
has the last core for itself; the clients, which are compiled, and all other processes have the others. CPU is that of
each process, from /proc; lag is from the time in the message to its arrival at every 16th client.

`a core carries` is how many clients of a stream each process would serve with a whole core: what it takes without any
(scoring, or following) taken off, the rest divided by what each client takes. Gateways share nothing but NATS: where
the second carries as many as the first, and the daemon takes no more for two than for one, two carry twice as many.
--streams 8 tells what a stream costs a gateway; the last line is CPU for each row.
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
from tools.lab.gateways import NatsServer, site_with_gateways

FRAMES = 50
_TICKS = os.sysconf("SC_CLK_TCK")


class GatewayLab(NamedTuple):
    """All that runs. tools: where the clients are. streams: of the daemon."""

    server: NatsServer
    daemon: Daemon
    gateways: list[Daemon]
    tools: Path
    streams: int

    @property
    def pids(self) -> dict[str, int]:
        """By what stands above their columns."""
        gateways = {f"gateway {number}": each.process.pid for number, each in enumerate(self.gateways, 1)}
        return {"daemon": self.daemon.process.pid, "NATS": self.server.pid, **gateways}


class GatewayTurn(NamedTuple):
    """percent: of a core, by process. messages: a second, by who serves; lag in ms, of the slower."""

    percent: dict[str, float]
    messages: dict[str, float]
    lag_p50_ms: float
    lag_p99_ms: float


def cpu_s(pid: int) -> float:
    """What the process has taken, user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def pin(pid: int, cores: set[int]) -> None:
    """All threads of the process to these cores."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)


def serve(lab: GatewayLab, at: list[str], clients: int, seconds: float) -> GatewayTurn:
    """clients: at each of `at`."""
    *others, last = sorted(os.sched_getaffinity(0))
    rest = set(others or [last])
    for name, pid in lab.pids.items():
        pin(pid, {last} if name in at else rest)
    ports = {"daemon": lab.daemon.port, **{f"gateway {n}": each.port for n, each in enumerate(lab.gateways, 1)}}
    program = ["taskset", "-c", ",".join(map(str, rest)), str(lab.tools / "listeners")]
    crowds = {name: Talk([*program, str(ports[name]), str(clients), "/v1?tier=frame"]) for name in at}
    for crowd in crowds.values():
        crowd.read()
    time.sleep(WARM_UP_S)
    for crowd in crowds.values():
        crowd.ask()
    before, began = {name: cpu_s(pid) for name, pid in lab.pids.items()}, time.monotonic()
    time.sleep(seconds)
    heard = {name: crowd.ask() for name, crowd in crowds.items()}
    spent = time.monotonic() - began
    percent = {name: 100 * (cpu_s(pid) - before[name]) / spent for name, pid in lab.pids.items()}
    for crowd in crowds.values():
        crowd.end()
    if any(each["ended"] or not each["messages"] for each in heard.values()):
        raise RuntimeError(f"clients were lost: {[each['ended'] for each in heard.values()]}")
    lags = [max((each[name] for each in heard.values()), default=0.0) for name in ("lag_p50_ms", "lag_p99_ms")]
    return GatewayTurn(percent, {name: each["messages"] / spent for name, each in heard.items()}, *lags)


def show(said: str, clients: int, turn: GatewayTurn, alone: GatewayTurn, lab: GatewayLab) -> None:
    """A row. alone: without clients."""
    us, carries = [], []
    for name, messages in turn.messages.items():
        each = 1e4 * (turn.percent[name] - alone.percent[name]) / messages
        us.append(f"{each:.1f}")
        carries.append(f"{(1e6 - 1e4 * alone.percent[name]) / (FRAMES * each):,.0f}")
    percents = " | ".join(f"{turn.percent[name]:.1f}" for name in lab.pids)
    print(
        f"| {said} | {clients} | {sum(turn.messages.values()):,.0f} | {percents} | {', '.join(us)} | "
        f"{', '.join(carries)} | {turn.lag_p50_ms:.1f}, {turn.lag_p99_ms:.1f} |",
        flush=True,
    )


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--streams", type=int, default=1)
    asked = parser.parse_args()
    tools = prepared([])
    with (
        tempfile.TemporaryDirectory() as name,
        site_with_gateways(Path(name), 2, streams=asked.streams) as (server, daemon, gateways),
    ):
        lab = GatewayLab(server, daemon, gateways, tools, asked.streams)
        print(f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f} before")
        print(
            f"| served by | clients | messages a second | {' | '.join(lab.pids)} | us a message | a core carries |",
            end="",
        )
        print(" lag p50, p99 (ms) |")
        print("|---|---|---|" + "---|" * (len(lab.pids) + 3))
        alone = serve(lab, [], 0, asked.seconds)
        show("nobody", 0, alone, alone, lab)
        turns = {
            "the daemon": ["daemon"],
            "gateway 1": ["gateway 1"],
            "gateway 2": ["gateway 2"],
            "both gateways": ["gateway 1", "gateway 2"],
        }
        for said, at in turns.items():
            show(said, asked.clients * len(at), serve(lab, at, asked.clients, asked.seconds), alone, lab)
        one = serve(lab, ["gateway 1"], 1, asked.seconds)
        idle, follows = (1e4 * turn.percent["gateway 1"] / (FRAMES * asked.streams) for turn in (alone, one))
        print(f"a gateway takes {idle:.0f} us for each row that it follows, and {follows:.0f} with a client of all")


if __name__ == "__main__":
    main()
