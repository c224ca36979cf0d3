"""A gateway of many sites: real daemons, a real nats-server, and clients that see the streams of all as one."""

import asyncio
from typing import Any

import pytest

from tests.e2e.test_gateway import came, hello_of, run
from tests.support.fleet import StartGateway, StartSite, gateway, nats, site, until
from tools.lab.gateways import Roaming

pytest.importorskip("nats", reason="nats-py is absent (pip install streamclf[nats])")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

__all__ = ["gateway", "nats", "site"]


def test_two_sites_are_one_with_the_streams_of_both(site: StartSite, gateway: StartGateway) -> None:
    site("garden"), site("barn")
    one, two = gateway("--site", "garden", "--site", "barn"), gateway("--all")

    async def main() -> tuple[dict[str, Any], list[list[dict[str, Any]]]]:
        hellos = [await hello_of(each.url) for each in (one, two)]
        assert hellos[0]["instance"] == hellos[1]["instance"]
        since = max(hello["oldest_seq"] for hello in hellos)
        wish = {"tier": "frame", "since": since, "instance": hellos[0]["instance"]}
        until_seq = max(hello["seq"] for hello in hellos) + 200 * 1024
        return hellos[0], await asyncio.gather(*(came(each.url, wish, until_seq) for each in (one, two)))

    hello, (first, second) = run(main())

    assert [each["name"] for each in hello["streams"]] == ["barn/yard", "garden/yard"]
    assert [each["name"] for each in hello["packs"]] == ["tiny-stateful"], "the same pack of both stands once"
    least = min(len(first), len(second))
    assert first[:least] == second[:least]
    rows = [message for message in first if message["type"] == "scores"]
    assert {message["stream"] for message in rows} == {"barn/yard", "garden/yard"}
    for name in ("barn/yard", "garden/yard"):
        frames = [message["first_frame"] for message in rows if message["stream"] == name]
        assert frames == list(range(frames[0], frames[0] + len(frames)))
    events = [message for message in first if message["type"] == "event"]
    assert {message["id"].partition("/")[0] for message in events} == {"barn", "garden"}
    seqs = [message["seq"] for message in first]
    assert seqs == sorted(set(seqs))


def test_a_site_that_is_gone_is_told_and_one_that_starts_anew_goes_on(site: StartSite, gateway: StartGateway) -> None:
    garden, barn = site("garden"), site("barn")
    at = gateway("--site", "garden", "--site", "barn", "--site", "attic")
    client = Roaming([at.url])

    def states() -> dict[str, str]:
        return {each["name"]: each["state"] for each in at.get_json("/v1/status")["streams"]}

    async def main() -> None:
        task = asyncio.create_task(client.run())
        await client.reaches(1)
        garden.kill()
        await asyncio.to_thread(until, lambda: states()["garden/yard"] == "lost", "a dead site still counts as heard")
        health = at.get_json("/healthz")
        assert at.get("/readyz")[0] == 200, "the other one is served"
        assert health["status"] == "degraded"
        assert any("nothing has come of garden since 20" in problem for problem in health["problems"])
        assert any("nothing has ever come of attic" in problem for problem in health["problems"])
        assert states()["barn/yard"] == "live"
        moved = client.moved
        await asyncio.to_thread(site, "garden")
        await asyncio.to_thread(until, lambda: states()["garden/yard"] == "live", "a site that is back is not told")
        while client.moved == moved:
            await asyncio.sleep(0.05)
        await client.reaches(client.seqs[-1] + 100 * 1024)
        barn.stop()
        await asyncio.to_thread(until, lambda: states()["barn/yard"] == "lost", "a site that stopped is not told")
        assert "the daemon of barn has stopped" in str(at.get_json("/v1/status")["problems"])
        late = await asyncio.to_thread(gateway, "--all")
        found = {each["name"]: each["state"] for each in late.get_json("/v1/status")["streams"]}
        assert found == {"barn/yard": "lost", "garden/yard": "live"}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(main())

    assert client.seqs == sorted(set(client.seqs))
    told = [(each["stream"], each["state"]) for each in client.unnumbered]  # what only the gateway knows
    assert told[:1] == [("garden/yard", "lost")]
    assert ("barn/yard", "lost") in told
    assert not client.lagged


def test_clients_of_killed_gateways_miss_nothing(site: StartSite, gateway: StartGateway) -> None:
    site("garden"), site("barn")
    gateways = [gateway("--all"), gateway("--all")]
    urls = [each.url for each in gateways]
    still, moving = Roaming([gateways[1].url]), Roaming(urls)

    async def main() -> None:
        tasks = [asyncio.create_task(client.run()) for client in (still, moving)]
        await asyncio.gather(still.reaches(1), moving.reaches(1))
        await moving.reaches(moving.seqs[-1] + 100 * 1024)
        gateways[0].kill()
        await moving.reaches(moving.seqs[-1] + 200 * 1024)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    run(main())

    assert moving.moved
    assert not moving.lagged
    first, last = max(still.seqs[0], moving.seqs[0]), min(still.seqs[-1], moving.seqs[-1])
    assert [seq for seq in moving.seqs if first <= seq <= last] == [seq for seq in still.seqs if first <= seq <= last]


def test_a_site_that_comes_is_taken_in_and_clients_miss_nothing(site: StartSite, gateway: StartGateway) -> None:
    site("garden")
    at = gateway("--all")
    client = Roaming([at.url])

    async def main() -> dict[str, Any]:
        task = asyncio.create_task(client.run())
        await client.reaches(1)
        await asyncio.to_thread(site, "barn")
        while not client.moved:
            await asyncio.sleep(0.05)
        await client.reaches(client.seqs[-1] + 100 * 1024)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        found: dict[str, Any] = await hello_of(at.url)
        return found

    hello = run(main())

    assert [each["name"] for each in hello["streams"]] == ["barn/yard", "garden/yard"]
    assert not client.lagged
    assert client.seqs == sorted(set(client.seqs))
