"""What daemons keep, asked at a gateway: why, rules, species, review, and events as they come; a site that is away."""

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import LIMIT_S, StartGateway, StartSite, gateway, nats, site, until
from tools.lab.daemon import Daemon

pytest.importorskip("nats", reason="nats-py is absent (pip install streamclf[nats])")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

__all__ = ["gateway", "nats", "site"]

RULES = """
[sink.{site}]
type = "ndjson"
path = "{folder}/{site}.ndjson"

[[rule]]
name = "loud"
labels = "loud"
cooldown_s = 1
shared_s = 600
sinks = "{site}"

[[rule]]
name = "never"
labels = "c1"
sinks = "{site}"
"""


class Message:
    """One of a feed."""

    def __init__(self, lines: list[str]) -> None:
        fields = dict(line.partition(": ")[::2] for line in lines)
        self.kind, self.id = fields.get("event", ""), fields.get("id", "")
        self.data: Any = json.loads(fields["data"])


class Feeding:
    """Follows /v1/live; its messages follow each other, what keeps it alive is passed over."""

    def __init__(self, at: Daemon, query: str = "", **headers: str) -> None:
        request = urllib.request.Request(f"http://127.0.0.1:{at.port}/v1/live{query}", headers=headers)
        self._answer = urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=LIMIT_S)

    def __iter__(self) -> Iterator[Message]:
        lines: list[str] = []
        for line in self._answer:
            text = line.decode().rstrip("\n")
            if text:
                lines.append(text)
            elif lines:
                if any(each.startswith("data: ") for each in lines):
                    yield Message(lines)
                lines = []

    def close(self) -> None:
        """Leave."""
        self._answer.close()


@pytest.fixture
def ruled(site: StartSite, tmp_path: Path) -> dict[str, Daemon]:
    """Two sites; each has rules, of which one asks the other, and both keep events."""
    found = {}
    for name in ("garden", "barn"):
        rules = tmp_path / f"{name}.toml"
        rules.write_text(RULES.format(site=name, folder=tmp_path))
        found[name] = site(name, STREAMCLF_RULES=str(rules))
    for name, at in found.items():
        until(lambda at=at: len(events_of(at)) > 2, f"{name} keeps nothing")  # type: ignore[misc]
    return found


def events_of(at: Daemon, query: str = "limit=1000&after=0") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = at.get_json(f"/v1/events?{query}")["events"]
    return found


def token_file(folder: Path, name: str) -> Path:
    path = folder / f"{name}.token"
    path.write_text(f"the-token-of-{name}")
    path.chmod(0o600)
    return path


def test_a_gateway_answers_what_the_daemons_would(ruled: dict[str, Daemon], gateway: StartGateway) -> None:
    at, one = gateway("--all"), gateway("--site", "barn")

    for path in ("/v1/rules", "/v1/taught", "/v1/species?best=0", "/v1/review?limit=3"):
        alone = one.get_json(path)
        assert alone.keys() == ruled["barn"].get_json(path).keys(), "of one site all is as its daemon says it"
        assert alone.keys() <= at.get_json(path).keys()
    assert one.get_json("/v1/rules") == ruled["barn"].get_json("/v1/rules")
    event = events_of(ruled["barn"])[0]["id"]
    until(lambda: one.get_json(f"/v1/why?event={event}")["rules"] != [], "no rule has said anything")
    assert one.get_json(f"/v1/why?event={event}") == ruled["barn"].get_json(f"/v1/why?event={event}")

    rules = at.get_json("/v1/rules")
    assert {each["name"] for each in rules["rules"]} == {"barn/loud", "barn/never", "garden/loud", "garden/never"}
    assert {each["name"] for each in rules["sinks"]} == {"barn", "garden"}
    assert rules["file"] == "barn: barn.toml; garden: garden.toml"

    listed = at.get_json("/v1/species")
    own = {name: each.get_json("/v1/species")["species"] for name, each in ruled.items()}
    (heard,) = [each for each in listed["species"] if each["label"] == "loud"]
    of_sites = [each for some in own.values() for each in some if each["label"] == "loud"]
    assert len(of_sites) == 2
    assert heard["days"] == max(each["days"] for each in of_sites), "both heard it on the same days"
    assert heard["first_ns"] == min(each["first_ns"] for each in of_sites)
    assert "dates" not in heard
    page = at.get_json("/v1/species?label=loud&best=3")
    assert set(page["streams"]) == {"garden/yard", "barn/yard"}
    assert sum(page["hours"]) == sum(page["streams"].values()) == sum(each["count"] for each in page["days"])
    assert [each["peak"] for each in page["best"]] == sorted((each["peak"] for each in page["best"]), reverse=True)
    assert len(page["best"]) == 3

    review = at.get_json("/v1/review?limit=5")
    assert {each["event"]["stream"] for each in review["questions"]} == {"garden/yard", "barn/yard"}
    assert len(review["questions"]) <= 5 < review["waiting"] + 5
    assert at.get("/v1/thresholds?label=loud")[0] == 404
    status, said = at.get("/v1/loudness")
    assert (status, said) == (404, b"Loudness is not measured; [loudness] enabled switches it on.\n")


def test_reasons_come_from_the_site_that_has_them(ruled: dict[str, Daemon], gateway: StartGateway) -> None:
    at = gateway("--all")

    def explained(event: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = at.get_json(f"/v1/why?event={event['id']}")
        return found

    def said(event: dict[str, Any]) -> list[str]:
        return [gate["text"] for rule in explained(event)["rules"] for gate in rule["gates"]]

    until(lambda: any("told by" in text for event in events_of(at) for text in said(event)), "no site left one out")
    event = events_of(at, "limit=1")[0]
    why = explained(event)
    assert why["event"]["id"] == event["id"]
    assert why["event"]["stream"] == event["stream"]
    assert {rule["rule"] for rule in why["rules"]} == {"loud", "never"}
    moment = at.get_json(f"/v1/why?stream={event['stream']}&at_ns={event['onset_ns']}&around_ms=2000")
    assert event["id"] in {each["event"]["id"] for each in moment["events"]}
    (pack,) = moment["packs"]
    assert (moment["rows"], pack["pack"]) == ("ring", "tiny-stateful")
    assert {near["event"].partition("/")[0] for near in pack["labels"] if near["event"]} <= {
        event["id"].partition("/")[0]
    }
    for query, status in (("event=attic/x", 404), ("event=barn/none", 404), ("event=barn/x&stream=garden/yard", 400)):
        assert at.get(f"/v1/why?{query}")[0] == status
    ruled["barn"].kill()
    away = next(each for each in events_of(at, "limit=1000") if each["stream"] == "garden/yard")
    until(lambda: at.get(f"/v1/why?event={away['id']}")[0] == 200, "the other one is asked still")
    status, text = at.get("/v1/why?event=barn/whatever")
    assert (status, text) == (503, b"This cannot be answered now: the daemon of barn is not there.\n")
    assert at.get_json("/v1/rules")["silent"] == ["barn"]
    assert at.get_json("/v1/species")["silent"] == ["barn"]
    assert set(at.get_json("/v1/species?label=loud")["streams"]) == {"garden/yard"}


def test_who_sees_one_site_is_told_of_that_alone_and_not_who_else_has_told(
    ruled: dict[str, Daemon], gateway: StartGateway, tmp_path: Path
) -> None:
    toml = f'[server]\ntoken_file = "{token_file(tmp_path, "admin")}"\n[nats]\nsites = ["*"]\n'
    toml += "".join(f'labels_tokens.{name} = "{token_file(tmp_path, name)}"\n' for name in ("garden", "barn"))
    at = gateway(toml=toml)

    def ask(path: str, who: str) -> Any:
        sign = "&" if "?" in path else "?"
        return at.get_json(f"{path}{sign}token=the-token-of-{who}")

    def told_by_another() -> list[str]:
        texts = []
        for name in ("garden", "barn"):
            for event in ask("/v1/events?limit=50", name)["events"]:
                why = ask(f"/v1/why?event={event['id']}", name)
                texts += [gate["text"] for rule in why["rules"] for gate in rule["gates"] if gate["gate"] == "shared"]
        return texts

    until(lambda: bool(told_by_another()), "no site has left one out")
    assert set(told_by_another()) == {"told by another site"}
    for name, other in (("garden", "barn"), ("barn", "garden")):
        for path in ("/v1/rules", "/v1/species", "/v1/species?label=loud", "/v1/taught"):
            assert other not in json.dumps(ask(path, name))
        assert at.get(f"/v1/review?token=the-token-of-{name}")[0] == 403
        (theirs, *_) = ask(f"/v1/events?streams={other}/yard", "admin")["events"]
        assert at.get(f"/v1/why?event={theirs['id']}&token=the-token-of-{name}")[0] == 404
        feed = Feeding(at, f"?after=0&token=the-token-of-{name}")
        seen = [next(messages) for messages in [iter(feed)] for _ in range(4)]
        feed.close()
        assert {each.data["stream"] for each in seen[1:]} == {f"{name}/yard"}
        assert all(other not in each.id for each in seen)


def test_a_gateway_follows_what_its_daemons_keep(site: StartSite, gateway: StartGateway) -> None:
    garden, barn = site("garden"), site("barn")
    until(lambda: bool(events_of(garden)) and bool(events_of(barn)), "nothing is kept")
    at, another = gateway("--all"), gateway("--site", "barn", "--site", "garden")
    first = Feeding(at)
    messages = iter(first)
    hello = next(messages)
    assert hello.kind == "hello"
    assert hello.id == hello.data["after"]
    assert {part.partition(":")[0] for part in hello.id.split(",")} == {"garden", "barn"}
    seen = [next(messages) for _ in range(6)]
    first.close()
    assert {each.data["stream"] for each in seen} == {"garden/yard", "barn/yard"}

    again = Feeding(another, **{"Last-Event-ID": seen[-1].id})
    messages = iter(again)
    assert next(messages).id == seen[-1].id
    seen += [next(messages) for _ in range(4)]
    barn.stop()
    while not (told := next(messages)).kind:
        seen.append(told)
    assert (told.kind, told.data) == ("silent", {"silent": ["barn"]})
    site("barn")
    while not (told := next(messages)).kind:
        seen.append(told)
    assert (told.kind, told.data) == ("silent", {"silent": []})
    while not (told := next(messages)).kind and told.data["stream"] != "barn/yard":
        seen.append(told)
    seen.append(told)
    again.close()

    numbers = [(each.data["stream"], each.data["seq"]) for each in seen]
    assert len(numbers) == len(set(numbers)), "nothing comes twice"
    for name, own in (("garden", garden), ("barn", None)):
        had = [each.data["seq"] for each in seen if each.data["stream"] == f"{name}/yard"]
        assert had == sorted(had)
        if own is not None:  # each number of its store that is still an event's newest stage was sent
            kept = [each["seq"] for each in events_of(own)]
            assert {seq for seq in kept if had[0] <= seq <= had[-1]} <= set(had)


def test_of_one_site_the_feed_has_the_daemons_own_numbers_and_waits_while_it_is_away(
    site: StartSite, gateway: StartGateway
) -> None:
    garden = site("garden")
    until(lambda: len(events_of(garden)) > 2, "nothing is kept")
    at = gateway("--site", "garden")
    feed = Feeding(at, "?after=0")
    messages = iter(feed)
    assert next(messages).data["after"] == 0
    seen = [next(messages) for _ in range(3)]
    assert [each.id for each in seen] == [str(each.data["seq"]) for each in seen]
    assert seen[0].data["id"] in {each["id"] for each in events_of(garden)}
    garden.stop()
    while not (told := next(messages)).kind:
        seen.append(told)
    assert told.data == {"silent": ["garden"]}
    status, said = at.get("/v1/live")
    assert (status, said) == (503, b"This cannot be answered now: the daemon of garden is not there.\n")
    assert at.get("/v1/live?after=barn:1")[0] == 400
    feed.close()


def test_two_daemons_under_one_name_are_told(site: StartSite, gateway: StartGateway) -> None:
    one = site("garden")
    fleet, alone = gateway("--all"), gateway("--site", "garden")
    assert "two daemons" not in json.dumps(one.get_json("/healthz"))
    two = site("garden", STREAMCLF_STORE_ENABLED="false")
    for each in (one, two):
        each.wait_for("two daemons give to NATS as garden", LIMIT_S)
        until(lambda each=each: "two daemons" in str(each.get_json("/healthz")["problems"]), "health is silent")  # type: ignore[misc]
        assert each.get_json("/healthz")["status"] == "degraded"
    for at in (fleet, alone):
        until(lambda at=at: "two daemons" in str(at.get_json("/healthz")["problems"]), "a gateway is silent")  # type: ignore[misc]
    run = two.get_json("/healthz")["instance"]
    until(lambda: alone.get_json("/healthz")["instance"] == run, "the newer one is not followed")
    since = time.monotonic()
    while time.monotonic() < since + 2:  # for as long it would have gone back and forth a hundred times
        assert alone.get_json("/healthz")["instance"] == run
    one.stop()
    until(lambda: two.get_json("/healthz")["status"] == "ok", "it is told although it is over")
    until(lambda: alone.get_json("/healthz")["status"] == "ok", "the gateway tells although it is over")


def test_of_two_daemons_under_one_name_with_other_streams_the_newer_is_shown_and_then_the_one_that_is_left(
    site: StartSite, gateway: StartGateway
) -> None:
    one = site("garden", stream="yard")
    fleet, alone = gateway("--all"), gateway("--site", "garden")
    two = site("garden", stream="pond", STREAMCLF_STORE_ENABLED="false")

    def shown(at: Daemon) -> list[str]:
        try:
            return [each["name"].rpartition("/")[2] for each in at.get_json("/v1/status")["streams"]]
        except OSError:  # where another hub is served, the port is let go for a moment
            return []

    def begun(at: Daemon) -> int:
        return at.stderr.count("listening on")

    for at in (fleet, alone):
        until(lambda at=at: shown(at) == ["pond"], "the newer one is not shown")  # type: ignore[misc]
    counts = [begun(at) for at in (fleet, alone)]
    since = time.monotonic()
    while time.monotonic() < since + 7:  # each tells of itself every 5 s
        assert [shown(at) for at in (fleet, alone)] == [["pond"], ["pond"]]
        time.sleep(0.2)
    assert [begun(at) for at in (fleet, alone)] == counts, "clients were sent away for nothing"
    late = gateway("--all")
    until(lambda: shown(late) == ["pond"], "who comes later shows another one")
    two.stop()
    for at in (fleet, alone, late):
        until(lambda at=at: shown(at) == ["yard"], "the one that is left is not shown")  # type: ignore[misc]
        until(lambda at=at: at.get_json("/healthz")["status"] == "ok", "it is told although it is over")  # type: ignore[misc]
    assert one.process.poll() is None
