"""The page at a gateway of two sites: streams of both, their events, and a site that is gone."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.support.browser import OpenPage, keep_picture
from tests.support.fleet import StartGateway, StartSite, gateway, nats, site

pytest.importorskip("nats", reason="nats-py is absent (pip install streamclf[nats])")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

__all__ = ["gateway", "nats", "site"]

CARD = ".stream-card"


def test_the_page_shows_both_sites_and_one_that_is_gone(
    site: StartSite, gateway: StartGateway, open_page: OpenPage, tmp_path: Path
) -> None:
    garden, _ = site("garden"), site("barn")
    at = gateway("--all")
    address = f"http://127.0.0.1:{at.port}/"

    page = open_page(address + "#streams")
    expect(page.locator(CARD)).to_have_count(2)
    assert {text.partition("\n")[0] for text in page.locator(CARD).all_inner_texts()} == {"barn/yard", "garden/yard"}
    live = open_page(address + "#live")
    live.wait_for_function("() => document.querySelector('.live-head')?.textContent.includes('/yard')")
    keep_picture(live, "fleet-live")
    events = open_page(address + "#events")
    events.wait_for_function(
        "() => ['garden/yard', 'barn/yard'].every((name) => document.querySelector('main').textContent.includes(name))"
    )
    keep_picture(events, "fleet-events")
    garden.kill()
    expect(page.locator(CARD).first).to_contain_text("garden/yard")
    page.wait_for_function(
        "() => document.querySelector('.health-problem')?.textContent.includes('nothing has come of garden since')"
    )
    keep_picture(page, "fleet-lost")
