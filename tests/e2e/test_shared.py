"""Rules of a fleet: what several sites heard is told by one of them, and by each where they cannot ask."""

import asyncio
from pathlib import Path

import pytest
from msgspec.structs import replace

from streamclf.alerts.alert import Alert, Gate
from streamclf.clock import NS_PER_SECOND
from streamclf.serve.fanout.broker import NatsPlace
from streamclf.serve.fanout.claims import Claims
from streamclf.serve.fanout.way import NatsWay
from tests.e2e.test_alerts import write_rules
from tests.e2e.test_gateway import run
from tests.support.alerts import make_alert
from tests.support.fleet import LIMIT_S, StartSite, nats, site, until
from tools.lab.daemon import run_cli
from tools.lab.gateways import NatsServer
from tools.lab.receiver import http_receiver

pytest.importorskip("nats", reason="nats-py is absent (pip install streamclf[nats])")
pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

__all__ = ["nats", "site"]


def rule(name: str) -> str:
    return f'name = "{name}"\nlabels = "loud"\ncooldown_s = 3600\nshared_s = 600'


def test_one_of_two_sites_tells_and_without_nats_both_do(site: StartSite, nats: NatsServer, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    env = {"STREAMCLF_RULES": str(rules)}

    def why(name: str) -> str:
        kept = {**env, "STREAMCLF_STORE_PATH": str(tmp_path / f"store-{name}")}
        return run_cli("why", heard(name)[0], home=tmp_path, env=kept).stdout

    def heard(name: str) -> list[str]:
        found = sites[name].get_json("/v1/events?after=0&limit=100")["events"]
        return [event["id"] for event in found if event["label"] == "loud"]

    with http_receiver() as receiver:
        write_rules(rules, receiver, rule("first"))
        sites = {name: site(name, **env) for name in ("garden", "barn")}
        until(lambda: all(heard(name) for name in sites), "a site hears nothing")
        until(lambda: any("told by" in why(name) for name in sites), "no site says that the other has told")
        one = next(name for name in sites if "told by" not in why(name))
        (other,) = set(sites) - {one}
        assert f"told by {one} " in why(other)
        assert "rule first: not told" in why(other)
        assert "rule first: told" in why(one)
        assert len(receiver.wait_for(1, LIMIT_S)) == 1
        assert sites[other].get_json("/v1/status")["alerts"]["sinks"][0]["pending"] == 0

        nats.stop()
        write_rules(rules, receiver, rule("second"))
        told = receiver.wait_for(3, LIMIT_S)
        for at in sites.values():
            at.wait_for("this site tells by itself what others may tell as well: NATS at 127.0.0.1", LIMIT_S)
    assert [request.data["rule"] for request in told] == ["first", "second", "second"]


def test_of_sites_that_claim_at_once_one_gets_it_and_keeps_it_when_it_is_killed(nats: NatsServer) -> None:
    minute = 60 * NS_PER_SECOND
    names = [f"site-{number}" for number in range(8)]

    def heard(site: str, second: int) -> Alert:
        """Each site has an event of its own."""
        return replace(make_alert(second, id=f"{site}/{second}"), shared_ns=minute)

    async def ask(second: int) -> list[Gate | None]:
        """All sites at once, each as after a new start."""
        places = [NatsPlace(NatsWay(nats.url), name) for name in names]
        claims, clients = [Claims(place) for place in places], [await place.connect() for place in places]
        for each, client in zip(claims, clients, strict=True):
            each.connected(client)
        said = await asyncio.gather(
            *(each.claim(heard(name, second)) for each, name in zip(claims, names, strict=True))
        )
        for client in clients:
            await client.close()
        return said

    async def main() -> None:
        first = await ask(0)
        (teller,) = [name for name, gate in zip(names, first, strict=True) if gate is None]
        again = await ask(0)
        assert [name for name, gate in zip(names, again, strict=True) if gate is None] == [teller]
        for gate in (*first, *again):
            assert gate is None or gate.text.startswith(f"told by {teller} ")
        assert (await ask(59)).count(None) == 1, "it is still the same visit, and the same site goes on"
        assert (await ask(200)).count(None) == 1
        assert (await ask(10)).count(None) == len(names), "of what is long past nothing is known"

    run(main())
