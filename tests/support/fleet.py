"""A fleet in small: a real nats-server, daemons that hear a tone, and gateways of all of them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import StartDaemon
from tools.lab.daemon import Daemon
from tools.lab.gateways import NatsServer, nats_program, start_fleet_gateway, write_tone
from tools.lab.tinypack import stateful_pack

LIMIT_S = 60.0
StartGateway = Callable[..., Daemon]
StartSite = Callable[..., Daemon]


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

    def start(name: str, *args: str, stream: str = "yard", **more: str) -> Daemon:
        env = {"STREAMCLF_NATS_URL": nats.url, "STREAMCLF_NATS_SITE": name, **more}
        env["STREAMCLF_STORE_PATH"] = str(tmp_path / f"store-{name}")
        return daemon(
            "--source", f"file:{tmp_path / 'tone.wav'}#name={stream}", "--loop", "--model", str(pack), *args, env=env
        )

    return start


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
