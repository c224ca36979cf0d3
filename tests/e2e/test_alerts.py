"""Alerts from sound to receiver, nothing replaced: the real daemon hears, decides, keeps and tells."""

import json
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamclf.audio.resample import Resampler
from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.audio.sources.file import open_blocks
from tests.conftest import StartDaemon
from tests.support.broker import Broker
from tests.support.recordings import bursts
from tools.lab import soundserver
from tools.lab.daemon import Daemon, run_cli
from tools.lab.receiver import WebhookReceiver, http_receiver
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = pytest.mark.e2e

pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")

LIMIT_S = 30.0


def write_rules(path: Path, receiver: WebhookReceiver, *rules: str, sinks: str = "") -> None:
    hook = f'[sink.hook]\ntype = "webhook"\nurl = "{receiver.url}"\nprivate = true\n'
    path.write_text("\n".join([hook, sinks, *(f"[[rule]]\n{rule}\n" for rule in rules)]))


def wait_until(there: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not there():
        assert time.monotonic() < deadline, f"{what} did not come about within {LIMIT_S:.0f} s"
        time.sleep(0.02)


def wait_for_lines(count: int, *paths: Path) -> None:
    """Until each file has as many whole lines: every sink is told in its own time."""
    wait_until(
        lambda: all(path.exists() and path.read_text().count("\n") == count for path in paths),
        f"{count} lines in {', '.join(path.name for path in paths)}",
    )


def problem_of(daemon: Daemon, what: str) -> str:
    """The problem that health tells and that begins so, "" where there is none; a busy machine may have others."""
    return next((problem for problem in health(daemon)["problems"] if problem.startswith(what)), "")


def health(daemon: Daemon) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{daemon.port}/healthz", timeout=10) as answer:
            found: dict[str, Any] = json.loads(answer.read())
    except urllib.error.HTTPError as refused:
        found = json.loads(refused.read())
        refused.close()
    return found


def test_each_rule_tells_each_sink_of_exactly_what_it_is_for(tmp_path: Path, daemon: StartDaemon) -> None:
    sound = bursts(tmp_path / "garden.wav", [1.0, 3.0, 5.0], seconds=7.5)
    told = tmp_path / "script.ndjson"
    env = {
        "STREAMCLF_RULES": str(tmp_path / "rules.toml"),
        "STREAMCLF_STORE_PATH": str(tmp_path / "store"),
        "STREAMCLF_SCORES_ENABLED": "true",
    }
    script = f"import sys; open({str(told)!r}, 'a').write(sys.stdin.read())"
    sinks = (
        f'[sink.file]\ntype = "ndjson"\npath = "{tmp_path / "alerts.ndjson"}"\n'
        f"[sink.script]\ntype = \"command\"\nargv = [{sys.executable!r}, '-c', {json.dumps(script)}]\n"
    )
    with http_receiver() as receiver:
        write_rules(
            tmp_path / "rules.toml",
            receiver,
            'name = "each"\nlabels = ["loud"]\nsinks = ["hook", "file", "script"]',
            'name = "cool"\nlabels = ["loud"]\ncooldown_s = 3\nsinks = ["hook"]',
            'name = "ends"\nlabels = ["loud"]\nstage = "close"\nmin_duration_ms = 400\nsinks = ["hook"]',
            'name = "third"\nlabels = ["loud"]\ncount = 3\nwithin_min = 1\nsinks = ["hook"]',
            'name = "never"\nlabels = ["loud"]\nmin_duration_ms = 5000\nstage = "close"\nsinks = ["hook"]',
            sinks=sinks,
        )
        running = daemon(
            "--source", f"file:{sound}", "--model", str(stateful_pack(tmp_path / "pack")),
            env=env,
        )  # fmt: skip
        receiver.wait_for(3 + 2 + 3 + 1, LIMIT_S)
        wait_for_lines(3, told, tmp_path / "alerts.ndjson")
        running.stop()

    by_rule: dict[str, list[dict[str, Any]]] = {}
    for request in receiver.requests:
        by_rule.setdefault(request.data["rule"], []).append(request.data)
    onsets = {
        rule: [round(data["event"]["onset_frame"] / 50, 1) for data in found] for rule, found in sorted(by_rule.items())
    }
    assert onsets == {"cool": [1.0, 5.0], "each": [1.0, 3.0, 5.0], "ends": [1.0, 3.0, 5.0], "third": [5.0]}
    assert len({(request.data["rule"], request.data["id"]) for request in receiver.requests}) == len(receiver.requests)
    ids = [data["id"] for data in by_rule["each"]]
    for path in (tmp_path / "alerts.ndjson", told):
        assert [json.loads(line)["data"]["id"] for line in path.read_text().splitlines()] == ids
    assert by_rule["ends"][0]["event"]["level_db"] == pytest.approx(-9, abs=1.5)
    replayed = run_cli("replay", "--since", "1h", "--all", "--format", "ndjson", home=tmp_path, env=env)
    pairs = [json.loads(line) for line in replayed.stdout.splitlines()]
    assert {pair["what"] for pair in pairs} == {"same"}, replayed.stdout
    assert sorted(pair["id"] for pair in pairs) == sorted(request.data["id"] for request in receiver.requests)

    quieter = run_cli("replay", "--since", "1h", "--thresholds", "loud=0.5,group:random=1", home=tmp_path, env=env)
    assert "events: 3, 2 lost, 0 gained" in quieter.stderr
    typo = run_cli("replay", "--since", "1h", "--thresholds", "luod=0.9", home=tmp_path, env=env)
    assert (typo.returncode, "no pack of the log tells events of 'luod'; did you mean loud?" in typo.stderr) == (
        2,
        True,
    )
    neither = run_cli("replay", "--since", "1h", "--thresholds", "absent.toml", home=tmp_path, env=env)
    assert (neither.returncode, "is neither a file nor thresholds; expected" in neither.stderr) == (2, True)

    # what the log has no rows of is not said to be gone
    for path in (tmp_path / "store" / "scores").rglob("*"):
        if path.is_file():
            path.unlink()
    other = bursts(tmp_path / "other.wav", [1.0], seconds=2.0)
    ended = daemon("--source", f"file:{other}", "--model", str(tmp_path / "pack"), env=env)
    ended.wait_for("was played to its end", LIMIT_S)
    ended.stop()
    unlogged = run_cli("replay", "--since", "1h", home=tmp_path, env=env)
    assert f"not compared: {len(pairs)} alerts, of sound that the log has no rows of" in unlogged.stderr


@pytest.mark.capture
def test_birds_at_a_microphone_reach_every_sink_once_a_passage(
    tmp_path: Path, daemon: StartDaemon, packs_dir: Path
) -> None:
    """Two passages of bird song through the capture path; a webhook, a broker, a program and a file hear of both."""
    if reason := soundserver.missing(pulse=False):
        pytest.skip(reason)
    mqtt = pytest.importorskip("paho.mqtt.client", reason="aiomqtt is absent (pip install streamclf[alerts])")
    rate, _, blocks = open_blocks(DEMO_FILE)
    song = Resampler(rate, RATE).push(np.concatenate([block.copy() for block in blocks]), last=True)[RATE : 6 * RATE]
    quiet = np.zeros(4 * RATE, dtype=np.float32)
    told, heard = tmp_path / "script.ndjson", list[dict[str, Any]]()
    script = f"import sys; open({str(told)!r}, 'a').write(sys.stdin.read())"
    broker = Broker(tmp_path)
    broker.start()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: heard.append(json.loads(message.payload)["data"])
    client.connect("127.0.0.1", broker.port)
    client.subscribe("streamclf/alert/#", qos=1)
    client.loop_start()
    try:
        with http_receiver() as receiver, soundserver.fifo_microphone(rate=RATE) as microphone:
            write_rules(
                tmp_path / "rules.toml",
                receiver,
                'name = "birds"\nlabels = ["bird"]\nsinks = ["hook", "mqtt", "script", "file"]',
                sinks=f'[sink.mqtt]\ntype = "mqtt"\nhost = "127.0.0.1"\nport = {broker.port}\ndiscovery = false\n'
                f'[sink.file]\ntype = "ndjson"\npath = "{tmp_path / "alerts.ndjson"}"\n'
                f"[sink.script]\ntype = \"command\"\nargv = [{sys.executable!r}, '-c', {json.dumps(script)}]\n",
            )
            env = {
                "STREAMCLF_RULES": str(tmp_path / "rules.toml"),
                "STREAMCLF_MODELS": str(packs_dir),
                "STREAMCLF_SEGMENTATION": "{bird = {min_off_ms = 3000}}",  # a passage is one event, breaths and all
            }
            running = daemon("--source", microphone.source, "--model", "yamnet", env=microphone.env | env)
            microphone.feed(quiet, wait=True)
            begins = [microphone.feed(song, wait=True)]
            microphone.feed(quiet, wait=True)
            begins.append(microphone.feed(song, wait=True))
            microphone.feed(quiet, wait=True)
            receiver.wait_for(2)
            wait_until(lambda: len(heard) == 2, "two messages of the broker")
            wait_for_lines(2, told, tmp_path / "alerts.ndjson")
            running.stop()
    finally:
        client.loop_stop()
        client.disconnect()
        broker.stop()

    ids = [request.data["id"] for request in receiver.requests]
    assert len(set(ids)) == 2
    assert [data["id"] for data in heard] == ids
    for path in (tmp_path / "alerts.ndjson", told):
        assert [json.loads(line)["data"]["id"] for line in path.read_text().splitlines()] == ids
    # each song has its own: the second one's began after the first one's song, not with it
    onsets = [request.data["event"]["onset_ns"] for request in receiver.requests]
    assert begins[0] - 500_000_000 < onsets[0] < begins[1] - 500_000_000 < onsets[1]


def test_other_rules_hold_from_the_next_event_and_wrong_ones_never(tmp_path: Path, daemon: StartDaemon) -> None:
    sound = bursts(tmp_path / "garden.wav", [0.5], seconds=2.0)
    rules = tmp_path / "rules.toml"
    with http_receiver() as receiver:
        write_rules(rules, receiver, 'name = "old"\nlabels = ["loud"]\nsinks = ["hook"]')
        running = daemon(
            "--source", f"file:{sound}#loop=yes", "--model", str(stateful_pack(tmp_path / "pack")),
            env={"STREAMCLF_RULES": str(rules)},
        )  # fmt: skip
        receiver.wait_for(1)
        rules.write_text(rules.read_text().replace("loud", "lout"))
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: bool(problem_of(running, "the rules")), "a problem in health")
        problem = problem_of(running, "the rules")
        receiver.wait_for(len(receiver.requests) + 2)
        write_rules(rules, receiver, 'name = "new"\nlabels = ["loud"]\nsinks = ["hook"]')
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: receiver.requests[-1].data["rule"] == "new", "an alert of the new rule")
        wait_until(lambda: not problem_of(running, "the rules"), "health without it")
        running.stop()

    assert "rules.toml:" in problem
    assert "did you mean" in problem
    names = [request.data["rule"] for request in receiver.requests]
    assert names == ["old"] * names.index("new") + ["new"] * (len(names) - names.index("new"))


def test_a_restart_sends_what_was_not_sent_with_the_same_id(tmp_path: Path, daemon: StartDaemon) -> None:
    sound = bursts(tmp_path / "garden.wav", [0.5, 1.5], seconds=2.5)
    pack = stateful_pack(tmp_path / "pack")
    rules = tmp_path / "rules.toml"
    env = {"STREAMCLF_RULES": str(rules), "STREAMCLF_STORE_PATH": str(tmp_path / "store")}
    with http_receiver() as receiver:
        receiver.answers = [(503, {"Retry-After": "1"}, b"")]
        write_rules(rules, receiver, 'name = "each"\nlabels = ["loud"]\ncooldown_s = 3600\nsinks = ["hook"]')
        running = daemon("--source", f"file:{sound}", "--model", str(pack), env=env)
        first = receiver.wait_for(1)[0]
        wait_until(lambda: bool(problem_of(running, "sink hook: it answered 503 Service Unavailable")), "its problem")
        running.kill()
        receiver.answers = [(204, {}, b"")]
        running = daemon("--source", f"file:{sound}", "--model", str(pack), env=env)
        wait_until(
            lambda: '"state":"sent"' in run_cli("alerts", "list", "--format", "ndjson", home=tmp_path, env=env).stdout,
            "a delivery",
        )
        running.stop()
    listed = [
        json.loads(line)
        for line in run_cli("alerts", "list", "--format", "ndjson", home=tmp_path, env=env).stdout.splitlines()
    ]

    assert {request.data["id"] for request in receiver.requests} == {first.data["id"]}
    assert [(entry["state"], entry["alert"]["id"]) for entry in listed] == [("sent", first.data["id"])]


def test_rules_without_a_store_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("")
    pack = stateful_pack(tmp_path / "pack")
    result = run_cli(
        "run", "--no-store", "--source", "push:x,16000", "--model", str(pack), home=tmp_path,
        env={"STREAMCLF_RULES": str(tmp_path / "rules.toml")},
    )  # fmt: skip
    assert result.returncode == 78
    assert "no events are kept, and alerts need them" in result.stderr


def test_what_is_not_in_the_list_of_species_is_never_told(tmp_path: Path, daemon: StartDaemon) -> None:
    (tmp_path / "list.csv").write_text("label\nClass 2\n")
    sound = bursts(tmp_path / "garden.wav", [0.5], seconds=2.0)
    pack = stateful_pack(tmp_path / "pack")
    env = {
        "STREAMCLF_SPECIES_FILE": str(tmp_path / "list.csv"),
        "STREAMCLF_SPECIES_PACKS": "tiny-stateful",
        "STREAMCLF_STORE_PATH": str(tmp_path / "store"),
        "STREAMCLF_SEGMENTATION": '{"*" = {enter = 0.1, min_on_ms = 20}}',
    }
    running = daemon("--source", f"file:{sound}#loop=yes", "--model", str(pack), env=env)
    wait_until(lambda: "c2" in run_cli("events", home=tmp_path, env=env).stdout, "an event of a listed label")
    running.stop()
    told = run_cli("events", "--format", "ndjson", home=tmp_path, env=env).stdout.splitlines()
    assert {json.loads(line)["label"] for line in told} == {"c2"}
