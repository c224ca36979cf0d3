"""Clients that send or connect more than they may, over real sockets: refused with a reason, the others served."""

import asyncio
import json
import socket
import struct
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import connect

from streamclf import metrics
from streamclf.serve import connection as served
from streamclf.serve.connection import FRAGMENTS, PORTION, ServedConnection
from streamclf.serve.http import door, server
from streamclf.types import F32
from tests.support.rawclient import RawClient
from tests.support.server import run, serving, take, url
from tests.support.serving import event
from tools.bench.hostile import asking

LIMIT_S = 60.0
CROWD = 60


class Microphone:
    rate = 16_000

    def __init__(self) -> None:
        self.samples = 0
        self.here = False

    def connect(self, *, again: bool) -> None:
        self.here = True

    def feed(self, first_sample: int, samples: F32) -> None:
        self.samples += len(samples)

    def disconnect(self, *, left: bool) -> None:
        self.here = False


async def closing(client: RawClient) -> tuple[int, str]:
    """Code and reason of the close message, whatever comes before."""
    while True:
        opcode, data = await asyncio.wait_for(client.frame(), LIMIT_S)
        if opcode == 8:
            return struct.unpack("!H", data[:2])[0], data[2:].decode()


@pytest.mark.parametrize(("opcode", "data"), [(0x1, b"{}"), (0x2, b""), (0x9, b""), (0xA, b"")])
def test_who_sends_too_many_messages_is_told_and_cut_off_and_the_others_are_served(
    opcode: int, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "MESSAGES", 1.0)  # so that it is too many however slowly a busy machine takes them,
    monkeypatch.setattr(served, "MESSAGES_BURST", 50.0)  # and before too many answers wait for it

    async def main() -> None:
        before = metrics.REGISTRY.get_sample_value("streamclf_subscribers_cut_off_total", {"reason": "flood"}) or 0
        async with serving() as running, connect(url(running, "?tier=events")) as other:
            client = await RawClient.websocket(running.port)
            for _ in range(2500):
                client.send_frame(opcode, data)
            code, reason = await closing(client)
            running.publish([event(1)], 0)
            kinds = [(await take(other))["type"] for _ in range(3)]
            client.close()

        after = metrics.REGISTRY.get_sample_value("streamclf_subscribers_cut_off_total", {"reason": "flood"})
        assert (code, reason) == (1008, "more than 1 messages a second came from this client")
        assert kinds == ["hello", "subscribed", "event"]
        assert after == before + 1

    run(main)


def test_a_message_of_fragments_without_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(served, "MESSAGES_BURST", 1e6)

    async def main() -> None:
        async with serving() as running:
            client = await RawClient.websocket(running.port)
            client.writer.write(bytes([0x01, 0x80]) + bytes(4))
            client.writer.write((bytes([0x00, 0x80]) + bytes(4)) * FRAGMENTS)
            code, reason = await closing(client)
            client.close()

        assert (code, reason) == (1008, f"a message of more than {FRAGMENTS} fragments came from this client")

    run(main)


@pytest.mark.parametrize("more", [b"", bytes(served.BEHIND_THE_END + 2 * 2**20)], ids=["waits", "sends on"])
@pytest.mark.parametrize(
    ("frame", "expected"),
    [(struct.pack("!BBQI", 0x82, 0xFF, 1 << 40, 0), 1009), (struct.pack("!BBI", 0xF2, 0x80, 0), 1002)],
    ids=["too long", "reserved bits"],
)
def test_who_is_told_to_go_and_stays_is_cut_off_and_not_read_for_ever(
    frame: bytes, expected: int, more: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "CLOSE_LIMIT_S", 0.2)

    async def main() -> None:
        async with serving() as running:
            client = await RawClient.websocket(running.port)
            client.writer.write(frame)
            code, _ = await closing(client)
            (connection,) = running._connections
            client.writer.write(more)
            async with asyncio.timeout(LIMIT_S):
                while running._connections:
                    await asyncio.sleep(0.01)
            client.close()

        assert code == expected
        assert connection._ignored <= served.BEHIND_THE_END + 2**18  # and what one read brings

    run(main)


def test_a_message_may_come_in_many_fragments() -> None:
    async def main() -> None:
        async with serving() as running:
            client = await RawClient.websocket(running.port)
            client.writer.write(bytes([0x01, 0x81]) + bytes(4) + b"{")
            client.writer.write((bytes([0x00, 0x81]) + bytes(4) + b" ") * 500)
            client.writer.write(bytes([0x80, 0x81]) + bytes(4) + b"}")
            answers = [(await client.message())["type"] for _ in range(2)]
            client.close()

        assert answers == ["hello", "error"]

    run(main)


def test_the_clients_of_one_address_have_an_allowance_together() -> None:
    async def main() -> None:
        async with serving() as running:
            crowd = {"X-Forwarded-For": "192.0.2.7"}
            clients = [await RawClient.websocket(running.port, headers=crowd) for _ in range(5)]
            other = await RawClient.websocket(running.port, headers={"X-Forwarded-For": "192.0.2.8"})
            for client in clients:
                for _ in range(900):
                    client.send_frame(0xA, b"")
            done = [asyncio.create_task(closing(client)) for client in clients]
            first, _ = await asyncio.wait(done, return_when=asyncio.FIRST_COMPLETED, timeout=LIMIT_S)
            other.send("{}")
            answers = [(await other.message())["type"] for _ in range(2)]
            for task in done:
                task.cancel()
            for client in [*clients, other]:
                client.close()

        assert {task.result() for task in first} == {(1008, "more than 1000 messages a second came from this address")}
        assert answers == ["hello", "error"]

    run(main)


def test_what_one_client_sends_is_parsed_in_portions_and_the_others_have_their_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = [0]
    most = [0]
    plain = ServedConnection.process_event

    def counting(self: ServedConnection, event: Any) -> None:
        seen[0] += 1
        plain(self, event)

    async def turns() -> None:
        while True:
            most[0] = max(most[0], seen[0])
            seen[0] = 0
            await asyncio.sleep(0)

    async def main() -> None:
        monkeypatch.setattr(ServedConnection, "process_event", counting)
        async with serving() as running:
            client = await RawClient.websocket(running.port)
            counted = asyncio.create_task(turns())
            client.writer.write((struct.pack("!BB", 0x8A, 0x80) + bytes(4)) * 40_000)
            await closing(client)
            counted.cancel()
            client.close()

    run(main)
    assert 0 < most[0] <= PORTION // 6 + 1


def test_sound_that_comes_faster_than_time_goes_by_is_slowed_down_and_nobody_is_cut_off() -> None:
    async def main() -> None:
        sink = Microphone()
        async with serving(push_sinks={"phone": sink}) as running:
            client = await connect(url(running), max_queue=None).__aenter__()
            await take(client)
            await client.send(json.dumps({"type": "push", "stream": "phone", "rate": 16_000, "format": "s16le"}))
            await take(client)

            async def send() -> None:
                for at in range(0, 600 * 16_000, 16_000):
                    await client.send(struct.pack("<Q", at) + bytes(2 * 16_000))

            sending = asyncio.create_task(send())
            async with asyncio.timeout(LIMIT_S):
                while sink.samples <= 2 * 16_000:
                    await asyncio.sleep(0.01)
            held = sink.samples
            subscribers = len(running._subscribers)
            sending.cancel()
            client.transport.abort()
            async with asyncio.timeout(LIMIT_S):
                while sink.here:
                    await asyncio.sleep(0.01)

        assert held < 60 * 16_000
        assert subscribers == 1

    run(main)


def test_who_opens_a_connection_and_asks_for_nothing_is_shown_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "HANDSHAKE_LIMIT_S", 0.3)

    async def main() -> None:
        async with serving() as running:
            reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")

            async def dribble() -> None:
                while True:
                    writer.write(b"x")
                    await asyncio.sleep(0.02)

            dribbling = asyncio.create_task(dribble())
            with suppress(ConnectionResetError):
                while await asyncio.wait_for(reader.read(100), LIMIT_S):
                    pass
            dribbling.cancel()
            writer.transport.abort()
            assert not running._connections

    run(main)


def test_who_asks_how_it_is_stands_in_no_line_and_finds_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "TURN_S", LIMIT_S)  # all are accepted in one turn of the loop

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serving(connections=CROWD) as running:
            crowd = [asking(running.port) for _ in range(CROWD)]  # the loop stands still meanwhile
            health = socket.create_connection(("127.0.0.1", running.port))
            health.sendall(f"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:{running.port}\r\n\r\n".encode())
            late = asking(running.port)
            for sock in (health, late, *crowd):
                sock.setblocking(False)
            answer = await asyncio.wait_for(loop.sock_recv(health, 4096), LIMIT_S)
            before = len(running._subscribers)
            refused = await asyncio.wait_for(loop.sock_recv(late, 4096), LIMIT_S)
            greeted = [await asyncio.wait_for(loop.sock_recv(sock, 4096), LIMIT_S) for sock in crowd]
            for sock in (health, late, *crowd):
                sock.close()

        assert answer.startswith(b"HTTP/1.1 200 ")
        assert before < CROWD
        assert b"connections are open already" in refused
        assert all(one.startswith(b"HTTP/1.1 101 ") for one in greeted)

    run(main)


def test_who_hung_up_while_standing_in_a_crowd_takes_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "TURN_S", LIMIT_S)  # all are accepted in one turn of the loop

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with serving(connections=CROWD) as running:
            for sock in [asking(running.port) for _ in range(CROWD)]:  # the loop stands still meanwhile
                sock.close()
            late = asking(running.port)
            late.setblocking(False)
            answer = await asyncio.wait_for(loop.sock_recv(late, 4096), LIMIT_S)
            late.close()

        assert answer.startswith(b"HTTP/1.1 101 ")

    run(main)


def test_connections_have_a_limit_in_all_and_for_each_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refused(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await asyncio.wait_for(reader.read(), LIMIT_S)
        writer.close()
        return answer

    async def main() -> None:
        async with serving(connections=2, connections_each=1) as running:
            async with connect(url(running)), connect(url(running)):
                beyond = await refused(running.port)
            async with asyncio.timeout(LIMIT_S):
                while running._connections:
                    await asyncio.sleep(0.01)
            monkeypatch.setattr(door, "HERE", "nowhere")  # so that this machine is an address like others
            async with connect(url(running)):
                second = await refused(running.port)
            async with asyncio.timeout(LIMIT_S):
                while running._connections:
                    await asyncio.sleep(0.01)
            async with connect(url(running)) as again:
                hello = await take(again)

        assert beyond.startswith(b"HTTP/1.1 503 ")
        assert b"\r\n\r\n2 connections are open already" in beyond
        assert b"\r\n\r\n1 connections of one address are open already" in second
        assert hello["type"] == "hello"

    run(main)
