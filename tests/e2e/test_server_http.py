"""Who may come in over a real socket, and the plain HTTP pages."""

import gzip
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from streamclf.errors import ConfigError, ServeError
from streamclf.serve.http.server import Server, ServerSettings
from streamclf.types import Status, StreamState
from tests.support.rawclient import RawClient
from tests.support.server import TOKEN, run, serving, take, url
from tests.support.serving import make_hub


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 101),
        ({"Origin": "http://127.0.0.1:{port}"}, 101),
        ({"Origin": "https://dash.example"}, 101),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Host": "evil.example:{port}"}, 403),
        ({"Host": "localhost:{port}", "Origin": "http://localhost:{port}"}, 101),
        ({"Host": "birds.local"}, 101),
    ],
)
def test_host_and_origin_decide_who_may_connect(headers: dict[str, str], status: int) -> None:
    async def main() -> None:
        async with serving(origins=("https://dash.example",), hosts=("birds.local",)) as server:
            filled = {name: value.format(port=server.port) for name, value in headers.items()}
            client = await RawClient.websocket(server.port, headers=filled)
            client.close()

        assert client.status == status

    run(main)


def test_with_a_token_set_nobody_listens_without_it() -> None:
    async def main() -> None:
        async with serving(token=TOKEN) as server:
            with pytest.raises(InvalidStatus) as refused:
                await connect(url(server)).__aenter__()
            async with connect(url(server), additional_headers={"Authorization": f"Bearer {TOKEN}"}) as client:
                by_header = await take(client)
            async with connect(url(server, f"?token={TOKEN}")) as client:
                by_query = await take(client)
            offered = [Subprotocol("streamclf.v1"), Subprotocol(f"token.{TOKEN}")]
            async with connect(url(server), subprotocols=offered) as client:
                by_subprotocol = await take(client)
                chosen = client.subprotocol
            answers = {path: (await RawClient.request(server.port, path)).status for path in
                       ("/", "/app.js", "/healthz", "/metrics", "/v1/schema")}  # fmt: skip
            health = json.loads((await RawClient.request(server.port, "/healthz")).body)

        assert refused.value.response.status_code == 401
        assert refused.value.response.headers["WWW-Authenticate"].startswith("Bearer")
        assert by_header["type"] == by_query["type"] == by_subprotocol["type"] == "hello"
        assert chosen == "streamclf.v1"
        assert answers == {"/": 200, "/app.js": 200, "/healthz": 200, "/metrics": 401, "/v1/schema": 200}
        assert set(health) == {"status", "uptime_s"}

    run(main)


def test_an_open_bind_needs_a_token_and_a_busy_port_is_one_sentence() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="no token is set"):
            await Server(make_hub(), ServerSettings(host="0.0.0.0", port=0)).start()
        async with serving() as server:
            with pytest.raises(ServeError, match=f"port {server.port} on 127.0.0.1 is in use by another program"):
                await Server(make_hub(), ServerSettings(port=server.port)).start()
        with pytest.raises(ServeError, match="is not an address of this machine"):
            await Server(make_hub(), ServerSettings(host="192.0.2.1", port=0, token=TOKEN)).start()

    run(main)


def test_pages_are_served_from_a_fixed_table_with_guards() -> None:
    async def main() -> None:
        async with serving() as server:
            pages = {path: await RawClient.request(server.port, path) for path in
                     ("/", "/app.js", "/style.css", "/healthz", "/metrics", "/v1/schema")}  # fmt: skip
            head = await RawClient.request(server.port, "/", method="HEAD")
            missing = [await RawClient.request(server.port, path) for path in
                       ("/../pages.py", "/app.js/", "/%2e%2e/server.py", "/favicon.ico", "//etc/passwd")]  # fmt: skip
            other = await RawClient.request(server.port, "/", method="DELETE")
            rebound = await RawClient.request(server.port, "/", headers={"Host": "evil.example"})
            full = await RawClient.request(server.port, "/?" + "&".join(f"a{i}=1" for i in range(99)))
            plain = await RawClient.request(server.port, "/v1")

        assert {path: page.status for path, page in pages.items()} == dict.fromkeys(pages, 200)
        assert b'<script type="module"' in pages["/"].body
        assert json.loads(pages["/v1/schema"].body)["asyncapi"] == "3.0.0"
        assert b"streamclf_subscribers 0.0" in pages["/metrics"].body
        assert pages["/metrics"].headers["content-type"].startswith("text/plain; version=0.0.4")
        policy = pages["/"].headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert pages["/"].headers["x-content-type-options"] == "nosniff"
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["content-length"]) == len(pages["/"].body)
        assert [page.status for page in missing] == [404] * 5
        assert (other.status, rebound.status, full.status, plain.status) == (405, 403, 400, 426)

    run(main)


def test_a_file_of_the_page_comes_packed_where_that_is_taken_and_once() -> None:
    async def main() -> None:
        async with serving() as server:
            plain = await RawClient.request(server.port, "/app.js")
            packed = await RawClient.request(server.port, "/app.js", headers={"Accept-Encoding": "br, gzip;q=0.8"})
            again = await RawClient.request(server.port, "/app.js", headers={"If-None-Match": plain.headers["etag"]})
            changed = await RawClient.request(server.port, "/app.js", headers={"If-None-Match": '"another"'})

        assert (plain.status, packed.status, again.status, changed.status) == (200, 200, 304, 200)
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body == changed.body
        assert again.body == b""
        assert {page.headers["cache-control"] for page in (plain, packed, again)} == {"no-cache"}
        assert plain.headers["vary"] == "Accept-Encoding"

    run(main)


@pytest.mark.parametrize("state", [state for state in StreamState if state.of_stream])
def test_health_is_bad_exactly_while_a_stream_that_should_be_heard_is_not(state: StreamState) -> None:
    async def main() -> None:
        async with serving() as server:
            server.publish([Status("mic", state, "why")], 0)
            pages = [await RawClient.request(server.port, path) for path in ("/healthz", "/readyz", "/livez")]
            server.publish([Status("mic", StreamState.LIVE, "")], 0)
            after = await RawClient.request(server.port, "/healthz")

        whole, ready, live = (json.loads(page.body) for page in pages)
        assert [page.status for page in pages] == ([503, 503, 200] if state.deaf else [200] * 3)
        assert (whole["status"], ready["status"], live["status"]) == (*["down" if state.deaf else "ok"] * 2, "ok")
        assert whole["streams"][0] == {"name": "mic", "state": state.settled, "detail": "why", "demo": False}
        assert whole["reasons"] == whole["problems"] == ready["reasons"]
        assert whole["reasons"] == ([f"mic is {state.meaning.words}: why"] if state.deaf else [])
        assert (after.status, json.loads(after.body)["status"]) == (200, "ok")

    run(main)


def test_a_pack_that_does_not_score_makes_health_bad() -> None:
    async def main() -> None:
        async with serving() as server:
            server.publish([Status("", StreamState.PACK_PROBLEM, "its run hangs", pack="big")], 0)
            page = await RawClient.request(server.port, "/healthz")
            server.publish([Status("", StreamState.PACK_BACK, "", pack="big")], 0)
            after = await RawClient.request(server.port, "/healthz")

        assert (page.status, json.loads(page.body)["reasons"]) == (503, ["pack big: its run hangs"])
        assert after.status == 200

    run(main)
