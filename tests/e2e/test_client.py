"""The client over real sockets: rows, reconnection, restarts."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from streamclf.client import Client, Reconnect
from streamclf.protocol import wire
from streamclf.types import Gap, Stage, Status, StreamState
from tests.conftest import StartDaemon
from tests.support.following import Waits, collect, published, run
from tests.support.served import Proxy, answering, served
from tests.support.serving import Collector, event, make_hub, publish, scores
from tools.lab.tinypack import stateful_pack

# Receiving


def test_rows_and_events_come_typed_after_hello_and_the_answer() -> None:
    async def main() -> None:
        hub = make_hub()
        async with served(hub) as server:
            client = Client(f"127.0.0.1:{server.port}", tier="frame", labels=["dog"], since=0)
            publish(hub, scores(7, [0.1, 0.75, 0.2, 0.3]), event(1))

            got = await collect(client, lambda got: len(got) == 4)

            hello, subscribed, row, opened = got
            assert isinstance(hello, wire.Hello)
            assert isinstance(subscribed, wire.Subscribed)
            assert subscribed.tier == "frame"
            assert isinstance(row, wire.Scores)
            assert (row.stream, row.first_frame, row.labels, row.rows) == ("mic", 7, ["dog"], [[0.75]])
            assert isinstance(opened, wire.Event)
            assert opened.label == "dog"
            assert (client.bookmark, client.hello) == ((2, "here"), hello)

    run(main())


@pytest.mark.parametrize("wish", [{}, {"labels": ["bird", "dog"]}, {"top_k": 2}, {"min_prob": 0.3}], ids=str)
def test_every_encoding_gives_the_same_messages(wish: dict[str, Any]) -> None:
    async def main() -> None:
        hub = make_hub()
        publish(hub, *(scores(frame, [frame / 50, 0.25, 0.5, 0.75]) for frame in range(10)))
        async with served(hub) as server:
            got: dict[str, list[wire.Scores]] = {}
            for encoding in ("json", "f16", "u8"):
                client = Client(f"127.0.0.1:{server.port}", encoding=encoding, since=0, **wish)
                messages = await collect(client, lambda got: len(got) == 4)
                got[encoding] = [message for message in messages if isinstance(message, wire.Scores)]

            assert [message.first_frame for message in got["json"]] == [0, 5]
            for encoding, error in (("f16", 1e-3), ("u8", 0.5 / 255 + 1e-6)):
                for exact, rough in zip(got["json"], got[encoding], strict=True):
                    assert rough.labels == exact.labels
                    assert [value for row in rough.rows for value in row] == pytest.approx(
                        [value for row in exact.rows for value in row], abs=error
                    )
                    same = {"rows": exact.rows, "sent_ns": exact.sent_ns}
                    assert msgspec.structs.replace(rough, **same) == exact

    run(main())


@pytest.mark.e2e
def test_a_program_without_an_event_loop_reads_a_real_daemon(daemon: StartDaemon, tmp_path: Path) -> None:
    running = daemon("--source", "demo", "--model", str(stateful_pack(tmp_path / "tiny")))

    frames: list[int] = []
    for message in Client(running.url, tier="frame").blocking():
        if isinstance(message, wire.Scores):
            frames.append(message.first_frame)
        if len(frames) == 30:
            break

    assert frames == list(range(frames[0], frames[0] + 30))


# Reconnecting


def history(hub: Any) -> AsyncIterator[None]:
    """Publishes rows of four tracks with everything in between that cuts groups short; yields between two ticks."""

    async def publishing() -> AsyncIterator[None]:
        for tick in range(120):
            frames = [scores(tick, stream=stream, pack=pack) for stream in ("mic", "yard") for pack in ("big", "vad")]
            publish(hub, *frames)
            if tick % 13 == 4:
                publish(hub, event(tick, stage=Stage.OPEN), event(tick, stage=Stage.CLOSE))
            if tick % 17 == 6:
                publish(hub, Gap("mic", tick * 320, tick * 320 + 99, "xrun"))
            if tick % 29 == 8:
                publish(hub, Status("yard", StreamState.PROBLEM, "clipping"))
            yield
        publish(hub, Status("mic", StreamState.ENDED, ""))

    return publishing()


@pytest.mark.parametrize("tier", ["events", "batch", "frame"])
@pytest.mark.parametrize("encoding", ["json", "u8"])
def test_cut_anywhere_it_resumes_without_a_gap_or_a_duplicate(tier: wire.Tier, encoding: wire.Encoding) -> None:
    async def main() -> None:
        hub = make_hub()
        uncut = Collector()
        hub.subscribe(uncut, wire.Subscribe(tier=tier))
        cuts = [0, 100, 1500, 2600, 3001, 4444, 2222, 3003]  # within the handshake, hello, later messages
        waits = Waits()
        async with served(hub) as server, Proxy(server.port, cuts) as proxy:
            client = Client(
                f"127.0.0.1:{proxy.port}", tier=tier, encoding=encoding, since=0, reconnect=Reconnect(on_wait=waits)
            )

            async def live() -> None:
                async for _ in history(hub):
                    await asyncio.sleep(0.01)

            publishing = asyncio.create_task(live())
            got = await collect(client, lambda got: publishing.done() and client.bookmark == (hub.seq, hub.instance))
            await publishing

        expected = [(message["type"].capitalize(), message["seq"]) for message in uncut.messages]
        assert published(got) == expected
        assert proxy.connections > 4
        assert len(waits) == proxy.connections - 1
        assert not any(isinstance(message, wire.Lagged) for message in got)

    run(main())


def test_what_came_between_two_connections_is_sent_though_nothing_had_come_before() -> None:
    async def main() -> None:
        hub = make_hub()
        async with served(hub) as server, Proxy(server.port) as proxy:
            client = Client(f"127.0.0.1:{proxy.port}", tier="frame")
            publish(hub, scores(0))
            got: list[wire.ServerMessage] = []
            async with client.messages() as messages:
                async for message in messages:
                    got.append(message)
                    if isinstance(message, wire.Subscribed) and len(got) == 2:
                        proxy.cut()
                        publish(hub, scores(1))
                    if published(got):
                        break

            assert published(got) == [("Scores", 2)], "live from the first subscription on: row 1 came before it"

    run(main())


def test_a_restart_of_the_daemon_is_declared_and_its_count_begun_anew() -> None:
    async def main() -> None:
        first, second = make_hub(), make_hub()
        second.instance = "second"
        waits = Waits()
        async with served(first) as server:
            port = server.port
            client = Client(f"127.0.0.1:{port}", tier="frame", reconnect=Reconnect(on_wait=waits))
            messages = client.messages()
            got = [await anext(messages), await anext(messages)]
            publish(first, *(scores(frame) for frame in range(9)))
            got += [await anext(messages) for _ in range(9)]
        publish(second, scores(0), scores(1))
        async with served(second, port=port), messages:
            hello, subscribed, lagged, *rows = [await anext(messages) for _ in range(5)]

            assert isinstance(hello, wire.Hello)
            assert hello.instance == "second"
            assert isinstance(subscribed, wire.Subscribed)
            assert isinstance(lagged, wire.Lagged)
            assert lagged.reason == "restart"
            assert published(got)[-1] == ("Scores", 9)
            assert published(rows) == [("Scores", 1), ("Scores", 2)]
            assert client.bookmark == (2, "second")
        assert "the daemon is stopping" in waits[0][0]

    run(main())


def test_a_later_client_goes_on_where_an_earlier_one_ended() -> None:
    async def main() -> None:
        hub = make_hub()
        async with served(hub) as server:
            url = f"127.0.0.1:{server.port}"
            publish(hub, *(scores(frame) for frame in range(6)))
            early = Client(url, tier="frame", since=0)
            got = await collect(early, lambda got: len(published(got)) == 4)

            late = Client(url, tier="frame", since=early.bookmark)
            got += await collect(late, lambda got: len(published(got)) == 2)

        assert [seq for _, seq in published(got)] == [1, 2, 3, 4, 5, 6]

    run(main())


def test_what_the_daemon_no_longer_holds_is_declared() -> None:
    async def main() -> None:
        hub = make_hub(replay_seconds=1)
        publish(hub, *(scores(frame) for frame in range(200)))
        async with served(hub) as server:
            client = Client(f"127.0.0.1:{server.port}", tier="frame", since=10)
            got = await collect(client, lambda got: client.bookmark == (200, hub.instance))

        lagged = next(message for message in got if isinstance(message, wire.Lagged))
        first = published(got)[0][1]
        assert (lagged.reason, lagged.from_seq, lagged.to_seq) == ("replay", 11, first - 1)

    run(main())


def test_it_waits_for_a_daemon_that_is_not_there_yet(free_port: int) -> None:
    async def main() -> None:
        waits = Waits()
        client = Client(f"127.0.0.1:{free_port}", reconnect=Reconnect(on_wait=waits))
        first = asyncio.create_task(collect(client, lambda got: len(got) == 1))
        while len(waits) < 3:
            await asyncio.sleep(0.01)
        async with served(make_hub(), port=free_port):
            assert isinstance((await first)[0], wire.Hello)

        assert "Connection refused" in waits[0][0]
        assert waits[0][1] <= 0.2 < waits[2][1] <= 0.8

    run(main())


def test_a_busy_server_is_tried_again() -> None:
    async def main() -> None:
        waits = Waits()
        reply = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nAll taken."
        async with answering(reply) as port:
            task = asyncio.create_task(
                collect(Client(f"127.0.0.1:{port}", reconnect=Reconnect(on_wait=waits)), lambda got: False)
            )
            while len(waits) < 2:
                await asyncio.sleep(0.01)
            task.cancel()

        assert waits[0][0].endswith("takes no connection now: All taken")

    run(main())
