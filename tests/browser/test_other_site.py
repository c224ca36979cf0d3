"""Dashboards of other sites in a real browser: one that is let in follows and fetches, another cannot."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.conftest import StartDaemon
from tests.support.browser import WAIT_MS
from tests.support.site import serving
from tools.lab.kills import beeps
from tools.lab.tinypack import stateful_pack

PAGE = Path(__file__).resolve().parents[2] / "docs" / "developers" / "clients.md"
(SCRIPT,) = re.findall(r"^```html\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
"""The recipe for a page, as it stands in the documents."""
ASK = """async ([daemon, wait]) => {
  const answer = {};
  const source = new EventSource(`${daemon}/v1/live?after=0`);
  answer.live = await new Promise((resolve) => {
    source.onmessage = ({ data, lastEventId }) => resolve([JSON.parse(data).stream, Number(lastEventId) > 0]);
    source.onerror = () => resolve("refused");
    setTimeout(() => resolve("nothing"), wait);
  });
  source.close();
  for (const [name, path, options] of [
    ["events", "/v1/events?after=0&limit=1", { headers: { Authorization: "Bearer any" } }],
    ["with cookies", "/v1/events?after=0&limit=1", { credentials: "include" }],
    ["session", "/v1/session", {}],
    ["metrics", "/metrics", {}],
  ]) {
    answer[name] = await fetch(daemon + path, options).then((got) => got.status, () => "refused");
  }
  return answer;
}"""


@pytest.fixture
def sites(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The origins of two sites of others."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "index.html").write_text("<!doctype html><title>Elsewhere</title>")
    with serving(folder) as allowed, serving(folder) as other:
        yield allowed, other


def test_a_page_of_an_allowed_origin_follows_and_fetches_and_another_cannot(
    browser: Browser, daemon: StartDaemon, sites: tuple[str, str], tmp_path: Path
) -> None:
    sound, pack = beeps(tmp_path / "beeps.wav"), stateful_pack(tmp_path / "pack")
    running = daemon("--source", f"file:{sound}#loop=yes&name=mic", "--model", str(pack), "--origin", sites[0])

    def ask(site: str) -> dict[str, Any]:
        with browser.new_context() as window:
            page = window.new_page()
            page.goto(site + "/")
            found: dict[str, Any] = page.evaluate(ASK, [f"http://127.0.0.1:{running.port}", WAIT_MS])
            return found

    closed = {"with cookies": "refused", "session": "refused", "metrics": "refused"}
    assert ask(sites[0]) == {"live": ["mic", True], "events": 200, **closed}
    assert ask(sites[1]) == {"live": "refused", "events": "refused", **closed}
    assert f"a page of {sites[1]} was refused" in running.stderr

    script = SCRIPT.replace("127.0.0.1:8765", f"127.0.0.1:{running.port}").replace("group:bird", "loud")
    (tmp_path / "site" / "recipe.html").write_text(script)
    with browser.new_context() as window:
        page = window.new_page()
        page.goto(f"{sites[0]}/recipe.html")
        page.wait_for_function("Number(localStorage.reached) > 0", timeout=WAIT_MS)
