"""Roles over real sockets: who may ask what, by token and by a login; other origins, stale logins, proxies."""

import json
from typing import Any

import pytest

from streamclf.serve.http.access import ServerSettings
from streamclf.serve.http.route import Query, Reply, Route
from streamclf.serve.http.server import Server
from streamclf.serve.http.tokens import TOGETHER, TRIES
from streamclf.serve.roles import Role
from tests.support.proxy import proxied
from tests.support.rawclient import RawClient
from tests.support.server import TOKEN, run, serving

TOKENS = {"admin": TOKEN, "audio": "audio-0123456789", "labels": "labels-0123456789"}
ROLES: dict[str, Any] = {"token": TOKEN, "audio_token": TOKENS["audio"], "labels_token": TOKENS["labels"]}
OWN_PAGE = {"X-Streamclf": "page"}


def answer(query: Query) -> Reply:
    return Reply(query.role.name.encode())


ROUTES = {f"/v1/for-{role.name.lower()}": Route(role, answer) for role in Role}


async def logged_in(port: int, role: str, **headers: str) -> str:
    """The Cookie header of a browser that logged in with this role's token."""
    bearer = {"Authorization": f"Bearer {TOKENS[role]}"}
    page = await RawClient.request(port, "/v1/login", headers={**bearer, **OWN_PAGE, **headers})
    assert page.status == 200, page.body
    assert json.loads(page.body) == {"needs_token": True, "role": role, "why": ""}
    return page.headers["set-cookie"].partition(";")[0]


async def status_of(port: int, path: str, **headers: str) -> int:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return (await RawClient.request(port, path, headers=given)).status


@pytest.mark.parametrize("how", ["bearer", "query", "cookie"])
@pytest.mark.parametrize("role", ["", *TOKENS])
def test_each_role_is_answered_what_is_for_it_and_told_what_is_not(role: str, how: str) -> None:
    async def main() -> None:
        async with serving(routes=ROUTES, **ROLES) as server:
            headers, query = {}, ""
            if role and how == "bearer":
                headers = {"Authorization": f"Bearer {TOKENS[role]}"}
            elif role and how == "cookie":
                headers = {"Cookie": await logged_in(server.port, role)}
            elif role:
                query = f"?token={TOKENS[role]}"
            pages = {path: await RawClient.request(server.port, path + query, headers=headers)
                     for path in ("/", "/v1/session", "/v1/schema", *ROUTES, "/metrics")}  # fmt: skip

        level = Role[role.upper()] if role else 0
        expected = {"/": 200, "/v1/session": 200, "/v1/schema": 200}
        for path, needed in (*((path, route.role) for path, route in ROUTES.items()), ("/metrics", Role.ADMIN)):
            expected[path] = 401 if not role else 200 if level >= needed else 403
        assert {path: page.status for path, page in pages.items()} == expected
        assert json.loads(pages["/v1/session"].body)["role"] == (role or None)
        if role == "labels":
            assert pages["/v1/for-audio"].body == b"This needs the audio token, and you came as labels.\n"
        if not role:
            assert pages["/v1/for-labels"].body.startswith(b"A token is needed: ")

    run(main)


@pytest.mark.parametrize(
    ("role", "order", "code", "said"),
    [
        ("labels", {"type": "push", "stream": "mic", "rate": 16000}, "bad-push", "needs the role audio"),
        ("labels", {"type": "subscribe", "audio": "mic"}, "bad-subscription", "needs the role audio"),
        ("audio", {"type": "mark", "event": "a", "mark": "right"}, "bad-mark", "needs the role admin"),
        # refused for another reason than the role
        ("audio", {"type": "push", "stream": "mic", "rate": 16000}, "bad-push", "mic"),
        ("admin", {"type": "mark", "event": "a", "mark": "right"}, "bad-mark", "kept"),
    ],
)
def test_what_a_websocket_may_do_is_a_matter_of_its_role(
    role: str, order: dict[str, Any], code: str, said: str
) -> None:
    async def main() -> None:
        async with serving(**ROLES) as server:
            cookie = await logged_in(server.port, role)
            own = {"Cookie": cookie, "Origin": f"http://127.0.0.1:{server.port}"}
            client = await RawClient.websocket(server.port, headers=own)
            assert (await client.message())["type"] == "hello"
            client.send(json.dumps(order))
            refusal = await client.message()
            client.close()

        assert (refusal["type"], refusal["code"]) == ("error", code)
        assert said in refusal["message"]
        assert ("role" in refusal["message"]) == ("role" in said)

    run(main)


def test_a_login_is_of_no_use_to_a_page_of_another_origin() -> None:
    async def main() -> None:
        async with serving(routes=ROUTES, origins=("https://dash.example",), **ROLES) as server:
            cookie = await logged_in(server.port, "admin")
            own = f"http://127.0.0.1:{server.port}"
            sockets = {}
            for origin in (own, "http://127.0.0.1:3000", "https://dash.example", ""):
                client = await RawClient.websocket(server.port, headers={"Cookie": cookie, "Origin": origin})
                sockets[origin] = client.status
                client.close()
            bearer = {"Authorization": f"Bearer {TOKEN}", "Origin": "https://dash.example"}
            with_token = await RawClient.websocket(server.port, headers=bearer)
            with_token.close()
            reads = {
                site: await status_of(server.port, "/v1/for-labels", Cookie=cookie, Sec_Fetch_Site=site)
                for site in ("same-origin", "none", "same-site", "cross-site")
            }

        assert sockets == {own: 101, "http://127.0.0.1:3000": 403, "https://dash.example": 403, "": 403}
        assert with_token.status == 101
        assert reads == {"same-origin": 200, "none": 200, "same-site": 403, "cross-site": 403}

    run(main)


def test_no_page_but_our_own_logs_in_or_out() -> None:
    async def main() -> None:
        async with serving(**ROLES) as server:
            bearer = {"Authorization": f"Bearer {TOKEN}"}
            foreign = [
                await RawClient.request(server.port, path, headers=bearer) for path in ("/v1/login", "/v1/logout")
            ]
            asked_before = await RawClient.request(server.port, "/v1/login", method="OPTIONS", headers=OWN_PAGE)
            by_address = await RawClient.request(server.port, f"/v1/session?token={TOKEN}")
            left = await RawClient.request(server.port, "/v1/logout", headers=OWN_PAGE)

        assert [page.status for page in foreign] == [403, 403]
        assert all("set-cookie" not in page.headers for page in (*foreign, by_address))
        assert asked_before.status == 405
        assert "access-control-allow-origin" not in asked_before.headers
        assert json.loads(by_address.body)["role"] == "admin"
        assert "=; Max-Age=0;" in left.headers["set-cookie"]

    run(main)


def test_a_login_outlives_the_daemon_and_ends_with_its_token() -> None:
    async def main() -> None:
        async with serving(**ROLES) as server:
            port, cookie = server.port, await logged_in(server.port, "audio")
        sessions, reads = [], []
        for tokens in (ROLES, {**ROLES, "audio_token": "another-audio-token"}):
            again = Server(server.hub, ServerSettings(port=port, **tokens), routes=ROUTES)
            await again.start()
            sessions.append(await RawClient.request(port, "/v1/session", headers={"Cookie": cookie}))
            reads.append(await status_of(port, "/v1/for-labels", Cookie=cookie))
            await again.stop(2.0)

        same, changed = (json.loads(session.body) for session in sessions)
        assert same == {"needs_token": True, "role": "audio", "why": ""}
        assert "Max-Age=2592000" in sessions[0].headers["set-cookie"]
        assert changed["role"] is None
        assert changed["why"].startswith("the token was changed since this browser logged in; log in again")
        assert "set-cookie" not in sessions[1].headers
        assert reads == [200, 401]

    run(main)


def test_too_many_wrong_tokens_have_to_wait_and_who_is_logged_in_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    # on a busy machine a try more could be due before all were made
    monkeypatch.setattr("streamclf.serve.http.tokens.EVERY_S", 600.0)

    async def main() -> None:
        async with serving(**ROLES) as server:
            cookie = await logged_in(server.port, "labels")
            wrong = {"Authorization": "Bearer wrong-token", **OWN_PAGE}
            tries = [(await RawClient.request(server.port, "/v1/login", headers=wrong)).status for _ in range(TRIES)]
            right = {"Authorization": f"Bearer {TOKEN}", **OWN_PAGE}
            waiting = await RawClient.request(server.port, "/v1/login", headers=right)
            known = await RawClient.request(server.port, "/v1/session", headers={"Cookie": cookie})
            page = await RawClient.request(server.port, "/")

        assert set(tries) == {401}
        assert waiting.status == 429
        assert waiting.body.startswith(b"Too many wrong tokens came from 127.0.0.1; try again in ")
        assert json.loads(known.body)["role"] == "labels"
        assert page.status == 200

    run(main)


def test_naming_a_new_client_each_time_gives_a_program_of_this_machine_no_endless_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # on a busy machine a try more could be due before all were made
    monkeypatch.setattr("streamclf.serve.http.tokens.EVERY_S", 6000.0)

    async def main() -> None:
        async with serving(**ROLES) as server:
            cookie = await logged_in(server.port, "labels")
            wrong = {"Authorization": "Bearer wrong-token", **OWN_PAGE}
            tries = [
                await status_of(server.port, "/v1/login", **wrong, X_Forwarded_For=f"192.0.2.{number}")
                for number in range(TRIES * TOGETHER)
            ]
            right = {"Authorization": f"Bearer {TOKEN}", "X-Forwarded-For": "198.51.100.1", **OWN_PAGE}
            waiting = await RawClient.request(server.port, "/v1/login", headers=right)
            socket = await RawClient.websocket(server.port, headers={"Authorization": f"Bearer {TOKEN}"})
            known = await RawClient.request(server.port, "/v1/session", headers={"Cookie": cookie})

        assert set(tries) == {401}
        assert waiting.status == 429
        assert waiting.body.startswith(b"Too many wrong tokens came from this machine or through its proxy; try again ")
        assert socket.status == 429
        assert json.loads(known.body)["role"] == "labels"

    run(main)


def test_without_a_token_everybody_is_admin_and_nothing_is_kept_in_the_browser() -> None:
    async def main() -> None:
        async with serving() as server:
            page = await RawClient.request(server.port, "/v1/session")
            login = await RawClient.request(server.port, "/v1/login", headers=OWN_PAGE)

        assert json.loads(page.body) == json.loads(login.body) == {"needs_token": False, "role": "admin", "why": ""}
        assert "set-cookie" not in page.headers
        assert "set-cookie" not in login.headers

    run(main)


PATHS = ("/", "/v1/session", "/v1/for-labels", "/healthz")


@pytest.mark.parametrize("strip", ["", "/birds"])
def test_all_answers_below_the_base_path_whether_the_proxy_strips_it_or_not(strip: str) -> None:
    async def main() -> None:
        told = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "birds.example", "Host": "127.0.0.1"}
        async with (
            serving(routes=ROUTES, base_path="" if strip else "/birds", **ROLES) as server,
            proxied(server.port, strip=strip, told=told) as proxy,
        ):
            bearer = {"Authorization": f"Bearer {TOKEN}", **OWN_PAGE}
            login = await RawClient.request(proxy.port, "/birds/v1/login", headers=bearer)
            cookie = login.headers["set-cookie"]
            own = {"Cookie": cookie.partition(";")[0], "Origin": "https://birds.example"}
            pages = [await status_of(proxy.port, f"/birds{path}", Cookie=own["Cookie"]) for path in PATHS]
            socket = await RawClient.websocket(proxy.port, "/birds/v1", headers=own)
            hello = await socket.message()
            socket.close()
            foreign = {**own, "Origin": "https://evil.example"}
            refused = await RawClient.websocket(proxy.port, "/birds/v1", headers=foreign)

        assert pages == [200] * len(PATHS)
        assert hello["type"] == "hello"
        assert refused.status == 403
        assert "Secure" in cookie.split("; ")
        assert "Path" not in cookie

    run(main)


def test_the_base_path_itself_leads_to_the_page_and_the_root_answers_too() -> None:
    async def main() -> None:
        async with serving(base_path="/birds") as server:
            bare = await RawClient.request(server.port, "/birds?token=abc")
            other = await RawClient.request(server.port, "/birdsong")
            twice = await RawClient.request(server.port, "/birds/birds/v1/session")
            root = await RawClient.request(server.port, "/v1/session")

        assert (bare.status, bare.headers["location"]) == (308, "/birds/?token=abc")
        assert (other.status, twice.status, root.status) == (404, 404, 200)

    run(main)
