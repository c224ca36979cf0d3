"""Rules through the real program: mistakes refused, a day's sound judged, and `why` afterwards."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.conftest import StartDaemon
from tools.lab.daemon import run_cli
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = pytest.mark.e2e

RULES = """
[sink.log]
type = "ndjson"
path = "{log}"

[[rule]]
name = "once"
labels = "loud"
cooldown_s = 3600

[[rule]]
name = "long"
labels = "loud"
stage = "confirmed"
min_duration_ms = 60000
"""


def tones(path: Path, onsets_s: list[float], *, seconds: float, length_s: float = 0.5) -> Path:
    """Silence with loud tones at these times."""
    samples = np.zeros(int(seconds * RATE), dtype=np.float32)
    for onset_s in onsets_s:
        at = int(onset_s * RATE)
        samples[at : at + int(length_s * RATE)] = 0.5 * np.sin(2 * np.pi * 440 * np.arange(int(length_s * RATE)) / RATE)
    soundfile.write(path, samples, RATE)
    return path


def test_what_was_told_and_what_was_not_is_explained_afterwards(tmp_path: Path, daemon: StartDaemon) -> None:
    log, rules = tmp_path / "alerts.ndjson", tmp_path / "rules.toml"
    rules.write_text(RULES.format(log=log))
    sound = tones(tmp_path / "garden.wav", [1.0, 2.5], seconds=4)
    env = {
        "STREAMCLF_STORE_PATH": str(tmp_path / "store"),
        "STREAMCLF_SCORES_ENABLED": "true",
        "STREAMCLF_RULES": str(rules),
    }
    pack = str(stateful_pack(tmp_path / "pack"))
    running = daemon("--source", f"file:{sound}", "--model", pack, "--until-end", env=env)
    assert running.wait(60) == 0

    events = run_cli("events", "--format", "ndjson", home=tmp_path, env=env).stdout.splitlines()
    first, second = [event for event in map(json.loads, events) if event["label"] == "loud"]
    assert len(log.read_text().splitlines()) == 1

    told = " ".join(run_cli("why", first["id"], home=tmp_path, env=env).stdout.split())
    assert "rule once: told gate passed why cool-down yes cool-down: not told before" in told
    assert "rule long: not told gate passed why duration NO duration 0." in told
    assert "alert " in told
    held_back = " ".join(run_cli("why", second["id"], home=tmp_path, env=env).stdout.split())
    assert "rule once: not told gate passed why cool-down NO cool-down, 60 min left" in held_back

    around = run_cli("why", second["onset"], "--around", "0.3", home=tmp_path, env=env).stdout
    assert f"event {second['id']}" in around
    assert f"event {first['id']}" not in around
    assert "loud" in around.partition("nearest labels")[2]


def test_a_file_with_mistakes_is_refused_with_all_of_them(tmp_path: Path, free_port: int) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text('[[rule]]\nname = "r"\nlabels = "laud"\nstage = "closed"\n[[rule]]\nname = "r"\n')
    args = ("--model", str(stateful_pack(tmp_path / "pack")), "--rules", str(rules), "--port", str(free_port))

    checked = run_cli("rules", "check", str(rules), home=tmp_path, env={"STREAMCLF_MODEL": args[1]})
    refused = run_cli("run", "--source", "demo", *args, home=tmp_path)

    assert checked.returncode == refused.returncode == 78
    assert [line.split(": ")[0] for line in checked.stdout.splitlines()] == [f"{rules}:{n}" for n in (4, 5, 6)]
    assert checked.stderr == f"streamclf: error: {rules} has 3 mistakes; mend the lines above\n"
    assert refused.stderr.startswith(
        f"streamclf: error: {rules}:4: rule \"r\": stage: 'closed' cannot stand here; did "
    )
    assert len(refused.stderr.splitlines()) == 1


def test_nothing_kept_is_a_sentence(tmp_path: Path) -> None:
    done = run_cli("why", "06:30", home=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("streamclf: error: no events have been kept in ")
    assert len(done.stderr.splitlines()) == 1
