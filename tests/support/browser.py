"""A real Chromium before a real daemon: fixtures of tests/browser, imported by its conftest."""

import asyncio
import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streamclf.serve.http.route import Route
from streamclf.serve.http.server import Server, ServerSettings
from streamclf.serve.hub import Hub
from tools.lab.chromium import CHROMIUM, FLAGS

try:
    from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
except ImportError:  # the extra dev is not installed
    pytest.skip("playwright is not installed (extra dev)", allow_module_level=True)

WAIT_MS = 30_000
# for every test, also where its file is run alone
expect.set_options(timeout=WAIT_MS)
# What the browser itself prints where a daemon is away or refuses, as some tests have it do.
_EXPECTED = ("Failed to load resource", "WebSocket connection to", "ERR_INTERNET_DISCONNECTED")


class OpenPage:
    """Opens the page of an address in a window of its own. Fails the test where a page's script complained."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.complaints: list[str] = []

    def __call__(self, address: str, *, width: int = 1280, height: int = 800, **context: Any) -> Page:
        made = self._browser.new_context(viewport={"width": width, "height": height}, **context)
        self._contexts.append(made)
        page = made.new_page()
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: self._hear(message.type, message.text))
        page.goto(address)
        return page

    def close(self) -> None:
        """Closes every window."""
        for context in self._contexts:
            context.close()

    def _hear(self, kind: str, text: str) -> None:
        if kind == "error" and not any(known in text for known in _EXPECTED):
            self.complaints.append(text)


# as long as it is there this thread has a running event loop, and no other test could run one of its own
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium here (STREAMCLF_TEST_CHROMIUM names one)")
    with sync_playwright() as play:
        # audio is muted by flag, not by `headless`: AudioContext still runs
        browser = play.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--mute-audio"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    opener = OpenPage(browser)
    yield opener
    opener.close()
    assert opener.complaints == []


def keep_picture(page: Page, name: str) -> None:
    """A screenshot for people, in the folder that STREAMCLF_TEST_ARTEFACTS names; none where it names none."""
    if folder := os.environ.get("STREAMCLF_TEST_ARTEFACTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")


def keep_figures(name: str, **figures: float) -> None:
    """Milliseconds that a test measured, beside its pictures."""
    if folder := os.environ.get("STREAMCLF_TEST_ARTEFACTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{name}.json").write_text(json.dumps(figures))


class HubServer:
    """`hub` and its server in a thread with an event loop of its own; a browser's test has the loop of this one."""

    def __init__(self, hub: Hub, routes: Mapping[str, Route] | None = None, **settings: Any) -> None:
        self.hub = hub
        self._routes = routes
        self.settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hub")
        self.port = 0

    @property
    def address(self) -> str:
        """Of the page."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Serve, again on the same port after a `stop`."""
        if not self._thread.is_alive():
            self._thread.start()
        self._server = Server(self.hub, ServerSettings(port=self.port, **self.settings), routes=self._routes)
        self.wait_for(self._server.start())
        self.port = self._server.port

    def stop(self) -> None:
        """Serve no more, as if the daemon had ended."""
        self.wait_for(self._server.stop(1.0))

    def publish(self, outputs: list[Any], decided_ns: int) -> None:
        """As `Server.publish`, from any thread."""
        self.call(lambda: self._server.publish(outputs, decided_ns))

    def call(self, action: Callable[[], Any]) -> Any:
        """Runs `action` in the server's loop and returns what it returned."""

        async def run() -> Any:
            return action()

        return self.wait_for(run())

    def end(self) -> None:
        """Stop, and end the thread."""
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def wait_for(self, work: Any) -> Any:
        """What the coroutine `work` returned, run in the server's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)


@contextmanager
def hub_server(hub: Hub, routes: Mapping[str, Route] | None = None, **settings: Any) -> Iterator[HubServer]:
    """Serves `hub` on a free port of 127.0.0.1 until the block ends. routes: addresses besides the own."""
    server = HubServer(hub, routes, **settings)
    server.start()
    try:
        yield server
    finally:
        server.end()
