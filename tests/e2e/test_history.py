"""`GET /v1/events` over a real socket and a real store: pages, filters, who may ask, and what cannot be answered."""

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from streamclf.serve.http.server import Server
from streamclf.serve.http.stored import stored_routes
from streamclf.store.database import FILE_NAME, Store
from streamclf.store.events import put_events
from tests.support.rawclient import RawClient
from tests.support.server import TOKEN, run, serving
from tests.support.storing import START_NS, stored

SECOND = 1_000_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with closing(Store.open(tmp_path)) as opened:
        yield opened


def put(store: Store, *events: Any) -> None:
    with store.transaction() as tx:
        put_events(tx, events)


async def get(server: Server, query: str = "", **headers: str) -> dict[str, Any]:
    answer = await RawClient.request(server.port, f"/v1/events{query}", headers=headers)
    assert answer.status == 200, answer.body
    page: dict[str, Any] = json.loads(answer.body)
    return page


def numbers(page: dict[str, Any]) -> list[int]:
    return [event["onset_frame"] // 50 for event in page["events"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", [0, 1, 2, 3]),
        ("?limit=2", [2, 3]),
        ("?labels=owl,robin&streams=mic", [0, 1]),
        ("?labels=group:voice&labels=owl", [1, 2, 3]),
        (f"?since_ns={START_NS + SECOND}&until_ns={START_NS + 3 * SECOND}", [1, 2]),
        ("?min_peak=0.8", [0, 2, 3]),
        ("?test=true", [4]),
        ("?labels=%27%3B%20DROP%20TABLE%20events", []),
    ],
)
def test_filters(store: Store, query: str, found: list[int]) -> None:
    put(store, stored(0), stored(1, label="owl", peak=0.5), stored(2, label="speech", group="voice"))
    put(store, stored(3, stream="yard", label="owl", peak=0.9), stored(4, test=True))

    async def main() -> None:
        async with serving(routes=stored_routes(store.folder)) as server:
            page = await get(server, query)
        assert numbers(page) == found
        assert page["more"] is False

    run(main)


def test_pages_go_on_where_the_last_one_ended_and_see_later_stages(store: Store) -> None:
    put(store, *(stored(number, stage="open") for number in range(5)))

    async def main() -> None:
        async with serving(routes=stored_routes(store.folder)) as server:
            seen, after, more = [], 0, True
            while more:
                page = await get(server, f"?limit=2&after={after}")
                seen.append(numbers(page))
                after, more = page["after"], page["more"]
            assert seen == [[0, 1], [2, 3], [4]]
            assert numbers(await get(server, f"?after={after}")) == []
            put(store, stored(3, clip="a.flac"))
            last = await get(server, f"?after={after}")
            assert [(e["stage"], e["onset_ns"], e["enter"]) for e in last["events"]] == [
                ("close", START_NS + 3 * SECOND, 0.5)
            ]
            newest = await get(server, "?limit=1")
            put(store, stored(9))
            assert numbers(await get(server, f"?after={newest['after']}")) == [9]

    run(main)


def test_who_may_ask_is_who_may_listen(store: Store) -> None:
    async def main() -> None:
        async with serving(routes=stored_routes(store.folder), token=TOKEN) as server:
            assert (await RawClient.request(server.port, "/v1/events")).status == 401
            assert numbers(await get(server, f"?token={TOKEN}")) == []
            assert numbers(await get(server, Authorization=f"Bearer {TOKEN}")) == []
            rebound = await RawClient.request(server.port, "/v1/events", headers={"Host": "evil.example"})
            assert rebound.status == 403

    run(main)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("?limit=1001", "expected a whole number <= 1000"),
        ("?limit=many", "Limit: expected a whole number, got text"),
        ("?min_peak=2", "<= 1"),
        ("?label=owl", "unknown field 'label'; did you mean 'labels'"),
    ],
)
def test_what_cannot_be_meant_is_a_sentence(store: Store, query: str, words: str) -> None:
    async def main() -> None:
        async with serving(routes=stored_routes(store.folder)) as server:
            answer = await RawClient.request(server.port, f"/v1/events{query}")
        assert answer.status == 400
        assert words.lower() in answer.body.decode().lower()

    run(main)


def test_without_a_store_and_with_a_broken_one(store: Store, tmp_path: Path) -> None:
    async def main() -> None:
        async with serving() as server:
            assert (await RawClient.request(server.port, "/v1/events")).status == 404
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / FILE_NAME).write_bytes(b"no database" * 1000)
        async with serving(routes=stored_routes(tmp_path / "other")) as server:
            answer = await RawClient.request(server.port, "/v1/events")
            assert answer.status == 503
            assert b"not a database" in answer.body
            assert (await RawClient.request(server.port, "/healthz")).status == 200

    run(main)
