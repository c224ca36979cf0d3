"""The daemon on the local network: found by mDNS where it is asked for, and gone when it stops."""

import time
from pathlib import Path

import pytest

from streamclf.protocol.announce import DAEMON, WYOMING
from tests.conftest import StartDaemon
from tests.e2e.test_wyoming import satellites
from tools.lab.tinypack import stateful_pack

zeroconf = pytest.importorskip("zeroconf", reason="zeroconf is absent (pip install streamclf[zeroconf])")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


def ports_told(kind: str, seconds: float) -> dict[int, dict[str, str]]:
    """What is found on loopback within that time: port -> what is told of it."""
    found: dict[int, dict[str, str]] = {}

    class Heard(zeroconf.ServiceListener):  # type: ignore[misc, name-defined]
        def add_service(self, looking: object, kind: str, name: str) -> None:
            info = looker.get_service_info(kind, name, timeout=3000)
            if info is not None and "127.0.0.1" in info.parsed_addresses():
                found[info.port] = {key.decode(): (value or b"").decode() for key, value in info.properties.items()}

        def update_service(self, looking: object, kind: str, name: str) -> None:
            """Nothing to do."""

        def remove_service(self, looking: object, kind: str, name: str) -> None:
            """Nothing to do."""

    looker = zeroconf.Zeroconf(interfaces=["127.0.0.1"])
    try:
        zeroconf.ServiceBrowser(looker, kind, Heard())
        time.sleep(seconds)  # what is not told within it is not told
    finally:
        looker.close()
    return found


def test_two_daemons_are_found_and_one_that_was_not_asked_to_is_not(daemon: StartDaemon, tmp_path: Path) -> None:
    pack = stateful_pack(tmp_path / "pack")

    def start(announce: str) -> int:
        env = {"STREAMCLF_SERVER_ANNOUNCE": announce}
        return daemon("--source", "push:one,16000", "--no-store", "--model", str(pack), env=env).port

    one, two, quiet = start("true"), start("true"), start("false")
    found = ports_told(DAEMON, 10.0)

    assert {one, two} <= set(found)
    assert quiet not in found
    assert found[one]["scheme"] == "http"
    assert found[one]["token"] == "no"


def test_home_assistant_finds_what_satellites_connect_to(daemon: StartDaemon, tmp_path: Path) -> None:
    pytest.importorskip("wyoming", reason="wyoming is absent (pip install streamclf[wyoming])")
    running = daemon("--source", "push:one,16000", "--no-store", "--model", str(stateful_pack(tmp_path / "pack")))
    with satellites(tmp_path, f"127.0.0.1:{running.port}", "--announce") as port:
        found = ports_told(WYOMING, 10.0)
    assert port in found
    assert port not in ports_told(WYOMING, 3.0), "it is gone, and still told"
