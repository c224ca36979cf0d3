"""The plain page in a real browser: it lists what is heard, and hostile names stay text."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from streamclf.serve.hub import Hub
from streamclf.serve.server import Server, ServerSettings
from streamclf.types import Event, FrameScores, Label, Stage, Status
from tests.support.serving import EPOCH_NS, HOP, pack_info, stream_info

playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed (extra dev)")
CHROMIUM = os.environ.get("STREAMCLF_TEST_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here (STREAMCLF_TEST_CHROMIUM names one)")

MARKUP = "<img src=x onerror=\"document.title='broken'\"><b>bold</b>"
TOKEN = "0123456789abcdef"


@asynccontextmanager
async def page_of(server: Server, query: str = "") -> AsyncIterator[tuple[object, list[str]]]:
    """An open page, and everything that its console complained of."""
    async with playwright.async_playwright() as play:
        # a container's root has no sandbox to start; nothing but our own page is opened
        browser = await play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(server.address + "/" + query)
        try:
            yield page, complaints
        finally:
            await browser.close()


def hostile_hub() -> Hub:
    labels = [Label("speech", MARKUP), Label("dog", "Dog"), Label("inside", "Inside", hidden=True)]
    stream = stream_info(f"mic{MARKUP}", demo=True)
    stream.packs, stream.source = [f"big{MARKUP}"], f"file:{MARKUP}"
    return Hub(streams=[stream], packs=[pack_info(f"big{MARKUP}", labels)])


async def keep_publishing(server: Server) -> None:
    frame = seen = 0
    name, pack = f"mic{MARKUP}", f"big{MARKUP}"
    opened = Event(name, pack, "e1", "speech", Stage.OPEN, 0, None, 0.9, 0.8, 5)
    closed = Event(name, pack, "e1", "speech", Stage.CLOSE, 0, 75, 0.9, 0.8, 90)
    while True:
        rows = np.array([[0.9, 0.25, 0.99]], dtype=np.float32)
        server.publish([FrameScores(name, pack, frame, rows, True, (frame + 1) * HOP)], EPOCH_NS)
        if seen == 20:
            server.publish([opened, Status(name, "behind", MARKUP)], time.time_ns())
        if seen == 40:
            server.publish([closed], time.time_ns())
        frame += 1
        seen += bool(server.hub._subscribed)
        await asyncio.sleep(0.01)


def test_the_page_lists_labels_and_events_as_text_only_and_shouts_demo() -> None:
    async def main() -> None:
        server = Server(hostile_hub(), ServerSettings(port=0))
        await server.start()
        publishing = asyncio.create_task(keep_publishing(server))
        async with page_of(server) as (page, complaints):
            await page.wait_for_selector("#events li:not(.note):not(.open)")  # type: ignore[attr-defined]
            names = await page.locator(".scores .name").all_text_contents()  # type: ignore[attr-defined]
            values = await page.locator(".scores .value").all_text_contents()  # type: ignore[attr-defined]
            title = await page.title()  # type: ignore[attr-defined]
            injected = await page.locator("main img, main p b, h2 b, h3 b, .name b").count()  # type: ignore[attr-defined]
            demo = await page.locator("#demo").inner_text()  # type: ignore[attr-defined]
            events = await page.locator("#events li:not(.note)").all_text_contents()  # type: ignore[attr-defined]
            bar = await page.locator(".bar i").first.evaluate("bar => bar.style.transform")  # type: ignore[attr-defined]
        publishing.cancel()
        await server.stop(2.0)

        assert names == [MARKUP, "Dog"]
        assert values == ["90 %", "25 %"]
        assert title == "streamclf"
        assert injected == 0
        assert demo.startswith("DEMO: mic<img")
        assert len(events) == 1
        assert "1.50 s" in events[0]
        assert bar == "scaleX(0.9)"
        assert complaints == []

    asyncio.run(main())


def test_the_page_takes_a_token_from_its_address_and_hides_it() -> None:
    async def main() -> None:
        server = Server(hostile_hub(), ServerSettings(port=0, token=TOKEN))
        await server.start()
        publishing = asyncio.create_task(keep_publishing(server))
        async with page_of(server, f"?token={TOKEN}") as (page, complaints):
            await page.wait_for_selector(".scores li")  # type: ignore[attr-defined]
            address = page.url  # type: ignore[attr-defined]
        publishing.cancel()
        await server.stop(2.0)

        assert TOKEN not in address
        assert complaints == []

    asyncio.run(main())
