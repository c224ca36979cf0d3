"""The JavaScript client in a real browser: a page of another origin imports it and follows a hub over a restart."""

from pathlib import Path

import pytest
from playwright.sync_api import expect

from streamclf.types import Stage
from tests.support.browser import OpenPage, hub_server
from tests.support.node import build_client, needs_node
from tests.support.serving import EPOCH_NS, event, make_hub, scores
from tests.support.site import serving

PAGE = """<!doctype html>
<title>client</title>
<p role="status"></p>
<ol></ol>
<script type="module">
  import { Client } from "./dist/index.js";
  const [status, list] = [document.querySelector("p"), document.querySelector("ol")];
  const daemon = new URLSearchParams(location.search).get("daemon");
  const client = new Client(daemon, { encoding: "u8", labels: ["dog"], onWait: (why) => (status.textContent = why) });
  for await (const message of client) {
    if (message.type === "subscribed") status.textContent = "following";
    const rows = () => message.rows.map(([value]) => value.toFixed(1)).join(" ");
    const shown = { scores: rows, event: () => message.stage };
    const text = shown[message.type]?.();
    if (text) list.append(Object.assign(document.createElement("li"), { textContent: text }));
    if (message.stage === "close") break;
  }
  status.textContent = "left";
</script>
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = build_client(tmp_path_factory.mktemp("client"))
    (built / "index.html").write_text(PAGE)
    return built


@needs_node
def test_a_page_follows_over_a_restart_and_leaves(open_page: OpenPage, folder: Path) -> None:
    hub = make_hub()
    with serving(folder) as site, hub_server(hub, origins=(site,)) as server:
        page = open_page(f"{site}/?daemon=127.0.0.1:{server.port}")
        expect(page.get_by_role("status")).to_have_text("following")
        server.publish([scores(frame, [0.0, frame / 5, 0.0, 0.0]) for frame in range(5)], EPOCH_NS)
        expect(page.get_by_role("listitem")).to_have_text(["0.0 0.2 0.4 0.6 0.8"])

        server.stop()
        expect(page.get_by_role("status")).to_contain_text(f"does it let pages of {site} in")
        hub.publish([event(1)], decided_ns=EPOCH_NS, sent_ns=EPOCH_NS)
        server.start()
        expect(page.get_by_role("listitem").last).to_have_text("open")

        server.publish([event(1, stage=Stage.CLOSE), event(2)], EPOCH_NS)
        expect(page.get_by_role("status")).to_have_text("left")
        expect(page.get_by_role("listitem")).to_have_text(["0.0 0.2 0.4 0.6 0.8", "open", "close"])
