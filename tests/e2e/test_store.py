"""What the real daemon keeps: the events it told, rows and clips on request, and nothing where it is told so."""

import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.sync.client import connect

from streamclf.types import F32
from tests.conftest import StartDaemon
from tools.lab.daemon import Daemon, clean_env, run_cli
from tools.lab.tinypack import HOP, RATE, stateful_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

LIMIT_S = 60.0


def bursts(*, count: int = 3, seed: int = 0) -> F32:
    """Half a second of loud noise at the end of every second, over faint noise."""
    rng = np.random.default_rng(seed)
    second = np.concatenate([rng.normal(0, 0.002, RATE // 2), rng.uniform(-0.6, 0.6, RATE // 2)])
    return np.concatenate([*[second] * count, rng.normal(0, 0.002, RATE)]).astype(np.float32)


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "bursts.wav"
    soundfile.write(path, bursts(), RATE, subtype="PCM_16")
    return path


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return stateful_pack(tmp_path / "pack")


def ran(recording: Path, *args: str, home: Path, env: Mapping[str, str] | None = None) -> None:
    """The recording through a daemon that ends with it."""
    done = run_cli("run", "--source", f"file:{recording}", "--fast", "--until-end", "--port", "0", *args, home=home,
                   env=env, timeout_s=LIMIT_S)  # fmt: skip
    assert done.returncode == 0, done.stderr


def kept(home: Path, *args: str) -> list[dict[str, Any]]:
    done = run_cli("events", "--format", "ndjson", "--since", "1h", *args, home=home)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_events_that_are_kept_are_those_of_classify(recording: Path, pack: Path, tmp_path: Path) -> None:
    ran(recording, "--model", str(pack), home=tmp_path)

    done = run_cli("classify", str(recording), "--model", str(pack), home=tmp_path)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    names = ("pack", "label", "onset_frame", "offset_frame")
    found = kept(tmp_path)
    assert len(told) > 3
    assert sorted([e[n] for n in names] for e in found) == sorted([e[n] for n in names] for e in told)
    loud = [event for event in found if event["label"] == "loud"]
    assert [event["level_db"] for event in loud] == [pytest.approx(-9.2, abs=0.5)] * 3  # of noise between -0.6 and 0.6
    gaps_ns = [later["onset_ns"] - event["onset_ns"] for event, later in itertools.pairwise(loud)]
    assert gaps_ns == [10**9, 10**9]


def test_the_score_log_holds_the_rows_of_classify(recording: Path, pack: Path, tmp_path: Path) -> None:
    ran(recording, "--model", str(pack), home=tmp_path, env={"STREAMCLF_SCORES_ENABLED": "true"})

    logged, told = tmp_path / "logged.npz", tmp_path / "told.npz"
    assert run_cli("scores", "export", "--npz", str(logged), "--until", "2100-01-01", home=tmp_path).returncode == 0
    run_cli("classify", str(recording), "--model", str(pack), "--out", str(told), home=tmp_path)
    with np.load(logged) as ours, np.load(told) as theirs:
        assert ours["frame"].tolist() == list(range(len(theirs["scores"])))
        assert ours["labels"].tolist() == theirs["labels"].tolist()
        np.testing.assert_allclose(ours["scores"], theirs["scores"], atol=0.005)


def test_a_clip_is_the_sound_of_its_event_to_the_sample(recording: Path, pack: Path, tmp_path: Path) -> None:
    env = {
        "STREAMCLF_CLIPS_ENABLED": "true",
        "STREAMCLF_CLIPS_LABELS": "loud",
        "STREAMCLF_CLIPS_PRE_MS": "300",
        "STREAMCLF_CLIPS_POST_MS": "200",
        "STREAMCLF_CLIPS_VISIT_MS": "0",
    }
    ran(recording, "--model", str(pack), home=tmp_path, env=env)

    source = soundfile.read(recording, dtype="float32")[0]
    events = [event for event in kept(tmp_path) if event["label"] == "loud"]
    assert len(events) == 3
    for event in events:
        samples, rate = soundfile.read(tmp_path / "data" / "streamclf" / "clips" / event["clip"], dtype="float32")
        first = (event["onset_frame"] - 15) * HOP
        assert (rate, len(samples)) == (RATE, (event["offset_frame"] + 10) * HOP - first)
        np.testing.assert_allclose(samples, source[first : first + len(samples)], atol=1e-4)


def test_no_audio_is_kept_unless_clips_are_switched_on(recording: Path, pack: Path, tmp_path: Path) -> None:
    ran(recording, "--model", str(pack), home=tmp_path)
    names = {path.name.partition(".")[0] for path in (tmp_path / "data" / "streamclf").iterdir()}
    assert names <= {"streamclf", "lock", "ballast"}


def test_spoken_words_are_silenced_in_a_clip_and_the_label_stays(pack: Path, packs_dir: Path, tmp_path: Path) -> None:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed, so there is no speech to silence")
    spoken = tmp_path / "spoken.wav"
    words = "the secret code is one two three four five six seven"
    subprocess.run(["espeak-ng", "-a", "200", "-w", str(spoken), words], check=True)
    speech, rate = soundfile.read(spoken, dtype="float32")
    speech = np.interp(np.arange(0, len(speech), rate / RATE), np.arange(len(speech)), speech)
    quiet = np.zeros(RATE, dtype=np.float32)
    noise = np.random.default_rng(0).uniform(-0.6, 0.6, RATE // 2)
    sound = np.concatenate([quiet, quiet, noise, quiet, 0.7 * speech / np.abs(speech).max(), quiet, quiet])
    soundfile.write(tmp_path / "both.wav", sound.astype(np.float32), RATE)
    env = {
        "STREAMCLF_MODELS": str(packs_dir),
        "STREAMCLF_CLIPS_ENABLED": "true",
        "STREAMCLF_CLIPS_LABELS": '["loud", "speech"]',
        "STREAMCLF_CLIPS_POST_MS": "6000",
        "STREAMCLF_CLIPS_PRIVACY": "mute",
        "STREAMCLF_SEGMENTATION": "{loud = {enter = 0.999}}",
    }
    ran(tmp_path / "both.wav", "--model", str(pack), "--model", "silero-vad", home=tmp_path, env=env)

    events = kept(tmp_path)
    assert any(event["label"] == "speech" for event in events)
    event = next(e for e in events if e["label"] == "loud" and e["clip"])
    samples, _ = soundfile.read(tmp_path / "data" / "streamclf" / "clips" / event["clip"], dtype="float32")
    first = max(0, (event["onset_frame"] - 100) * HOP)
    burst = 2 * RATE - first
    assert np.abs(samples[burst : burst + len(noise)]).mean() > 0.25
    said = samples[burst + len(noise) + RATE :]
    assert len(said) > 2 * RATE
    # words begin before the model is sure of them: the margin takes care of it
    assert np.mean(said[: len(speech)] ** 2) < 0.001 * np.mean((0.7 * speech / np.abs(speech).max()) ** 2)


def until_told(daemon: Daemon, label: str, stage: str) -> None:
    with connect(f"{daemon.url}?tier=events&labels={label}", compression=None) as connection:
        while json.loads(connection.recv(timeout=LIMIT_S)).get("stage") != stage:
            pass


def kept_by(daemon: Daemon) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = daemon.get_json("/v1/events?labels=loud")["events"]
    return found


def test_follow_prints_each_event_as_it_ends(daemon: StartDaemon, recording: Path, pack: Path, tmp_path: Path) -> None:
    running = daemon("--source", f"file:{recording}#loop=yes", "--model", str(pack))
    until_told(running, "loud", "open")  # the store is there
    follower = subprocess.Popen(
        [sys.executable, "-m", "streamclf", "events", "--follow", "--format", "ndjson", "--label", "loud"],
        env=clean_env(tmp_path, {"STREAMCLF_STORE_PATH": str(tmp_path / "store-0")}),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert follower.stdout is not None
        lines = [json.loads(follower.stdout.readline()) for _ in range(2)]
    finally:
        follower.kill()
        follower.communicate()
    assert [line["stage"] for line in lines] == ["close", "close"]
    assert lines[0]["id"] != lines[1]["id"]
    newest = running.get_json("/v1/events?labels=loud&limit=1")
    assert newest["events"][0]["label"] == "loud"


def test_an_event_that_a_crash_left_open_is_closed_by_the_next_run(
    daemon: StartDaemon, pack: Path, tmp_path: Path
) -> None:
    noise = np.random.default_rng(0).uniform(-0.6, 0.6, 5 * RATE).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise, RATE)
    args = ("--source", f"file:{tmp_path}/noise.wav#loop=yes", "--model", str(pack))
    env = {"STREAMCLF_STORE_PATH": str(tmp_path / "one")}
    first = daemon(*args, env=env)
    until_told(first, "loud", "update")
    first.kill()

    second = daemon(*args, env=env)
    until_told(second, "loud", "update")
    deadline = time.monotonic() + LIMIT_S
    while [(e["stage"] == "close", e["ended_by"]) for e in kept_by(second)] != [(True, "crash"), (False, "")]:
        assert time.monotonic() < deadline, kept_by(second)  # the store has an event a moment after it was told
        time.sleep(0.05)
    second.stop()
    done = run_cli("events", "--format", "ndjson", "--label", "loud", home=tmp_path, env=env)
    assert [json.loads(line)["ended_by"] for line in done.stdout.splitlines()] == ["crash", "stop"]


def test_a_store_has_one_daemon_and_no_store_keeps_nothing(daemon: StartDaemon, pack: Path, tmp_path: Path) -> None:
    args = ("--source", "demo", "--model", str(pack))
    first = daemon(*args)
    env = {"STREAMCLF_STORE_PATH": str(tmp_path / "store-0")}
    second = run_cli("run", *args, "--port", "0", home=tmp_path, env=env)
    assert second.returncode == 75, "another try may find it free"
    assert second.stderr.count("\n") == 1
    assert "another daemon keeps its events in" in second.stderr
    assert first.get("/v1/events")[0] == 200

    other = daemon(*args, "--no-store")
    assert other.get("/v1/events")[0] == 404
    assert not (tmp_path / "store-1").exists()


@pytest.mark.parametrize(
    ("env", "words"),
    [
        (
            {"STREAMCLF_CLIPS_ENABLED": "true", "STREAMCLF_STORE_ENABLED": "false"},
            "clips.enabled is true, but no events",
        ),
        ({"STREAMCLF_CLIPS_ENABLED": "true", "STREAMCLF_CLIPS_PRIVACY": "mute"}, "needs a pack that tells speech"),
        ({"STREAMCLF_CLIPS_PRIVACY": "on"}, "clips.privacy: invalid enum value 'on'"),
        ({"STREAMCLF_STORE_KEEP_DAYS": "0"}, "store.keep_days"),
    ],
)
def test_a_configuration_that_cannot_be_is_refused(env: dict[str, str], words: str, pack: Path, tmp_path: Path) -> None:
    done = run_cli("run", "--source", "demo#store=yes", "--model", str(pack), "--port", "0", home=tmp_path, env=env)
    assert (done.returncode, done.stderr.count("streamclf: error:")) == (78, 1), done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("place", ["/proc/streamclf", "file", "file/store"])
def test_a_folder_that_can_never_be_is_a_sentence(place: str, pack: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    env = {"STREAMCLF_STORE_PATH": str(tmp_path / place)}
    done = run_cli("run", "--source", "demo", "--model", str(pack), "--port", "0", home=tmp_path, env=env)
    assert done.returncode == 78, "another try does not help"
    assert "--no-store" in done.stderr
