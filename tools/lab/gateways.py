"""Gateways that are killed under load: do their clients miss anything? A real nats-server, daemon and gateways.

    python -m tools.lab.gateways --kills 20 --clients 50

Two gateways follow a daemon; clients of all its rows are spread over both. Time and again one gateway is killed
(SIGKILL) and started anew; its clients go on at the other with `since`. Exit code 1 where a client missed a number, or
had one twice.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tools.lab.daemon import Daemon, clean_env, free_port, start_daemon
from tools.lab.preloaded import start
from tools.lab.tinypack import RATE, stateful_pack

ROOT = Path(__file__).resolve().parents[2]
_PLACES = f"{ROOT / '.run'}:/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
SITE = "garden"


def nats_program() -> str | None:
    """Where nats-server is; None where there is none."""
    return shutil.which("nats-server") or shutil.which("nats-server", path=_PLACES)


class NatsServer:
    """A nats-server on a free port; what JetStream keeps lies in `folder`/js. user, password: whom it lets in.

    host: where it listens. name: of its files, where several share a folder. more: lines of its configuration besides.
    jetstream: what stands in that of JetStream. secure: whether its address says tls://.
    """

    def __init__(
        self,
        folder: Path,
        *,
        user: str = "",
        password: str = "",
        host: str = "127.0.0.1",
        name: str = "nats",
        more: str = "",
        jetstream: str = "",
        secure: bool = False,
    ) -> None:
        self.port = free_port()
        self.folder = folder
        who = f"{user}:{password}@" if user else ""
        self.url = f"{'tls' if secure else 'nats'}://{who}{host}:{self.port}"
        self._store = folder / ("js" if name == "nats" else f"js-{name}")
        self._log = folder / f"{name}.log"
        self._config = folder / f"{name}.conf"
        self._config.write_text(
            f'listen: "{host}:{self.port}"\njetstream {{ store_dir: "{self._store}"\n{jetstream} }}\n{more}\n'
            + (f'authorization {{ user: "{user}", password: "{password}" }}\n' if user else "")
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Ready on return."""
        program = nats_program()
        assert program is not None, "there is no nats-server here (Debian's package nats-server)"
        log = self._log
        with log.open("ab") as out:
            self._process = subprocess.Popen([program, "-c", str(self._config)], stdout=out, stderr=out)
        deadline = time.monotonic() + 20
        while log.read_text().count("Server is ready") < 1:
            assert time.monotonic() < deadline, f"nats-server did not start:\n{log.read_text()}"
            time.sleep(0.05)

    @property
    def pid(self) -> int:
        """Of the server, while it runs."""
        assert self._process is not None
        return self._process.pid

    def stop(self) -> None:
        """Killed, as by a power cut."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self._log.unlink()

    def forget(self) -> None:
        """What it kept is gone: a server on another disk. It must not run."""
        shutil.rmtree(self._store)


def nats_cluster(folder: Path, size: int = 3) -> list[NatsServer]:
    """Servers that know each other, none of them started."""
    routes = [free_port() for _ in range(size)]
    know = ", ".join(f'"nats://127.0.0.1:{port}"' for port in routes)
    return [
        NatsServer(
            folder,
            name=f"nats-{at}",
            more=f'server_name: "n{at}"\ncluster {{ name: lab, listen: "127.0.0.1:{port}", routes: [{know}] }}',
        )
        for at, port in enumerate(routes)
    ]


def start_gateway(home: Path, url: str, *args: str, name: str, port: int | None = None, toml: str = "") -> Daemon:
    """`streamclf gateway`; ready once it serves, see `Daemon.wait_ready`. args: such as --all; toml: configuration."""
    port = port or free_port()
    log = home / name
    config = log.with_suffix(".toml")
    config.write_text(toml)
    with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
        words = ["gateway", "--nats", url, "--port", str(port), "--config", str(config), *args]
        process = start(words, env=clean_env(home), stdin=subprocess.DEVNULL, stdout=out, stderr=err)
    return Daemon(process, port, log)


def site_of_lab(
    folder: Path, url: str, site: str, *, streams: Sequence[str] = ("yard",)
) -> tuple[list[str], dict[str, str]]:
    """Arguments and variables of a daemon of that name, with a store of its own, that hears a tone now and then."""
    tone, pack = folder / "tone.wav", folder / "pack"
    if not tone.exists():
        write_tone(tone)
        stateful_pack(pack)
    env = {"STREAMCLF_NATS_URL": url, "STREAMCLF_NATS_SITE": site}
    env["STREAMCLF_STORE_PATH"] = str(folder / f"store-{site}")
    sources = [word for stream in streams for word in ("--source", f"file:{tone}#name={stream}")]
    return [*sources, "--loop", "--model", str(pack)], env


def start_site(
    folder: Path, url: str, site: str, *args: str, streams: Sequence[str] = ("yard",), **more: str
) -> Daemon:
    """The daemon of `site_of_lab`, not ready yet. args, more: further arguments and variables."""
    own, env = site_of_lab(folder, url, site, streams=streams)
    env = clean_env(folder, {**env, **more})
    return start_daemon([*own, *args], port=free_port(), env=env, log=folder / f"daemon-{site}")


@contextmanager
def site_with_gateways(
    folder: Path, gateways: int, *, streams: int = 1
) -> Iterator[tuple[NatsServer, Daemon, list[Daemon]]]:
    """A nats-server, a daemon without a store and gateways of it, all ready; the list may be changed meanwhile."""
    server = NatsServer(folder)
    server.start()
    started: list[Daemon] = []
    running: list[Daemon] = []
    try:
        daemon = start_site(
            folder, server.url, SITE, "--no-store", streams=["yard", *(f"yard-{n}" for n in range(1, streams))]
        )
        started.append(daemon)
        daemon.wait_ready()
        for turn in range(gateways):
            running.append(start_gateway(folder, server.url, "--site", SITE, name=f"gateway-{turn}"))
            started.append(running[-1])
            running[-1].wait_ready()
        yield server, daemon, running
    finally:
        for each in {id(one): one for one in (*started, *running)}.values():
            each.kill()
        server.stop()


class Roaming:
    """A client that goes from one address to the next when it loses one, and keeps every number that it was sent."""

    def __init__(self, urls: list[str]) -> None:
        self.urls = urls
        self.seqs: list[int] = []
        self.lagged: list[dict[str, Any]] = []
        self.unnumbered: list[dict[str, Any]] = []
        self.moved = 0
        self.instance: str | None = None

    async def run(self) -> None:
        """For ever."""
        turn = 0
        while True:
            had = len(self.seqs)
            try:
                await self._listen(self.urls[turn % len(self.urls)])
            except (OSError, ConnectionClosed, InvalidHandshake, EOFError):
                self.moved += len(self.seqs) > had
                await asyncio.sleep(0.02)
            turn += 1

    async def _listen(self, url: str) -> None:
        async with connect(url) as client:
            hello = json.loads(await client.recv())
            wish: dict[str, Any] = {"type": "subscribe", "tier": "frame"}
            if self.seqs:
                wish |= {"since": self.seqs[-1], "instance": self.instance}
            self.instance = hello["instance"]
            await client.send(json.dumps(wish))
            await client.recv()
            while True:
                message = json.loads(await client.recv())
                if message["type"] == "lagged":
                    self.lagged.append(message)
                if message["seq"]:
                    self.seqs.append(message["seq"])
                else:
                    self.unnumbered.append(message)

    async def reaches(self, seq: int) -> None:
        """Returns once it was sent that number, or a later one."""
        while not self.seqs or self.seqs[-1] < seq:
            await asyncio.sleep(0.02)


def write_tone(path: Path) -> None:
    """Four seconds of silence, the second of them a tone that the tiny packs call `loud`."""
    sound = np.zeros(4 * RATE)
    sound[RATE : 2 * RATE] = 0.6 * np.sin(np.arange(RATE) * 0.3)
    soundfile.write(path, sound, RATE)


async def kill_gateways(folder: Path, url: str, gateways: list[Daemon], clients: int, kills: int) -> list[Roaming]:
    """What clients had, of which each had to move where its gateway was killed."""
    roaming = [Roaming([each.url for each in gateways[turn % 2 :] + gateways[: turn % 2]]) for turn in range(clients)]
    tasks = [asyncio.create_task(each.run()) for each in roaming]

    async def on() -> None:
        await asyncio.gather(*(each.reaches((each.seqs or [0])[-1] + 50) for each in roaming))

    for turn in range(kills):
        await on()
        lost = gateways[turn % 2]
        lost.kill()
        await on()
        again = start_gateway(folder, url, "--site", SITE, name=f"again-{turn}", port=lost.port)
        gateways[turn % 2] = again
        await asyncio.to_thread(again.wait_ready)
    await on()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return roaming


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--clients", type=int, default=50)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, site_with_gateways(Path(name), 2) as (server, _, gateways):
        roaming = asyncio.run(kill_gateways(Path(name), server.url, gateways, asked.clients, asked.kills))
    missed = sum(each.seqs[-1] - each.seqs[0] + 1 - len(set(each.seqs)) for each in roaming)
    twice = sum(len(each.seqs) - len(set(each.seqs)) for each in roaming)
    moved, had = sum(each.moved for each in roaming), sum(len(each.seqs) for each in roaming)
    lagged = sum(len(each.lagged) for each in roaming)
    print(
        f"{asked.kills} kills, {len(roaming)} clients that moved {moved} times and had {had} messages: "
        f"{missed} missed, {twice} had twice, {lagged} holes"
    )
    return int(bool(missed or twice or lagged))


if __name__ == "__main__":
    sys.exit(main())
