"""The pictures of the page, for README and docs: a real daemon hears a recording, a real browser looks at it.

    python tools/take_pictures.py --sound garden.flac [--out docs/pictures] [--after 51]

The recording is played at real time and again and again; every picture is taken so many seconds after its beginning.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from tools.lab.chromium import CHROMIUM, FLAGS
from tools.lab.daemon import clean_env, free_port, start_daemon

RULES = """
[place]
timezone = "Europe/Berlin"

[sink.diary]
type = "ndjson"
path = "alerts.ndjson"

[[rule]]
name = "birds"
labels = ["group:bird"]
stage = "confirmed"
min_duration_ms = 1000
cooldown_s = 30
sinks = ["diary"]

[[rule]]
name = "dog-barks"
labels = ["dog"]
cooldown_s = 600
sinks = ["diary"]
"""
WIDE, PHONE = (1280, 800), (390, 844)


def main() -> None:
    """Play, look, and keep four pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sound", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument("--after", type=float, default=51.0)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as play:
        home = Path(folder)
        (home / "rules.toml").write_text(RULES.replace("alerts.ndjson", str(home / "alerts.ndjson")))
        daemon = start_daemon(
            ("--source", f"file:{given.sound.resolve()}#loop=yes&name=garden", "--rules", str(home / "rules.toml")),
            port=free_port(),
            env=clean_env(home, {"STREAMCLF_STORE_PATH": str(home / "store"), "STREAMCLF_CLIPS_ENABLED": "true"}),
            log=home / "daemon",
        )
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            daemon.wait_ready()
            address = f"http://127.0.0.1:{daemon.port}/"
            live = opened(browser, f"{address}#live", WIDE, "dark")
            now = opened(browser, f"{address}#now", PHONE, "light")
            time.sleep(given.after)
            now.locator(".now-name").first.wait_for()
            time.sleep(1)  # of the sound itself
            keep(live, given.out / "live.png")
            keep(now, given.out / "now.png")
            events = opened(browser, f"{address}#events", WIDE, "light")
            time.sleep(15)  # for events to end and clips to be cut
            events.reload()
            played = events.get_by_role("button", name="Play").first
            played.click()
            time.sleep(3)
            keep(events, given.out / "events.png")
            why = opened(browser, f"{address}#events", WIDE, "dark")
            why.locator("li.event", has_text="Bird").last.get_by_text("why").click()
            time.sleep(3)
            keep(why, given.out / "why.png")
        finally:
            browser.close()
            daemon.stop()


def opened(browser: Browser, address: str, size: tuple[int, int], scheme: Literal["dark", "light"]) -> Page:
    """The page in a window of its own."""
    width, height = size
    page = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme).new_page()
    page.goto(address)
    page.locator('.link-state[data-state="open"]').wait_for()
    return page


def keep(page: Page, path: Path) -> None:
    """A picture of few colours: a third of the size, and nobody sees it."""
    page.screenshot(path=path)
    with Image.open(path) as whole:
        whole.convert("RGB").quantize(128).save(path, optimize=True)


if __name__ == "__main__":
    main()
