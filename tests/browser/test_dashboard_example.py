"""The dashboard of examples/, served as its head says, before a hub."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from streamclf.types import Stage
from tests.support.browser import HubServer, OpenPage, hub_server, keep_picture
from tests.support.serving import EPOCH_NS, event, make_hub, scores
from tests.support.site import serving

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "dashboard"


@pytest.fixture
def site() -> Iterator[str]:
    """The origin of the dashboard."""
    with serving(FOLDER) as origin:
        yield origin


def test_it_shows_what_is_heard_and_what_it_missed_while_the_daemon_was_away(open_page: OpenPage, site: str) -> None:
    with hub_server(make_hub(), origins=(site,)) as server:
        page = open_page(f"{site}/?daemon=127.0.0.1:{server.port}")
        expect(page.get_by_role("status")).to_have_text("listening to mic, yard")

        publish_rows(server, 0)
        table = page.get_by_role("table").filter(has_text="mic, heard by big")
        expect(table.get_by_role("row")).to_have_text(["Dog", "Speech", "Bird"])
        assert table.locator("meter").first.evaluate("meter => meter.value") == pytest.approx(0.75)
        server.publish([event(1)], EPOCH_NS)
        expect(page.get_by_role("listitem")).to_contain_text(["Dog on mic, 90 %, still going on"])
        keep_picture(page, "dashboard-example")

        server.stop()
        expect(page.get_by_role("status")).to_contain_text("no connection")
        server.hub.publish([event(1, stage=Stage.CLOSE), event(2)], decided_ns=EPOCH_NS, sent_ns=EPOCH_NS)
        server.start()

        expect(page.get_by_role("listitem")).to_contain_text(["still going on", "Dog on mic"])
        expect(page.get_by_role("listitem").last).not_to_contain_text("still")
        publish_rows(server, 5)
        expect(page.get_by_role("status")).to_have_text("listening to mic, yard")


def publish_rows(server: HubServer, first: int) -> None:
    server.publish([scores(frame, [0.5, 0.75, 0.25, 0.9]) for frame in range(first, first + 5)], EPOCH_NS)


def test_a_daemon_that_was_not_told_of_it_lets_it_not_in(open_page: OpenPage, site: str) -> None:
    with hub_server(make_hub()) as server:
        page = open_page(f"{site}/?daemon=127.0.0.1:{server.port}")

        expect(page.get_by_role("status")).to_contain_text(f"does it let {site} in?")
