"""A page that is behind asks for less, and a connection that is dead without saying so is found out."""

import json
from typing import Any

from playwright.sync_api import WebSocketRoute

from streamclf.types import Stage
from tests.browser.test_now import event, hub, rows
from tests.support.browser import OpenPage, hub_server
from tests.support.serving import EPOCH_NS

DROPPED = {"type": "lagged", "seq": 1, "from_seq": 1, "to_seq": 1, "dropped": 900, "reason": "mailbox"}


class Wire:
    """Between the page and the daemon: keeps what the page asked, and may let nothing through any more."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.sockets: list[WebSocketRoute] = []
        self.dead = False

    def __call__(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        dead = len(self.sockets) == 1
        server = socket.connect_to_server()

        def up(message: str | bytes) -> None:
            if isinstance(message, str):
                self.asked.append(json.loads(message))
            if not (self.dead and dead):
                server.send(message)

        def down(message: str | bytes) -> None:
            if not (self.dead and dead):
                socket.send(message)

        socket.on_message(up)
        server.on_message(down)


def test_rows_that_the_daemon_had_to_drop_make_the_page_ask_for_less_and_say_so(open_page: OpenPage) -> None:
    wire = Wire()
    with hub_server(hub()) as server:
        page = open_page("about:blank")
        page.route_web_socket(lambda url: url.endswith("/v1"), wire)
        page.goto(server.address + "#now")
        page.wait_for_selector(".link-state[data-state=open]")
        wire.sockets[0].send(json.dumps(DROPPED))
        page.wait_for_selector(".link-state:has-text('reduced')")
        page.wait_for_selector(".toast:has-text('strongest classes only')")
        # what is told goes on
        server.publish([rows(0, [0.9, 0, 0]), event("e1", "speech", Stage.OPEN)], EPOCH_NS)
        page.wait_for_selector(".now-name:has-text('Speech')")

    asked = [ask for ask in wire.asked if ask["type"] == "subscribe"]
    # a page that has heard nothing for a while asks for the same again
    full, calm = asked[0], next(ask for ask in asked if "picture" not in ask)
    assert (full["tier"], full["picture"], full.get("top_k")) == ("batch", True, None)
    assert (calm["tier"], calm.get("picture"), calm["top_k"]) == ("batch", None, 8)


def test_a_connection_that_brings_nothing_any_more_is_made_anew(open_page: OpenPage) -> None:
    wire = Wire()
    with hub_server(hub()) as server:
        page = open_page("about:blank")
        page.route_web_socket(lambda url: url.endswith("/v1"), wire)
        page.goto(server.address + "#now")
        page.wait_for_selector(".link-state[data-state=open]")
        wire.dead = True
        server.publish([rows(0, [0.9, 0, 0]), event("e1", "speech", Stage.OPEN)], EPOCH_NS)
        page.wait_for_selector(".now-name:has-text('Speech')", timeout=40_000)

        assert len(wire.sockets) >= 2
