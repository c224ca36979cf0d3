"""A station may lead on to others, and never further in: real servers at public, local and own addresses."""

import json
import shutil
import subprocess
import sys
from typing import Any

import pytest

pytest.importorskip("av", reason="PyAV is not installed (extra url)")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SECONDS, RATE = 3, 44_100
STATION, OTHER, HOME = "11.0.0.1", "12.0.0.1", "192.168.7.1"


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What came of each case of tests/support/stations.py, within a network of its own."""
    alone = ["unshare", "-nm", "--propagation", "private"]
    if not shutil.which("ip") or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("a network of one's own cannot be made here (unshare -nm, ip); that needs root")
    words = [*alone, sys.executable, "-m", "tests.support.stations", str(tmp_path_factory.mktemp("stations"))]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def _reached(case: dict[str, Any]) -> set[str]:
    return {address for address, _, _ in case["hits"]}


def test_no_public_station_leads_into_this_machine_or_its_network(came: dict[str, dict[str, Any]]) -> None:
    inward = [name for name in came if name.startswith(("to ", "list: "))]

    assert len(inward) > 15
    for name in inward:
        assert _reached(came[name]) <= {STATION, OTHER}, name
        assert came[name]["samples"] == 0, name
        assert came[name]["said"], name


@pytest.mark.parametrize("name", ["to this machine", "to a number", "to mapped", "to metadata", "to https"])
def test_where_it_led_is_told(came: dict[str, dict[str, Any]], name: str) -> None:
    assert "into this machine or its network" in came[name]["said"]


def test_what_it_led_to_is_told_without_its_secrets(came: dict[str, dict[str, Any]]) -> None:
    said = came["to credentials"]["said"]

    assert HOME in said
    assert not [secret for secret in ("ada", "hunter22", "sesame99") if secret in said]


def test_a_name_that_is_given_another_address_meanwhile_is_judged_by_that(came: dict[str, dict[str, Any]]) -> None:
    assert _reached(came["rebound"]) == {STATION}
    assert f"station.example ({HOME})" in came["rebound"]["said"]


@pytest.mark.parametrize(
    "name", ["outward", "outward to https", "outward with a password", "local to local", "local outward", "five times"]
)
def test_a_station_that_leads_on_or_out_is_heard(came: dict[str, dict[str, Any]], name: str) -> None:
    assert came[name]["said"] == ""
    assert came[name]["samples"] == SECONDS * RATE


def test_credentials_stay_with_whom_they_are_for(came: dict[str, dict[str, Any]]) -> None:
    brought = {address for address, _, credentials in came["outward with a password"]["hits"] if credentials}

    assert brought == {STATION}


@pytest.mark.parametrize("name", ["local inward", "out and in again"])
def test_nobody_of_the_local_network_leads_into_this_machine(came: dict[str, dict[str, Any]], name: str) -> None:
    assert "127.0.0.1" not in _reached(came[name])
    assert "leads to 127.0.0.1" in came[name]["said"]


@pytest.mark.parametrize("name", ["in a round", "thirty times"])
def test_redirects_without_end_are_left_after_a_few(came: dict[str, dict[str, Any]], name: str) -> None:
    assert len(came[name]["hits"]) <= 10
    assert "more than 8 times" in came[name]["said"]


@pytest.mark.parametrize(
    ("name", "words"),
    [("to a file", "nor a play list (m3u8) of http"), ("a play list", "give the address that stands in it")],
)
def test_what_is_not_taken_is_said_in_words(came: dict[str, dict[str, Any]], name: str, words: str) -> None:
    assert words in came[name]["said"]
