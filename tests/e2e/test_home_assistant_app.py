"""The app for Home Assistant: its run.py starts the real daemon, which a real broker tells of, behind ingress' headers.

The Supervisor itself is not here: a small HTTP server gives its documented answer about the broker.
"""

import asyncio
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from streamclf.audio.sources.demo import DEMO_FILE
from tests.support.broker import Broker
from tools.lab.daemon import Daemon, clean_env, free_port
from tools.lab.load import patience

aiomqtt = pytest.importorskip("aiomqtt", reason="aiomqtt is absent (pip install streamclf[alerts])")
yaml = pytest.importorskip("yaml", reason="PyYAML is absent (it comes with mkdocs)")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

APP = Path(__file__).resolve().parents[2] / "examples" / "home-assistant" / "app"
LIMIT_S = 60.0


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    found = Broker(tmp_path)
    found.start()
    yield found
    found.stop()


TOLD: list[tuple[str, Any]] = []
"""What the stand-in of the Supervisor was told: where, and what."""


@pytest.fixture
def supervisor(broker: Broker) -> Iterator[str]:
    """Its address; it answers as the Supervisor's API documents `GET /services/mqtt` and `POST /discovery`."""
    TOLD.clear()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.headers["Authorization"] == "Bearer of-the-supervisor"
            data = {"host": "127.0.0.1", "port": broker.port, "username": "", "password": "", "ssl": False}
            body = json.dumps({"result": "ok", "data": data}).encode()
            self.send_response(200 if self.path == "/services/mqtt" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            TOLD.append((self.path, json.loads(self.rfile.read(int(self.headers["Content-Length"])))))
            body = b'{"result": "ok", "data": {"uuid": "1"}}'
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def started(home: Path, supervisor: str, *, ingress: str, wyoming: int = 0) -> Daemon:
    """run.py with the options that config.yaml has, but for the sources. wyoming: the port for satellites, 0: none."""
    data = home / "data"
    data.mkdir()
    options = yaml.safe_load((APP / "config.yaml").read_text())["options"]
    options |= {"sources": [f"file:{DEMO_FILE}#loop=yes&name=garden"], "models": ["default"]}
    if wyoming:
        options["sources"] += ["push:kitchen,16000"]
        options |= {"wyoming": True, "wyoming_from": "127.0.0.1"}
    (data / "options.json").write_text(json.dumps(options))
    port = free_port()
    env = clean_env(home) | {
        "APP_DATA": str(data),
        "APP_SUPERVISOR": supervisor,
        "APP_INGRESS": ingress,
        "APP_PORT": str(port),
        "APP_WYOMING": str(wyoming),
        "SUPERVISOR_TOKEN": "of-the-supervisor",
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
    }
    # of the container, and no keys of the configuration
    log = home / "app.log"
    with log.with_suffix(".out").open("wb") as out, log.with_suffix(".err").open("wb") as err:
        process = subprocess.Popen([sys.executable, APP / "run.py"], env=env, cwd=home, stdout=out, stderr=err)
    return Daemon(process, port, log)


def test_a_broker_tells_home_assistant_of_it_and_others_need_a_token(
    tmp_path: Path, broker: Broker, supervisor: str
) -> None:
    running = started(tmp_path, supervisor, ingress="192.0.2.1")
    try:
        running.wait_ready()
        found = asyncio.run(retained(broker.port, "homeassistant/binary_sensor/streamclf_garden/bird_state/config"))
        assert (found["device_class"], found["state_topic"]) == ("sound", "streamclf/garden/bird/state")
        assert running.get("/v1/events")[0] == 401
        token = (tmp_path / "data" / "token").read_text()
        assert (tmp_path / "data" / "token").stat().st_mode & 0o777 == 0o600
        assert running.get(f"/v1/events?token={token}")[0] == 200
    finally:
        running.stop()
    assert "Traceback" not in running.stderr, running.stderr


async def retained(port: int, topic: str) -> dict[str, Any]:
    async with asyncio.timeout(LIMIT_S * patience()), aiomqtt.Client("127.0.0.1", port) as client:
        await client.subscribe(topic)
        async for message in client.messages:
            told: dict[str, Any] = json.loads(message.payload)
            return told
    raise AssertionError("the broker went away")


def test_the_supervisor_is_told_where_satellites_connect_to(tmp_path: Path, supervisor: str) -> None:
    pytest.importorskip("wyoming", reason="wyoming is absent (pip install streamclf[wyoming])")
    from wyoming.client import AsyncTcpClient
    from wyoming.info import Describe, Info

    port = free_port()
    running = started(tmp_path, supervisor, ingress="192.0.2.1", wyoming=port)
    beside: list[psutil.Process] = []

    async def labels() -> list[str]:
        async with AsyncTcpClient("127.0.0.1", port) as client:
            await client.write_event(Describe().event())
            event = await client.read_event()
            assert event is not None
            return [model.name for program in Info.from_event(event).wake for model in program.models]

    try:
        running.wait_ready()
        beside = psutil.Process(running.process.pid).children()
        assert [
            ("/discovery", {"service": "wyoming", "config": {"uri": f"tcp://{socket.gethostname()}:{port}"}})
        ] == TOLD
        assert "bird" in asyncio.run(labels())
    finally:
        running.stop()
        for process in beside:  # a container ends with all that runs in it
            process.kill()


def test_what_the_supervisor_reads_fits_what_run_py_reads() -> None:
    config = yaml.safe_load((APP / "config.yaml").read_text())
    assert config["ingress"] is True
    assert config["init"] is True, "the image has no init of its own, and programs of sinks may leave something behind"
    assert config["slug"] == "streamclf"
    assert set(config["options"]) == set(config["schema"])
    translated = yaml.safe_load((APP / "translations" / "en.yaml").read_text())["configuration"]
    assert set(translated) == set(config["options"])
    text = (APP / "run.py").read_text()
    for option in config["options"]:
        assert re.search(rf"options(\.get\(|\[)[\"']{option}[\"']", text), f"run.py does not read {option}"
    assert str(config["ingress_port"]) in text
    dockerfile = (APP / "Dockerfile").read_text()
    assert "COPY run.py /run.py" in dockerfile
