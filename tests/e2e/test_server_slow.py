"""Subscribers that do not read: cut off, told what they missed, waited for or left behind, and nobody else suffers."""

import asyncio
import json
import socket
import struct
import threading
import time
from typing import Any

import psutil
import pytest
from websockets.asyncio.client import connect

from streamclf import metrics
from streamclf.serve.http.server import Server, ServerSettings
from tests.support.rawclient import RawClient
from tests.support.server import MANY, rows_of, run, serving
from tests.support.serving import event, make_hub

HANG_S = 120.0
DEAD_KIB = 128


def test_a_client_that_never_reads_is_cut_off_and_no_other_misses_a_message() -> None:
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
            while len(server._subscribers) < 21:
                await asyncio.sleep(0.01)
            started = time.monotonic()
            grown = 0
            while len(server._subscribers) > 1 and time.monotonic() - started < HANG_S:
                grown = max(grown, process.memory_info().rss - before)
                await asyncio.sleep(0.1)
            left, took = len(server._subscribers), time.monotonic() - started
            publishing.cancel()
            async with asyncio.timeout(20):
                while seqs[-1] < server.hub.seq:
                    await asyncio.sleep(0.01)
            reading.cancel()
            for sock in dead:
                sock.close()
            good.close()

        assert left == 1, "those that never read were not cut off"
        assert seqs == list(range(1, len(seqs) + 1))
        # what the replay ring keeps meanwhile is not theirs
        ring = 521 * 4 * 50 * (took + 1)
        assert (grown - ring) / 20 < DEAD_KIB * 1024, f"{grown / 20 / 1024:.0f} KiB for each client that does not read"

    run(main)


def test_a_client_that_never_reads_is_cut_off_even_when_hardly_anything_is_sent() -> None:
    async def main() -> None:
        async with serving() as server:
            sock = await never_reading(server.port, "/v1?tier=events")
            while not server._subscribers:
                await asyncio.sleep(0.01)
            before = metrics.REGISTRY.get_sample_value("streamclf_subscribers_cut_off_total", {"reason": "silent"}) or 0
            async with asyncio.timeout(HANG_S):
                while server._connections:
                    server.publish([event(1)], 0)
                    await asyncio.sleep(0.25)
            sock.close()

        after = metrics.REGISTRY.get_sample_value("streamclf_subscribers_cut_off_total", {"reason": "silent"})
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
            got: list[dict[str, Any]] = []
            while not got or got[-1].get("first_frame") != 1499:
                got.append(await asyncio.wait_for(client.message(), 20))
            client.close()

        lagged = [m for m in got if m["type"] == "lagged"]
        assert lagged
        assert sum(m["type"] == "event" for m in got) == 15
        assert sum(m["dropped"] for m in lagged) + sum(m["type"] == "scores" for m in got) == 1500
        seqs = [m["seq"] for m in got]
        assert seqs == sorted(seqs)
        assert "mailbox" in {m["reason"] for m in lagged}

    run(main)


def test_too_many_waiting_events_close_the_connection_with_a_reason() -> None:
    async def main() -> None:
        async with serving() as server:
            client = await RawClient.websocket(server.port, "/v1?tier=events", limit=2**12)
            await client.message()
            await client.message()
            (subscriber,) = server._subscribers
            number = 0
            while (
                not subscriber.ended and number < 100_000
            ):  # from then on it has two seconds to read what is on its way
                server.publish([event(number)], 0)
                number += 1
                if number % 100 == 0:
                    await asyncio.sleep(0)
            seqs = []
            while True:
                opcode, data = await asyncio.wait_for(client.frame(), 20)
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

            waited = threading.Event()

            def produce() -> None:
                for frame in range(1500):
                    while server.congested:
                        waited.set()
                        time.sleep(0.001)
                    server.post([rows_of(frame)], 0)

            producing = asyncio.create_task(asyncio.to_thread(produce))
            while not waited.is_set():
                await asyncio.sleep(0.01)
            seqs = [(await asyncio.wait_for(client.message(), 20))["seq"] for _ in range(1500)]
            client.close()

        assert seqs == list(range(1, 1501))
        await producing

    run(main)


@pytest.mark.parametrize("tier", ["frame", "events"])
def test_stopping_does_not_wait_for_who_never_reads_and_lets_the_others_finish(tier: str) -> None:
    async def main() -> None:
        server = Server(make_hub(labels=MANY), ServerSettings(port=0))
        await server.start()
        good = await RawClient.websocket(server.port, "/v1?tier=batch", limit=2**22)
        await good.message()
        await good.message()
        sock = await never_reading(server.port, f"/v1?tier={tier}")
        silent = socket.create_connection(("127.0.0.1", server.port))  # has not even asked for anything
        while server._door.number < 3:
            await asyncio.sleep(0.01)
        for frame in range(28):
            server.publish([rows_of(frame)], 0)
        stopping = asyncio.create_task(server.stop(6.0))
        rows = 0
        while True:
            opcode, data = await good.frame()
            if opcode == 8:
                break
            rows += json.loads(data).get("count", 0) if opcode == 1 else 0
        good.send_frame(0x8, data)
        async with asyncio.timeout(HANG_S):
            await stopping
        good.close()
        sock.close()
        silent.close()

        assert struct.unpack("!H", data[:2]) == (1001,)
        assert rows == 28
        assert not server._connections

    run(main)


def test_stopping_does_not_use_up_its_time_when_everybody_reads() -> None:
    async def main() -> None:
        server = Server(make_hub(), ServerSettings(port=0))
        await server.start()
        async with connect(f"ws://127.0.0.1:{server.port}/v1?tier=events") as client:
            await client.recv()
            await client.recv()
            silent = socket.create_connection(("127.0.0.1", server.port))  # as browsers do, in advance
            while server._door.number < 2:
                await asyncio.sleep(0.01)
            async with asyncio.timeout(HANG_S):
                await server.stop(10 * HANG_S)
            silent.close()

        assert client.close_code == 1001

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
        seqs.append(int(message["seq"]))


async def never_reading(port: int, path: str) -> socket.socket:
    """A connected socket that has sent its handshake and will never be read."""
    sock = socket.create_connection(("127.0.0.1", port))
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    await asyncio.sleep(0.02)
    return sock
