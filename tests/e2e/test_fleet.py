"""A gateway of many sites: real daemons, a real nats-server, and clients that see the streams of all as one."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from tests.conftest import StartDaemon
from tests.e2e.test_gateway import came, hello_of, run, take
from tools.lab.daemon import Daemon
from tools.lab.gateways import NatsServer, Roaming, nats_program, start_fleet_gateway, write_tone
from tools.lab.tinypack import stateful_pack

pytest.importorskip("nats", reason="nats-py is absent (pip install streamclf[nats])")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

LIMIT_S = 60.0
StartGateway = Callable[..., Daemon]
StartSite = Callable[[str], Daemon]


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[NatsServer]:
    if nats_program() is None:
        pytest.skip("nats-server is not installed (Debian's package nats-server; tools/test unpacks it)")
    server = NatsServer(tmp_path)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def gateway(tmp_path: Path, nats: NatsServer) -> Iterator[StartGateway]:
    started: list[Daemon] = []

    def start(*args: str, ready: bool = True, toml: str = "") -> Daemon:
        one = start_fleet_gateway(tmp_path, nats.url, *args, name=f"gateway-{len(started)}", toml=toml)
        started.append(one)
        if ready:
            one.wait_ready()
        return one

    yield start
    for one in started:
        if one.process.poll() is None:
            assert one.stop() == 0
        assert "Traceback" not in one.stderr, one.stderr


@pytest.fixture
def site(daemon: StartDaemon, tmp_path: Path, nats: NatsServer) -> StartSite:
    """Starts a daemon of that name, which hears a tone every other second."""
    write_tone(tmp_path / "tone.wav")
    pack = tmp_path / "pack"
    stateful_pack(pack)

    def start(name: str) -> Daemon:
        env = {"STREAMCLF_NATS_URL": nats.url, "STREAMCLF_NATS_SITE": name}
        env["STREAMCLF_STORE_PATH"] = str(tmp_path / f"store-{name}")
        return daemon("--source", f"file:{tmp_path / 'tone.wav'}#name=yard", "--loop", "--model", str(pack), env=env)

    return start


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_two_sites_are_one_with_the_streams_of_both(site: StartSite, gateway: StartGateway) -> None:
    site("garden"), site("barn")
    one, two = gateway("--site", "garden", "--site", "barn"), gateway("--all")

    async def main() -> tuple[dict[str, Any], list[list[dict[str, Any]]]]:
        hellos = [await hello_of(each.url) for each in (one, two)]
        assert hellos[0]["instance"] == hellos[1]["instance"]
        since = max(hello["oldest_seq"] for hello in hellos)
        wish = {"tier": "frame", "since": since, "instance": hellos[0]["instance"]}
        until_seq = max(hello["seq"] for hello in hellos) + 200 * 1024
        return hellos[0], await asyncio.gather(*(came(each.url, wish, until_seq) for each in (one, two)))

    hello, (first, second) = run(main())

    assert [each["name"] for each in hello["streams"]] == ["barn/yard", "garden/yard"]
    assert [each["name"] for each in hello["packs"]] == ["tiny-stateful"], "the same pack of both stands once"
    least = min(len(first), len(second))
    assert first[:least] == second[:least]
    rows = [message for message in first if message["type"] == "scores"]
    assert {message["stream"] for message in rows} == {"barn/yard", "garden/yard"}
    for name in ("barn/yard", "garden/yard"):
        frames = [message["first_frame"] for message in rows if message["stream"] == name]
        assert frames == list(range(frames[0], frames[0] + len(frames)))
    events = [message for message in first if message["type"] == "event"]
    assert {message["id"].partition("/")[0] for message in events} == {"barn", "garden"}
    seqs = [message["seq"] for message in first]
    assert seqs == sorted(set(seqs))
