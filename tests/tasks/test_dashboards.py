"""What somebody wants who builds dashboards and watches machines, done with the documents alone."""

import json
import shutil
import socket
import ssl
import subprocess
import urllib.request
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from streamclf.audio.sources.demo import DEMO_FILE
from tests.support.home import LIMIT_S, Home, doing, heard
from tools.lab.daemon import free_port
from tools.lab.receiver import http_receiver

pytestmark = pytest.mark.e2e
STREAMS = 100


def test_a_program_is_told_by_webhook(garden: Home) -> None:
    pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")
    with http_receiver() as receiver, doing("webhook", garden, shared=True) as script:
        garden.given = {"http://127.0.0.1:9090/birds": receiver.url}
        script.next()
        script.next()
        (first, *_) = receiver.wait_for(1, LIMIT_S)
    assert first.data["label"] == "bird"


def test_what_happened_since_yesterday(garden: Home) -> None:
    heard(garden)
    with doing("yesterday", garden, shared=True) as script:
        answer = json.loads(script.next())
    assert {event["label"] for event in answer["events"]} == {"bird"}


def test_labels_in_python(garden: Home) -> None:
    with doing("python", garden, shared=True) as script:
        assert "label='bird'" in script.next(until="Event(")


def test_a_page_of_my_own(home: Home) -> None:
    port = free_port()
    home.given = {"8000": str(port)}
    with doing("dashboard", home) as script:
        server = subprocess.Popen(
            ["bash", "-c", f"exec {script.skip()}"], cwd=home.folder, env=home.env,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            home.env["STREAMCLF_SOURCE"] = "demo"
            script.next()
        finally:
            server.kill()
            server.wait()
    with connect(f"ws://127.0.0.1:{home.port}/v1", origin=Origin(f"http://127.0.0.1:{port}")) as page:
        assert json.loads(page.recv(LIMIT_S))["type"] == "hello"
    with pytest.raises(InvalidStatus, match="403"):
        connect(f"ws://127.0.0.1:{home.port}/v1", origin=Origin("http://127.0.0.1:1"))
    home.daemons[0].wait_for("--origin http://127.0.0.1:1", LIMIT_S)  # the log says how to let it in


def test_a_hundred_streams(home: Home) -> None:
    (home.folder / "yard").mkdir()
    for number in range(STREAMS):
        short = home.folder / "yard" / f"{number:03}.flac"
        if number:
            short.hardlink_to(home.folder / "yard" / "000.flac")
        else:
            _one_second(short)
    with doing("hundred", home) as script:
        script.next()
        found = script.next()
    assert {f"{number:03}" for number in range(STREAMS)} == {
        line.split()[3] for line in found.splitlines() if "bird" in line
    }


def _one_second(path: Path) -> None:
    import soundfile

    samples, rate = soundfile.read(DEMO_FILE, start=0)
    # the loudest song in it
    soundfile.write(path, samples[17 * rate // 2 : 19 * rate // 2], rate)


def test_others_may_look_and_no_more(home: Home) -> None:
    home.env["STREAMCLF_SOURCE"] = "demo"
    with doing("others", home) as script:
        for _ in range(3):
            script.next()
        assert json.loads(script.next())["streams"][0]["name"] == "demo"
    assert home.daemons[0].get("/v1/status")[0] == 401
    labels = (home.folder / ".config/streamclf/labels").read_text().strip()
    refused = home.type(f"curl -s -o /dev/null -w '%{{http_code}}' -H 'Authorization: Bearer {labels}' "
                        f"http://127.0.0.1:{home.port}/metrics")  # fmt: skip
    assert refused == "403"
    assert '"type":"hello"' in home.first_with("hello", "streamclf listen"), "ours is found"
    with doing("prometheus", home) as script:
        assert "streamclf_frames_total" in script.next()
        assert json.loads(script.next())["status"] in ("ok", "degraded", "down")


def test_https_at_home(home: Home) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    home.env["STREAMCLF_SOURCE"] = "demo"
    (home.folder / ".config/streamclf").mkdir(parents=True)
    with doing("https", home) as script:
        script.next()
        command = script.skip()
    home.start(command, wait=False).wait_for("listening on", LIMIT_S)
    trusted = ssl.create_default_context(cafile=home.folder / ".config/streamclf/fullchain.pem")
    line = socket.create_connection(("127.0.0.1", home.port), LIMIT_S)
    with connect(f"wss://birds.local:{home.port}/v1", ssl=trusted, sock=line) as page:
        assert json.loads(page.recv(LIMIT_S))["type"] == "hello"
    with pytest.raises(OSError, match="certificate"):
        urllib.request.urlopen(f"https://127.0.0.1:{home.port}/", timeout=LIMIT_S)
