"""`/v1/live`: events as server-sent events, over commits, restarts, filters, slow readers and the daemon's end."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from streamclf import metrics
from streamclf.protocol.kept import StoredEvent
from streamclf.serve.http import feed as feed_module
from streamclf.serve.http.feed import Feed, stored_page
from streamclf.serve.http.server import Server, ServerSettings
from streamclf.serve.http.stored import stored_routes
from streamclf.store.database import Store
from streamclf.store.events import put_events
from tests.support.server import run
from tests.support.serving import make_hub
from tests.support.storing import stored

pytestmark = pytest.mark.e2e

LIMIT_S = 60.0  # of a wait; on a busy machine too


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "store")
    yield opened
    opened.close()


class Follower:
    """A raw client of the feed. Each message is (type, id, data)."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.head = ""

    @classmethod
    async def open(cls, port: int, query: str = "", **headers: str) -> "Follower":
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**16)
        lines = {"Host": f"127.0.0.1:{port}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"GET /v1/live{query} HTTP/1.1\r\n{head}\r\n".encode())
        self = cls(reader, writer)
        self.head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LIMIT_S)).decode()
        return self

    async def close(self) -> None:
        """Leave."""
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def message(self) -> tuple[str, int, dict[str, Any]]:
        """The next one that is not there only to keep the connection alive."""
        while True:
            block = (await asyncio.wait_for(self.reader.readuntil(b"\n\n"), LIMIT_S)).decode()
            fields = dict(line.split(": ", 1) for line in block.split("\n") if line[:1] not in ("", ":"))
            if "data" in fields:
                return fields.get("event", "message"), int(fields["id"]), json.loads(fields["data"])

    async def numbers(self, count: int) -> list[int]:
        """`seq` of the next messages."""
        found = []
        for _ in range(count):
            kind, number, data = await self.message()
            assert (kind, number) == ("message", data["seq"])
            found.append(number)
        return found


class Kept:
    """A server with a feed, and a store that it tells of."""

    def __init__(self, store: Store, server: Server, feed: Feed) -> None:
        self.store, self.server, self.feed = store, server, feed
        self.followers: list[Follower] = []

    def put(self, *events: StoredEvent) -> None:
        with self.store.transaction() as tx:
            put_events(tx, events)
        self.feed.committed()

    async def follow(self, query: str = "", **headers: str) -> Follower:
        self.followers.append(await Follower.open(self.server.port, query, **headers))
        return self.followers[-1]


@asynccontextmanager
async def feeding(store: Store, **settings: Any) -> AsyncIterator[Kept]:
    feed = Feed(partial(stored_page, store.folder), "here")
    server = Server(make_hub(), ServerSettings(port=0, **settings), routes=stored_routes(store.folder), feed=feed)
    await server.start()
    kept = Kept(store, server, feed)
    try:
        yield kept
    finally:
        for follower in kept.followers:
            await follower.close()
        await server.stop(4.0)


def test_events_come_as_they_are_kept_with_their_number_as_id(store: Store) -> None:
    async def main() -> None:
        async with feeding(store) as kept:
            kept.put(stored(0))
            follower = await kept.follow()
            kind, number, hello = await follower.message()
            assert (kind, number, hello["after"], hello["instance"]) == ("hello", 1, 1, "here")
            assert "200 OK" in follower.head
            assert "content-type: text/event-stream" in follower.head.lower()
            kept.put(stored(1, stage="open"), stored(2))
            assert await follower.numbers(2) == [2, 3]
            kept.put(stored(1))
            assert await follower.numbers(1) == [4], "a later stage of the same event"

    run(main)


def test_who_comes_back_goes_on_where_it_was_whatever_it_asks_for(store: Store) -> None:
    async def main() -> None:
        async with feeding(store) as kept:
            kept.put(*(stored(number) for number in range(150)))
            again = await kept.follow("?after=3", **{"Last-Event-ID": "20"})
            assert (await again.message())[1] == 20
            assert await again.numbers(130) == list(range(21, 151)), "the header is newer than the address"
            from_address = await kept.follow("?after=148")
            await from_address.message()
            assert await from_address.numbers(2) == [149, 150]
            elsewhere = await kept.follow("?after=99999")
            assert (await elsewhere.message())[1] == 0, "a number of another store: all of this one follows"
            assert await elsewhere.numbers(150) == list(range(1, 151))

    run(main)


def test_filters_and_what_cannot_be_asked_for(store: Store) -> None:
    async def main() -> None:
        async with feeding(store) as kept:
            birds = await kept.follow("?labels=group:bird&streams=mic")
            await birds.message()
            kept.put(stored(1, group="pet", label="cat"), stored(2, group="bird"), stored(3, stream="x", group="bird"))
            kept.put(stored(4, group="bird"))
            assert await birds.numbers(2) == [2, 4]
            wrong = await kept.follow("?label=x")
            assert "400" in wrong.head.partition("\r\n")[0]
            assert b"did you mean 'labels'" in await wrong.reader.read()
            assert "400" in (await kept.follow(**{"Last-Event-ID": "1; DROP"})).head.partition("\r\n")[0]

    run(main)


def test_a_token_is_wanted_as_everywhere(store: Store) -> None:
    async def main() -> None:
        async with feeding(store, token="secret-of-the-admin", labels_token="secret-for-labels") as kept:
            assert "401" in (await kept.follow()).head.partition("\r\n")[0]
            assert "200" in (await kept.follow("?token=secret-for-labels")).head.partition("\r\n")[0]

    run(main)


def test_at_the_end_all_that_is_kept_is_sent_before_the_connection_closes(store: Store) -> None:
    async def main() -> None:
        async with feeding(store) as kept:
            follower = await kept.follow()
            await follower.message()
            with store.transaction() as tx:
                put_events(tx, [stored(number) for number in range(3)])
            await kept.server.stop(4.0)
            assert await follower.numbers(3) == [1, 2, 3]
            assert await asyncio.wait_for(follower.reader.read(), LIMIT_S) == b""

    run(main)


def test_an_idle_connection_is_kept_alive_and_says_how_far_it_has_come(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "KEEP_ALIVE_S", 0.05)

    async def main() -> None:
        async with feeding(store) as kept:
            follower = await kept.follow("?labels=robin")
            await follower.message()
            kept.put(stored(1, label="cat"))
            here, still = b": still here\nid: 1\n\n", b": still here\nid: 0\n\n"
            while (block := await asyncio.wait_for(follower.reader.readuntil(b"\n\n"), LIMIT_S)) != here:
                assert block == still

    run(main)


def test_who_does_not_read_is_cut_off_and_who_leaves_is_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_module, "STALL_LIMIT_S", 0.2)

    async def main() -> None:
        async with feeding(store) as kept:
            cut = metrics.sums(metrics.CUT_OFF, "reason")["stalled"]
            open_before = metrics.sums(metrics.SUBSCRIBERS)[""]
            kept.put(*(stored(number, clip="x" * 20_000) for number in range(1000)))
            _, leaving = await kept.follow("?after=0"), await kept.follow()
            await leaving.message()
            await leaving.close()
            async with asyncio.timeout(LIMIT_S):
                while metrics.sums(metrics.CUT_OFF, "reason")["stalled"] == cut:
                    await asyncio.sleep(0.02)
                while metrics.sums(metrics.SUBSCRIBERS)[""] != open_before:
                    await asyncio.sleep(0.02)

    run(main)


def test_followers_count_as_connections_do_and_may_not_send(store: Store) -> None:
    async def main() -> None:
        async with feeding(store, connections=2) as kept:
            first, second = await kept.follow(), await kept.follow()
            await first.message(), await second.message()
            assert "503" in (await kept.follow()).head.partition("\r\n")[0]
            first.writer.write(b"x" * 20_000)
            with suppress(ConnectionError):
                assert await asyncio.wait_for(first.reader.read(), LIMIT_S) == b"", "it is cut off"
            kept.put(stored(1))
            assert await second.numbers(1) == [1], "and the other goes on"

    run(main)


def test_without_a_store_it_says_so() -> None:
    async def main() -> None:
        server = Server(make_hub(), ServerSettings(port=0), routes=stored_routes(None))
        await server.start()
        follower = await Follower.open(server.port)
        assert "404" in follower.head.partition("\r\n")[0]
        assert b"[store] enabled" in await follower.reader.read()
        await follower.close()
        await server.stop(2.0)

    run(main)
