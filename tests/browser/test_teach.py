"""Teaching on the page: from a sound that somebody points at to a class with a lane and events, by keyboard alone."""

import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.conftest import StartDaemon
from tests.support.browser import OpenPage, keep_figures, keep_picture
from tests.support.tones import hiss, tone, tone_pack
from tools.lab.daemon import run_cli

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

RATE = 16_000


def squeaks(path: Path) -> Path:
    """A sweep that no class is of, at 1 s of each 3 s, over faint noise."""
    rng = np.random.default_rng(0)
    sound = 0.002 * rng.standard_normal(3 * RATE)
    seconds = np.arange(int(0.9 * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(np.interp(seconds, [0, 0.5, 0.9], [900, 2600, 1400])) / RATE
    sound[RATE : RATE + len(phase)] += 0.4 * np.sin(phase) * np.hanning(len(phase))
    soundfile.write(path, sound.astype(np.float32), RATE)
    return path


@pytest.fixture
def page(tmp_path: Path, packs_dir: Path, daemon: StartDaemon, open_page: OpenPage) -> Any:
    running = daemon(
        "--source", f"file:{squeaks(tmp_path / 'garden.wav')}#loop=yes&name=garden", "--model", "yamnet",
        env={"STREAMCLF_MODELS": str(packs_dir), "STREAMCLF_LOUDNESS_ENABLED": "false"},
    )  # fmt: skip
    opened = open_page(f"http://127.0.0.1:{running.port}/")
    expect(opened.locator('.link-state[data-state="open"]')).to_be_visible()
    return opened


def cursor_to(page: Page, share: float) -> None:
    """Holds the instant that lies at this share of the last burst that is wholly seen, by keys."""
    at = page.evaluate(
        """(share) => {
            const detail = {};
            document.querySelector(".live-stage").dispatchEvent(new CustomEvent("live-inspect", { detail }));
            const { held, cursor, right } = detail.answer;
            window.burst ??= 150 * Math.floor((held.newest - 100) / 150) + 50;
            return window.burst + Math.round(45 * share) - (cursor ?? Math.ceil(right) - 1);
        }""",
        share,
    )
    for _ in range(abs(at)):
        page.keyboard.press("." if at > 0 else ",")


def test_a_stretch_becomes_a_class_with_a_lane_and_events_and_is_forgotten(page: Page) -> None:
    # two bursts have been heard
    page.wait_for_function(
        """() => { const detail = {}; document.querySelector(".live-stage").dispatchEvent(
            new CustomEvent("live-inspect", { detail })); return detail.answer?.held.newest > 320; }"""
    )
    page.keyboard.press(" ")
    cursor_to(page, 0.0)
    page.keyboard.press("[")
    cursor_to(page, 1.0)
    page.keyboard.press("]")
    expect(page.locator(".live-stretch")).to_have_text("0.92 s")
    keep_picture(page, "teach-stretch")
    page.keyboard.press("i")
    dialog = page.get_by_role("dialog", name="What is this?")
    expect(dialog.get_by_label("It is called")).to_be_focused()
    page.keyboard.type("Garden gate")
    assert Axe().run(page).response["violations"] == []
    keep_picture(page, "teach-dialog")
    began = time.monotonic()
    page.keyboard.press("Enter")
    expect(dialog).to_be_hidden()
    keep_figures("teach", taught_ms=round(1000 * (time.monotonic() - began)))
    expect(page.locator(".toast").first).to_contain_text("Garden gate is heard from now on, by 1 example.")
    page.keyboard.press("Escape")
    page.keyboard.press("End")
    lane = page.locator(".live-row", has_text="Garden gate")
    expect(lane).to_be_visible()
    expect(lane.locator(".live-value")).to_have_text(re.compile(r"\d\.\d\d"))
    keep_picture(page, "teach-lane")

    page.keyboard.press("3")
    row = page.locator("li.event", has_text="Garden gate").first
    expect(row.locator(".do-wrong:not([disabled])")).to_be_visible()
    page.keyboard.press("ArrowDown")
    while page.locator("li.event:focus-within", has_text="Garden gate").count() == 0:
        page.keyboard.press("ArrowDown")
    page.keyboard.press("n")
    expect(page.locator(".toast", has_text="learns that it is not it")).to_be_visible()
    expect(page.locator("li.event:focus-within .do-wrong")).to_have_attribute("aria-pressed", "true")

    page.keyboard.press("5")
    card = page.locator(".taught-class", has=page.get_by_role("heading", name="Garden gate"))
    expect(card).to_contain_text("1 example, 1 of what it is not")
    assert Axe().run(page).response["violations"] == []
    keep_picture(page, "teach-view")
    page.on("dialog", lambda asked: asked.accept())
    forget = page.get_by_role("button", name="Forget Garden gate and all of its examples")
    for _ in range(60):
        page.keyboard.press("Tab")
        if forget.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(card).to_have_count(0)
    expect(page.locator(".view-teach")).to_contain_text("Nothing has been taught yet")


def test_a_stretch_is_marked_with_the_pointer_and_what_makes_no_sense_is_said(page: Page) -> None:
    canvas = page.locator(".live-canvas")
    expect(page.locator(".live-meter-text")).to_contain_text("dB")
    page.wait_for_timeout(1500)
    page.keyboard.press(" ")
    box = canvas.bounding_box()
    assert box
    right, y = box["x"] + box["width"], box["y"] + 80
    page.keyboard.down("Shift")
    page.mouse.move(right - 60, y)
    page.mouse.down()
    page.mouse.move(right - 20, y, steps=4)
    page.mouse.up()
    page.keyboard.up("Shift")
    expect(page.locator(".live-stretch")).to_have_text(re.compile(r"\d\.\d\d s"))
    page.get_by_role("button", name="This is …").click()
    dialog = page.get_by_role("dialog", name="What is this?")
    dialog.get_by_label("It is called").fill("Speech")
    dialog.get_by_role("button", name="This is “Speech”").click()
    expect(dialog.locator(".teach-said")).to_contain_text("It was not learnt:")
    dialog.get_by_label("It is called").fill("Nobody knows")
    dialog.get_by_role("button", name="This is not “Nobody knows”").click()
    expect(dialog.locator(".teach-said")).to_contain_text("nobody has taught what")


def test_a_class_that_a_rule_names_stays_and_the_page_says_why(
    tmp_path: Path, daemon: StartDaemon, open_page: OpenPage
) -> None:
    soundfile.write(tmp_path / "low.wav", np.concatenate([hiss(0.3), tone(500.0, 0.6), hiss(0.3)]), RATE)
    config = tmp_path / "config.toml"
    config.write_text(f'model = ["{tone_pack(tmp_path / "tones")}"]\nrules = "{tmp_path}/rules.toml"\n')
    (tmp_path / "rules.toml").write_text("")
    env = {"STREAMCLF_CONFIG": str(config), "STREAMCLF_STORE_PATH": str(tmp_path / "store")}
    taught = run_cli("teach", "kettle", "--clips", str(tmp_path / "low.wav"), home=tmp_path, env=env)
    assert taught.returncode == 0, taught.stderr
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "tea"\nlabels = ["kettle"]\n')
    running = daemon("--source", f"push:mic,{RATE}", env=env)
    page = open_page(f"http://127.0.0.1:{running.port}/#teach")
    page.on("dialog", lambda dialog: dialog.accept())

    page.get_by_role("button", name="Forget Kettle").click()

    said = page.locator(".toast")
    expect(said).to_contain_text("It is not forgotten: the rule 'tea' in ")
    expect(said).to_contain_text("take it out of the rules file first.")
    expect(page.locator(".taught-class")).to_have_count(1)


def test_a_class_is_renamed_and_everything_that_shows_it_follows(
    tmp_path: Path, daemon: StartDaemon, open_page: OpenPage
) -> None:
    soundfile.write(tmp_path / "low.wav", np.concatenate([hiss(0.3), tone(500.0, 0.6), hiss(0.3)]), RATE)
    config = tmp_path / "config.toml"
    config.write_text(f'model = ["{tone_pack(tmp_path / "tones")}"]\n')
    env = {"STREAMCLF_CONFIG": str(config), "STREAMCLF_STORE_PATH": str(tmp_path / "store")}
    taught = run_cli("teach", "kettle", "--clips", str(tmp_path / "low.wav"), home=tmp_path, env=env)
    assert taught.returncode == 0, taught.stderr
    running = daemon("--source", f"file:{tmp_path}/low.wav#loop=yes&name=mic", env=env)
    page = open_page(f"http://127.0.0.1:{running.port}/#teach")
    page.on("dialog", lambda dialog: dialog.accept("The old <b>kettle</b>"))

    page.get_by_role("button", name="Rename Kettle").click()

    expect(page.locator(".toast")).to_contain_text("It is called The old <b>kettle</b> now.")
    expect(page.get_by_role("heading", name="The old <b>kettle</b>")).to_be_visible()
    page.keyboard.press("1")
    expect(page.locator(".live-row", has_text="The old <b>kettle</b>")).to_be_visible()
