"""The main job, with nothing replaced: sound goes into a real device, a subscriber elsewhere reads what it is."""

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.sync.client import ClientConnection, connect

from streamclf.types import F32
from tests.conftest import StartDaemon
from tests.support.oracle import HOP, Oracle
from tools.lab import soundserver
from tools.lab.daemon import READY_S, Daemon, run_cli
from tools.lab.tinypack import RATE, stateful_pack, window_frames_pack, window_row_pack

pytestmark = pytest.mark.e2e

MISPLACED_NS = 1_000_000_000
"""An onset that is misplaced is so by the sound before it, 1.5 s; `tools/bench/latency.py` tells how exact they are."""
LENGTHS_S = {"short": 8.0, "odd": 12.013, "long": 30.0}


@contextmanager
def listening(daemon: Daemon, query: str) -> Iterator[ClientConnection]:
    with connect(f"{daemon.url}?{query}", compression=None, max_size=None) as connection:
        yield connection


def receive(connection: ClientConnection, *, until: Any, limit_s: float) -> list[dict[str, Any]]:
    """Messages up to the first one for which `until` holds."""
    messages: list[dict[str, Any]] = []
    deadline = time.monotonic() + limit_s
    while not (messages and until(messages[-1])):
        messages.append(json.loads(connection.recv(timeout=max(0.01, deadline - time.monotonic()))))
    return messages


def grid(messages: list[dict[str, Any]], pack: str) -> dict[int, list[float]]:
    rows: dict[int, list[float]] = {}
    for message in messages:
        if message["type"] == "scores" and message["pack"] == pack and message["final"]:
            for index, row in enumerate(message["rows"]):
                assert message["first_frame"] + index not in rows, "a frame came twice"
                rows[message["first_frame"] + index] = row
    return rows


def closed(messages: list[dict[str, Any]]) -> list[tuple[str, str, int, int]]:
    return sorted(
        (m["pack"], m["label"], m["onset_frame"], m["offset_frame"])
        for m in messages
        if m["type"] == "event" and m["stage"] == "close"
    )


def ended(message: dict[str, Any]) -> bool:
    return (message["type"], message.get("state")) == ("status", "ended")


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1.5 s of silence, then speech that begins at once, at 48 kHz."""
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed, so there is no speech to play")
    folder = tmp_path_factory.mktemp("speech")
    raw = folder / "raw.wav"
    subprocess.run(
        ["espeak-ng", "-w", str(raw), "and all of the birds are singing in the old garden again"], check=True
    )
    samples, rate = soundfile.read(raw, dtype="float32")
    voiced = samples[np.flatnonzero(np.abs(samples) > 0.05)[0] :]
    spoken = np.interp(np.arange(0, len(voiced), rate / 48_000), np.arange(len(voiced)), voiced)
    path = folder / "speech.wav"
    soundfile.write(path, np.concatenate([np.zeros(72_000), spoken * 0.8, np.zeros(48_000)]), 48_000)
    return path


@pytest.mark.capture
def test_what_is_played_into_a_device_is_heard_where_it_sounded(
    daemon: StartDaemon, packs_dir: Path, speech: Path
) -> None:
    """PulseAudio's null sink is the default microphone; the event's onset is where the speech began."""
    if reason := soundserver.missing(pulse=True):
        pytest.skip(reason)
    with soundserver.pulse_microphone() as microphone:
        running = daemon(
            "--source", "device", "--model", "silero-vad", env={**microphone.env, "STREAMCLF_MODELS": str(packs_dir)}
        )
        with listening(running, "tier=events") as connection:
            time.sleep(3.0)  # PulseAudio swallows the first moments of a capture
            began_ns = microphone.play(speech) + 1_500_000_000
            messages = receive(connection, until=lambda m: m["type"] == "event" and m["stage"] == "open", limit_s=20)
        event = messages[-1]
        assert (event["pack"], event["label"], event["stream"]) == ("silero-vad", "speech", "device")
        assert abs(event["onset_ns"] - began_ns) < MISPLACED_NS, f"{(event['onset_ns'] - began_ns) / 1e6:.0f} ms off"


@pytest.mark.capture
def test_captured_rows_are_the_rows_of_the_definition_sample_for_sample(daemon: StartDaemon, tmp_path: Path) -> None:
    """ALSA's file plugin hands over what is fed, from sample 0: live rows equal the oracle's, every frame."""
    if reason := soundserver.missing(pulse=False):
        pytest.skip(reason)
    pack = stateful_pack(tmp_path / "pack")
    rng = np.random.default_rng(3)
    audio = (0.2 * rng.standard_normal(3 * RATE)).astype(np.float32)
    with soundserver.fifo_microphone(rate=RATE, silence=False) as microphone:
        running = daemon("--source", microphone.source, "--model", str(pack), env=microphone.env)
        with listening(running, "tier=frame") as connection:
            # the first sample is fed when the first row will be sent here
            receive(connection, until=lambda m: m["type"] == "subscribed", limit_s=20)
            microphone.feed(audio, wait=True)
            last = len(audio) // HOP - 1
            messages = receive(
                connection, until=lambda m: m["type"] == "scores" and m["first_frame"] == last, limit_s=20
            )
    rows = grid(messages, "tiny-stateful")
    expected = Oracle(pack).grid(audio)
    assert sorted(rows) == sorted(expected)
    assert max(np.abs(rows[k] - expected[k]).max() for k in expected) < 1e-5
    assert all(m["captured_ns"] <= m["decided_ns"] <= m["sent_ns"] for m in messages if m["type"] == "scores")


def scene() -> F32:
    """Noise bursts, tones and silences, 12 s at 44.1 kHz: needs resampling, ends within a frame."""
    rng = np.random.default_rng(5)
    n = 12 * 44_100 + 123
    time_s = np.arange(n) / 44_100
    tone = 0.3 * np.sin(2 * np.pi * (300 + 150 * time_s) * time_s) * (np.sin(2 * np.pi * 0.4 * time_s) > 0.2)
    noise = rng.standard_normal(n) * np.where(np.sin(2 * np.pi * 0.9 * time_s) > 0.5, 0.2, 0.001)
    return np.clip(tone + noise, -1, 1).astype(np.float32)


def test_a_recording_ends_beside_another_under_a_pack_that_looks_5_s_ahead(daemon: StartDaemon, tmp_path: Path) -> None:
    """Each has every row, to its last frame, and the daemon goes on."""
    pack = window_row_pack(tmp_path / "pack", window=400 + 1023 * 160, row_frame=256, features="fbank")
    rng = np.random.default_rng(6)
    sounds = {name: (0.1 * rng.standard_normal(round(s * RATE))).astype(np.float32) for name, s in LENGTHS_S.items()}
    sources = []
    for name, sound in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", sound, RATE, subtype="FLOAT")
        sources += ["--source", f"file:{tmp_path}/{name}.wav"]
    running = daemon(*sources, "--fast", "--hop-ms", "200", "--model", str(pack))
    with listening(running, "tier=frame&since=0&min_prob=0") as connection:
        messages = []
        for _ in LENGTHS_S:
            messages += receive(connection, until=ended, limit_s=60)
    assert not [m for m in messages if m["type"] in ("lagged", "gap")]
    for name, sound in sounds.items():
        rows = grid([m for m in messages if m.get("stream") == name], "tiny-window-row")
        expected = Oracle(pack).grid(sound, hop=10)
        assert sorted(rows) == sorted(expected) == list(range(-(-len(sound) // HOP)))
        assert max(np.abs(rows[k] - expected[k]).max() for k in expected) < 1e-4
    assert running.process.poll() is None


def test_fast_classify_and_any_blocks_agree_for_the_real_packs(
    daemon: StartDaemon, packs_dir: Path, tmp_path: Path
) -> None:
    path = tmp_path / "scene.flac"
    soundfile.write(path, scene(), 44_100)
    env = {"STREAMCLF_MODELS": str(packs_dir)}
    models = ["--model", "silero-vad", "--model", "yamnet"]
    running = daemon("--source", f"file:{path}", "--fast", *models, env=env)
    with listening(running, "tier=frame&since=0&min_prob=0") as connection:
        messages = receive(connection, until=ended, limit_s=60)
    assert not [m for m in messages if m["type"] == "lagged"]

    classify = ["classify", str(path), *models]
    saved = run_cli(*classify, "--out", str(tmp_path), "--format", "npz", home=tmp_path, env=env)
    assert saved.returncode == 0, saved.stderr
    events = run_cli(*classify, home=tmp_path, env=env).stdout.splitlines()
    assert closed([json.loads(line) for line in events]) == closed(messages)
    assert closed(messages), "the scene holds something to hear"

    raw = (scene() * 32767).astype("<i2").tobytes()
    piped = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert piped.stdin is not None
    assert piped.stdout is not None
    other = daemon("--source", "pipe:44100", "--fast", *models, env=env, stdin=piped.stdout)
    piped.stdout.close()
    with listening(other, "tier=frame&since=0&min_prob=0") as connection:
        for at in range(0, len(raw), 9973):
            piped.stdin.write(raw[at : at + 9973])
        piped.stdin.close()
        through_pipe = receive(connection, until=ended, limit_s=60)
    piped.wait(10)

    for pack in ("silero-vad", "yamnet"):
        with np.load(tmp_path / f"scene.flac.{pack}.npz") as data:
            offline, first = data["scores"], int(data["first_frame"])
        live = grid(messages, pack)
        assert sorted(live) == list(range(first, first + len(offline)))
        assert max(np.abs(live[k] - offline[k - first]).max() for k in live) < 1e-5
        cut = grid(through_pipe, pack)
        assert sorted(cut) == sorted(live)
        # int16 in the pipe against the same recording's 16-bit FLAC: the same samples but for their rounding
        assert max(np.abs(np.subtract(cut[k], live[k])).max() for k in live) < 0.02


def test_all_three_shapes_and_several_streams_side_by_side(daemon: StartDaemon, tmp_path: Path) -> None:
    """Two files and a pushing client under three packs: 50 rows a second each, revisions marked, events of each."""
    packs = [
        stateful_pack(tmp_path / "a"),
        window_row_pack(tmp_path / "b"),
        window_frames_pack(tmp_path / "c"),
    ]
    beeps = tmp_path / "beeps.wav"
    time_s = np.arange(4 * RATE) / RATE
    audio = (0.4 * np.sin(2 * np.pi * 440 * time_s) * (time_s % 2 > 1)).astype(np.float32)
    soundfile.write(beeps, audio, RATE, subtype="FLOAT")
    models = [word for pack in packs for word in ("--model", str(pack))]
    sources = [f"--source=file:{beeps}#name=one", f"--source=file:{beeps}#name=two", "--source=push:phone,16000"]
    running = daemon(*sources, *models, "--latency-ms", "100")
    running.wait_for("listening on", READY_S)  # from then on nobody who pushes is refused
    done: set[str] = set()
    pushed_rows = 0

    def all_came(message: dict[str, Any]) -> bool:
        """Both files have ended, and what was pushed, perhaps only then, was heard."""
        nonlocal pushed_rows
        if ended(message):
            done.add(message["stream"])
        if (message.get("stream"), message["type"], message.get("pack")) == ("phone", "scores", "tiny-stateful"):
            pushed_rows += message["count"]
        return done == {"one", "two"} and pushed_rows >= 50

    with listening(running, "tier=batch&since=0") as connection:
        hello = json.loads(connection.recv(timeout=20))
        assert [s["name"] for s in hello["streams"]] == ["one", "two", "phone"]
        connection.send(json.dumps({"type": "push", "stream": "phone", "rate": RATE, "channels": 1, "format": "f32le"}))
        for at in range(0, RATE, HOP):
            connection.send(int(at).to_bytes(8, "little") + audio[RATE + at : RATE + at + HOP].tobytes())
        messages = receive(connection, until=all_came, limit_s=30)
    for stream in ("one", "two"):
        own = [m for m in messages if m.get("stream") == stream]
        expected = Oracle(packs[0]).grid(audio)
        rows = grid(own, "tiny-stateful")
        assert sorted(rows) == sorted(expected)
        assert max(np.abs(rows[k] - expected[k]).max() for k in expected) < 1e-5
        # a busy machine may run windows less often, so their rows are only counted here; --fast compares them
        assert sorted(grid(own, "tiny-window-row")) == list(range(200))
        final = grid(own, "tiny-window-frames")
        assert sorted(final) == list(range(200))
        assert any(m["type"] == "scores" and not m["final"] for m in own)
        loud = [e for e in closed(own) if e[:2] == ("tiny-stateful", "loud")]
        assert [(onset, offset) for _, _, onset, offset in loud] == [(50, 100), (150, 200)]
    pushed = grid([m for m in messages if m.get("stream") == "phone"], "tiny-stateful")
    assert sorted(pushed) == list(range(50))
    assert all(row[0] > 0.5 for row in pushed.values())


def test_without_a_microphone_the_demo_plays_and_says_so_loudly(daemon: StartDaemon, tmp_path: Path) -> None:
    config = tmp_path / "asound.conf"
    config.write_text("</usr/share/alsa/alsa.conf>\n" if Path("/usr/share/alsa/alsa.conf").exists() else "")
    env = {"ALSA_CONFIG_PATH": str(config), "PULSE_SERVER": "unix:/nonexistent"}
    devices = run_cli("devices", "--json", home=tmp_path, env=env)
    if devices.returncode or json.loads(devices.stdout):
        pytest.skip("this machine has a microphone (or no PortAudio)")
    running = daemon("--model", str(stateful_pack(tmp_path / "pack")), env=env, ready=False)
    running.wait_for("listening on", READY_S)
    assert "NO MICROPHONE FOUND" in running.stderr.splitlines()[0]
    assert running.get("/healthz")[0] == 503, "it hears nothing of this place"
    with listening(running, "tier=frame") as connection:
        hello = json.loads(connection.recv(timeout=20))
        assert hello["streams"][0]["demo"] is True
        receive(connection, until=lambda m: m["type"] == "scores", limit_s=20)
