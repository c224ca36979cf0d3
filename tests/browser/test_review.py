"""The review queue on the page: a key for each answer, which go to the store, and what they lead to into the file."""

import time
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import expect

from streamclf.clock import NS_PER_SECOND
from streamclf.store.database import Store, reader
from streamclf.store.events import put_events, query
from tests.conftest import StartDaemon
from tests.support.browser import OpenPage, keep_picture
from tests.support.storing import stored
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def test_answers_by_key_are_marks_and_lead_to_a_threshold(
    tmp_path: Path, daemon: StartDaemon, open_page: OpenPage
) -> None:
    store = Store.open(tmp_path / "store")
    now_ns = time.time_ns()
    with store.transaction() as tx:
        put_events(
            tx,
            [
                stored(
                    number, id=f"run/{number}", pack="tiny-stateful", label="loud", group="", peak=peak,
                    onset_ns=(at := now_ns - (600 - number) * NS_PER_SECOND), offset_ns=at + NS_PER_SECOND,
                    decided_ns=at + NS_PER_SECOND,
                )
                for number, peak in enumerate([0.55, 0.6, 0.65, 0.9, 0.95])
            ],
        )  # fmt: skip
    store.close()
    own = tmp_path / "config.toml"
    own.write_text("# mine\n")
    env = {"STREAMCLF_CONFIG": str(own), "STREAMCLF_STORE_PATH": str(tmp_path / "store")}
    running = daemon("--source", f"push:mic,{RATE}", "--model", str(stateful_pack(tmp_path / "pack")), env=env)
    page = open_page(f"http://127.0.0.1:{running.port}/#teach")
    card = page.locator(".review-card")
    expect(card).to_contain_text("Is this “Loud”?")
    expect(page.locator(".review .hint").first).to_contain_text("5 events")
    keep_picture(page, "review")
    page.keyboard.press("s")
    for left in range(4, 0, -1):
        peak = int(card.locator(".review-why").inner_text().partition("reached ")[2].partition("\xa0")[0])
        page.keyboard.press("r" if peak > 80 else "w")
        if left > 1:
            expect(page.locator(".review .hint").first).to_contain_text(f"{left - 1} event")
    learnt = page.locator(".review-learnt li", has_text="Loud")
    page.keyboard.press("1")
    page.keyboard.press("5")
    expect(learnt).to_contain_text("wrong")
    with closing(reader(tmp_path / "store")) as connection:
        events = query(connection)
    assert sum(event.mark != "" for event in events) == 4
    assert all(event.mark == ("right" if event.peak > 0.8 else "wrong") for event in events if event.mark)
    keep_picture(page, "review-learnt")
    page.get_by_role("button", name="Use the threshold for Loud").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".toast", has_text="Done: Loud begins at")).to_be_visible()
    text = own.read_text()
    assert text.startswith("# mine")
    assert "[segmentation.loud]" in text
    assert len(list(tmp_path.glob("config.toml.before-*"))) == 1
