"""https at home by Caddy's own authority, with a real Caddy.

What is not done here is said there: `systemctl reload caddy` and `caddy trust`, which change the machine. A browser is
stood in for by a client that trusts what a person installs, the authority's root.
"""

import asyncio
import json
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPSConnection
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from tests.support.documents import ROOT
from tests.support.home import LIMIT_S, Home, doing, wait_for
from tools.lab.daemon import free_port

pytestmark = pytest.mark.e2e
NAME = "birds.local"


@pytest.fixture
def caddy() -> str:
    for place in (shutil.which("caddy"), ROOT / ".run" / "caddy"):
        if place and Path(place).is_file():
            return str(place)
    pytest.skip("no caddy here: tools/test takes it out of Debian's package of that name")


@contextmanager
def running(caddy: str, home: Home) -> Iterator[tuple[int, Path]]:
    """The port of a Caddy that has the Caddyfile of this home, and the root of its authority.

    It takes other ports than 443 and 80, and leaves the machine's trust alone.
    """
    https, data = free_port(), home.folder / "data"
    ours = f"{{\n\tadmin off\n\tskip_install_trust\n\thttps_port {https}\n\thttp_port {free_port()}\n}}\n"
    file = home.put("/etc/caddy/Caddyfile", ours + (home.folder / "etc/caddy/Caddyfile").read_text("utf-8"))
    with (home.folder / "caddy.log").open("wb") as log:
        process = subprocess.Popen(
            [caddy, "run", "--config", str(file), "--adapter", "caddyfile"],
            env=home.env | {"XDG_DATA_HOME": str(data)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            root = data / "caddy" / "pki" / "authorities" / "local" / "root.crt"
            wait_for(lambda: process.poll() is not None or (root.is_file() and answers(https, root)), "https of Caddy")
            assert process.poll() is None, Path(log.name).read_text("utf-8")
            yield https, root
        finally:
            process.terminate()
            process.wait(LIMIT_S)


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), LIMIT_S)


def answers(port: int, root: Path) -> bool:
    try:
        return get(port, root, "/livez")[0] == 200
    except OSError:
        return False


def get(port: int, root: Path | None, path: str, token: str = "") -> tuple[int, bytes]:
    """What is answered to who types `https://birds.local`: root is the authority that they trust."""
    line = HTTPSConnection(NAME, port, timeout=LIMIT_S, context=trusting(root))
    line._create_connection = lambda *_: dial(port)  # type: ignore[attr-defined]  # the name is in no name server
    try:
        line.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = line.getresponse()
        return answer.status, answer.read()
    finally:
        line.close()


def trusting(root: Path | None) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=root)


def test_who_trusts_the_authority_gets_the_page_and_hears_and_nobody_without_a_token(home: Home, caddy: str) -> None:
    home.env["STREAMCLF_SOURCE"] = "demo"
    with doing("caddy", home) as script:
        script.next()
        script.next()
        assert (script.skip(), script.skip()) == ("sudo systemctl reload caddy", "sudo caddy trust")
    token = (home.folder / ".config/streamclf/token").read_text("utf-8").strip()
    with running(caddy, home) as (port, root):
        the_page_and_the_websocket(port, root, token)


def the_page_and_the_websocket(port: int, root: Path, token: str) -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        get(port, None, "/")
    status, page = get(port, root, "/")
    assert (status, b"<title>" in page) == (200, True)
    assert get(port, root, "/v1/status")[0] == 401
    status, body = get(port, root, "/v1/status", token)
    assert (status, [stream["name"] for stream in json.loads(body)["streams"]]) == (200, ["demo"])

    seen = asyncio.run(heard_through(f"wss://{NAME}:{port}/v1?tier=frame", port, root, token))
    assert seen[0] == "hello"


async def heard_through(address: str, port: int, root: Path, token: str) -> list[str]:
    """Types of the messages to the first row; without the token there are none.

    Not by the library's client of threads, of which two then share what OpenSSL gives to one; once neither went on.
    """
    with pytest.raises(InvalidStatus, match="401"):
        await connect(address, ssl=trusting(root), sock=dial(port))
    headers = {"Authorization": f"Bearer {token}"}
    page_of = Origin(f"https://{NAME}:{port}")  # as a browser says
    wish = connect(address, ssl=trusting(root), sock=dial(port), origin=page_of, additional_headers=headers)
    async with asyncio.timeout(LIMIT_S), wish as line:
        seen = [json.loads(await line.recv())["type"]]
        while seen[-1] != "scores":
            seen.append(json.loads(await line.recv())["type"])
    return seen
