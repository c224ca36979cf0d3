"""The page behind Home Assistant's ingress: a path that is taken off, its headers, and nobody asks for a token."""

from typing import Any

import pytest

from streamclf.types import Stage
from tests.browser.test_access import ASKED, OPEN, TOKENS, before
from tests.browser.test_now import event, hub, rows
from tests.support.browser import OpenPage, hub_server
from tests.support.serving import EPOCH_NS

PATH = "/api/hassio_ingress/Kq3b0Z5kTt"


def through(port: int) -> dict[str, Any]:
    """What the Supervisor adds to a request, and whose name the browser asked for."""
    return {
        "strip": PATH,
        "told": {
            "Host": "172.30.33.7:8765",
            "X-Ingress-Path": PATH,
            "X-Forwarded-Host": f"127.0.0.1:{port}",
            "X-Forwarded-Proto": "http",
            "X-Forwarded-For": "192.168.1.77",
            "X-Hass-Source": "core.ingress",
            "X-Remote-User-Name": "somebody",
        },
    }


def test_the_page_works_through_ingress_without_a_token(open_page: OpenPage) -> None:
    with hub_server(hub(), behind="127.0.0.1", **TOKENS) as server, before(server, strip=PATH) as proxy:
        proxy.told.update(through(proxy.port)["told"])
        page = open_page(f"http://127.0.0.1:{proxy.port}{PATH}/#now")
        page.wait_for_selector(OPEN)
        server.publish([rows(0, [0.9, 0, 0]), event("e1", "speech", Stage.OPEN)], EPOCH_NS)
        page.wait_for_selector(".now-name:has-text('Speech')")
        page.reload()
        page.wait_for_selector(OPEN)

        assert page.locator(ASKED).count() == 0
        assert page.url == f"http://127.0.0.1:{proxy.port}{PATH}/#now"


@pytest.mark.parametrize("behind", ["", "172.30.32.2"])
def test_another_proxy_lets_nobody_in(open_page: OpenPage, behind: str) -> None:
    with hub_server(hub(), behind=behind, **TOKENS) as server, before(server, strip=PATH) as proxy:
        page = open_page(f"http://127.0.0.1:{proxy.port}{PATH}/#now")
        page.wait_for_selector(ASKED)
