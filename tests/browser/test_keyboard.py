"""Every task that the page offers, by keyboard alone: what is wanted is reached with Tab and done with keys."""

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.conftest import StartDaemon
from tests.support.browser import OpenPage
from tests.support.recordings import bursts
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

MOST_TABS = 150
CONFIG = """
[clips]
enabled = true
labels = ["loud"]
privacy = "off"
pre_ms = 2000
post_ms = 300
visit_ms = 0

[server]
listening = true
"""
RULES = '[sink.file]\ntype = "ndjson"\npath = "{folder}/alerts.ndjson"\n[[rule]]\nname = "first"\nlabels = ["loud"]\n'


def tab_to(page: Page, wanted: Locator, *, back: bool = False) -> None:
    """Presses Tab until `wanted` has the keyboard, which must be seen there."""
    for _ in range(MOST_TABS):
        page.keyboard.press("Shift+Tab" if back else "Tab")
        if wanted.evaluate_all("found => found.includes(document.activeElement)"):
            assert page.evaluate("document.activeElement.matches(':focus-visible')"), (
                "nobody sees where the keyboard is"
            )
            return
    raise AssertionError(f"{MOST_TABS} times Tab do not lead to {wanted}")


@pytest.fixture
def page(tmp_path: Path, daemon: StartDaemon, open_page: OpenPage) -> Any:
    """Live, on two streams, one of which has a burst every three seconds. No pointer comes near it."""
    (tmp_path / "config.toml").write_text(CONFIG)
    (tmp_path / "rules.toml").write_text(RULES.replace("{folder}", str(tmp_path)))
    sound = bursts(tmp_path / "garden.wav", [1.0], seconds=3.0)
    running = daemon(
        "--source", f"file:{sound}#loop=yes&name=garden", "--source", f"push:phone,{RATE}",
        "--model", str(stateful_pack(tmp_path / "pack")),
        env={"STREAMCLF_CONFIG": str(tmp_path / "config.toml"), "STREAMCLF_RULES": str(tmp_path / "rules.toml")},
    )  # fmt: skip
    opened = open_page(f"http://127.0.0.1:{running.port}/", permissions=["clipboard-write", "clipboard-read"])
    expect(opened.locator('.link-state[data-state="open"]')).to_be_visible()
    return opened


def test_watch_hold_an_instant_and_ask_why(page: Page) -> None:
    expect(page.locator(".live-names, .live-name").first).to_contain_text("Loud")
    expect(page.locator(".live-meter-text")).to_contain_text("dB")
    tab_to(page, page.locator(".live-stage"))
    span = page.locator(".live-span").inner_text()
    page.keyboard.press("+")
    expect(page.locator(".live-span")).not_to_have_text(span)
    page.keyboard.press(" ")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    for _ in range(10):
        page.keyboard.press(",")
    expect(page.locator(".live-said")).to_contain_text("dBFS")
    page.keyboard.press("w")
    expect(page.locator(".why-answer")).to_contain_text("garden")
    page.keyboard.press("2")
    expect(page.locator(".view-now:not([hidden])")).to_be_visible()


def test_choose_a_stream_and_a_theme_and_see_the_keys(page: Page) -> None:
    choice = page.get_by_role("combobox", name="Stream")
    tab_to(page, choice)
    page.keyboard.type("phone")
    expect(page.locator(".live-title")).to_have_text("phone")
    page.keyboard.press("ArrowUp")
    expect(page.locator(".live-title")).to_have_text("garden")
    tab_to(page, page.get_by_role("button", name=re.compile("^Theme")))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name="Keyboard"))
    page.keyboard.press("Enter")
    help_ = page.get_by_role("dialog", name="Keyboard")
    expect(help_).to_contain_text("Why nothing fired at the cursor")
    page.keyboard.press("Escape")
    expect(help_).to_be_hidden()


def test_listen(page: Page) -> None:
    listen = page.locator(".listen-button")
    tab_to(page, listen)
    page.keyboard.press("Enter")
    expect(listen).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".listen-state")).to_contain_text("behind")
    tab_to(page, page.locator(".listen-volume"))
    page.keyboard.press("Home")
    tab_to(page, listen, back=True)
    page.keyboard.press("Enter")
    expect(listen).to_have_attribute("aria-pressed", "false")


def test_narrow_the_list_play_mark_name_and_explain_an_event(page: Page) -> None:
    page.keyboard.press("3")
    tab_to(page, page.locator(".filter").get_by_label("Label"))
    page.keyboard.type("Loud")
    expect(page).to_have_url(re.compile("label%3Dloud"))
    rows = page.locator("li.event")
    expect(rows.filter(has=page.locator(".do-play:not(.absent)")).first).to_be_visible()
    page.keyboard.press("Escape")
    tab_to(page, rows.locator("button:not([disabled])"))
    page.keyboard.press("ArrowDown")
    expect(page.locator("li.event:focus-within .do-play:not(.absent)")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator(".clip").get_by_label("Pause")).to_be_visible()
    page.keyboard.press("Enter")
    expect(page.locator(".clip").get_by_label("Play", exact=True)).to_be_visible()
    marked = page.locator("li.event.selected")
    page.keyboard.press("r")
    expect(marked.locator(".do-right")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("w")
    expect(marked.locator(".do-wrong")).to_have_attribute("aria-pressed", "true")
    tab_to(page, page.get_by_label("It was …"))
    page.keyboard.type("door slam")
    page.keyboard.press("Enter")
    expect(page.get_by_label("It was …")).to_have_value("door_slam")
    tab_to(page, page.get_by_role("button", name="Close the selected event"), back=True)
    page.keyboard.press("Enter")
    expect(page.locator("li.event:focus-within")).to_have_count(1)
    page.keyboard.press("y")
    expect(page.locator(".why-event")).to_contain_text("Loud")


def test_a_cell_of_the_day_narrows_the_list(page: Page) -> None:
    page.keyboard.press("3")
    cell = page.locator(".heat td button")
    expect(cell.first).to_be_visible()
    tab_to(page, cell)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("from%3D"))
    tab_to(page, page.get_by_role("button", name="Clear"))
    page.keyboard.press("Enter")
    expect(page).not_to_have_url(re.compile("from%3D"))


def test_ask_about_a_moment(page: Page) -> None:
    page.keyboard.press("4")
    tab_to(page, page.locator(".view-why").get_by_label("Stream"))
    page.keyboard.type("garden")
    tab_to(page, page.get_by_role("button", name="Now", exact=True))
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_role("button", name="Explain"), back=True)
    page.keyboard.press("Enter")
    expect(page.locator(".why-near, .why-none").first).to_be_visible()


def test_write_a_rule_and_copy_it(page: Page) -> None:
    page.keyboard.press("6")
    tab_to(page, page.get_by_label(re.compile("^Name")))
    page.keyboard.type("second")
    tab_to(page, page.get_by_label(re.compile("^Labels")))
    page.keyboard.type("loud")
    tab_to(page, page.get_by_label("file"))
    page.keyboard.press(" ")
    tab_to(page, page.get_by_role("button", name="Copy"))
    page.keyboard.press("Enter")
    expect(page.locator(".toast")).to_contain_text("copied")
    assert 'name = "second"' in page.evaluate("navigator.clipboard.readText()")


def test_see_the_streams_and_send_this_microphone(page: Page) -> None:
    page.keyboard.press("7")
    expect(page.locator(".stream-card")).to_have_count(2)
    page.keyboard.press("8")
    tab_to(page, page.locator(".mic-form button", has_text="Start"))
