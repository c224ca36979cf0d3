"""Subscribing over real sockets: hello, live, replay, the border to the model thread, samples from a client."""

import asyncio
import json
import struct
import time
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from streamclf.types import F32, Gap
from tests.support.rawclient import RawClient
from tests.support.server import MANY, rows_of, run, serving, subscribed, take, url
from tests.support.serving import event, make_hub, scores


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

        assert answer["packs"] == [{"name": "big", "labels": ["dog", "bird"], "min_prob": 0.0}]
        assert [row["seq"] for row in rows] == [3, 4, 5, 6]

    run(main)


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?teir=frame", "unknown field 'teir'; did you mean 'tier'?"),
        ("?streams=mick", "there is no stream 'mick' here; did you mean 'mic'?"),
        ("?tier=frame&tier=batch", "'tier' stands 2 times in the address; give it once"),
        ("?since=soon", "since: expected a whole number, got text"),
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


def test_the_model_thread_hands_over_from_outside() -> None:
    async def main() -> None:
        async with serving() as server, connect(url(server)) as client:
            await subscribed(client, tier="frame")
            await asyncio.to_thread(server.post, [scores(0), Gap("mic", 1, 2, "xrun")], 77)
            row, gap = await take(client), await take(client)

        assert (row["decided_ns"], gap["type"]) == (77, "gap")
        assert row["sent_ns"] > 77

    run(main)


def test_the_loop_is_woken_for_whole_messages_alone() -> None:
    async def main() -> None:
        async with serving() as server, connect(url(server)) as client:
            await subscribed(client, tier="batch")
            before = server.hub.seq
            for frame in range(4):
                await asyncio.to_thread(server.post, [scores(frame)], 0)
            waited = server.hub.seq
            await asyncio.to_thread(server.post, [scores(4)], 0)
            message = await take(client)

        assert waited == before
        assert (message["first_frame"], message["count"]) == (0, 5)

    run(main)


def test_a_loop_that_stands_still_costs_rows_never_events_and_says_so() -> None:
    async def main() -> None:
        async with serving() as server, connect(url(server)) as client:
            await subscribed(client, tier="frame")
            for frame in range(1030):
                server.post([scores(frame), *([event(frame)] * (frame % 100 == 29))], 0)
            congested = server.congested
            server._border._publish()
            for frame in range(1030, 1033):  # there is room for one, but it has not caught up: it is the same hole
                server.post([scores(frame)], 0)
            while server._border.busy:
                await asyncio.sleep(0)
            server.post([scores(3000)], 0)
            kinds: dict[str, int] = {}
            while kinds.get("scores", 0) < 1025:
                message = await take(client)
                kinds[message["type"]] = kinds.get(message["type"], 0) + 1
                if message["type"] == "gap":
                    gap = message

        assert congested
        assert kinds == {"scores": 1025, "event": 11, "gap": 1}
        assert (gap["stream"], gap["reason"]) == ("mic", "untold")
        hop = server.hub.streams["mic"].rate // 50
        assert (gap["first_sample"], gap["last_sample"]) == (1024 * hop, 1033 * hop - 1)

    run(main)


def test_what_takes_long_to_send_holds_up_no_request_and_is_sent_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with serving() as server, connect(url(server), max_queue=None) as client:
            await subscribed(client, tier="frame")
            usual = server.hub.publish

            def costly(*outputs: Any, **times: Any) -> None:
                time.sleep(0.002)
                usual(*outputs, **times)

            monkeypatch.setattr(server.hub, "publish", costly)
            for frame in range(500):
                server.post([scores(frame)], 0)
            answer = await RawClient.request(server.port, "/healthz")
            waiting = len(server._border._posted)
            frames = [(await take(client))["first_frame"] for _ in range(500)]
        assert answer.status == 200
        assert waiting > 100, "it was answered before all was sent"
        assert frames == list(range(500))

    run(main)


def test_what_was_posted_last_is_sent_before_the_end() -> None:
    async def main() -> None:
        async with serving() as server, connect(url(server), max_queue=None) as client:
            await subscribed(client, tier="frame")
            for frame in range(300):
                server.post([scores(frame)], 0)
            stopping = asyncio.create_task(server.stop(5.0))
            frames = [(await take(client))["first_frame"] for _ in range(300)]
            await client.close()
            await stopping
        assert frames == list(range(300))

    run(main)


class Microphone:
    def __init__(self) -> None:
        self.rate = 16000
        self.log: list[str] = []
        self.got: list[tuple[int, F32]] = []

    def connect(self, *, again: bool) -> None:
        self.log.append("connect again" if again else "connect")

    def feed(self, first_sample: int, samples: F32) -> None:
        self.got.append((first_sample, samples))

    def disconnect(self, *, left: bool) -> None:
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
        async with (
            serving(push_sinks={"phone": Microphone()}) as server,
            connect(url(server)) as one,
            connect(url(server)) as two,
        ):
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
                    await client.send('{"type":"subscribe"}')
                    await take(client)
                    with pytest.raises(ConnectionClosed) as closed:
                        await take(client)
                    assert closed.value.rcvd is not None
                    codes.append(closed.value.rcvd.code)
            while server._connections:
                await asyncio.sleep(0)
            left = list(server.hub._channels)

        assert codes == [1009, 1009]
        assert left == []

    run(main)


def test_a_sender_takes_its_own_place_again_before_its_old_connection_is_known_to_be_dead() -> None:
    async def main() -> None:
        push = {"type": "push", "stream": "phone", "rate": 16000}
        sink = Microphone()
        async with (
            serving(push_sinks={"phone": sink}) as server,
            connect(url(server)) as old,
            connect(url(server)) as new,
            connect(url(server)) as other,
        ):
            for client in (old, new, other):
                await take(client)
            await old.send(json.dumps(push | {"sender": "mine"}))
            await take(old)
            await other.send(json.dumps(push | {"sender": "guess"}))
            refused = await take(other)
            await new.send(json.dumps(push | {"sender": "mine"}))
            taken = await take(new)
            await old.send(bytes(10))
            late = await take(old)
            await old.close()
            await new.send((7).to_bytes(8, "little") + bytes(2))
            await new.close()
            while sink.log[-1] != "disconnect" or len(sink.log) < 4:
                await asyncio.sleep(0)
            await other.send(json.dumps(push | {"sender": "guess"}))
            await take(other)

        assert "another client sends to stream 'phone' already" in refused["message"]
        assert taken["type"] == "pushing"
        assert late["message"] == "another connection of this sender has taken its place at stream 'phone'"
        assert sink.log[:5] == ["connect", "disconnect", "connect again", "disconnect", "connect"]
        assert [first for first, _ in sink.got] == [7]

    run(main)


def test_many_that_leave_at_once_write_no_line_each(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving() as server, connect(url(server)) as stays:
            await subscribed(stays, tier="frame")
            leaving = [await RawClient.websocket(server.port, "/v1?tier=frame") for _ in range(10)]
            for client in leaving:
                await client.message()
                await client.message()
                client.reset()
            await asyncio.sleep(0)  # the client's side closes its sockets, and the server's has not looked yet
            for frame in range(50):
                server.publish([scores(frame)], 0)
            rows = [(await take(stays))["first_frame"] for _ in range(50)]

        assert rows == list(range(50))

    run(main)
    assert [record.message for record in caplog.records if record.name == "asyncio"] == []


def test_bytes_within_a_message_are_no_pong_whatever_they_look_like() -> None:
    pong = bytes([0x8A, 0x86]) + bytes(4) + b"alive?"

    async def main() -> None:
        async with serving() as server:
            client = await RawClient.websocket(server.port)
            await client.message()
            client.writer.write(bytes([0x82, 0x80 | 20]) + bytes(4) + bytes(8))
            for _ in range(10):  # the server's side reads that alone
                await asyncio.sleep(0.001)
            client.writer.write(pong)
            answer = await asyncio.wait_for(client.message(), 20)
            client.close()

        assert (answer["type"], answer["code"]) == ("error", "bad-push")

    run(main)
