"""Gateways behind one address: a real nginx spreads clients over two of them, by turns or by the client's address."""

import asyncio
import http.client
import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.documents import ROOT
from tests.support.fleet import LIMIT_S, StartGateway, StartSite, gateway, nats, site, until
from tools.lab.daemon import Daemon, free_port
from tools.lab.gateways import Roaming

pytest.importorskip("nats", reason="nats-py is absent (pip install streamclf[nats])")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

__all__ = ["gateway", "nats", "site"]

TOKEN = "the-token-of-the-gateways"
CONF = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log notice;
events {{ }}
http {{
    access_log off;
    {temporary}
    upstream gateways {{
        {balance}
        {servers}
    }}
    server {{
        listen 127.0.0.1:{port};
{location}
    }}
}}
"""


@pytest.fixture
def nginx() -> str:
    for place in (shutil.which("nginx"), "/usr/sbin/nginx", ROOT / ".run" / "nginx"):
        if place and Path(place).is_file():
            return str(place)
    pytest.skip("no nginx here: tools/test takes it out of Debian's package of that name")


@contextmanager
def balancing(nginx: str, folder: Path, gateways: list[Daemon], balance: str) -> Iterator[int]:
    """The port of an nginx before them, with the lines that docs/operate/gateway.md has."""
    folder.mkdir()
    port = free_port()
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    text = CONF.format(
        folder=folder,
        port=port,
        balance=balance,
        servers="\n        ".join(f"server 127.0.0.1:{each.port};" for each in gateways),
        temporary="\n    ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds),
        location=location_of_docs(),
    )
    (folder / "nginx.conf").write_text(text)
    process = subprocess.Popen([nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")], stdin=subprocess.DEVNULL)
    try:
        until(lambda: process.poll() is not None or answers(port), "nginx does not listen")
        assert process.poll() is None, (folder / "error.log").read_text()
        yield port
    finally:
        process.terminate()
        process.wait(LIMIT_S)


def location_of_docs() -> str:
    """The block `location / {` of the page about gateways."""
    page = (ROOT / "docs/operate/gateway.md").read_text("utf-8")
    block = page.partition("        location / {\n")[2].partition("        }\n")[0]
    assert "proxy_pass http://gateways" in block, page
    return f"        location / {{\n{block}        }}\n"


def answers(port: int) -> bool:
    try:
        return ask(port, "/livez")[0] == 200
    except OSError:
        return False


def ask(port: int, path: str, *, method: str = "GET", **headers: str) -> tuple[int, bytes, str]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=LIMIT_S)
    try:
        line.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = line.getresponse()
        return answer.status, answer.read(), answer.getheader("Set-Cookie", "")
    finally:
        line.close()


@pytest.mark.parametrize("balance", ["", "ip_hash;"])
def test_who_is_spread_over_gateways_is_logged_in_at_each_and_misses_nothing(
    nginx: str, site: StartSite, gateway: StartGateway, tmp_path: Path, balance: str
) -> None:
    for name in ("garden", "barn"):
        site(name)
    secret = tmp_path / "token"
    secret.write_text(TOKEN)
    secret.chmod(0o600)
    toml = f'[server]\ntoken_file = "{secret}"\n'
    gateways = [gateway("--site", "garden", "--site", "barn", toml=toml) for _ in range(2)]
    with balancing(nginx, tmp_path / "nginx", gateways, balance) as port:
        assert ask(port, "/v1/status")[0] == 401
        status, _, kept = ask(port, "/v1/login", Authorization=f"Bearer {TOKEN}", X_Streamclf="page")
        assert status == 200
        cookie = kept.partition(";")[0]
        seen = [ask(port, "/v1/session", Cookie=cookie) for _ in range(10)]
        assert {json.loads(body)["role"] for _, body, _ in seen} == {"admin"}

        events: list[str] = []
        after, deadline = "0", time.monotonic() + LIMIT_S
        while len(events) < 20:  # each page is asked of whichever comes
            assert time.monotonic() < deadline, "no events come"
            page = json.loads(ask(port, f"/v1/events?after={after}&limit=3", Cookie=cookie)[1])
            events += [f"{event['id'].partition('/')[0]} {event['seq']}" for event in page["events"]]
            after = page["after"]
        assert len(events) == len(set(events))

        clients = [Roaming([f"ws://127.0.0.1:{port}/v1?token={TOKEN}"]) for _ in range(6)]
        lost = gateways[0]
        asyncio.run(killed_under(clients, lost))
        assert {json.loads(ask(port, "/v1/session", Cookie=cookie)[1])["role"] for _ in range(4)} == {"admin"}
    if not balance:
        assert 0 < sum(client.moved for client in clients) < len(clients) * 3
    union = sorted({seq for client in clients for seq in client.seqs})
    for client in clients:
        assert client.seqs == [seq for seq in union if client.seqs[0] <= seq <= client.seqs[-1]]
        assert not client.lagged


async def killed_under(clients: list[Roaming], lost: Daemon) -> None:
    """They hear for a while, their gateway is killed, and they hear on."""
    tasks = [asyncio.create_task(client.run()) for client in clients]

    async def more() -> None:
        wanted = [len(client.seqs) + 200 for client in clients]
        while any(len(client.seqs) < least for client, least in zip(clients, wanted, strict=True)):
            await asyncio.sleep(0.05)

    async with asyncio.timeout(LIMIT_S):
        await more()
        lost.kill()
        await more()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
