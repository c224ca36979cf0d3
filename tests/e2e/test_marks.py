"""Marks over real sockets, a real writer and a real store: who hears of them, what is kept, what cannot be marked."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from streamclf.client import Client
from streamclf.errors import ServeError
from streamclf.serve.http.server import Server
from streamclf.serve.http.stored import stored_routes
from streamclf.serve.marks import Keep
from streamclf.store.database import Store, reader
from streamclf.store.events import StoredEvent, put_events, query
from streamclf.writer.inbox import Inbox
from tests.support.rawclient import RawClient
from tests.support.server import TOKEN, run, serving, subscribed, take, url
from tests.support.storing import stored
from tests.support.writing import writing

ROBIN, WREN = stored(1), stored(2, label="wren")


@pytest.fixture
def inbox(tmp_path: Path) -> Iterator[Inbox]:
    """Of the writer of a store with two events in it."""
    with closing(Store.open(tmp_path)) as store, store.transaction() as tx:
        put_events(tx, [ROBIN, WREN])
    with writing(tmp_path) as (inbox, _, _):
        yield inbox


@asynccontextmanager
async def marking(keep: Keep, folder: Path, **settings: Any) -> AsyncIterator[Server]:
    async with serving(routes=stored_routes(folder), keep=keep, **settings) as server:
        yield server


async def mark(client: ClientConnection, event: str, verdict: str, **more: str) -> dict[str, Any]:
    """The answer."""
    await client.send(json.dumps({"type": "mark", "event": event, "mark": verdict, **more}))
    return await take(client)


def kept(folder: Path) -> list[StoredEvent]:
    with closing(reader(folder)) as connection:
        return query(connection)


def test_a_mark_is_kept_and_everybody_is_told_once(inbox: Inbox, tmp_path: Path) -> None:
    async def main() -> None:
        async with marking(inbox.call, tmp_path) as server, connect(url(server)) as one, connect(url(server)) as other:
            await subscribed(one)
            # whatever else somebody wants to hear of
            await subscribed(other, labels=["dog"], streams=["yard"])
            told = {"type": "marked", "event": ROBIN.id, "mark": "wrong", "label": "wren", "seq": 1}
            assert await mark(one, ROBIN.id, "wrong", label="wren") == told
            assert await take(other) == told
            again = {"type": "marked", "event": WREN.id, "mark": "right", "label": "", "seq": 2}
            assert await mark(other, WREN.id, "right") == again
            assert await take(one) == again
            assert [(e.mark, e.mark_label) for e in kept(tmp_path)] == [("wrong", "wren"), ("right", "")]

    run(main)


def test_a_mark_can_be_changed_and_taken_back(inbox: Inbox, tmp_path: Path) -> None:
    async def main() -> None:
        async with marking(inbox.call, tmp_path) as server, connect(url(server)) as client:
            await subscribed(client)
            for verdict, label in (("wrong", "wren"), ("right", ""), ("", "")):
                await mark(client, ROBIN.id, verdict, label=label)
                assert (kept(tmp_path)[0].mark, kept(tmp_path)[0].mark_label) == (verdict, label)

    run(main)


def test_who_comes_back_hears_of_marks_by_since_and_by_the_cursor(inbox: Inbox, tmp_path: Path) -> None:
    async def main() -> None:
        async with marking(inbox.call, tmp_path) as server:
            page = json.loads((await RawClient.request(server.port, "/v1/events")).body)
            async with connect(url(server)) as one:
                assert (await take(one))["type"] == "hello"
                # not subscribed, and answered all the same
                assert (await mark(one, ROBIN.id, "right"))["type"] == "marked"
            async with connect(url(server)) as late:
                await subscribed(late, since=0)
                assert (await take(late))["event"] == ROBIN.id
            news = json.loads((await RawClient.request(server.port, f"/v1/events?after={page['after']}")).body)
            assert [(event["id"], event["mark"]) for event in news["events"]] == [(ROBIN.id, "right")]

    run(main)


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        ({"event": "run/none", "mark": "right"}, "bad-mark", "there is no event 'run/none' in the store"),
        (
            {"event": ROBIN.id, "mark": "good"},
            "bad-message",
            "mark is 'good'; expected one of an empty text, right, wrong",
        ),
        ({"event": ROBIN.id, "mark": "right", "label": "wren"}, "bad-mark", "a label goes with the mark 'wrong' alone"),
        ({"event": ROBIN.id, "mark": "wrong", "label": "../x"}, "bad-message", "matching regex"),
        ({"event": ROBIN.id}, "bad-message", "the field 'mark' is missing"),
    ],
)
def test_what_cannot_be_marked_is_a_sentence(
    inbox: Inbox, tmp_path: Path, asked: dict[str, str], code: str, words: str
) -> None:
    async def main() -> None:
        async with marking(inbox.call, tmp_path) as server, connect(url(server)) as client:
            await subscribed(client)
            await client.send(json.dumps({"type": "mark", **asked}))
            answer = await take(client)
            assert (answer["type"], answer["code"]) == ("error", code)
            assert words in answer["message"]
            assert [event.mark for event in kept(tmp_path)] == ["", ""]

    run(main)


def test_without_a_store_nothing_can_be_marked() -> None:
    async def main() -> None:
        async with serving() as server, connect(url(server)) as client:
            await subscribed(client)
            answer = await mark(client, ROBIN.id, "right")
            assert (answer["type"], answer["code"]) == ("error", "bad-mark")
            assert "no events are kept here" in answer["message"]

    run(main)


def test_a_flood_of_marks_is_refused_in_words_and_the_loop_goes_on(tmp_path: Path, inbox: Inbox) -> None:
    async def main() -> None:
        waiting: list[Any] = []
        slow = True

        def keep(write: Any, done: Any) -> None:
            """A disk that takes its time."""
            waiting.append((write, done)) if slow else inbox.call(write, done)

        async with marking(keep, tmp_path) as server, connect(url(server)) as client:
            await subscribed(client)
            for _ in range(257):
                await client.send(json.dumps({"type": "mark", "event": ROBIN.id, "mark": "right"}))
            assert "256 marks wait for the disk" in (await take(client))["message"]
            for write, done in waiting:
                await asyncio.to_thread(inbox.call, write, done)
            assert [(await take(client))["seq"] for _ in waiting] == list(range(1, 257))
            slow = False
            assert (await mark(client, ROBIN.id, "right"))["type"] == "marked"

    run(main)


def test_the_python_client_marks_and_raises_in_words(inbox: Inbox, tmp_path: Path) -> None:
    async def main() -> None:
        async with marking(inbox.call, tmp_path, token=TOKEN, labels_token="only-labels") as server:
            client = Client(url(server), token=TOKEN)
            assert (await client.mark(ROBIN.id, "wrong", "wren")).label == "wren"
            assert [(e.mark, e.mark_label) for e in kept(tmp_path)] == [("wrong", "wren"), ("", "")]
            with pytest.raises(ServeError, match="refuses the mark: there is no event 'run/none'"):
                await client.mark("run/none", "right")
            with pytest.raises(ServeError, match="this is not a mark: "):
                await client.mark(ROBIN.id, "good")  # type: ignore[arg-type]
            with pytest.raises(ServeError, match="needs the role admin, and this connection has labels"):
                await Client(url(server), token="only-labels").mark(ROBIN.id, "right")
            with pytest.raises(ServeError, match="refused the token"):
                await Client(url(server), token="somebody").mark(ROBIN.id, "right")
        with pytest.raises(ServeError, match="nothing answers at"):
            await client.mark(ROBIN.id, "right")

    run(main)
