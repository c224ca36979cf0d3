"""Gateways: a real daemon, a real nats-server, and clients that must not see which of them they are at."""

import asyncio
import json
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from streamclf import metrics
from streamclf.protocol import wire
from streamclf.serve.fanout import publisher
from streamclf.serve.fanout.broker import NatsPlace
from streamclf.serve.fanout.follower import Follower, OneSite
from streamclf.serve.fanout.publisher import Publisher
from streamclf.serve.fanout.relay import Relay
from streamclf.serve.fanout.way import NatsWay
from streamclf.serve.published import seq_of
from tests.conftest import StartDaemon
from tests.support.fleet import LIMIT_S, StartGateway, StartSite, gateway, nats, site
from tests.support.serving import make_hub, scores
from tools.lab.daemon import Daemon, run_cli
from tools.lab.gateways import SITE, NatsServer, Roaming, kill_gateways, start_gateway
from tools.lab.tinypack import stateful_pack

pytest.importorskip("nats", reason="nats-py is absent (pip install streamclf[nats])")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

__all__ = ["gateway", "nats", "site"]


@pytest.fixture
def heard(site: StartSite) -> Daemon:
    """A daemon that hears a tone every other second."""
    return site(SITE)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(LIMIT_S):
            return await main

    return asyncio.run(limited())


async def take(client: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await client.recv())
    return message


async def came(url: str, wish: dict[str, Any], until: int) -> list[dict[str, Any]]:
    """What is sent up to that number, without what tells one server from another."""
    messages: list[dict[str, Any]] = []
    async with connect(url) as client:
        await take(client)
        await client.send(json.dumps({"type": "subscribe", **wish}))
        await take(client)
        while not messages or messages[-1]["seq"] < until:
            messages.append(await take(client))
    for message in messages:
        message.pop("sent_ns", None)
    return messages


async def hello_of(url: str) -> dict[str, Any]:
    async with connect(url) as client:
        return await take(client)


@pytest.mark.parametrize("tier", ["frame", "batch", "events"])
def test_gateways_send_what_the_daemon_sends(heard: Daemon, gateway: StartGateway, tier: str) -> None:
    one, two = gateway("--site", SITE), gateway("--site", SITE)

    async def main() -> list[list[dict[str, Any]]]:
        hellos = [await hello_of(each.url) for each in (heard, one, two)]
        for hello in hellos:
            del hello["seq"], hello["oldest_seq"]
        assert hellos[0].pop("no_audio") != hellos[1].pop("no_audio")
        assert hellos[2].pop("no_audio")
        assert hellos[0] == hellos[1] == hellos[2]
        since = max([(await hello_of(each.url))["oldest_seq"] for each in (one, two)])
        wish = {"tier": tier, "since": since, "instance": hellos[0]["instance"]}
        return await asyncio.gather(*(came(each.url, wish, since + 400) for each in (heard, one, two)))

    own, first, second = run(main())

    assert {message["type"] for message in own} >= ({"event"} if tier == "events" else {"event", "scores"})
    least = min(len(own), len(first), len(second))
    assert least > 3
    assert own[:least] == first[:least] == second[:least]


def test_who_loses_a_gateway_misses_nothing_at_another(
    heard: Daemon, gateway: StartGateway, tmp_path: Path, nats: NatsServer
) -> None:
    gateways = [gateway("--site", SITE), gateway("--site", SITE)]
    try:
        clients = run(kill_gateways(tmp_path, nats.url, gateways, clients=8, kills=3))
    finally:
        for each in gateways:
            each.kill()

    assert sum(client.moved for client in clients) >= 3
    for client in clients:
        assert client.seqs == list(range(client.seqs[0], client.seqs[-1] + 1))
        assert not client.lagged


def test_without_nats_the_daemons_own_clients_miss_nothing_and_gateways_declare_a_hole(
    heard: Daemon, gateway: StartGateway, nats: NatsServer
) -> None:
    at = gateway("--site", SITE)
    own, far = Roaming([heard.url]), Roaming([at.url])

    async def main() -> None:
        tasks = [asyncio.create_task(client.run()) for client in (own, far)]
        await asyncio.gather(own.reaches(1), far.reaches(1))
        nats.stop()
        await asyncio.to_thread(heard.wait_for, "gateways get nothing", LIMIT_S)
        left = own.seqs[-1]
        await own.reaches(left + 100)
        assert own.moved == far.moved == 0
        assert heard.get_json("/healthz")["status"] == "degraded"
        assert at.get("/healthz")[0] == 503
        nats.start()
        while far.seqs[-1] < own.seqs[-1]:  # what waited in the daemon came after all, and is in no server any more
            await asyncio.sleep(0.01)
        # a gateway that has never seen it, at a server that has lost it
        nats.stop()
        nats.forget()
        nats.start()
        late = await asyncio.to_thread(gateway, "--site", SITE)
        returning = Roaming([late.url])
        returning.seqs, returning.instance = [left], own.instance
        tasks.append(asyncio.create_task(returning.run()))
        await returning.reaches(own.seqs[-1] + 50)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        hole = returning.lagged[0]
        assert hole["reason"] == "replay"
        assert hole["from_seq"] == left + 1
        assert returning.seqs[1:] == list(range(hole["to_seq"], returning.seqs[-1] + 1))

    run(main())

    for client in (own, far):
        assert client.seqs == list(range(client.seqs[0], client.seqs[-1] + 1))
        assert not client.lagged


def test_another_start_of_the_daemon_is_another_run_at_the_gateway(
    heard: Daemon, gateway: StartGateway, site: StartSite
) -> None:
    at = gateway("--site", SITE)
    first = run(hello_of(at.url))["instance"]
    heard.stop()
    at.wait_for("garden", LIMIT_S)
    site(SITE)

    async def main() -> str:
        while True:
            try:
                if (found := (await hello_of(at.url))["instance"]) != first:
                    return str(found)
            except (OSError, ConnectionClosed, EOFError):
                pass
            await asyncio.sleep(0.1)

    assert run(main()) != first


def test_a_gateway_serves_the_page_and_its_spectra(heard: Daemon, gateway: StartGateway) -> None:
    at = gateway("--site", SITE)
    deadline = time.monotonic() + LIMIT_S
    while not (found := at.get("/v1/picture?stream=yard"))[1]:
        assert time.monotonic() < deadline, "no spectrum came"
        time.sleep(0.1)

    assert found[0] == 200
    page, own = at.get("/"), heard.get("/")
    assert page == own
    assert page[0] == 200
    assert [each["name"] for each in at.get_json("/v1/status")["streams"]] == ["yard"]
    while len(kept := at.get_json("/v1/events?after=0&limit=2")["events"]) < 2:
        assert time.monotonic() < deadline, "no events are kept"
        time.sleep(0.1)
    first = heard.get_json("/v1/events?after=0&limit=1000")["events"]
    assert {event["id"] for event in kept} <= {event["id"] for event in first}, (
        "asked of the daemon, under its own names"
    )


def test_the_secret_of_the_address_is_never_said(tmp_path: Path, daemon: StartDaemon) -> None:
    url = "nats://anna:hunter2hunter2@127.0.0.1:1"
    (tmp_path / "address").write_text(url)
    (tmp_path / "address").chmod(0o600)
    pack = stateful_pack(tmp_path / "pack")
    env = {"STREAMCLF_NATS_URL_FILE": str(tmp_path / "address"), "STREAMCLF_NATS_SITE": SITE}
    one = daemon("--source", "push:one,16000", "--model", str(pack), env=env)
    at = start_gateway(tmp_path, url, "--site", SITE, name="gateway")
    try:
        one.wait_for("gateways get nothing", LIMIT_S)
        at.wait_for("NATS at 127.0.0.1:1", LIMIT_S)
    finally:
        at.stop()

    for said in (one.stderr, at.stderr, one.get("/healthz")[1].decode()):
        assert "hunter2" not in said
        assert "anna" not in said


def test_mistakes_are_refused_in_a_sentence(tmp_path: Path) -> None:
    for args, code, words in (
        (["--site", "x"], 2, "no NATS is named"),
        (["--nats", "nats://127.0.0.1:1"], 2, "no site is named"),
        (["--nats", "http://secret@host", "--site", "x"], 78, "expected something such as nats://"),
        (["--nats", "nats://127.0.0.1:1", "--site", "x", "--host", "0.0.0.0"], 78, "no token is set"),
    ):
        done = run_cli("gateway", *args, home=tmp_path)
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert "secret" not in done.stderr
        assert "Traceback" not in done.stderr


def dropped_bytes() -> float:
    return metrics.REGISTRY.get_sample_value("streamclf_nats_dropped_bytes_total") or 0.0


def test_what_is_dropped_while_nats_is_away_is_a_hole_and_the_rest_comes(
    nats: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "MAX_QUEUED", 20_000)
    monkeypatch.setattr(publisher, "FACTS_S", 0.5)
    hub, place, relays = make_hub(), NatsPlace(NatsWay(nats.url), SITE), list[Relay]()
    dropped = dropped_bytes()

    async def serve(relay: Relay) -> None:
        relays.append(relay)

    async def until(true: Callable[[], bool]) -> None:
        while not true():
            await asyncio.sleep(0.02)

    async def main() -> None:
        giving, following = Publisher(place, hub, replay_seconds=60), Follower(place, OneSite(SITE, serve), print)
        await giving.start()
        task = asyncio.create_task(following.run())
        hub.publish([scores(frame, [0.1] * 4) for frame in range(10)], decided_ns=1, sent_ns=1)
        await until(lambda: bool(relays) and relays[0].seq == 10)
        nats.stop()
        await until(lambda: any(giving.found()))
        for frame in range(10, 2000):
            hub.publish([scores(frame, [0.1] * 4)], decided_ns=1, sent_ns=1)
            if frame % 10 == 0:
                await asyncio.sleep(0.02)
        nats.start()
        await until(lambda: relays[-1].seq == 2000 and not any(giving.found()))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert await giving.stop(1.0)

    run(main())

    assert dropped_bytes() > dropped
    assert len(relays) == 1, "the same run with the same packs goes on"
    (hole,) = [item.message for item in relays[0].items.after(0) if isinstance(item.message, wire.Lagged)]
    (track,) = relays[0].tracks.values()
    held = [seq_of(each.place) for each in track.rows_after(0)]
    assert held == [*range(1, hole.from_seq), *range(hole.to_seq + 1, 2001)]
    assert hole.from_seq > 10
