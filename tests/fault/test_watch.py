"""`[watch]` of a real daemon: a stream that stands still and a disk that is full are told, once, and their end too."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import StartDaemon
from tests.support.disks import mounted
from tools.lab.daemon import run_cli
from tools.lab.receiver import WebhookReceiver, http_receiver
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = pytest.mark.e2e

pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")

LIMIT_S = 40.0


class Feeder:
    """Noise in real time into a pipe, while it is `going`."""

    def __init__(self) -> None:
        self.reading, self._writing = os.pipe()
        self.going = threading.Event()
        self.going.set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._feed)
        self._thread.start()

    def _feed(self) -> None:
        noise = (np.random.default_rng(1).normal(0, 0.01, RATE // 50) * 32767).astype("<i2").tobytes()
        while not self._over.wait(0.02):
            if self.going.is_set():
                os.write(self._writing, noise)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._writing)


@pytest.fixture
def feeder() -> Iterator[Feeder]:
    feeding = Feeder()
    yield feeding
    feeding.stop()
    os.close(feeding.reading)


def settings(tmp_path: Path, hooks: WebhookReceiver, *lines: str) -> dict[str, str]:
    (tmp_path / "rules.toml").write_text(f'[sink.hook]\ntype = "webhook"\nurl = "{hooks.url}"\nprivate = true\n')
    (tmp_path / "config.toml").write_text("\n".join([f'rules = "{tmp_path}/rules.toml"', *lines, "[watch]",
        'sinks = ["hook"]', 'after = "0.3 s"', "heartbeat_private = true",
        f'heartbeat_file = "{tmp_path}/heartbeat.url"']))  # fmt: skip
    return {"STREAMCLF_CONFIG": str(tmp_path / "config.toml")}


def until(there: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not there():
        assert time.monotonic() < deadline, f"{what} did not come about within {LIMIT_S:.0f} s"
        time.sleep(0.05)


def told(hooks: WebhookReceiver) -> list[tuple[str, str, str]]:
    return [(request.data["rule"], request.data["stage"], request.data["label"]) for request in list(hooks.requests)]


def test_a_stream_that_stands_still_is_told_once_and_when_it_is_well(
    tmp_path: Path, daemon: StartDaemon, feeder: Feeder
) -> None:
    with http_receiver() as hooks, http_receiver() as beats:
        (tmp_path / "heartbeat.url").write_text(f"http://127.0.0.1:{beats.port}/ping/s3cret\n")
        env = settings(tmp_path, hooks)
        pack = str(stateful_pack(tmp_path / "pack"))
        running = daemon("--source", f"pipe:{RATE}#name=garden", "--model", pack, env=env, stdin=feeder.reading)
        assert beats.wait_for(1, LIMIT_S)[0].path == "/ping/s3cret"
        feeder.going.clear()
        lost = hooks.wait_for(1, LIMIT_S)[0].data
        seen = running.get_json("/v1/status")["watch"]
        feeder.going.set()
        well = hooks.wait_for(2, LIMIT_S)[1].data
        status = running.get_json("/v1/status")["watch"]
        running.stop()

    assert told(hooks)[:2] == [("watch", "problem", "stream"), ("watch", "well", "stream")]
    assert lost["message"].startswith("garden is stalled")
    assert well["message"].startswith("garden is well again after")
    assert (lost["test"], lost["event"]["stream"]) == (False, "garden")
    assert [(one["kind"], one["stream"], one["told"]) for one in seen["problems"]] == [("stream", "garden", True)]
    assert (status["sinks"], status["problems"], status["heartbeat_problem"]) == (["hook"], [], "")
    assert status["heartbeat_ms"] > 0
    assert "s3cret" not in running.stderr


def test_a_full_disk_is_told_though_nothing_can_be_written(tmp_path: Path, daemon: StartDaemon) -> None:
    disk = tmp_path / "disk"
    with mounted(disk, "-t", "tmpfs", "-o", "size=20m", "tmpfs"), http_receiver() as hooks, http_receiver() as beats:
        (tmp_path / "heartbeat.url").write_text(f"http://127.0.0.1:{beats.port}/ping")
        env = settings(tmp_path, hooks, "[store]", f'path = "{disk}/store"', "headroom_mb = 1", "ballast_mb = 0")
        env["STREAMCLF_STORE_PATH"] = f"{disk}/store"
        running = daemon("--source", "push:x,16000", "--model", str(stateful_pack(tmp_path / "pack")), env=env)
        beats.wait_for(1, LIMIT_S)
        with (disk / "filler").open("wb") as filler:
            while os.statvfs(disk).f_bavail:
                filler.write(bytes(4096))
                filler.flush()
        full = hooks.wait_for(1, LIMIT_S)[0].data
        assert not os.statvfs(disk).f_bavail
        (disk / "filler").unlink()
        hooks.wait_for(2, LIMIT_S)
        until(lambda: listed(tmp_path, env) == [("problem", "sent"), ("well", "sent")], "both in the log of alerts")
        running.stop()

    assert [(rule, stage, label) for rule, stage, label in told(hooks)] == [
        ("watch", "problem", "store"), ("watch", "well", "store"),
    ]  # fmt: skip
    assert "0 MB are free" in full["message"] or "full" in full["message"]


def listed(tmp_path: Path, env: dict[str, str]) -> list[tuple[str, str]]:
    lines = run_cli("alerts", "list", "--format", "ndjson", home=tmp_path, env=env).stdout.splitlines()
    return [(entry["alert"]["stage"], entry["state"]) for entry in map(json.loads, lines)]
