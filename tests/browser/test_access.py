"""Logging in on the page: wrong, right, stale and lesser tokens; other origins; below a base path."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from streamclf.types import Stage
from tests.browser.test_now import event, hub, rows
from tests.conftest import StartDaemon
from tests.support.browser import HubServer, OpenPage, hub_server, keep_picture
from tests.support.proxy import Proxy
from tests.support.serving import EPOCH_NS

TOKENS: dict[str, Any] = {
    "token": "admin-0123456789",
    "audio_token": "audio-0123456789",
    "labels_token": "labels-0123456789",
}
OPEN = ".link-state[data-state=open]"
ASKED = "dialog.login"


def log_in(page: Page, token: str) -> None:
    page.fill(f"{ASKED} input[type=password]", token)
    page.click(f"{ASKED} button[type=submit]")


def reason(page: Page) -> str:
    page.wait_for_selector(".login-reason:not([hidden])")
    return page.locator(".login-reason").inner_text()


def test_a_wrong_token_is_said_and_a_right_one_holds_over_a_reload(open_page: OpenPage) -> None:
    with hub_server(hub(), **TOKENS) as server:
        page = open_page(server.address)
        page.wait_for_selector(ASKED)
        keep_picture(page, "login")
        log_in(page, "not-the-token")
        wrong = reason(page)
        log_in(page, TOKENS["token"])
        page.wait_for_selector(OPEN)
        asked_after = page.locator(ASKED).count()
        page.reload()
        page.wait_for_selector(OPEN)
        asked_again = page.locator(ASKED).count()
        readable = page.evaluate(
            "document.cookie + JSON.stringify({...localStorage}) + JSON.stringify({...sessionStorage})"
        )
        (cookie,) = page.context.cookies(server.address + "v1")

        assert wrong == "A wrong token was given."
        assert (asked_after, asked_again) == (0, 0)
        assert "streamclf" not in readable
        assert TOKENS["token"] not in readable
        assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/v1")


def test_a_link_with_a_token_logs_in_and_hides_it(open_page: OpenPage) -> None:
    with hub_server(hub(), **TOKENS) as server:
        page = open_page(f"{server.address}?token={TOKENS['labels_token']}#now")
        page.wait_for_selector(OPEN)

        assert page.url == f"{server.address}#now"
        page.reload()
        page.wait_for_selector(OPEN)
        assert page.locator(ASKED).count() == 0


def test_a_token_that_was_changed_is_said_and_nothing_is_shown(open_page: OpenPage) -> None:
    with hub_server(hub(), **TOKENS) as server:
        page = open_page(server.address + "#now")
        log_in(page, TOKENS["labels_token"])
        page.wait_for_selector(OPEN)
        server.publish([rows(0, [0.9, 0, 0]), event("e1", "speech", Stage.OPEN)], EPOCH_NS)
        page.wait_for_selector(".now-name:has-text('Speech')")
        server.stop()
        server.settings["labels_token"] = "another-labels-token"
        server.start()
        why = reason(page)
        covered = page.evaluate(
            "getComputedStyle(document.querySelector('dialog.login'), '::backdrop').backgroundColor"
        )
        page.reload()
        why_again = reason(page)
        shown = page.locator("main").inner_text()
        log_in(page, "another-labels-token")
        page.wait_for_selector(OPEN)

        assert why == why_again
        assert why.startswith("The token was changed since this browser logged in; log in again")
        assert covered.startswith("rgb(")
        assert "mic" not in shown
        assert "Speech" not in shown


def test_with_the_labels_token_nothing_can_be_marked_heard_or_sent(
    tmp_path: Path, open_page: OpenPage, daemon: StartDaemon
) -> None:
    file = tmp_path / "labels"
    file.write_text(TOKENS["labels_token"])
    file.chmod(0o600)
    env = {"STREAMCLF_TOKEN": TOKENS["token"], "STREAMCLF_SERVER_LABELS_TOKEN_FILE": str(file)}
    running = daemon(
        "--source", "demo#store=yes", "--source", "push:phone", env=env | {"STREAMCLF_SERVER_LISTENING": "true"}
    )
    page = open_page(f"http://127.0.0.1:{running.port}/#streams")
    log_in(page, TOKENS["labels_token"])
    page.wait_for_selector(".stream-card >> nth=1")
    access = page.locator(".panel", has=page.get_by_role("heading", name="Access")).inner_text()
    of_admins = page.locator(".health-daemon").is_visible()
    keep_picture(page, "streams")
    page.goto(f"http://127.0.0.1:{running.port}/#events")
    page.wait_for_selector("main time")
    marks = page.get_by_role("button", name="Mark as right").count()
    refused = page.evaluate(PUSH)
    page.goto(f"http://127.0.0.1:{running.port}/#streams")
    page.get_by_role("button", name="Log out").click()
    page.wait_for_selector(ASKED)
    kept = page.context.cookies(f"http://127.0.0.1:{running.port}/v1")
    running.stop()

    assert "ask for the audio token" in access
    assert not of_admins
    assert marks == 0
    assert kept == []
    assert refused == "sending sound needs the role audio, and this connection has labels"


FOREIGN = """async ([own, token]) => {
  const asked = (path, options) =>
    fetch(own + path, { credentials: "include", ...options }).then((answer) => answer.type, () => "refused");
  const opened = (protocols) =>
    new Promise((resolve) => {
      const socket = new WebSocket(own.replace("http", "ws") + "v1", protocols);
      socket.onopen = () => resolve("open");
      socket.onerror = () => resolve("refused");
    });
  return {
    read: await asked("v1/session"),
    blind: await asked("v1/session", { mode: "no-cors" }),
    logout: await asked("v1/logout", { headers: { "X-Streamclf": "page" } }),
    login: await opened(["streamclf.v1"]),
    token: await opened(["streamclf.v1", "token." + token]),
  };
}"""


@pytest.fixture
def stranger(tmp_path: Path) -> Iterator[str]:
    """The origin of another page on this host."""
    (tmp_path / "index.html").write_text("<!doctype html><p>another page")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_page_of_another_origin_can_do_nothing_with_a_login(browser: Browser, stranger: str) -> None:
    # the same host on another port: for the browser the same site, and so the cookie goes along
    with hub_server(hub(), origins=(stranger,), **TOKENS) as server, browser.new_context() as window:
        page = window.new_page()
        page.goto(server.address)
        log_in(page, TOKENS["token"])
        page.wait_for_selector(OPEN)
        page.goto(stranger + "/")
        outcome = page.evaluate(FOREIGN, [server.address, TOKENS["labels_token"]])
        page.goto(server.address)
        page.wait_for_selector(OPEN)
        asked_again = page.locator(ASKED).count()

    # a token of its own is what a configured origin may come with, and shows that it could reach us at all
    refused = dict.fromkeys(("read", "blind", "logout", "login"), "refused")
    assert outcome == {**refused, "token": "open"}
    assert asked_again == 0


@contextmanager
def before(server: HubServer, **settings: Any) -> Iterator[Proxy]:
    """A reverse proxy in the server's own loop."""
    proxy = Proxy(server.port, **settings)
    server.wait_for(proxy.start())
    try:
        yield proxy
    finally:
        server.wait_for(proxy.stop())


@pytest.mark.parametrize("strip", ["", "/birds"], ids=["kept", "stripped"])
def test_the_page_works_below_a_path_of_a_reverse_proxy(open_page: OpenPage, strip: str) -> None:
    with (
        hub_server(hub(), base_path="" if strip else "/birds", **TOKENS) as server,
        before(server, strip=strip) as proxy,
    ):
        page = open_page(f"http://127.0.0.1:{proxy.port}/birds{'/' if strip else ''}#now")
        log_in(page, TOKENS["token"])
        page.wait_for_selector(OPEN)
        server.publish([rows(0, [0.9, 0, 0]), event("e1", "speech", Stage.OPEN)], EPOCH_NS)
        page.wait_for_selector(".now-name:has-text('Speech')")
        (cookie,) = page.context.cookies(f"http://127.0.0.1:{proxy.port}/birds/v1")
        page.reload()
        page.wait_for_selector(OPEN)

        assert cookie["path"] == "/birds/v1"
        assert page.url == f"http://127.0.0.1:{proxy.port}/birds/#now"
        assert page.locator(ASKED).count() == 0


PUSH = """() => new Promise((resolve) => {
  const socket = new WebSocket(new URL("v1", document.baseURI).href.replace("http", "ws"), ["streamclf.v1"]);
  socket.onopen = () => socket.send(JSON.stringify({ type: "push", stream: "phone", rate: 48000 }));
  socket.onmessage = ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "error" || message.type === "pushing") resolve(message.message ?? message.type);
  };
})"""
