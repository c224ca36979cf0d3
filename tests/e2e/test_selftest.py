"""The self-test of a real daemon: a known sound comes back to a subscriber, or health and a sink are told."""

import json
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.conftest import StartDaemon
from tools.lab.daemon import Daemon, run_cli
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = pytest.mark.e2e

LIMIT_S = 40.0


def settings(tmp_path: Path, *, amplitude: float, label: str = "loud") -> dict[str, str]:
    """A tone of 0.6 s as the known sound, a rules file with a sink, and a store."""
    tone = amplitude * np.sin(2 * np.pi * 440 * np.arange(RATE * 6 // 10) / RATE)
    soundfile.write(tmp_path / "known.wav", tone.astype(np.float32), RATE)
    (tmp_path / "rules.toml").write_text(
        f'[sink.file]\ntype = "ndjson"\npath = "{tmp_path / "alerts.ndjson"}"\n'
        '[[rule]]\nname = "loud"\nlabels = ["loud"]\nsinks = ["file"]\n'
    )
    return {
        "STREAMCLF_SELFTEST_ENABLED": "true",
        "STREAMCLF_SELFTEST_SOUND": str(tmp_path / "known.wav"),
        "STREAMCLF_SELFTEST_LABEL": label,
        "STREAMCLF_SELFTEST_SINKS": "file",
        "STREAMCLF_SCORES_ENABLED": "true",
        "STREAMCLF_RULES": str(tmp_path / "rules.toml"),
        "STREAMCLF_STORE_PATH": str(tmp_path / "store"),
    }


def get(daemon: Daemon, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{daemon.port}{path}", timeout=10) as answer:
            text: str = answer.read().decode()
    except urllib.error.HTTPError as refused:
        text = refused.read().decode()
        refused.close()
    return text


def wait_for_metric(daemon: Daemon, line: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while line not in get(daemon, "/metrics"):
        assert time.monotonic() < deadline, f"{line} did not come within {LIMIT_S:.0f} s:\n{daemon.stderr}"
        time.sleep(0.1)


def wait_for_health(daemon: Daemon, status: str, problems: list[str]) -> None:
    """Returns when that is all that health tells; on a busy machine rows may be late for a while."""
    deadline = time.monotonic() + LIMIT_S
    while (found := json.loads(get(daemon, "/healthz")))["problems"] != problems or found["status"] != status:
        assert time.monotonic() < deadline, f"health is {found}"
        time.sleep(0.1)


def events(tmp_path: Path, env: dict[str, str], *args: str) -> list[dict[str, Any]]:
    told = run_cli("events", "--format", "ndjson", *args, home=tmp_path, env=env)
    return [json.loads(line) for line in told.stdout.splitlines()]


def test_a_known_sound_comes_back_and_counts_for_nothing(tmp_path: Path, daemon: StartDaemon) -> None:
    # how soon it comes back is the budget's own test; a busy machine may need longer than the 5 s of the default
    env = settings(tmp_path, amplitude=0.5) | {"STREAMCLF_SELFTEST_BUDGET_MS": "30000"}
    running = daemon("--source", "push:mic,16000", "--model", str(stateful_pack(tmp_path / "pack")), env=env)
    wait_for_metric(running, 'streamclf_selftests_total{outcome="passed"} 1.0')
    wait_for_health(running, "ok", [])
    running.stop()

    assert [event["label"] for event in events(tmp_path, env, "--test") if event["label"] == "loud"] == ["loud"]
    assert {event["stream"] for event in events(tmp_path, env, "--test")} == {"self-test"}
    assert events(tmp_path, env) == []
    assert not (tmp_path / "alerts.ndjson").exists()
    assert not list((tmp_path / "store").glob("scores/*/*")), "the sound of the self test is in no log"


def test_a_sound_that_does_not_come_back_turns_health_red_and_is_told(tmp_path: Path, daemon: StartDaemon) -> None:
    env = settings(tmp_path, amplitude=0.0) | {"STREAMCLF_SELFTEST_BUDGET_MS": "1000"}
    running = daemon("--source", "push:mic,16000", "--model", str(stateful_pack(tmp_path / "pack")), env=env)
    wait_for_metric(running, 'streamclf_selftests_total{outcome="failed"} 1.0')
    wait_for_metric(running, 'streamclf_deliveries_total{outcome="sent",sink="file"} 1.0')
    problem = "self-test: loud did not reach a subscriber, 1000 ms were allowed"
    wait_for_health(running, "degraded", [problem])
    running.stop()

    (alert,) = [json.loads(line)["data"] for line in (tmp_path / "alerts.ndjson").read_text().splitlines()]
    assert (alert["rule"], alert["message"], alert["test"]) == ("self-test", problem, True)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"STREAMCLF_SELFTEST_LABEL": "unicorn"}, "selftest.label: no pack in use knows 'unicorn'"),
        ({"STREAMCLF_SELFTEST_EVERY_MIN": "0"}, "selftest.every_min = 0: expected a whole number >= 1"),
    ],
)
def test_a_self_test_that_cannot_be_is_refused(tmp_path: Path, change: dict[str, str], sentence: str) -> None:
    env = settings(tmp_path, amplitude=0.5) | change
    pack = str(stateful_pack(tmp_path / "pack"))
    told = run_cli("run", "--source", "push:mic,16000", "--model", pack, home=tmp_path, env=env)
    assert told.returncode == 78
    assert sentence in told.stderr
