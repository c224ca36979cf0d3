"""A gateway of many sites: real daemons, a real nats-server, and clients that see the streams of all as one."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_gateway import came, hello_of, run
from tests.support.fleet import StartGateway, StartSite, gateway, nats, site, until
from tools.lab import cutoff, trespass
from tools.lab.daemon import Daemon
from tools.lab.gateways import Roaming, nats_program

pytest.importorskip("nats", reason="nats-py is absent (pip install streamclf[nats])")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

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


CLIPS = {"STREAMCLF_CLIPS_ENABLED": "true", "STREAMCLF_NATS_CLIPS": "true"}


def test_what_is_kept_is_asked_of_all_sites_and_goes_on_at_another_gateway(
    site: StartSite, gateway: StartGateway
) -> None:
    garden, barn = site("garden", **CLIPS), site("barn")
    one, two = gateway("--all"), gateway("--site", "garden", "--site", "barn")

    def ask(at: Daemon, path: str) -> dict[str, Any]:
        found: dict[str, Any] = at.get_json(path)
        return found

    until(lambda: len(ask(one, "/v1/events?limit=9")["events"]) == 9, "no events are kept")
    newest = ask(one, "/v1/events?limit=9")["events"]
    assert newest == sorted(newest, key=lambda event: -event["onset_ns"])
    # page by page, each at the other gateway
    after, seen, turn = "0", list[str](), 0
    while True:
        page = ask((one, two)[turn % 2], f"/v1/events?limit=3&after={after}")
        seen += [f"{event['id']} {event['stage']} {event['seq']}" for event in page["events"]]
        after, turn = page["after"], turn + 1
        if not page["more"]:
            break
    assert len(seen) == len(set(seen)) > 6
    own = {
        name: {event["id"] for event in ask(at, "/v1/events?limit=1000&after=0")["events"]}
        for name, at in (("garden", garden), ("barn", barn))
    }
    told = {each.split()[0] for each in seen}
    assert told <= {f"{name}/{event}" for name, some in own.items() for event in some}
    assert {each.partition("/")[0] for each in told} == {"garden", "barn"}
    only = ask(two, "/v1/events?streams=barn/yard")["events"]
    assert {event["stream"] for event in only} == {"barn/yard"}
    until(lambda: any(event["clip"] for event in ask(one, "/v1/events")["events"]), "no clip is kept")
    (clip, *_) = [event["id"] for event in ask(one, "/v1/events")["events"] if event["clip"]]
    status, body = one.get(f"/v1/clip?event={clip}")
    assert (status, body[:4]) == (200, b"fLaC")
    status, said = one.get(f"/v1/clip?event=barn/{clip.partition('/')[2]}")
    assert (status, said) == (404, b"This daemon does not answer that by way of NATS.\n")
    barn.kill()
    page = ask(one, f"/v1/events?after={after}")
    assert page["silent"] == ["barn"]
    assert {event["stream"] for event in page["events"]} <= {"garden/yard"}
    assert after.split(",")[0] == page["after"].split(",")[0], "what barn has follows once it is back"


def test_a_daemon_cut_off_from_nats_loses_nothing_that_it_keeps_and_its_own_clients_notice_nothing(
    tmp_path: Path,
) -> None:
    if nats_program() is None:
        pytest.skip("nats-server is not installed (Debian's package nats-server; tools/test unpacks it)")
    if why := cutoff.why_not():
        pytest.skip(why)
    with cutoff.island_daemon(tmp_path, streams=1) as (island, daemon, gateway):
        seen = asyncio.run(cutoff.cut_for(island, daemon, gateway, 20.0))

    assert (seen.own_missed, seen.own_moved) == (0, 0)
    assert seen.lost == 0
    assert seen.had > 100
    assert seen.kept > 3
    assert seen.kept_lost == 0
    assert seen.told.startswith("gateways get nothing: NATS at 10.200.")


def test_who_may_see_one_site_is_told_nothing_of_another(tmp_path: Path) -> None:
    if nats_program() is None:
        pytest.skip("nats-server is not installed (Debian's package nats-server; tools/test unpacks it)")
    with trespass.two_sites(tmp_path) as gateway:
        secrets = trespass.secrets_of(gateway)
        tally = asyncio.run(trespass.trespass(gateway, secrets, 250, seed=7))

    assert tally.leaks == []
    assert tally.seen_by_admin, "the admin sees it, so it could be seen"
    assert tally.messages > 100
    assert {200, 403, 404} <= set(tally.answers)
