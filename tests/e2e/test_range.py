"""The real daemon at two places: what does not live there is a near miss, and `why` says so."""

import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from streamclf.model.range import week_of
from tests.conftest import StartDaemon
from tests.support.ranges import add_range
from tests.support.recordings import bursts
from tools.lab.tinypack import window_row_pack

pytestmark = pytest.mark.e2e
LIMIT_S = 30.0


def until(there: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + LIMIT_S
    while not (found := there()):
        assert time.monotonic() < deadline, f"{what} did not come about within {LIMIT_S:.0f} s"
        time.sleep(0.05)
    return found


@pytest.mark.parametrize(("latitude", "told"), [(52.5, True), (-33.9, False)])
def test_a_place_decides_what_is_told(tmp_path: Path, daemon: StartDaemon, latitude: float, told: bool) -> None:
    pack = window_row_pack(tmp_path / "tiny")
    # `loud` lives in the north in all weeks: a week's half of the year turns both rows
    likely = [[0.001, 1.0, 1.0], [0.9, 1.0, 1.0]]
    add_range(pack, likely if week_of(date.today()) <= 24 else likely[::-1])
    rules = tmp_path / "rules.toml"
    rules.write_text(f'[place]\ntimezone = "UTC"\nlatitude = {latitude}\nlongitude = 18.4\n')
    sound = bursts(tmp_path / "garden.wav", [0.3], seconds=1.2)
    running = daemon(
        "--source", f"file:{sound}#loop=yes", "--model", str(pack), env={"STREAMCLF_RULES": str(rules)}
    )  # fmt: skip

    def near() -> dict[str, Any]:
        at_ns = time.time_ns() - 2_000_000_000
        found = running.get_json(f"/v1/why?stream=garden&at_ns={at_ns}&around_ms=1500")
        labels = [label for entry in found["packs"] for label in entry["labels"]]
        return next((label for label in labels if label["label"] == "loud" and label["best"] >= 0.6), {})

    loud = until(near, "rows of a burst")
    if told:
        until(lambda: running.get_json("/v1/events?labels=loud")["events"], "an event")
        return
    assert loud["said"].endswith(
        "held back by the range model: it is likely by 0.001 here in that week, and species.likely is 0.03"
    )
    assert running.get_json("/v1/events")["events"] == []
