"""A daemon whose way to NATS is cut for a while: what is lost, and to whom? Needs root, and `ip` of iproute2.

    sudo python -m tools.lab.cutoff --seconds 600

The daemon runs in a network namespace with two links: one to the nats-server, which is cut (frames are dropped, nobody
is told), and one to its own clients, which is not. A gateway runs beside the server. Counted is

* of a client of the daemon itself: numbers that it missed, and whether it had to come again;
* of a client of the gateway: numbers that came, that were declared missing, and that were neither;
* of events that the daemon keeps: those that the gateway cannot show once the link is back.

Exit code 1 where the daemon's own client missed anything, where a number was neither had nor declared, or where a kept
event cannot be had at the gateway. --streams of the same sound make more of it: beyond 32 MB the oldest is dropped.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.lab.daemon import Daemon, clean_env, free_port
from tools.lab.gateways import SITE, NatsServer, Roaming, start_gateway, write_tone
from tools.lab.preloaded import Started
from tools.lab.tinypack import stateful_pack

TOKEN = "a-token-of-the-lab"
READY_S = 60.0


def why_not() -> str:
    """Why no namespace can be made here, or an empty text."""
    if os.geteuid() != 0:
        return "making a network namespace needs root"
    if shutil.which("ip") is None:
        return "there is no `ip` here (Debian's package iproute2)"
    name = f"probe{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", name], check=False)
    return ""


def _ip(*args: str) -> None:
    subprocess.run(["ip", *args], check=True)


class Island:
    """A network namespace with a link to NATS, which can be cut, and one to clients."""

    def __init__(self) -> None:
        self.name = f"island{os.getpid()}"
        nets = [f"10.{200 + which}.{os.getpid() % 250}" for which in range(2)]  # several may be there at once
        self.server, self.address = f"{nets[0]}.1", f"{nets[1]}.2"
        """Where the nats-server is to be, and where clients reach what runs in there."""
        self._ends = [(f"{net}.1", f"{net}.2") for net in nets]
        self._links = [f"nats{os.getpid() % 100_000}", f"own{os.getpid() % 100_000}"]

    def __enter__(self) -> "Island":
        _ip("netns", "add", self.name)
        _ip("-n", self.name, "link", "set", "lo", "up")
        for link, inner, (near, far) in zip(self._links, ("eth0", "eth1"), self._ends, strict=True):
            _ip("link", "add", link, "type", "veth", "peer", "name", inner, "netns", self.name)
            _ip("addr", "add", f"{near}/30", "dev", link)
            _ip("-n", self.name, "addr", "add", f"{far}/30", "dev", inner)
            _ip("link", "set", link, "up")
            _ip("-n", self.name, "link", "set", inner, "up")
        return self

    def __exit__(self, *fault: object) -> None:
        with suppress(subprocess.CalledProcessError):
            _ip("netns", "del", self.name)

    def cut(self, away: bool) -> None:
        """Nothing comes through to NATS any more, or again."""
        _ip("link", "set", self._links[0], "down" if away else "up")

    def start(self, args: list[str], env: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
        """A process in there."""
        with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
            command = ["ip", "netns", "exec", self.name, *args]
            return subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err)


@dataclass
class CutOff:
    """See the module. had, declared, lost: numbers of the gateway's client."""

    own_missed: int
    own_moved: int
    had: int
    declared: int
    lost: int
    kept: int
    kept_lost: int
    told: str
    """What the daemon said of it in its health."""


@contextmanager
def island_daemon(folder: Path, streams: int) -> Iterator[tuple[Island, Daemon, Daemon]]:
    """The island, a daemon on it, and a gateway on the mainland."""
    with Island() as island:
        server = NatsServer(folder, host=island.server)
        server.start()
        processes: list[Started] = []
        try:
            write_tone(folder / "tone.wav")
            pack = stateful_pack(folder / "pack")
            env = {"STREAMCLF_NATS_URL": server.url, "STREAMCLF_NATS_SITE": SITE, "STREAMCLF_TOKEN": TOKEN}
            port, log = free_port(), folder / "daemon"
            args = [sys.executable, "-m", "streamclf", "run", "--host", "0.0.0.0", "--port", str(port), "--loop"]
            for number in range(streams):
                args += ["--source", f"file:{folder / 'tone.wav'}#name=yard{number}"]
            processes.append(island.start([*args, "--model", str(pack)], clean_env(folder, env), log))
            daemon = Daemon(processes[0], port, log)
            _wait(lambda: _json(f"http://{island.address}:{port}/readyz")["status"] != "down", daemon)
            gateway = start_gateway(folder, server.url, "--site", SITE, name="gateway")
            processes.append(gateway.process)
            gateway.wait_ready()
            yield island, daemon, gateway
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for process in processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(15)
                process.kill()
            server.stop()


def _wait(true: Any, daemon: Daemon) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        with suppress(OSError):
            if true():
                return
        assert daemon.process.poll() is None, daemon.stderr
        assert time.monotonic() < deadline, daemon.stderr
        time.sleep(0.2)


def _json(url: str) -> Any:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as fault:
        return json.load(fault)


def kept_ids(base: str) -> set[str]:
    """Of all events that have ended."""
    found: set[str] = set()
    after, more = 0, True
    while more:
        page = _json(f"{base}/v1/events?after={after}&limit=1000")
        found |= {event["id"] for event in page["events"] if event["stage"] == "close"}
        after, more = page["after"], page["more"]
    return found


async def cut_for(island: Island, daemon: Daemon, gateway: Daemon, seconds: float) -> CutOff:
    """Cut it, put it back, and see."""
    base = f"http://{island.address}:{daemon.port}"
    own, far = Roaming([f"ws://{island.address}:{daemon.port}/v1?token={TOKEN}"]), Roaming([gateway.url])
    tasks = [asyncio.create_task(client.run()) for client in (own, far)]
    await asyncio.gather(own.reaches(1), far.reaches(1))
    island.cut(True)
    began = time.monotonic()
    told = ""
    while time.monotonic() - began < seconds:
        await asyncio.sleep(1.0)
        health = await asyncio.to_thread(_json, f"{base}/healthz")
        told = next((each for each in health["problems"] if "gateways get nothing" in each), told)
    island.cut(False)
    newest = own.seqs[-1]
    try:
        async with asyncio.timeout(180):
            await far.reaches(newest)
    except TimeoutError:
        print(f"the gateway's client came to {far.seqs[-1]}, of {newest}, within 180 s", file=sys.stderr)
    await asyncio.sleep(2.0)
    there = await asyncio.to_thread(kept_ids, base)
    shown = await asyncio.to_thread(kept_ids, f"http://127.0.0.1:{gateway.port}")
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    first, last = far.seqs[0], far.seqs[-1]
    declared = {seq for each in far.lagged for seq in range(each["from_seq"], each["to_seq"] + 1)}
    had = set(far.seqs) - {each["seq"] for each in far.lagged}
    lost = set(range(first, last + 1)) - had - declared
    missed = own.seqs[-1] - own.seqs[0] + 1 - len(set(own.seqs))
    return CutOff(missed, own.moved, len(had), len(declared - had), len(lost), len(there), len(there - shown), told)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--streams", type=int, default=1)
    asked = parser.parse_args()
    if why := why_not():
        print(why, file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name, island_daemon(Path(name), asked.streams) as (island, daemon, gateway):
        seen = asyncio.run(cut_for(island, daemon, gateway, asked.seconds))
    print(
        f"cut off for {asked.seconds:.0f} s: the daemon's own client missed {seen.own_missed} messages and came again "
        f"{seen.own_moved} times; the gateway's client had {seen.had}, was told of {seen.declared} that are missing, "
        f"and {seen.lost} were neither; of {seen.kept} kept events {seen.kept_lost} cannot be had at the gateway; "
        f"health said: {seen.told or 'nothing'}"
    )
    return int(bool(seen.own_missed or seen.own_moved or seen.lost or seen.kept_lost or not seen.told))


if __name__ == "__main__":
    sys.exit(main())
