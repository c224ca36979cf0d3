"""The server over real sockets: subscribers that read, that do not, and that should not get in."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import psutil
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from streamclf import metrics
from streamclf.errors import ServeError
from streamclf.serve.hub import Hub
from streamclf.serve.push import PushSink
from streamclf.serve.server import Server, ServerSettings
from streamclf.types import F32, FrameScores, Gap, Label, Status
from tests.support.rawclient import RawClient
from tests.support.serving import HOP, event, make_hub, scores

TOKEN = "0123456789abcdef"
MANY = tuple(Label(f"label_number_{i:03}", f"Label {i}") for i in range(521))
CUT_OFF_S = 15.0
DEAD_KIB = 512


@asynccontextmanager
async def serving(
    hub: Hub | None = None, *, push_sinks: dict[str, PushSink] | None = None, **settings: Any
) -> AsyncIterator[Server]:
    server = Server(hub or make_hub(), ServerSettings(port=0, **settings), push_sinks=push_sinks)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(2.0)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(main())


def url(server: Server, query: str = "") -> str:
    return f"ws://127.0.0.1:{server.port}/v1{query}"


async def take(client: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await asyncio.wait_for(client.recv(), 5))
    return message


async def subscribed(client: ClientConnection, **wish: Any) -> dict[str, Any]:
    """Reads hello, subscribes, and returns the answer."""
    assert (await take(client))["type"] == "hello"
    await client.send(json.dumps({"type": "subscribe", **wish}))
    return await take(client)


# Subscribing


def test_a_client_gets_hello_and_nothing_else_until_it_subscribes() -> None:
    async def main() -> None:
        async with serving() as server, connect(url(server)) as client:
            hello = await take(client)
            server.publish([scores(0), event(1)], 0)
            await client.send('{"type":"subscribe","tier":"frame"}')
            answer = await take(client)
            server.publish([scores(1)], 0)
            row = await take(client)

        assert (hello["type"], hello["protocol"], hello["instance"]) == ("hello", "streamclf.v1", "here")
        assert [s["name"] for s in hello["streams"]] == ["mic", "yard"]
        assert hello["packs"][0]["labels"][2] == {
            "id": "bird", "name": "Bird", "group": "animal", "hidden": False, "enter": 0.4,
        }  # fmt: skip
        assert (answer["type"], answer["tier"]) == ("subscribed", "frame")
        assert (row["type"], row["first_frame"]) == ("scores", 1)

    run(main)


def test_an_address_alone_subscribes_and_replays() -> None:
    async def main() -> None:
        async with serving() as server:
            server.publish([scores(frame) for frame in range(5)], 0)
            async with connect(url(server, "?tier=frame&labels=dog,bird&since=2&packs=big")) as client:
                _, answer, *rows = [await take(client) for _ in range(5)]
                server.publish([scores(5)], 0)
                rows.append(await take(client))

        assert answer["packs"] == [{"name": "big", "labels": ["dog", "bird"]}]
        assert [row["seq"] for row in rows] == [3, 4, 5, 6]

    run(main)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?teir=frame", "unknown field 'teir'; did you mean 'tier'?"),
        ("?streams=mick", "there is no stream 'mick' here; did you mean 'mic'?"),
        ("?tier=frame&tier=batch", "'tier' stands 2 times in the address; give it once"),
        ("?since=soon", "expected `int | null`, got `str` - at `$.since`"),
    ],
)
def test_a_wrong_address_gets_a_sentence_and_the_connection_stays(query: str, sentence: str) -> None:
    async def main() -> None:
        async with serving() as server, connect(url(server, query)) as client:
            await take(client)
            error = await take(client)
            await client.send('{"type":"subscribe"}')
            answer = await take(client)

        assert (error["type"], error["code"], error["message"]) == ("error", "bad-subscription", sentence)
        assert answer["type"] == "subscribed"

    run(main)


def test_a_long_replay_joins_live_without_gap_or_duplicate() -> None:
    async def main() -> None:
        async with serving(make_hub(labels=MANY)) as server:
            for frame in range(1000):
                server.publish([rows_of(frame)], 0)
            async with connect(url(server, "?tier=frame&since=0"), max_queue=1) as client:
                await take(client)
                await take(client)
                seqs = [(await take(client))["seq"] for _ in range(200)]
                for frame in range(1000, 1100):
                    server.publish([rows_of(frame)], 0)
                seqs += [(await take(client))["seq"] for _ in range(900)]

        assert seqs == list(range(1, 1101))

    run(main)


def rows_of(frame: int, classes: int = 521) -> FrameScores:
    rows = np.full((1, classes), 0.123456, dtype=np.float32)
    return FrameScores("mic", "big", frame, rows, True, (frame + 1) * HOP)


def test_the_model_thread_hands_over_from_outside() -> None:
    async def main() -> None:
        async with serving() as server, connect(url(server)) as client:
            await subscribed(client, tier="frame")
            await asyncio.to_thread(server.post, [scores(0), Gap("mic", 1, 2, "xrun")], 77)
            row, gap = await take(client), await take(client)

        assert (row["decided_ns"], gap["type"]) == (77, "gap")
        assert row["sent_ns"] > 77

    run(main)


def test_a_loop_that_stands_still_costs_rows_never_events_and_says_so() -> None:
    async def main() -> None:
        async with serving() as server, connect(url(server)) as client:
            await subscribed(client, tier="frame")
            for frame in range(1030):
                server.post([scores(frame), *([event(frame)] * (frame % 100 == 29))], 0)
            congested = server.congested
            for _ in range(3):
                await asyncio.sleep(0)
            server.post([scores(2000)], 0)
            kinds: dict[str, int] = {}
            while kinds.get("status", 0) < 1:
                message = await take(client)
                kinds[message["type"]] = kinds.get(message["type"], 0) + 1

        assert congested
        assert kinds == {"scores": 1024, "event": 11, "status": 1}
        assert message["detail"].startswith("6 score rows were dropped")

    run(main)


# Who does not read


def test_a_client_that_never_reads_is_cut_off_in_time_and_no_other_misses_a_message() -> None:
    async def main() -> None:
        process = psutil.Process()
        async with serving(make_hub(labels=MANY)) as server:
            good = await RawClient.websocket(server.port, "/v1?tier=frame", limit=2**22)
            await good.message()
            await good.message()
            publishing = asyncio.create_task(publish_live(server))
            seqs: list[int] = []
            reading = asyncio.create_task(read_seqs(good, seqs))
            await asyncio.sleep(1.0)
            before = process.memory_info().rss
            # each with a wish of its own, so that no two share the bytes that wait for them
            wishes = [f"/v1?tier=frame&min_prob=0.0{i:02}" for i in range(1, 21)]
            dead = [await never_reading(server.port, wish) for wish in wishes]
            started = time.monotonic()
            grown = 0
            while len(server._subscribers) > 1 and time.monotonic() - started < CUT_OFF_S + 5:
                grown = max(grown, process.memory_info().rss - before)
                await asyncio.sleep(0.1)
            took = time.monotonic() - started
            await asyncio.sleep(0.5)
            publishing.cancel()
            reading.cancel()
            for sock in dead:
                sock.close()
            good.close()

        assert took < CUT_OFF_S
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        assert len(seqs) > 50 * (took - 1)
        print("KIB", grown/1024/20, took, len(seqs))
        # what the replay ring keeps meanwhile is not theirs
        ring = 521 * 4 * 50 * (took + 1)
        assert (grown - ring) / 20 < DEAD_KIB * 1024, f"{grown / 20 / 1024:.0f} KiB for each client that does not read"

    run(main)


def test_a_client_that_never_reads_is_cut_off_even_when_hardly_anything_is_sent() -> None:
    async def main() -> None:
        async with serving() as server:
            started = time.monotonic()
            sock = await never_reading(server.port, "/v1?tier=events")
            before = metrics.REGISTRY.get_sample_value("streamclf_subscribers_cut_off_total", {"reason": "silent"}) or 0
            while server._connections and time.monotonic() - started < CUT_OFF_S + 5:
                server.publish([event(1)], 0)
                await asyncio.sleep(0.25)
            took = time.monotonic() - started
            sock.close()

        after = metrics.REGISTRY.get_sample_value("streamclf_subscribers_cut_off_total", {"reason": "silent"})
        assert took < CUT_OFF_S
        assert after == before + 1

    run(main)


def test_a_client_that_reads_but_pauses_is_told_what_it_missed() -> None:
    async def main() -> None:
        async with serving(make_hub(labels=MANY)) as server:
            client = await RawClient.websocket(server.port, "/v1?tier=frame", limit=2**14)
            await client.message()
            await client.message()
            for frame in range(1500):
                server.publish([rows_of(frame), *([event(frame, label="label_number_001")] * (frame % 100 == 0))], 0)
                await asyncio.sleep(0)
            got = []
            while not got or got[-1].get("first_frame") != 1499:
                got.append(await asyncio.wait_for(client.message(), 5))
            client.close()

        lagged = [m for m in got if m["type"] == "lagged"]
        assert lagged
        assert sum(m["type"] == "event" for m in got) == 15
        assert sum(m["dropped"] for m in lagged) + sum(m["type"] == "scores" for m in got) == 1500  # type: ignore[misc]
        seqs = [m["seq"] for m in got]
        assert seqs == sorted(seqs)  # type: ignore[type-var]
        assert "mailbox" in {m["reason"] for m in lagged}

    run(main)


def test_too_many_waiting_events_close_the_connection_with_a_reason() -> None:
    async def main() -> None:
        async with serving() as server:
            client = await RawClient.websocket(server.port, "/v1?tier=events", limit=2**12)
            await client.message()
            await client.message()
            number = 0
            while server._subscribers and number < 100_000:
                server.publish([event(number)], 0)
                number += 1
                if number % 100 == 0:
                    await asyncio.sleep(0)
            seqs = []
            while True:
                opcode, data = await asyncio.wait_for(client.frame(), 5)
                if opcode == 8:
                    break
                seqs.append(json.loads(data)["seq"] if opcode == 1 else 0)
            client.close()

        assert struct.unpack("!H", data[:2]) == (1013,)
        assert b"since=" in data
        assert seqs == list(range(1, len(seqs) + 1))

    run(main)


def test_a_fast_run_loses_nothing_to_a_slow_reader_that_it_waits_for() -> None:
    async def main() -> None:
        async with serving(make_hub(labels=MANY, lossless=True)) as server:
            client = await RawClient.websocket(server.port, "/v1?tier=frame", limit=2**14)
            await client.message()
            await client.message()

            def produce() -> int:
                waits = 0
                for frame in range(1500):
                    while server.congested:
                        waits += 1
                        time.sleep(0.001)
                    server.post([rows_of(frame)], 0)
                return waits

            producing = asyncio.create_task(asyncio.to_thread(produce))
            await asyncio.sleep(0.3)
            seqs = [(await asyncio.wait_for(client.message(), 5))["seq"] for _ in range(1500)]
            client.close()

        assert seqs == list(range(1, 1501))
        assert await producing > 0

    run(main)


@pytest.mark.parametrize("tier", ["frame", "events"])
def test_stopping_does_not_wait_for_who_never_reads_and_lets_the_others_finish(tier: str) -> None:
    async def main() -> None:
        server = Server(make_hub(labels=MANY), ServerSettings(port=0))
        await server.start()
        good = await RawClient.websocket(server.port, "/v1?tier=batch", limit=2**22)
        sock = await never_reading(server.port, f"/v1?tier={tier}")
        silent = socket.create_connection(("127.0.0.1", server.port))  # has not even asked for anything
        while len(server._connections) < 3:
            await asyncio.sleep(0.01)
        for frame in range(28):
            server.publish([rows_of(frame)], 0)
        started = time.monotonic()
        stopping = asyncio.create_task(server.stop(6.0))
        rows = 0
        while True:
            opcode, data = await good.frame()
            if opcode == 8:
                break
            message = json.loads(data)
            rows += message.get("count", 0)
        good._send(0x8, data)
        await stopping
        took = time.monotonic() - started
        good.close()
        sock.close()
        silent.close()

        assert struct.unpack("!H", data[:2]) == (1001,)
        assert rows == 28
        assert took < 6.5
        assert not server._connections

    run(main)


async def publish_live(server: Server) -> None:
    frame = 0
    due = time.monotonic()
    while True:
        server.publish([rows_of(frame)], time.time_ns())
        frame += 1
        due += 0.02
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def read_seqs(client: RawClient, seqs: list[int]) -> None:
    while True:
        message = await client.message()
        assert message["type"] == "scores", message
        seqs.append(int(message["seq"]))  # type: ignore[call-overload]


async def never_reading(port: int, path: str) -> socket.socket:
    """A connected socket that has sent its handshake and will never be read."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    await asyncio.sleep(0.02)
    return sock


# Who may come in


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
            client = await RawClient.websocket(server.port, **filled)
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
                       ("/", "/live.js", "/healthz", "/metrics", "/v1/schema")}  # fmt: skip
            health = json.loads((await RawClient.request(server.port, "/healthz")).body)

        assert refused.value.response.status_code == 401
        assert refused.value.response.headers["WWW-Authenticate"].startswith("Bearer")
        assert by_header["type"] == by_query["type"] == by_subprotocol["type"] == "hello"
        assert chosen == "streamclf.v1"
        assert answers == {"/": 200, "/live.js": 200, "/healthz": 200, "/metrics": 401, "/v1/schema": 200}
        assert set(health) == {"status", "uptime_s"}

    run(main)


def test_an_open_bind_needs_a_token_and_a_busy_port_is_one_sentence() -> None:
    async def main() -> None:
        with pytest.raises(ServeError, match="no token is set"):
            await Server(make_hub(), ServerSettings(host="0.0.0.0", port=0)).start()
        async with serving() as server:
            with pytest.raises(ServeError, match=f"port {server.port} on 127.0.0.1 is in use by another program"):
                await Server(make_hub(), ServerSettings(port=server.port)).start()
        with pytest.raises(ServeError, match="is no address of this machine"):
            await Server(make_hub(), ServerSettings(host="192.0.2.1", port=0, token=TOKEN)).start()

    run(main)


# Plain HTTP


def test_pages_are_served_from_a_fixed_table_with_guards() -> None:
    async def main() -> None:
        async with serving() as server:
            pages = {path: await RawClient.request(server.port, path) for path in
                     ("/", "/live.js", "/live.css", "/healthz", "/metrics", "/v1/schema")}  # fmt: skip
            head = await RawClient.request(server.port, "/", method="HEAD")
            missing = [await RawClient.request(server.port, path) for path in
                       ("/../pages.py", "/live.js/", "/%2e%2e/server.py", "/favicon.ico", "//etc/passwd")]  # fmt: skip
            other = await RawClient.request(server.port, "/", method="DELETE")
            rebound = await RawClient.request(server.port, "/", headers={"Host": "evil.example"})
            full = await RawClient.request(server.port, "/?" + "&".join(f"a{i}=1" for i in range(99)))
            plain = await RawClient.request(server.port, "/v1")

        assert {path: page.status for path, page in pages.items()} == dict.fromkeys(pages, 200)
        assert b"<script src=" in pages["/"].body
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


def test_health_is_bad_exactly_while_a_stream_is_lost() -> None:
    async def main() -> None:
        async with serving() as server:
            answers = []
            for state in ("live", "reconnecting", "lost", "problem", "live"):
                server.publish([Status("mic", state, "why")], 0)
                page = await RawClient.request(server.port, "/healthz")
                answers.append((page.status, json.loads(page.body)["status"]))
            streams = json.loads(page.body)["streams"]

        assert answers == [(200, "ok"), (200, "degraded"), (503, "degraded"), (503, "degraded"), (200, "ok")]
        assert streams[0] == {"name": "mic", "state": "live", "detail": "why", "demo": False}

    run(main)


# Pushing


class Microphone:
    def __init__(self) -> None:
        self.rate = 16000
        self.log: list[str] = []
        self.got: list[tuple[int, F32]] = []

    def connect(self) -> None:
        self.log.append("connect")

    def feed(self, first_sample: int, samples: F32) -> None:
        self.got.append((first_sample, samples))

    def disconnect(self) -> None:
        self.log.append("disconnect")


def test_pushed_samples_arrive_as_floats_with_their_index() -> None:
    async def main() -> None:
        sink = Microphone()
        async with serving(push_sinks={"phone": sink}) as server:
            for form, data in (("s16le", struct.pack("<2h", 16384, -32768)), ("f32le", struct.pack("<2f", 0.5, -1.0))):
                async with connect(url(server)) as client:
                    await take(client)
                    await client.send(json.dumps({"type": "push", "stream": "phone", "rate": 16000, "format": form}))
                    answer = await take(client)
                    await client.send((5_000_000_000).to_bytes(8, "little") + data)
                    await client.send("{}")
                    await take(client)
            while len(sink.log) < 4:
                await asyncio.sleep(0)

        assert answer == {"type": "pushing", "stream": "phone", "rate": 16000, "format": "f32le"}
        assert sink.log == ["connect", "disconnect"] * 2
        assert [(first, list(samples)) for first, samples in sink.got] == [(5_000_000_000, [0.5, -1.0])] * 2
        assert all(samples.dtype == np.float32 for _, samples in sink.got)

    run(main)


@pytest.mark.parametrize(
    ("push", "sentence"),
    [
        ({"stream": "phome", "rate": 16000}, "there is no push stream 'phome' here; did you mean 'phone'?"),
        ({"stream": "phone", "rate": 44100}, "stream 'phone' takes 16000 Hz, not 44100; resample before sending"),
        (
            {"stream": "phone", "rate": 16000, "channels": 2},
            "stream 'phone' takes 1 channel, not 2; mix down before sending",
        ),
    ],
)
def test_a_push_that_does_not_fit_gets_a_sentence(push: dict[str, Any], sentence: str) -> None:
    async def main() -> None:
        async with serving(push_sinks={"phone": Microphone()}) as server, connect(url(server)) as client:
            await take(client)
            await client.send(json.dumps({"type": "push", **push}))
            error = await take(client)
            await client.send(bytes(8))
            early = await take(client)

        assert (error["code"], error["message"]) == ("bad-push", sentence)
        assert early["message"].startswith("samples came without a push message before them")

    run(main)


def test_a_stream_takes_one_sender_at_a_time() -> None:
    async def main() -> None:
        push = json.dumps({"type": "push", "stream": "phone", "rate": 16000})
        async with serving(push_sinks={"phone": Microphone()}) as server:
            async with connect(url(server)) as one, connect(url(server)) as two:
                await take(one), await take(two)
                await one.send(push)
                first = await take(one)
                await two.send(push)
                second = await take(two)
                await one.send(bytes(9))
                odd = await take(one)

        assert first["type"] == "pushing"
        assert "another client sends to stream 'phone' already" in second["message"]
        assert "is not 8 bytes of index and whole s16le samples" in odd["message"]

    run(main)


def test_messages_beyond_their_bounds_end_the_connection() -> None:
    async def main() -> None:
        codes = []
        async with serving() as server:
            for message in ("x" * 70_000, bytes(300_000)):
                async with connect(url(server)) as client:
                    await client.send(message)
                    with pytest.raises(ConnectionClosed) as closed:
                        while True:
                            await take(client)
                    assert closed.value.rcvd is not None
                    codes.append(closed.value.rcvd.code)

        assert codes == [1009, 1009]

    run(main)
