"""Marks and lessons at a gateway: the daemon that keeps the event has them, and everybody is told."""

import asyncio
import json
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.fleet import LIMIT_S, StartGateway, StartSite, gateway, nats, site, until
from tools.lab.daemon import Daemon

pytest.importorskip("nats", reason="nats-py is absent (pip install streamclf[nats])")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

__all__ = ["gateway", "nats", "site"]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    async def limited() -> Any:
        async with asyncio.timeout(LIMIT_S):
            return await main

    return asyncio.run(limited())


async def told(client: ClientConnection, *kinds: str) -> dict[str, Any]:
    while True:
        message: dict[str, Any] = json.loads(await client.recv())
        if message["type"] in kinds:
            return message


def said(at: Daemon, order: dict[str, Any], *, token: str = "") -> dict[str, Any]:
    """The answer to somebody who follows nothing."""

    async def main() -> dict[str, Any]:
        async with connect(f"{at.url}?token={token}" if token else at.url) as client:
            await client.send(json.dumps(order))
            return await told(client, "marked", "taught", "adjusted", "error")

    answer: dict[str, Any] = run(main())
    return answer


def events_of(at: Daemon) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = at.get_json("/v1/events?limit=1000&after=0")["events"]
    return found


def marks_of(at: Daemon) -> dict[str, str]:
    return {event["id"]: event["mark"] for event in events_of(at) if event["mark"]}


def closed_of(at: Daemon) -> list[str]:
    return [event["id"] for event in events_of(at) if event["stage"] == "close"]


def test_a_mark_at_a_gateway_of_one_site_is_the_daemons_and_everybody_is_told(
    site: StartSite, gateway: StartGateway
) -> None:
    garden = site("garden")
    until(lambda: len(closed_of(garden)) > 2, "nothing is kept")
    at, another = gateway("--site", "garden"), gateway("--site", "garden")
    first, second, *_ = closed_of(garden)

    assert said(at, {"type": "mark", "event": first, "mark": "wrong", "label": "c1"})["event"] == first
    assert marks_of(garden) == {first: "wrong"}

    async def main() -> list[dict[str, Any]]:
        async with connect(garden.url) as own, connect(at.url) as one, connect(another.url) as two:
            for client in (own, one, two):
                await client.send(json.dumps({"type": "subscribe", "tier": "events"}))
                await told(client, "subscribed")
            await one.send(json.dumps({"type": "mark", "event": second, "mark": "right"}))
            return [await told(client, "marked", "error") for client in (own, one, two)]

    own, one, two = run(main())
    assert own == one == two
    assert (own["event"], own["mark"]) == (second, "right")
    assert own["seq"] > 0
    assert marks_of(garden) == {first: "wrong", second: "right"} == marks_of(at)
    assert said(at, {"type": "mark", "event": second, "mark": ""})["mark"] == ""
    assert marks_of(garden) == {first: "wrong"}

    refused = said(at, {"type": "mark", "event": "none/0", "mark": "right"})
    assert (refused["code"], refused["message"].partition(";")[0]) == (
        "bad-mark",
        "there is no event 'none/0' in the store",
    )
    adjust = {"type": "adjust", "label": "loud", "enter": 0.6, "leave": 0.4, "min_on_ms": 100}
    assert "this is a gateway" in said(at, adjust)["message"]


def test_in_a_fleet_the_site_that_keeps_the_event_is_told_and_no_other(
    site: StartSite, gateway: StartGateway, tmp_path: Path
) -> None:
    found = {name: site(name) for name in ("garden", "barn")}
    attic = site("attic")
    for each in (*found.values(), attic):
        until(lambda each=each: len(closed_of(each)) > 1, "nothing is kept")  # type: ignore[misc]
    tokens = {name: tmp_path / name for name in ("admin", "garden-only")}
    for name, path in tokens.items():
        path.write_text(f"the-token-of-{name}")
        path.chmod(0o600)
    at = gateway(
        toml=f'[server]\ntoken_file = "{tokens["admin"]}"\n[nats]\nsites = ["garden", "barn"]\n'
        f'audio_tokens = {{ garden = "{tokens["garden-only"]}" }}\n'
    )
    admin, lesser = (path.read_text() for path in tokens.values())
    (event, *_) = closed_of(found["barn"])

    marked = said(at, {"type": "mark", "event": f"barn/{event}", "mark": "right"}, token=admin)
    assert (marked["type"], marked["event"], marked["seq"]) == ("marked", f"barn/{event}", 0)
    assert marks_of(found["barn"]) == {event: "right"}
    assert marks_of(found["garden"]) == {} == marks_of(attic)

    (own, *_) = closed_of(found["garden"])
    (far, *_) = closed_of(attic)
    for named, who, words in (
        (f"garden/{own}", lesser, "needs the role admin"),
        (f"attic/{far}", admin, "there is no such event or stream here"),
        (own, admin, "there is no such event or stream here"),
        ("*/x", admin, "there is no such event or stream here"),
        (f"garden/{event}", admin, "there is no event"),
        ("barn/", admin, "there is no such event or stream here"),
    ):
        refused = said(at, {"type": "mark", "event": named, "mark": "wrong"}, token=who)
        assert refused["type"] == "error", (named, refused)
        assert words in refused["message"]
    assert marks_of(attic) == {} == marks_of(found["garden"])
    found["barn"].kill()
    refused = said(at, {"type": "mark", "event": f"barn/{event}", "mark": "wrong"}, token=admin)
    assert refused["message"] == "the daemon of barn is not there"
    forget = said(at, {"type": "forget", "label": "x", "example": ""}, token=admin)
    assert "many sites" in forget["message"]


def test_a_lesson_is_handed_on_and_a_daemon_may_refuse_both(site: StartSite, gateway: StartGateway) -> None:
    garden, barn = site("garden"), site("barn", STREAMCLF_NATS_MARKS="false")
    for each in (garden, barn):
        until(lambda each=each: bool(closed_of(each)), "nothing is kept")  # type: ignore[misc]
    at = gateway("--all")
    (event, *_) = closed_of(garden)
    answer = said(at, {"type": "teach", "label": "gate", "event": f"garden/{event}"})
    own = said(garden, {"type": "teach", "label": "gate", "event": event})
    assert (answer["type"], answer.get("message")) == (own["type"], own.get("message"))
    (event, *_) = closed_of(barn)
    for order in (
        {"type": "mark", "event": f"barn/{event}", "mark": "right"},
        {"type": "teach", "label": "gate", "event": f"barn/{event}"},
    ):
        refused = said(at, order)
        assert refused["message"] == "this daemon takes no such thing by way of a gateway; say it at the daemon itself"
