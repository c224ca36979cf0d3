"""A fleet in small: a real nats-server, daemons that hear a tone, and gateways of all of them."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import StartDaemon
from tools.lab.daemon import Daemon
from tools.lab.gateways import NatsServer, nats_program, site_of_lab, start_gateway

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

    def start(*args: str, ready: bool = True, toml: str = "", port: int | None = None) -> Daemon:
        one = start_gateway(tmp_path, nats.url, *args, name=f"gateway-{len(started)}", toml=toml, port=port)
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

    def start(name: str, *args: str, stream: str = "yard", **more: str) -> Daemon:
        own, env = site_of_lab(tmp_path, nats.url, name, streams=[stream])
        return daemon(*own, *args, env={**env, **more})

    return start


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)
