"""Who was heard here, in the page: the list, and the page of one label, by keyboard alone, with a clip that plays."""

import time
from datetime import date
from pathlib import Path

import pytest
from playwright.sync_api import expect

from streamclf.clock import NS_PER_SECOND
from streamclf.model.range import week_of
from streamclf.store.database import Store
from streamclf.store.events import put_events
from tests.browser.test_keyboard import tab_to
from tests.conftest import StartDaemon
from tests.support.axe import faults
from tests.support.browser import OpenPage, keep_picture
from tests.support.ranges import add_range
from tests.support.recordings import bursts
from tests.support.storing import stored
from tools.lab.tinypack import window_row_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

DAY_NS = 86_400 * NS_PER_SECOND
CONFIG = """
[clips]
enabled = true
privacy = "off"
labels = ["loud"]
pre_ms = 500
post_ms = 300
visit_ms = 0
"""


@pytest.mark.parametrize(("scheme", "size"), [("light", (1280, 800)), ("dark", (390, 844))])
def test_the_list_and_a_page_by_keyboard(
    tmp_path: Path, daemon: StartDaemon, open_page: OpenPage, scheme: str, size: tuple[int, int]
) -> None:
    pack = window_row_pack(tmp_path / "tiny")
    # `loud` is there now, and not in the other half of the year; the random classes never are
    likely = [[0.001, 0.001, 0.001], [0.9, 0.001, 0.001]]
    add_range(pack, likely if week_of(date.today()) <= 24 else likely[::-1])
    (tmp_path / "rules.toml").write_text('[place]\ntimezone = "UTC"\nlatitude = 52.5\nlongitude = 13.4\n')
    (tmp_path / "config.toml").write_text(CONFIG)
    noon_ns = int(time.mktime((*time.localtime(time.time() - 20 * 86_400)[:3], 12, 0, 0, 0, 0, -1))) * NS_PER_SECOND
    with_group = [
        stored(at, id=f"run/robin/{at}", onset_ns=noon_ns + at * DAY_NS, decided_ns=noon_ns + at * DAY_NS + 1,
               offset_ns=noon_ns + at * DAY_NS + NS_PER_SECOND, peak=0.6 + at / 100)
        for at in range(5)
    ]  # fmt: skip
    store = Store.open(tmp_path / "store")
    with store.transaction() as tx:
        put_events(tx, with_group)
    store.close()
    sound = bursts(tmp_path / "garden.wav", [1.0], seconds=3.0)
    running = daemon(
        "--source", f"file:{sound}#loop=yes&name=garden", "--model", str(pack),
        env={"STREAMCLF_CONFIG": str(tmp_path / "config.toml"), "STREAMCLF_RULES": str(tmp_path / "rules.toml"),
             "STREAMCLF_STORE_PATH": str(tmp_path / "store")},
    )  # fmt: skip
    page = open_page(f"http://127.0.0.1:{running.port}/#events", width=size[0], height=size[1], color_scheme=scheme)
    expect(page.locator("li.event .do-play:not(.absent)").first).to_be_visible()

    page.keyboard.press("h")
    rows = page.locator(".species-list tbody tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("Loud")  # who arrived last
    expect(rows.last.locator("td").nth(1)).to_have_text("5")
    assert page.locator("nav [aria-current]").inner_text() == "Events"
    assert faults(page) == []
    keep_picture(page, f"species-list-{scheme}")
    tab_to(page, page.get_by_label("Group"))
    page.keyboard.type("bird")
    expect(rows).to_have_count(1)
    page.keyboard.press("ArrowUp")
    expect(rows).to_have_count(2)

    tab_to(page, rows.first.locator("a"))
    page.keyboard.press("Enter")
    expect(page.locator(".species-page h2")).to_have_text("Loud")
    expect(page.locator(".species-page")).to_contain_text("How likely it is at your place through the year; now 90")
    line = str(page.locator(".charted .line").get_attribute("points")).split()
    assert len(line) == 48
    assert len({point.partition(",")[2] for point in line}) == 2
    tab_to(page, page.locator(".species-best button[aria-label^=Play]"))
    page.keyboard.press("Enter")
    expect(page.locator(".clip-clock:visible")).to_be_visible()
    assert faults(page) == []
    keep_picture(page, f"species-{scheme}")

    page.goto(f"http://127.0.0.1:{running.port}/#species/robin")
    page.reload()
    expect(page.locator(".species-page")).to_contain_text("5 events on 5 days")
    hours = page.locator(".charted .bar title")
    expect(hours).to_have_count(1)
    expect(hours).to_have_text("12:00 to 13:00: 5 events")
    expect(page.locator(".charted .day-1")).to_have_count(5)
    expect(page.locator(".charted .line")).to_have_count(0)  # its pack knows of no place
    assert page.locator(".species-best li span").first.inner_text().endswith("64\xa0%")
    tab_to(page, page.get_by_role("button", name="All of its events"))
    page.keyboard.press("Enter")
    expect(page.locator("li.event")).to_have_count(5)
