"""The client where there is no connection to be had, or none any more: what is an error, what is an end."""

import asyncio

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket

from streamclf.client import Client, Reconnect
from streamclf.errors import ServeError
from streamclf.protocol import wire
from tests.support.following import Waits, collect, refusal, run
from tests.support.served import Proxy, answering, served
from tests.support.serving import make_hub

# Without reconnecting


def test_a_good_bye_ends_the_iteration() -> None:
    async def main() -> None:
        async with served(make_hub()) as server:
            client = Client(f"127.0.0.1:{server.port}", reconnect=False)
            got: list[wire.ServerMessage] = []
            async for message in client.messages():
                got.append(message)
                if len(got) == 2:
                    stopping = asyncio.create_task(server.stop(2.0))
            await stopping

        assert [type(message) for message in got] == [wire.Hello, wire.Subscribed]

    run(main())


def test_a_lost_connection_is_an_error() -> None:
    async def main() -> None:
        async with served(make_hub()) as server, Proxy(server.port) as proxy:
            messages = Client(f"127.0.0.1:{proxy.port}", reconnect=False).messages()
            assert isinstance(await anext(messages), wire.Hello)
            assert isinstance(await anext(messages), wire.Subscribed)
            proxy.cut()
            with pytest.raises(ServeError, match="was lost"):
                await anext(messages)

    run(main())


def test_nobody_there_is_an_error_that_names_the_address(free_port: int) -> None:
    said: list[str] = []

    async def main() -> None:
        said.append(await refusal(Client(f"127.0.0.1:{free_port}", reconnect=False)))

    run(main())

    assert f"ws://127.0.0.1:{free_port}/v1 (Connection refused)" in said[0]


# What is not tried again


@pytest.mark.parametrize("token", ["wrong-token", None])
def test_a_refused_token_is_not_tried_again(token: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STREAMCLF_TOKEN", raising=False)

    async def main() -> None:
        waits = Waits()
        async with served(make_hub(), token="right-token") as server:
            said = await refusal(Client(f"127.0.0.1:{server.port}", token=token, reconnect=Reconnect(on_wait=waits)))

        assert "refused the token" in said
        assert "STREAMCLF_TOKEN" in said
        assert not waits

    run(main())


@pytest.mark.parametrize("way", ["argument", "address", "environment"])
def test_the_token_is_given_in_three_ways(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCLF_TOKEN", "right-token" if way == "environment" else "wrong-token")

    async def main() -> None:
        async with served(make_hub(), token="right-token") as server:
            url = f"http://127.0.0.1:{server.port}/" + ("?token=right-token" if way == "address" else "")
            client = Client(url, token="right-token" if way == "argument" else None, reconnect=False)

            assert len(await collect(client, lambda got: len(got) == 2)) == 2
            assert "right-token" not in client.url

    run(main())


def test_a_label_that_does_not_exist_is_an_error_with_the_nearest() -> None:
    async def main() -> None:
        async with served(make_hub()) as server:
            said = await refusal(Client(f"127.0.0.1:{server.port}", labels=["brid"]))

        assert "no label 'brid'" in said
        assert "did you mean 'bird'?" in said

    run(main())


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (
            b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nHost \x1b[1m.",
            "Host \\x1b[1m",
        ),
        (b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", "404 Not Found"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 OK"),
        (b"HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/v1\r\nContent-Length: 0\r\n\r\n", "302 Found"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "no streamclf daemon"),
    ],
    ids=["forbidden", "not found", "a page", "a redirect", "no HTTP"],
)
def test_something_else_at_the_address_is_not_tried_again(reply: bytes, why: str) -> None:
    async def main() -> None:
        waits = Waits()
        async with answering(reply) as port:
            said = await refusal(Client(f"127.0.0.1:{port}", token="secret-token", reconnect=Reconnect(on_wait=waits)))

        assert why in said
        assert f"127.0.0.1:{port}" in said
        assert not waits

    run(main())


def test_another_websocket_is_not_tried_again() -> None:
    async def main() -> None:
        async def echo(connection: ServerConnection) -> None:
            async for message in connection:
                await connection.send(message)

        async with serve_websocket(echo, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            assert "does not speak streamclf.v1" in await refusal(Client(f"127.0.0.1:{port}"))

    run(main())
