"""The examples run as their heads say, against real daemons and a real broker."""

import asyncio
import csv
import io
import os
import queue
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import aiomqtt
import numpy as np
import pytest

from tests.conftest import StartDaemon
from tests.support.broker import Broker
from tools.lab.daemon import Daemon, run_cli
from tools.lab.tinypack import RATE, put_file, stateful_pack

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
WAIT_S = 30.0
POLL_S = 0.05

pytestmark = pytest.mark.e2e


class Lines:
    """A process, line by line."""

    def __init__(self, *command: str) -> None:
        env = {**os.environ, "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="lines")
        self._reader.start()

    def next(self) -> str:
        """The next line that it prints."""
        return self._lines.get(timeout=WAIT_S)

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)


@contextmanager
def lines(*command: str) -> Iterator[Lines]:
    started = Lines(*command)
    try:
        yield started
    finally:
        started.end()


def push(running: Daemon, recording: Path, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(EXAMPLES / "push_client.py"), str(recording), "--daemon", running.url, *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Silence, a second of a loud tone, silence; on the first of two channels."""
    samples = np.zeros((3 * RATE, 2), dtype="<i2")
    samples[RATE : 2 * RATE, 0] = 12_000 * np.sin(np.arange(RATE) * 0.3)
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path


@pytest.fixture
def dogs(tmp_path: Path) -> Path:
    """A pack that calls everything loud a dog, and one of the other classes a bird."""
    folder = stateful_pack(tmp_path / "dogs")
    rows = list(csv.reader(io.StringIO((folder / "labels.csv").read_text())))
    for row, name in ((1, "dog"), (2, "bird")):
        rows[row][rows[0].index("id")] = name
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    put_file(folder, "labels.csv", text.getvalue().encode())
    return folder


def start(daemon: StartDaemon, pack: Path, *more: str) -> Daemon:
    """A daemon that takes a stream from a client; it is not ready before one comes."""
    running = daemon("--source", f"push:garden,{RATE}", "--model", str(pack), *more, ready=False)
    until_metrics_say(running, b"streamclf_subscribers 0")
    return running


def until_metrics_say(running: Daemon, words: bytes) -> None:
    """Waits for a line of /metrics to begin with `words`."""
    for _ in range(int(WAIT_S / POLL_S)):
        with suppress(OSError):
            if b"\n" + words in running.get("/metrics")[1]:
                return
        time.sleep(POLL_S)
    raise AssertionError(f"{words.decode()} was not seen; the daemon said {running.stderr}")


@pytest.mark.parametrize("more", [(), ("--fast",)], ids=["real time", "fast"])
def test_the_push_client_and_the_alert_script(
    daemon: StartDaemon, dogs: Path, recording: Path, more: tuple[str, ...]
) -> None:
    running = start(daemon, dogs)
    with lines(sys.executable, str(EXAMPLES / "alert.py"), "--daemon", running.url) as told:
        until_metrics_say(running, b"streamclf_subscribers 1")
        done = push(running, recording, "--stream", "garden", *more)

        assert (done.returncode, done.stdout) == (0, f"{3 * RATE} samples sent\n"), done.stderr
        assert "dog on garden" in told.next()


def test_the_push_client_says_why_it_may_not_send(daemon: StartDaemon, dogs: Path, recording: Path) -> None:
    refused = push(start(daemon, dogs), recording, "--stream", "kitchen")

    assert refused.returncode == 1
    assert refused.stderr.startswith("the daemon refused: there is no push stream 'kitchen'")


def test_home_assistant_hears_what_its_automation_waits_for(
    daemon: StartDaemon, dogs: Path, recording: Path, tmp_path: Path
) -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    automations: list[dict[str, Any]] = yaml.safe_load((EXAMPLES / "home-assistant" / "automation.yaml").read_text())
    rules = EXAMPLES / "home-assistant" / "rules.toml"
    checked = run_cli("rules", "check", "--offline", str(rules), home=tmp_path)
    assert checked.returncode == 0, checked.stderr
    broker = Broker(tmp_path)
    broker.start()
    try:
        own = tmp_path / "rules.toml"
        own.write_text(rules.read_text().replace('host = "127.0.0.1"\n', f'host = "127.0.0.1"\nport = {broker.port}\n'))
        running = start(daemon, dogs, "--rules", str(own))
        wanted = {trigger["topic"] for automation in automations for trigger in automation["triggers"]}

        asyncio.run(hear(broker, wanted, lambda: push(running, recording, "--stream", "garden")))
    finally:
        broker.stop()


async def hear(broker: Broker, wanted: set[str], act: Callable[[], object]) -> None:
    """Returns when something was published on each topic that is `wanted`; `act` is called meanwhile."""
    left = set(wanted)
    async with asyncio.timeout(WAIT_S), aiomqtt.Client("127.0.0.1", broker.port) as client:
        await client.subscribe("#", qos=1)
        acting = asyncio.create_task(asyncio.to_thread(act))
        async for message in client.messages:
            left.discard(str(message.topic))
            if not left:
                break
        await acting


def test_each_automation_is_whole() -> None:
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    automations = yaml.safe_load((EXAMPLES / "home-assistant" / "automation.yaml").read_text())

    assert len({automation["id"] for automation in automations}) == 3
    for automation in automations:
        assert {trigger["trigger"] for trigger in automation["triggers"]} == {"mqtt"}
        assert all("action" in action for action in automation["actions"])


def test_every_example_says_what_it_does_and_how_to_run_it() -> None:
    # docs/start/container.md, docs/use/home-assistant.md and docs/operate/metrics.md tell of what is apart
    apart = {"__pycache__", "deploy", "app", "grafana"}
    files = [file for file in EXAMPLES.rglob("*") if file.is_file() and not apart & set(file.parts)]

    assert len(files) == 12
    for file in files:
        assert "How to run it" in file.read_text()[:1500], file.name
