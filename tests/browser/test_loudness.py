"""How loud the last minute was, on the card of a stream, and the charts of a day and of third octaves."""

import re
from pathlib import Path

import numpy as np
import soundfile
from playwright.sync_api import expect

from tests.conftest import StartDaemon
from tests.support.browser import OpenPage


def test_a_stream_says_how_loud_its_last_minute_was(open_page: OpenPage, daemon: StartDaemon, tmp_path: Path) -> None:
    tone = 0.1 * np.sqrt(2) * np.sin(2 * np.pi * 1000 * np.arange(61 * 16_000) / 16_000)
    soundfile.write(tmp_path / "tone.wav", tone, 16_000, subtype="PCM_16")
    (tmp_path / "config.toml").write_text(
        f'source = ["file:{tmp_path}/tone.wav#name=yard"]\n[loudness.offsets]\nyard = 100.0\n'
    )
    running = daemon("--model", "default", "--fast", env={"STREAMCLF_CONFIG": str(tmp_path / "config.toml")})
    page = open_page(f"http://127.0.0.1:{running.port}/#streams")
    page.wait_for_selector(".stream-card:has-text('LAeq 80.0 dB(A)')")
    card = page.locator(".stream-card").inner_text()

    assert "Last minute" in card
    assert "L10 80.0, L90 80.0" in card


def test_charts_show_the_minutes_of_a_day_and_the_third_octaves(
    open_page: OpenPage, daemon: StartDaemon, tmp_path: Path
) -> None:
    at = np.arange(182 * 16_000) / 16_000
    level = np.where(at < 60, 0.1, 0.01)  # a minute at -20 dBFS, then two at -40
    soundfile.write(tmp_path / "tone.wav", level * np.sqrt(2) * np.sin(2 * np.pi * 1000 * at), 16_000, subtype="FLOAT")
    (tmp_path / "config.toml").write_text(
        f'source = ["file:{tmp_path}/tone.wav#name=yard"]\n[loudness.offsets]\nyard = 100.0\n'
        f'[store]\npath = "{tmp_path}/store"\n'
    )
    running = daemon("--model", "default", "--fast", env={"STREAMCLF_CONFIG": str(tmp_path / "config.toml")})
    page = open_page(f"http://127.0.0.1:{running.port}/#streams")

    day = page.get_by_role("img", name="yard, the last day: LAeq of a minute from 60.0 to 80.0 dB(A)")
    expect(day).to_be_visible(timeout=30_000)
    # the newest minutes are on the disk a moment later
    expect(day.locator(".line")).to_have_attribute("points", re.compile(r"(\S+ ){4}\S+"), timeout=30_000)
    heights = [float(point.split(",")[1]) for point in str(day.locator(".line").get_attribute("points")).split()]
    # a minute, two, the rest of the fourth, and the end of that
    assert heights[0] < min(heights[1:]) == max(heights[1:])
    bands = page.get_by_role("img", name="yard, third octaves: the loudest is 1,000 Hz with 60.0 dB")
    expect(bands).to_be_visible()
    # as far as the rate goes: from 25 Hz to 6.3 kHz at least
    assert bands.locator(".bar").count() >= 25
    # one stream: there is nothing to choose
    expect(page.get_by_label("Stream", exact=True)).to_be_hidden()
