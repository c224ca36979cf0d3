"""The addresses that are told at the start are those that other machines can open."""

import socket
from typing import Any

import pytest

from streamclf.config import ServerConfig
from streamclf.daemon import reach


@pytest.fixture(autouse=True)
def at_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reach, "own_addresses", lambda: ["192.168.1.20", "2001:db8::20"])


@pytest.mark.parametrize(
    ("server", "told"),
    [
        (ServerConfig(), []),
        (ServerConfig(host="::1"), []),
        (ServerConfig(host="localhost", hosts=("birds.local",)), []),
        (ServerConfig(host="192.168.1.7"), ["http://192.168.1.7:9000/"]),
        (
            ServerConfig(host="0.0.0.0", hosts=("birds.local",)),
            ["http://birds.local:9000/", "http://192.168.1.20:9000/"],
        ),
        (
            ServerConfig(host="::"),
            ["http://192.168.1.20:9000/", "http://[2001:db8::20]:9000/"],
        ),
        (ServerConfig(host="192.168.1.7", certificate="/c.pem"), ["https://192.168.1.7:9000/"]),
    ],
)
def test_what_others_can_open_is_told(server: ServerConfig, told: list[str]) -> None:
    assert list(reach.addresses_of(server, 9000)) == told


def test_no_network_is_no_fault_and_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    opened = []

    class Line:
        def __init__(self, family: int, kind: int) -> None:
            opened.append(kind)

        def __enter__(self) -> "Line":
            return self

        def __exit__(self, *_: Any) -> None: ...

        def connect(self, _: Any) -> None:
            raise OSError("no route")

    monkeypatch.setattr(socket, "socket", Line)
    assert reach.own_addresses() == []
    assert set(opened) == {socket.SOCK_DGRAM}
