"""`streamclf alerts test` beside the real daemon, to real receivers."""

import json
from pathlib import Path

import pytest

from tests.conftest import StartDaemon
from tests.e2e.test_alerts import write_rules
from tests.support.broker import Broker
from tools.lab.daemon import run_cli
from tools.lab.receiver import http_receiver
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e

pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")


def test_a_broker_is_asked_before_the_first_alert(tmp_path: Path) -> None:
    pytest.importorskip("aiomqtt", reason="aiomqtt is absent (pip install streamclf[alerts])")
    broker = Broker(tmp_path)
    rules = f'[sink.home]\ntype = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\n'
    (tmp_path / "rules.toml").write_text(rules)
    gone = run_cli("rules", "check", str(tmp_path / "rules.toml"), home=tmp_path)
    broker.start()
    try:
        there = run_cli("rules", "check", str(tmp_path / "rules.toml"), home=tmp_path)
    finally:
        broker.stop()
    assert (gone.returncode, there.returncode) == (78, 0), gone.stderr + there.stderr
    assert f"rules.toml:1: sink.home: 127.0.0.1:{broker.port}: " in gone.stderr
    assert "is good: 0 rules and 1 sink" in there.stdout


def test_the_running_daemon_sends_a_marked_test_once(tmp_path: Path, daemon: StartDaemon) -> None:
    env = {"STREAMCLF_RULES": str(tmp_path / "rules.toml"), "STREAMCLF_STORE_PATH": str(tmp_path / "store")}
    with http_receiver() as receiver:
        receiver.answers = [(204, {}, b""), (503, {}, b"")]
        sinks = (
            '[sink.broken]\ntype = "webhook"\nurl = "http://127.0.0.1:1/"\nsecret_file = "/no/such"\nprivate = true\n'
        )
        write_rules(
            tmp_path / "rules.toml",
            receiver,
            'name = "each"\nlabels = ["loud"]\nsinks = ["hook", "broken"]',
            sinks=sinks,
        )
        running = daemon("--source", "push:x,16000", "--model", str(stateful_pack(tmp_path / "pack")), env=env)
        both = run_cli("alerts", "test", "each", home=tmp_path, env=env)
        refused = run_cli("alerts", "test", "hook", home=tmp_path, env=env)
        running.stop()
    listed = run_cli("alerts", "list", "--format", "ndjson", home=tmp_path, env=env).stdout.splitlines()

    assert "sent by the running daemon" in both.stdout
    assert "broken did not take the test" in both.stderr, both.stdout + both.stderr
    assert "secret_file /no/such cannot be read" in both.stdout
    assert "it answered 503" in refused.stdout
    assert (both.returncode, refused.returncode) == (1, 1)
    assert len(receiver.requests) == 2
    told = receiver.requests[0].data
    assert (told["test"], told["stage"], told["rule"], told["label"]) == (True, "test", "each", "loud")
    assert told["message"].startswith("TEST: loud on test")
    assert sorted((entry["sink"], entry["state"]) for entry in map(json.loads, listed)) == [
        ("broken", "dead"), ("hook", "dead"), ("hook", "sent"),
    ]  # fmt: skip
