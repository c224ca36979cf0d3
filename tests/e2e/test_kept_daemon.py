"""Clips, marks and why on the real daemon, as a page and a command line use them."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
import pytest
import soundfile
from websockets.sync.client import connect

from tests.conftest import StartDaemon
from tools.lab.daemon import Daemon, run_cli
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LIMIT_S = 60.0


@pytest.fixture
def listening(daemon: StartDaemon, tmp_path: Path) -> Daemon:
    """Half a second of noise every two seconds, over and over, with clips and one rule."""
    rng = np.random.default_rng(0)
    sound = np.concatenate([rng.normal(0, 0.002, 3 * RATE // 2), rng.uniform(-0.6, 0.6, RATE // 2)]).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", sound, RATE, subtype="PCM_16")
    (tmp_path / "rules.toml").write_text('[[rule]]\nname = "noise"\nlabels = "loud"\ncooldown_s = 3600\n')
    (tmp_path / "config.toml").write_text(
        f"""
        source = ["file:{tmp_path}/noise.wav#loop=yes&name=mic"]
        rules = "{tmp_path}/rules.toml"
        [clips]
        enabled = true
        pre_ms = 200
        post_ms = 200
        visit_ms = 0
        """
    )
    pack = stateful_pack(tmp_path / "pack")
    return daemon("--model", str(pack), env=settings(tmp_path))


def settings(tmp_path: Path) -> dict[str, str]:
    return {"STREAMCLF_CONFIG": str(tmp_path / "config.toml"), "STREAMCLF_STORE_PATH": str(tmp_path / "store")}


def ask(running: Daemon, path: str, **fields: Any) -> Any:
    return running.get_json(f"/v1/{path}?{urlencode(fields)}")


def with_clip(running: Daemon) -> dict[str, Any]:
    """The first event that has a clip, once there is one."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        for event in ask(running, "events", labels="loud")["events"]:
            if event["clip"]:
                found: dict[str, Any] = event
                return found
        time.sleep(0.2)
    raise AssertionError(f"no event with a clip within {LIMIT_S:.0f} s: {running.stderr}")


def test_what_is_kept_is_heard_explained_marked_and_exported(listening: Daemon, tmp_path: Path) -> None:
    event = with_clip(listening)
    status, clip = listening.get(f"/v1/clip?{urlencode({'event': event['id']})}")
    assert (status, clip[:4]) == (200, b"fLaC")

    found = ask(listening, "why", event=event["id"])
    assert [(rule["rule"], bool(rule["gates"])) for rule in found["rules"]] == [("noise", True)]
    rules = ask(listening, "rules")
    assert rules["rules"][0]["not_told_when"] == "told in the last 1 h"
    moment = ask(listening, "why", stream="mic", at_ns=event["onset_ns"], around_ms=200)
    assert moment["rows"] == "ring"
    assert event["id"] in [why["event"]["id"] for why in moment["events"]]
    loud = next(near for near in moment["packs"][0]["labels"] if near["label"] == "loud")
    assert (loud["event"], loud["said"]) == (event["id"], "is an event")
    day = {"since_ns": event["onset_ns"] - 10**9, "until_ns": event["onset_ns"] + 1}
    assert "loud" in {entry["label"] for entry in ask(listening, "hours", **day)["labels"]}

    env = settings(tmp_path)
    refused = run_cli("events", "mark", event["id"], "wrong", home=tmp_path, env=env)
    assert refused.returncode == 1
    assert "give its address (--url)" in refused.stderr
    with connect(listening.url) as client:
        client.recv(timeout=LIMIT_S)
        client.send(json.dumps({"type": "subscribe", "tier": "events", "labels": ["loud"]}))
        args = ("events", "mark", event["id"], "wrong", "--label", "rain", "--url", listening.url)
        done = run_cli(*args, home=tmp_path, env=env)
        assert (done.returncode, done.stderr) == (0, "")
        while (told := json.loads(client.recv(timeout=LIMIT_S)))["type"] != "marked":
            pass
    assert (told["event"], told["mark"], told["label"]) == (event["id"], "wrong", "rain")
    # beside the daemon: reading needs nobody's leave
    out = tmp_path / "data"
    done = run_cli("events", "export", "--marked", str(out), home=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    (exported,) = (out / "rain").iterdir()
    assert exported.read_bytes() == clip
