"""The list of a site and the page of a species, over a real socket and a real store, and as a command."""

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from click.testing import CliRunner

from streamclf.client import Client
from streamclf.clock import NS_PER_SECOND
from streamclf.commands.species import species
from streamclf.model.pack import Segmentation
from streamclf.protocol import wire
from streamclf.serve.http.server import Server
from streamclf.serve.http.stored import stored_routes
from streamclf.store.database import Store
from streamclf.store.events import StoredEvent, put_events, set_clip
from tests.conftest import StartDaemon
from tests.support.rawclient import RawClient
from tests.support.server import run, serving
from tests.support.serving import make_hub
from tests.support.storing import stored
from tools.lab.tinypack import window_row_pack

pytestmark = pytest.mark.e2e
# 2026-05-01 04:30 UTC
MORNING_NS = 1_777_609_800 * NS_PER_SECOND
DAY_NS = 86_400 * NS_PER_SECOND


def event(number: int, label: str, onset_ns: int, **changes: Any) -> StoredEvent:
    own = {"id": f"run/{number}", "label": label, "group": "bird", "pack": "birdnet", "stream": "garden",
           "onset_ns": onset_ns, "decided_ns": onset_ns + NS_PER_SECOND, "offset_ns": onset_ns + 2 * NS_PER_SECOND,
           "stage": "close", "peak": 0.6}  # fmt: skip
    return msgspec.structs.replace(stored(number), **(own | changes))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Blackbirds on two mornings, a swift later, and what must not count."""
    store = Store.open(tmp_path / "store")
    with store.transaction() as tx:
        put_events(tx, [
            event(1, "turdus_merula", MORNING_NS),
            event(2, "turdus_merula", MORNING_NS + 3600 * NS_PER_SECOND, peak=0.7, stream="roof"),
            event(3, "turdus_merula", MORNING_NS + DAY_NS, peak=0.9),
            event(4, "turdus_merula", MORNING_NS + DAY_NS + NS_PER_SECOND * 60, peak=0.99, mark="wrong"),
            event(5, "apus_apus", MORNING_NS + 3 * DAY_NS),
            event(6, "apus_apus", MORNING_NS, test=True),
        ])  # fmt: skip
        set_clip(tx, "run/1", "2026/1.flac")
    store.close()
    return tmp_path / "store"


async def ask(server: Server, **fields: Any) -> Any:
    answer = await RawClient.request(server.port, f"/v1/species?{urlencode(fields)}")
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


def test_the_list_and_a_page(folder: Path) -> None:
    async def main() -> None:
        routes = stored_routes(folder, likely=lambda label: [0.5] * 48 if label == "turdus_merula" else [])
        async with serving(make_hub(), routes=routes) as server:
            found = (await ask(server))["species"]
            assert [(one["label"], one["total"], one["days"]) for one in found] == [
                ("apus_apus", 1, 1), ("turdus_merula", 4, 2),
            ]  # fmt: skip
            page = await ask(server, label="turdus_merula", tz=120)
            assert {hour: count for hour, count in enumerate(page["hours"]) if count} == {6: 3, 7: 1}
            assert page["days"] == [{"day": "2026-05-01", "count": 2}, {"day": "2026-05-02", "count": 2}]
            assert page["streams"] == {"garden": 3, "roof": 1}
            # with a clip first, then by peak; a wrong one is no example
            assert [one["id"] for one in page["best"]] == ["run/1", "run/3", "run/2"]
            assert page["likely"] == [0.5] * 48
            assert (await ask(server, label="turdus_merula", since_ns=MORNING_NS + DAY_NS))["heard"][0]["total"] == 2
            nobody = await ask(server, label="corvus_corax")
            assert (nobody["heard"], nobody["best"], nobody["likely"]) == ([], [], [])

    run(main)


def test_a_day_is_the_day_of_the_zone(folder: Path) -> None:
    async def main() -> None:
        async with serving(make_hub(), routes=stored_routes(folder)) as server:
            page = await ask(server, label="turdus_merula", tz=-300)
            assert page["days"][0] == {"day": "2026-04-30", "count": 1}

    run(main)


def test_the_command_shows_both(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCLF_STORE_PATH", str(folder))
    monkeypatch.setenv("TZ", "UTC")

    def said(*args: str) -> str:
        done = CliRunner().invoke(species, args, catch_exceptions=False)
        assert done.exit_code == 0
        return done.output

    assert [line.split()[4] for line in said().splitlines()[1:]] == ["apus_apus", "turdus_merula"]
    page = said("turdus_merula")
    assert "4 events on 2 days" in page
    assert "04  #" in page
    assert "2026-05-02  2" in page
    assert "was not heard here, as far as events are kept; did you mean turdus_merula?" in said("turdus_merulla")
    assert json.loads(said("apus_apus", "--json"))["streams"] == {"garden": 1}
    assert "nothing was heard" in said("--group", "frog")


def test_a_client_hears_all_of_a_pack_of_thousands_of_species(tmp_path: Path, daemon: StartDaemon) -> None:
    """What names all of its labels is longer than all that may wait for a client."""
    pack = window_row_pack(tmp_path / "species", classes=16_000, segmentation=Segmentation(enter=1.0, leave=0.9))
    running = daemon("--source", "push:mic,16000", "--source", "demo", "--model", str(pack))

    async def main() -> int:
        async for message in Client(running.url, tier="frame", encoding="f16").messages():
            if isinstance(message, wire.Scores) and message.pack == "tiny-window-row":
                return len(message.labels)
        raise AssertionError("it ended")

    assert asyncio.run(asyncio.wait_for(main(), 60)) > 15_000
    assert "was cut off" not in running.stderr
