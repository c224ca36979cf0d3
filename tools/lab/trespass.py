"""Who may see one site asks a gateway of two for the other, at random: is anything of it ever told?

    python -m tools.lab.trespass --requests 10000

A real nats-server, two real daemons and a gateway. Requests are drawn from the addresses that there are, with fields,
values, names and ids of both sites, over HTTP (with the feed, which does not end) and the websocket (subscriptions with
`since`, orders), and with broken ones between them. Both sites have a rule that asks whether the other has told. In no
answer may a name, an event's id or a clip of the other site stand that the request did not say itself. The admin asks
the same now and then, which shows that it could be seen. Exit code 1 where something was told.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tools.lab.daemon import Daemon
from tools.lab.gateways import NatsServer, start_gateway, start_site

ADMIN, GARDENER, LISTENER = "the-admins-own-token", "the-gardeners-token", "the-garden-listeners-token"
OWN, OTHER = ("garden", "lawn"), ("barn", "stable")
PATHS = (
    "/", "/v1/events", "/v1/events", "/v1/hours", "/v1/clip", "/v1/picture", "/v1/status", "/v1/status", "/metrics",
    "/healthz", "/readyz", "/livez", "/v1/live", "/v1/session", "/v1/why", "/v1/rules", "/v1/species", "/v1/review",
    "/v1/taught", "/v1/like", "/v1/thresholds", "/v1/loudness", "/v1/schema", "/v1/barn/events", "/barn/stable",
)  # fmt: skip
FIELDS = (
    "streams",
    "stream",
    "event",
    "after",
    "limit",
    "labels",
    "packs",
    "from",
    "since",
    "since_ns",
    "at_ns",
    "label",
    "site",
    "test",
)
RULES = """
[sink.file]
type = "ndjson"
path = "{path}"

[[rule]]
name = "loud"
labels = "loud"
cooldown_s = 1
shared_s = 60
sinks = "file"
"""
"""Of both sites: whose event comes second is told that the other has told."""
SOCKET_S = 0.4
ADMIN_EVERY = 25


@dataclass
class Secrets:
    """What of the other site must not be told. ids: of its events."""

    ids: list[str]
    clips: list[bytes]
    own_ids: list[str]

    @property
    def words(self) -> list[str]:
        """Texts that none but that site has."""
        runs = {each.split("/")[1] for each in self.ids}
        return [OTHER[0], OTHER[1], *runs]

    def told(self, said: bytes, asked: str) -> list[str]:
        """Those in an answer that the request did not name."""
        text = said.decode("utf-8", errors="ignore")
        asked = unquote(asked)
        found = [word for word in self.words if word in text and word not in asked]
        return found + [f"a clip of {len(clip)} bytes" for clip in self.clips if clip[:4096] in said]


@dataclass
class Trespasses:
    """What came of it. leaks: request and what was told."""

    requests: int = 0
    answers: dict[int, int] = field(default_factory=dict)
    messages: int = 0
    seen_by_admin: int = 0
    leaks: list[tuple[str, list[str]]] = field(default_factory=list)


@contextmanager
def two_sites(folder: Path) -> Iterator[Daemon]:
    """A gateway of two sites that keep clips; GARDENER may see labels of one, LISTENER hear it as well."""
    server = NatsServer(folder)
    server.start()
    running: list[Daemon] = []
    try:
        for site, stream in (OWN, OTHER):
            rules = folder / f"rules-{site}.toml"
            rules.write_text(RULES.format(path=folder / f"alerts-{site}"))
            clips = {"STREAMCLF_NATS_CLIPS": "true", "STREAMCLF_CLIPS_ENABLED": "true", "STREAMCLF_RULES": str(rules)}
            running.append(start_site(folder, server.url, site, streams=[stream], **clips))
        for each in running:
            each.wait_ready()
        files = {}
        for name, token in (("admin", ADMIN), ("gardener", GARDENER), ("listener", LISTENER)):
            files[name] = folder / f"{name}.token"
            files[name].write_text(token)
            files[name].chmod(0o600)
        toml = (
            f'[server]\ntoken_file = "{files["admin"]}"\n[nats]\nsites = ["{OWN[0]}", "{OTHER[0]}"]\n'
            f'labels_tokens = {{ {OWN[0]} = "{files["gardener"]}" }}\n'
            f'audio_tokens = {{ {OWN[0]} = "{files["listener"]}" }}\n'
        )
        gateway = start_gateway(folder, server.url, name="gateway", toml=toml)
        running.append(gateway)
        gateway.wait_ready()
        yield gateway
    finally:
        for each in running:
            each.kill()
        server.stop()


def secrets_of(gateway: Daemon, limit_s: float = 60.0) -> Secrets:
    """Once both sites have events with clips."""
    base, headers = f"http://127.0.0.1:{gateway.port}", {"Authorization": f"Bearer {ADMIN}"}
    deadline = time.monotonic() + limit_s
    while True:
        events = httpx.get(f"{base}/v1/events?limit=200", headers=headers, timeout=60).json()["events"]
        kept = [event["id"] for event in events if event["clip"]]
        theirs = [each for each in kept if each.startswith(f"{OTHER[0]}/")]
        if theirs and len(kept) > len(theirs):
            break
        assert time.monotonic() < deadline, "no clips came"
        time.sleep(0.3)
    clips = [
        httpx.get(f"{base}/v1/clip?event={quote(each)}", headers=headers, timeout=60).content for each in theirs[:3]
    ]
    assert all(clip.startswith(b"fLaC") for clip in clips)
    return Secrets(theirs, clips, [each for each in kept if each not in theirs])


def draw_value(chance: random.Random, secrets: Secrets) -> str:
    """A value that some field may have."""
    site, stream = chance.choice((OWN, OTHER, OTHER))
    return chance.choice([
        site, stream, f"{site}/{stream}", f"{OWN[0]}/{OTHER[1]}", f"{site}/../{OTHER[0]}/{stream}", "*", "", "0",
        str(chance.randrange(2_000_000_000)), f"{site}:{chance.randrange(50)}", f"{OWN[0]}:0,{OTHER[0]}:0",
        chance.choice(secrets.ids), chance.choice(secrets.own_ids), f"{OWN[0]}/{chance.choice(secrets.ids)}",
        chance.choice(secrets.ids).partition("/")[2], "loud", "group:", "tiny-stateful", f"{site}/tiny-stateful",
        "true", "%00", "garden,barn", f"{OWN[0]}/{OWN[1]},{OTHER[0]}/{OTHER[1]}", "é", "-1",
    ])  # fmt: skip


def draw_path(chance: random.Random, secrets: Secrets) -> str:
    """An address with a few fields."""
    fields = [
        f"{chance.choice(FIELDS)}={quote(draw_value(chance, secrets))}" for _ in range(chance.choice((0, 1, 1, 2, 3)))
    ]
    return chance.choice(PATHS) + ("?" + "&".join(fields) if fields else "")


def draw_messages(chance: random.Random, secrets: Secrets, seqs: tuple[int, int], instance: str) -> list[str]:
    """What is said on one websocket."""
    said: list[Any] = []
    for _ in range(chance.randrange(1, 4)):
        wish: dict[str, Any] = {"type": "subscribe", "tier": chance.choice(("frame", "batch", "events"))}
        wish |= {"encoding": chance.choice(("json", "u8", "f16")), "picture": chance.random() < 0.5}
        if chance.random() < 0.5:
            wish["streams"] = [draw_value(chance, secrets) for _ in range(chance.randrange(3))]
        if chance.random() < 0.3:
            wish[chance.choice(("packs", "labels", "groups"))] = [draw_value(chance, secrets)]
        if chance.random() < 0.6:
            wish |= {"since": chance.choice((0, seqs[0], chance.randint(*seqs))), "instance": instance}
        if chance.random() < 0.2:
            wish["audio"] = draw_value(chance, secrets)
        said.append(wish)
    mark = {"type": "mark", "event": chance.choice(secrets.ids), "mark": "right"}
    orders: list[Any] = [mark, {"type": "push", "stream": "barn/stable"}, {"type": "adjust"}, "rubbish"]
    if chance.random() < 0.3:
        said.append(chance.choice(orders))
    return [each if isinstance(each, str) else json.dumps(each) for each in said]


async def converse(url: str, token: str, messages: list[str]) -> list[bytes]:
    """What comes of it, within SOCKET_S. Binary rows name a stream by its index in hello, which comes as well."""
    heard: list[bytes] = []
    try:
        async with connect(url, additional_headers={"Authorization": f"Bearer {token}"}) as client:
            for message in messages:
                await client.send(message)
            async with asyncio.timeout(SOCKET_S):
                while True:
                    data = await client.recv()
                    heard.append(data.encode() if isinstance(data, str) else data)
    except (TimeoutError, ConnectionClosed):
        pass
    return heard


async def fetch(client: httpx.AsyncClient, path: str, token: str) -> tuple[int, bytes]:
    """Status, and headers with the body; of a feed, which does not end, what comes within SOCKET_S."""
    said = bytearray()
    async with client.stream("GET", path, headers={"Authorization": f"Bearer {token}"}) as answer:
        said += str(answer.headers).encode()
        ends = "event-stream" not in answer.headers.get("content-type", "")
        with suppress(TimeoutError):
            async with asyncio.timeout(None if ends else SOCKET_S):
                async for piece in answer.aiter_bytes():
                    said += piece
        return answer.status_code, bytes(said)


def indexes_beyond(heard: list[bytes]) -> list[str]:
    """Binary messages of a stream that `hello` does not have."""
    streams = len(json.loads(heard[0])["streams"]) if heard else 0
    rows = [data for data in heard if data[:3] == b"SC\x01"]
    return ["a binary row of another stream"] * any(int.from_bytes(data[10:12], "little") >= streams for data in rows)


async def trespass(gateway: Daemon, secrets: Secrets, requests: int, seed: int) -> Trespasses:
    """Ask, one after the other."""
    chance, tally = random.Random(seed), Trespasses()
    url = gateway.url
    hello = json.loads((await converse(url, ADMIN, []))[0])
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{gateway.port}", timeout=60) as client:
        for number in range(requests):
            admin = number % ADMIN_EVERY == 0
            token = ADMIN if admin else chance.choice((GARDENER, LISTENER))
            if chance.random() < 0.05:
                messages = draw_messages(chance, secrets, (hello["oldest_seq"], hello["seq"]), hello["instance"])
                heard = await converse(url, token, messages)
                asked, said = "\n".join(messages), b"\n".join(heard)
                tally.messages += len(heard)
                told = secrets.told(said, asked) + indexes_beyond(heard)
            else:
                asked = draw_path(chance, secrets)
                status, said = await fetch(client, asked, token)
                tally.answers[status] = tally.answers.get(status, 0) + 1
                told = secrets.told(said, asked)
            tally.requests += not admin
            if admin:
                tally.seen_by_admin += bool(told)
            elif told:
                tally.leaks.append((asked, told))
    return tally


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, two_sites(Path(name)) as gateway:
        tally = asyncio.run(trespass(gateway, secrets_of(gateway), asked.requests, asked.seed))
    counts = ", ".join(f"{number} times {status}" for status, number in sorted(tally.answers.items()))
    print(
        f"{tally.requests} requests of who may see {OWN[0]} alone ({counts}; {tally.messages} messages of websockets): "
        f"{len(tally.leaks)} told something of {OTHER[0]}; the admin was told {tally.seen_by_admin} times"
    )
    for request, told in tally.leaks[:5]:
        print(f"  {request[:200]!r}: {', '.join(told)[:200]}")
    return int(bool(tally.leaks) or not tally.seen_by_admin)


if __name__ == "__main__":
    sys.exit(main())
