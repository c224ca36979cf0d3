"""Too many events of a label: from the list to a threshold in the configuration and back, by keyboard alone."""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from streamclf.clock import FRAMES_PER_SECOND, NS_PER_FRAME, NS_PER_SECOND
from streamclf.engine.segment import Decision
from streamclf.store.database import Store
from streamclf.store.events import put_events
from streamclf.store.packfacts import PackFacts
from streamclf.store.scores import ScoreLog
from streamclf.types import FrameScores, Label
from tests.conftest import StartDaemon
from tests.support.browser import OpenPage, keep_picture
from tests.support.storing import stored
from tools.lab.daemon import run_cli
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

HOURS = 3
CONFIG = "# mine\n[scores]\nenabled = true\n\n[segmentation.loud]\nmin_off_ms = 300  # slow\n"


def heard(folder: Path, peaks: list[float]) -> list[int]:
    """Fills a store with three hours of log in which `loud` rises to each of these, evenly; the onsets, ns."""
    frames = HOURS * 3600 * FRAMES_PER_SECOND
    start_ns = time.time_ns() - (HOURS * 3600 + 60) * NS_PER_SECOND
    rows = np.full((frames, 1), 0.02, np.float32)
    onsets = [(number + 1) * frames // (len(peaks) + 1) for number in range(len(peaks))]
    for onset, peak in zip(onsets, peaks, strict=True):
        rows[onset : onset + 20] = peak
    store = Store.open(folder)
    log = ScoreLog(folder, "run", {"tiny-stateful": PackFacts.of("ab", [Label("loud", "Loud")], [Decision()])})
    for first in range(0, frames, 500):
        log.take([FrameScores("mic", "tiny-stateful", first, rows[first : first + 500], True, 0)], {"mic": start_ns})
    log.close()
    times = [start_ns + onset * NS_PER_FRAME for onset in onsets]
    with store.transaction() as tx:
        put_events(
            tx,
            [
                stored(
                    number, id=f"run/{number}", pack="tiny-stateful", label="loud", group="", peak=peak, onset_ns=at,
                    offset_ns=at + 20 * NS_PER_FRAME, decided_ns=at + 20 * NS_PER_FRAME,
                    mark="right" if peak == 0.99 else "",
                )
                for number, (peak, at) in enumerate(zip(peaks, times, strict=True))
            ],
        )  # fmt: skip
    store.close()
    return times


@pytest.fixture
def site(tmp_path: Path, daemon: StartDaemon) -> Any:
    """A daemon whose own file is config.toml, and whose past has 21 events: 18 weak, two at 0.9, one that was right."""
    heard(tmp_path / "store", [*[0.55, 0.6, 0.65] * 6, 0.9, 0.9, 0.99])
    own = tmp_path / "config.toml"
    own.write_text(CONFIG)
    env = {"STREAMCLF_CONFIG": str(own), "STREAMCLF_STORE_PATH": str(tmp_path / "store")}
    pack = stateful_pack(tmp_path / "pack")
    return daemon("--source", f"push:mic,{RATE}", "--model", str(pack), env=env), own, env


def test_a_threshold_is_found_tried_used_and_put_back(tmp_path: Path, site: Any, open_page: OpenPage) -> None:
    running, own, env = site
    page = open_page(f"http://127.0.0.1:{running.port}/#events")
    page.set_viewport_size({"width": 1280, "height": 1600})  # all rows in sight, past midnight too
    expect(page.locator("li.event")).to_have_count(21)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("m")
    dialog = page.get_by_role("dialog", name="Too many of")
    expect(dialog.locator(".many-said")).to_contain_text("The past day would have had 1 event instead of 21")
    expect(dialog.locator(".many-said")).to_contain_text("20 lost, 0 gained")
    expect(dialog).to_contain_text("too little to tell")
    page.keyboard.type("1 an")  # the list that has the keyboard: 24 a day, of which three hours may have three
    expect(dialog.locator(".many-said")).to_contain_text("The past day would have had 3 events instead of 21: 18 lost")
    expect(dialog.locator(".many-picture .lost")).to_have_count(18)
    expect(dialog.locator(".many-picture .kept")).to_have_count(6)
    expect(dialog.locator(".many-picture .right")).to_have_count(2)
    assert Axe().run(page).response["violations"] == []
    keep_picture(page, "too-many")

    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Use this threshold")).to_be_focused()
    page.keyboard.press("Enter")
    expect(dialog.locator(".many-said")).to_contain_text(re.compile(r"Done: Loud begins at 9\d.%.*config.toml.before-"))
    expect(dialog.get_by_role("button", name="Put back what was")).to_be_focused()
    text = own.read_text()
    assert text.startswith("# mine")
    assert "min_off_ms = 300  # slow" in text
    (kept,) = tmp_path.glob("config.toml.before-*")
    assert kept.read_text() == CONFIG
    running.wait_for("segmentation taken over", 20)
    labels = {label["id"]: label["enter"] for label in hello(page)["packs"][0]["labels"]}
    assert labels["loud"] == float(re.search(r"enter = ([\d.]+)", text)[1]) > 0.8  # type: ignore[index]
    assert (
        run_cli("config", "check", home=tmp_path, env={**env, "STREAMCLF_MODEL": str(tmp_path / "pack")}).returncode
        == 0
    )

    page.keyboard.press("Enter")
    expect(dialog.locator(".many-said")).to_have_text("What was holds again.")
    assert "enter = 0.5 " in own.read_text()
    assert len(list(tmp_path.glob("config.toml.before-*"))) == 2
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(page.locator("li.event").first).to_be_focused()


def hello(page: Any) -> Any:
    """As a client that comes now is greeted."""
    return page.evaluate(
        """() => new Promise((resolve) => {
            const socket = new WebSocket(location.origin.replace("http", "ws") + "/v1");
            socket.onmessage = ({ data }) => { socket.close(); resolve(JSON.parse(data)); };
        })"""
    )


def test_without_a_log_it_says_how_to_have_one(tmp_path: Path, daemon: StartDaemon, open_page: OpenPage) -> None:
    folder = tmp_path / "store-0"
    store = Store.open(folder)
    at = time.time_ns() - 600 * NS_PER_SECOND
    with store.transaction() as tx:
        put_events(
            tx, [stored(1, label="loud", pack="tiny-stateful", onset_ns=at, offset_ns=at + 10, decided_ns=at + 10)]
        )
    store.close()
    running = daemon("--source", f"push:mic,{RATE}", "--model", str(stateful_pack(tmp_path / "pack")))
    page = open_page(f"http://127.0.0.1:{running.port}/#events")
    page.locator("li.event").click()
    page.get_by_role("button", name="Too many of these").click()
    dialog = page.get_by_role("dialog", name="Too many of")
    expect(dialog.locator(".many-said")).to_contain_text("enabled = true under [scores]")
    expect(dialog.get_by_role("button", name="Use this threshold")).to_be_disabled()


def test_a_file_that_cannot_be_written_is_told_and_stays(tmp_path: Path, site: Any, open_page: OpenPage) -> None:
    running, own, _ = site
    page = open_page(f"http://127.0.0.1:{running.port}/#events")
    page.locator("li.event").first.click()
    page.get_by_role("button", name="Too many of these").click()
    dialog = page.get_by_role("dialog", name="Too many of")
    use = dialog.get_by_role("button", name="Use this threshold")
    expect(use).to_be_enabled()
    own.write_text(broken := CONFIG + "nonsense = 1\n")
    use.click()
    expect(dialog.locator(".many-said")).to_contain_text("It was not written:")
    expect(dialog.locator(".many-said")).to_contain_text("nonsense")
    assert own.read_text() == broken
