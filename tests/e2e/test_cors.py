"""Dashboards of other sites: what a browser lets a page read, and that no login or role leaks by it."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streamclf.serve.http.feed import Feed, stored_page
from streamclf.serve.http.server import Server, ServerSettings
from streamclf.serve.http.stored import stored_routes
from streamclf.store.database import Store
from tests.support.rawclient import RawClient
from tests.support.server import run, serving
from tests.support.serving import make_hub

pytestmark = pytest.mark.e2e

DASH, OTHER = "https://dash.example", "https://evil.example"
ADMIN, AUDIO, LABELS = "secret-of-the-admin-1", "secret-for-audio-2", "secret-for-labels-3"
TOKENS: dict[str, Any] = {"token": ADMIN, "audio_token": AUDIO, "labels_token": LABELS}
PATHS = ("/v1/schema", "/v1/events", "/v1/live", "/v1/picture", "/v1/nothing")
ALLOW = "access-control-allow-origin"


async def ask(server: Server, path: str, method: str = "GET", **headers: str) -> RawClient:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await RawClient.request(server.port, path, method=method, headers=named)


def test_an_allowed_page_reads_answers_and_refusals_and_another_nothing() -> None:
    async def main() -> None:
        async with serving(routes=stored_routes(None), origins=(DASH,), **TOKENS) as server:
            for path in PATHS:
                allowed = await ask(server, path, Origin=DASH, Authorization=f"Bearer {LABELS}")
                assert allowed.headers[ALLOW] == DASH
                assert allowed.headers["vary"] == "Origin"
                assert "access-control-allow-credentials" not in allowed.headers
                refused = await ask(server, path, Origin=DASH)
                assert refused.headers[ALLOW] == DASH, "the page may read why it was refused"
                foreign = await ask(server, path, Origin=OTHER, Authorization=f"Bearer {ADMIN}")
                assert (foreign.status, foreign.headers.get(ALLOW)) == (403, None)
                assert b"--origin https://evil.example" in foreign.body
                program = await ask(server, path, Authorization=f"Bearer {LABELS}")
                assert program.headers.get(ALLOW) is None
                assert program.headers["vary"] == "Origin", "a cache must not give one's answer to the other"

    run(main)


def test_a_preflight_says_what_may_be_asked_for_and_wants_no_token() -> None:
    async def main() -> None:
        async with serving(origins=(DASH,), **TOKENS) as server:
            wish = {"Access_Control_Request_Method": "GET", "Access_Control_Request_Headers": "authorization"}
            answer = await ask(server, "/v1/events", "OPTIONS", Origin=DASH, **wish)
            assert (answer.status, answer.body) == (204, b"")
            assert answer.headers[ALLOW] == DASH
            assert answer.headers["access-control-allow-methods"] == "GET, HEAD"
            assert answer.headers["access-control-allow-headers"] == "Authorization, Last-Event-ID"
            assert "x-streamclf" not in str(answer.headers).lower()
            assert "access-control-allow-private-network" not in answer.headers
            local = await ask(server, "/v1/events", "OPTIONS", Origin=DASH,
                              Access_Control_Request_Private_Network="true", **wish)  # fmt: skip
            assert local.headers["access-control-allow-private-network"] == "true"
            assert (await ask(server, "/v1/events", "OPTIONS", Origin=OTHER, **wish)).status == 403
            assert (await ask(server, "/v1/events", "POST", Origin=DASH)).status != 200

    run(main)


@pytest.mark.parametrize("path", ["/v1/session", "/v1/login", "/v1/logout", "/healthz", "/metrics", "/"])
def test_logins_metrics_and_the_page_are_not_shared(path: str) -> None:
    async def main() -> None:
        async with serving(origins=(DASH,), **TOKENS) as server:
            for method in ("GET", "OPTIONS"):
                answer = await ask(server, path, method, Origin=DASH, Authorization=f"Bearer {ADMIN}",
                                   X_Streamclf="page", Access_Control_Request_Headers="x-streamclf")  # fmt: skip
                assert not [name for name in answer.headers if name.startswith("access-control")]

    run(main)


def test_a_login_of_our_own_page_never_counts_for_another_site() -> None:
    async def main() -> None:
        async with serving(routes=stored_routes(None), origins=(DASH,), **TOKENS) as server:
            own = f"http://127.0.0.1:{server.port}"
            login = await ask(server, "/v1/login", Authorization=f"Bearer {ADMIN}", X_Streamclf="page", Origin=own)
            cookie = login.headers["set-cookie"].partition(";")[0]
            for path in PATHS[1:4]:
                shown = await ask(server, path, Cookie=cookie, Origin=own)
                assert shown.status in (400, 404), "our own page is let in by it"
                leaked = await ask(server, path, Cookie=cookie, Origin=DASH)
                assert leaked.status == 403
                assert b"another site" in leaked.body

    run(main)


def test_a_role_is_that_of_the_token_the_page_shows() -> None:
    async def main() -> None:
        async with serving(routes=stored_routes(None), origins=(DASH,), **TOKENS) as server:
            for token, status in ((LABELS, 403), (AUDIO, 404), ("wrong", 401)):
                answer = await ask(server, "/v1/clip?event=x", Origin=DASH, Authorization=f"Bearer {token}")
                assert (answer.status, answer.headers[ALLOW]) == (status, DASH)

    run(main)


def test_the_feed_is_shared_with_allowed_pages_alone(tmp_path: Path) -> None:
    async def main() -> None:
        store = Store.open(tmp_path / "store")
        feed = Feed(partial(stored_page, store.folder), "here")
        settings: dict[str, Any] = {"origins": (DASH,), "base_path": "/birds"}
        server = Server(make_hub(), ServerSettings(port=0, **settings), routes=stored_routes(None), feed=feed)
        await server.start()
        try:
            feed.stop()  # it ends as soon as it has sent what there is
            for path in ("/v1/live", "/birds/v1/live"):
                answer = await ask(server, path, Origin=DASH)
                assert (answer.status, answer.headers[ALLOW], answer.headers["vary"]) == (200, DASH, "Origin")
                assert b"event: hello" in answer.body
            assert (await ask(server, "/v1/live", Origin=OTHER)).status == 403
        finally:
            await server.stop(2.0)
            store.close()

    run(main)
