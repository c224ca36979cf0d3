"""Every view of the page before axe, light and dark, wide and narrow, with real sound in it: it finds nothing."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.conftest import StartDaemon
from tests.support.axe import faults
from tests.support.browser import WAIT_MS, OpenPage, keep_picture
from tools.lab.load import patience

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

# each with what stands in it once it has been fetched
VIEWS = {
    "live": ".live-canvas",
    "now": ".now-card",
    "events": "li.event",
    "why": ".why-said:not(:empty)",
    "streams": ".stream-card",
    "teach": ".review-card",
    "rules": ".rule",
    "microphone": ".mic-form",
}
SEEN = {"light": (1280, 800), "dark": (320, 568)}
LONG = "the-old-telephone-behind-the-window-of-the-garden-house"
# what reaches beyond the window, and may not be scrolled in a frame of its own
TOO_WIDE = """() => {
  if (document.documentElement.scrollWidth <= innerWidth) return [];
  const own = part => { for (let up = part.parentElement; up; up = up.parentElement)
    if (getComputedStyle(up).overflowX !== "visible") return true; return false; };
  return [...document.querySelectorAll("body *")]
    .filter(part => part.getBoundingClientRect().right > innerWidth && !own(part))
    .map(part => part.tagName + "." + part.className + " " + part.getBoundingClientRect().right);
}"""
RULES = """
[place]
timezone = "Europe/Berlin"

[[rule]]
name = "birds-at-dawn"
labels = ["group:bird"]
time = "05:00-09:00"
cooldown_s = 600
"""


@pytest.mark.parametrize("scheme", SEEN)
def test_axe_finds_nothing_in_any_view(scheme: str, tmp_path: Path, daemon: StartDaemon, open_page: OpenPage) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    running = daemon("--source", "demo#store=yes", "--source", f"push:{LONG}", "--rules", str(rules))
    width, height = SEEN[scheme]
    page = open_page(f"http://127.0.0.1:{running.port}/#live", width=width, height=height, color_scheme=scheme)
    page.set_default_timeout(WAIT_MS * patience())
    expect(page.locator('.link-state[data-state="open"]')).to_be_visible()
    expect(page.locator(".now-name").first).to_be_visible(timeout=WAIT_MS * patience())
    skip = page.locator("a").first
    assert skip.inner_text() == "Skip to the view"
    expect(page.locator(str(skip.get_attribute("href")))).to_have_count(1)
    for view, part in VIEWS.items():
        page.evaluate("view => { location.hash = view; }", view)
        expect(page.locator(f".view-{view}:visible")).to_have_count(1)
        expect(page.locator(f".view-{view} {part}").first).to_be_visible()
        # what does not fit makes a phone show the whole page smaller
        too_wide = page.evaluate(TOO_WIDE)
        assert too_wide == [], view
        assert faults(page) == [], view
        keep_picture(page, f"{view}-{scheme}")


def test_a_picture_without_its_text_would_be_found(open_page: OpenPage) -> None:
    page = open_page("data:text/html,<html lang=en><title>x</title><main><h1>x</h1><img src='data:,'></main>")
    assert any(fault.startswith("image-alt") for fault in faults(page))
