"""https and wss by a certificate of the user's own: the real handshake, its mistakes, and a pair that is renewed."""

import asyncio
import json
import os
import socket
import ssl
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.asyncio.client import connect

from streamclf.client import Client
from streamclf.errors import ConfigError
from streamclf.protocol import wire
from streamclf.serve.http import server as server_module
from streamclf.serve.http.server import Server
from streamclf.serve.http.tls import load, trusting
from tests.conftest import StartDaemon
from tests.support.certificates import make_pair
from tests.support.server import TOKEN, run, serving, take
from tools.lab.daemon import run_cli
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = pytest.mark.e2e

LIMIT_S = 60.0


async def request(port: int, path: str, trust: ssl.SSLContext, *headers: str) -> tuple[str, bytes]:
    """Head and body of an answer over https."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    lines = "".join(f"{line}\r\n" for line in (f"Host: 127.0.0.1:{port}", *headers))
    writer.write(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
    head, _, body = (await asyncio.wait_for(reader.read(), LIMIT_S)).partition(b"\r\n\r\n")
    writer.close()
    return head.decode(), body


async def name_on(port: int) -> str:
    """What the certificate is called that a new connection gets."""
    trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust)
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    return "first" if b"first" in der else "second"


def test_the_one_port_speaks_https_and_wss_and_the_cookie_goes_over_https_alone(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path, "birds")

    async def main() -> None:
        async with serving(certificate=load(str(certificate), str(key)), token=TOKEN) as running:
            trust = trusting(certificate)
            health, _ = await request(running.port, "/healthz", trust)
            login = ("X-Streamclf: page", f"Authorization: Bearer {TOKEN}")
            head, _ = await request(running.port, "/v1/login", trust, *login)
            async with connect(f"{running.own_url}?token={TOKEN}", ssl=trust) as client:
                hello = await take(client)
                await client.send("x" * 300_000)  # too big: the end of a connection over TLS
                await client.wait_closed()
            messages = Client(running.own_url, token=TOKEN, trust=running.trust(), reconnect=False).messages()
            first = await anext(messages)
            await messages.aclose()
            with pytest.raises(ssl.SSLError):
                await connect(running.own_url).__aenter__()
            assert (running.address, running.own_url[:6]) == (f"https://127.0.0.1:{running.port}", "wss://")

        pair = load(str(certificate), str(key))
        assert pair is not None
        assert pair.context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert health.startswith("HTTP/1.1 200 ")
        assert "; Secure" in next(line for line in head.split("\r\n") if line.startswith("Set-Cookie"))
        assert hello["type"] == "hello"
        assert isinstance(first, wire.Hello)

    run(main)


def test_who_does_not_shake_hands_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamclf.serve.http import door

    monkeypatch.setattr(door, "HANDSHAKE_LIMIT_S", 0.2)
    certificate, key = make_pair(tmp_path, "birds")

    async def main() -> None:
        async with serving(certificate=load(str(certificate), str(key)), connections=3) as running:
            for words in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01"):
                sock = socket.create_connection(("127.0.0.1", running.port))
                sock.sendall(words)
                sock.setblocking(False)
                loop = asyncio.get_running_loop()
                with suppress(ConnectionResetError):
                    while await asyncio.wait_for(loop.sock_recv(sock, 100), LIMIT_S):
                        pass
                sock.close()
            async with asyncio.timeout(LIMIT_S):
                while running._door.number:
                    await asyncio.sleep(0.01)
            async with connect(running.own_url, ssl=trusting(certificate)) as client:
                assert (await take(client))["type"] == "hello"

    run(main)


def test_a_renewed_pair_is_taken_up_and_a_broken_one_is_told_and_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(server_module, "CHECK_EVERY_S", 0.05)
    certificate, key = make_pair(tmp_path, "first")
    new_certificate, new_key = make_pair(tmp_path, "second")

    async def until(running: Server, name: str) -> None:
        async with asyncio.timeout(LIMIT_S):
            while await name_on(running.port) != name:
                await asyncio.sleep(0.02)

    async def main() -> None:
        async with serving(certificate=load(str(certificate), str(key))) as running:
            await until(running, "first")
            os.replace(new_certificate, certificate)  # its key is not there yet
            async with asyncio.timeout(LIMIT_S):
                while "the certificate in use stays" not in caplog.text:
                    await asyncio.sleep(0.02)
            assert await name_on(running.port) == "first"
            os.replace(new_key, key)
            await until(running, "second")

    with caplog.at_level("INFO", logger="streamclf"):
        run(main)
    assert caplog.text.count("is not the key of") == 1


def test_a_certificate_that_has_expired_or_soon_does_is_a_problem_until_it_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = make_pair(tmp_path, "first")  # for two days
    renewed, its_key = make_pair(tmp_path, "second")
    pair = load(str(certificate), str(key))
    assert pair is not None
    now_s = time.time()

    def told(in_s: float) -> list[tuple[str, str]]:
        monkeypatch.setattr(time, "time", lambda: now_s + in_s)
        return [
            (problem.grade, problem.what.removeprefix(f"the certificate {certificate} ")[:10])
            for problem in pair.found()
        ]

    assert told(0.0) == []
    assert told(1.8 * 86_400) == [("advice", "expires on")]
    assert told(2.1 * 86_400) == [("degraded", "has expire")]
    os.replace(renewed, certificate)
    os.replace(its_key, key)
    assert pair.refresh()
    assert told(0.0) == []


def test_a_pair_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    certificate, key = make_pair(tmp_path, "one")
    _, other = make_pair(tmp_path, "other")
    _, locked = make_pair(tmp_path, "locked", password="word for word")
    nonsense = tmp_path / "nonsense"
    nonsense.write_text("no PEM")
    nonsense.chmod(0o600)
    absent = tmp_path / "absent"
    cases: list[tuple[Any, Any, str]] = [
        (certificate, other, "is not the key of server.certificate"),
        (certificate, locked, "is encrypted; give a key without a password"),
        (certificate, nonsense, "cannot be used"),
        (nonsense, key, "cannot be used"),
        (certificate, absent, f"server.key {absent} cannot be read: No such file"),
        (absent, key, f"server.certificate {absent} cannot be read: No such file"),
        ("", key, "server.key is set and server.certificate is not"),
    ]

    for one, two, words in cases:
        with pytest.raises(ConfigError) as refused:
            load(str(one), str(two))
        assert words in str(refused.value)
        assert "\n" not in str(refused.value)
    key.chmod(0o644)
    with pytest.raises(ConfigError, match="every user of this machine can use it; run: chmod o-rwx"):
        load(str(certificate), str(key))
    assert load("", "") is None


def test_a_daemon_with_a_certificate_tests_itself_over_tls_and_refuses_a_wrong_pair(
    tmp_path: Path, daemon: StartDaemon
) -> None:
    certificate, key = make_pair(tmp_path, "one")
    _, other = make_pair(tmp_path, "other")
    pack = str(stateful_pack(tmp_path / "pack"))
    words = ["--source", "push:mic,16000", "--model", pack, "--certificate", str(certificate)]
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE * 6 // 10) / RATE)
    soundfile.write(tmp_path / "known.wav", tone.astype(np.float32), RATE)
    env = {
        "STREAMCLF_SELFTEST_ENABLED": "true",
        "STREAMCLF_SELFTEST_SOUND": str(tmp_path / "known.wav"),
        "STREAMCLF_SELFTEST_LABEL": "loud",
        "STREAMCLF_SELFTEST_BUDGET_MS": "30000",
    }
    running = daemon(*words, "--key", str(key), env=env, ready=False)
    running.wait_for("listening on https://127.0.0.1", 60)

    async def passed() -> None:
        async with asyncio.timeout(LIMIT_S):
            while True:
                _, body = await request(running.port, "/v1/status", trusting(certificate))
                _, counts = await request(running.port, "/metrics", trusting(certificate))
                assert b'streamclf_selftests_total{outcome="failed"} 0.0' in counts, json.loads(body)
                if b'streamclf_selftests_total{outcome="passed"} 1.0' in counts:
                    return
                await asyncio.sleep(0.2)

    asyncio.run(passed())
    refused = run_cli("run", *words, "--key", str(other), "--no-store", home=tmp_path)

    assert refused.returncode == 78
    assert len(refused.stderr.splitlines()) == 1
    assert "is not the key of server.certificate" in refused.stderr
