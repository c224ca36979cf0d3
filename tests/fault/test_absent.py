"""A daemon starts with what is there, waits for what is not, and hears what comes: real devices, real addresses."""

import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from websockets.sync.client import connect

from streamclf.store.database import FILE_NAME
from streamclf.store.retention import BALLAST
from tests.conftest import StartDaemon
from tools.lab.daemon import Daemon, run_cli
from tools.lab.soundserver import Microphone, missing, pulse_microphone
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

needs_pulse = pytest.mark.skipif(bool(missing(pulse=True)), reason=missing(pulse=True) or "-")
LIMIT_S = 60.0
TABLES = ("events", "alerts", "reasons", "gaps", "memory")
ALSA = "</usr/share/alsa/alsa.conf>\n"


class Bench:
    """Sound cards as ALSA sees them: those that were plugged into `config`."""

    def __init__(self, folder: Path) -> None:
        self.config = folder / "asound.conf"
        self.config.write_text(ALSA)
        self.env = {"ALSA_CONFIG_PATH": str(self.config), "PULSE_SERVER": "unix:/nonexistent"}

    def plug(self, **microphones: Microphone) -> None:
        """From now on there is an input of each name."""
        pcms = [
            f'pcm.!{name} {{ type pulse server "{mic.env["PULSE_SERVER"]}" device "vmic.monitor" }}\n'
            for name, mic in microphones.items()
        ]
        self.config.write_text(self.config.read_text() + "".join(pcms))


@contextmanager
def sounding_microphone() -> Iterator[Microphone]:
    """One that hears noise, since one that is silent is told as muted."""
    with pulse_microphone(prompt=True) as microphone:
        microphone.feed(np.random.default_rng(0).uniform(-0.1, 0.1, 180 * microphone.rate).astype(np.float32))
        yield microphone


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@pytest.fixture
def pack(tmp_path: Path) -> str:
    return str(stateful_pack(tmp_path / "pack"))


def status(running: Daemon) -> dict[str, dict[str, Any]]:
    """The streams of GET /v1/status, by name."""
    return {stream["name"]: stream for stream in running.get_json("/v1/status")["streams"]}


def until(running: Daemon, **states: str) -> dict[str, dict[str, Any]]:
    """The streams once each is in its state."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        assert running.process.poll() is None, running.stderr
        try:
            streams = status(running)
        except OSError:
            streams = {}
        if {name: streams[name]["state"] for name in states if name in streams} == states:
            return streams
        time.sleep(0.1)
    raise AssertionError(f"{states} expected; the daemon said:\n{running.stderr}")


def until_well(running: Daemon) -> None:
    """Returns once health is 200; on a busy machine rows may be late for a while."""
    deadline = time.monotonic() + LIMIT_S
    while running.get("/healthz")[0] != 200:
        assert time.monotonic() < deadline, running.get("/healthz")
        time.sleep(0.1)


def lost_gaps(running: Daemon) -> dict[str, int]:
    """How many gaps each stream has because its device was gone; a busy machine may make others."""
    _, body = running.get("/metrics")
    found = re.findall(r'^streamclf_gaps_total\{reason="lost",stream="(.*?)"\} ([\d.]+)', body.decode(), re.MULTILINE)
    return {stream: int(float(count)) for stream, count in found if float(count)}


def until_heard(running: Daemon, stream: str) -> None:
    """Returns once a score row of `stream` comes."""
    with connect(f"{running.url}?tier=frame&streams={stream}", compression=None) as client:
        deadline = time.monotonic() + LIMIT_S
        while json.loads(client.recv(timeout=max(0.1, deadline - time.monotonic())))["type"] != "scores":
            pass


@needs_pulse
def test_a_microphone_that_is_not_there_holds_up_no_other_and_joins_when_it_comes(
    daemon: StartDaemon, bench: Bench, pack: str
) -> None:
    with sounding_microphone() as first, sounding_microphone() as second:
        bench.plug(first=first)
        sources = ("--source", "device:first", "--source", "device:second")
        running = daemon(*sources, "--model", pack, env=bench.env, ready=False)
        streams = until(running, first="live", second="lost")
        until_heard(running, "first")
        assert running.get("/healthz")[0] == 503
        assert "not there since the start" in streams["second"]["detail"]
        assert "no audio input is called 'second'" in streams["second"]["detail"]
        assert "tried again" in streams["second"]["detail"]
        assert streams["second"]["captured_s"] == 0

        bench.plug(second=second)
        streams = until(running, first="live", second="live")
        until_heard(running, "second")
        assert streams["second"]["source"].startswith("device second (ALSA), ")
        until_well(running)
        # only PortAudio's new list showed it, which the other had to be closed for: that is said
        running.wait_for("first: lost: ", LIMIT_S)
        running.wait_for("to bring in the device of another source", LIMIT_S)
        until_heard(running, "first")
        assert lost_gaps(running) == {"first": 1}


@needs_pulse
def test_a_device_without_its_microphone_is_lost_from_the_start_and_disturbs_nobody(
    daemon: StartDaemon, bench: Bench, pack: str
) -> None:
    with sounding_microphone() as first, sounding_microphone() as second:
        bench.plug(first=first, second=second)
        second.unplug()
        sources = ("--source", "device:first", "--source", "device:second")
        running = daemon(*sources, "--model", pack, env=bench.env, ready=False)
        streams = until(running, first="live", second="lost")
        assert "not there since the start" in streams["second"]["detail"]
        assert "cannot be opened" in streams["second"]["detail"]
        for _ in range(3):
            second.plug()
            until(running, first="live", second="live")
            until_heard(running, "second")
            second.unplug()
            until(running, first="live", second="reconnecting")
        assert "first" not in lost_gaps(running)
        assert "first: lost" not in running.stderr
        # at each try, twice a second, it would say so; PortAudio's own thread may, once an unplugging
        assert running.stderr.count("ALSA lib pcm_pulse") <= 4


@needs_pulse
def test_a_daemon_that_finds_no_source_at_all_waits_for_one(daemon: StartDaemon, bench: Bench, pack: str) -> None:
    running = daemon("--source", "device", "--model", pack, env=bench.env, ready=False)
    streams = until(running, device="lost")
    assert "this machine has no audio input device" in streams["device"]["detail"]
    status_code, body = running.get("/healthz")
    assert status_code == 503
    assert json.loads(body)["status"] != "ok"
    with sounding_microphone() as microphone:
        bench.plug(default=microphone)
        until(running, device="live")
        until_heard(running, "device")
        until_well(running)


@needs_pulse
def test_the_demo_that_stood_in_for_a_microphone_gives_way_to_it_and_nothing_of_it_is_kept(
    daemon: StartDaemon, bench: Bench, pack: str, tmp_path: Path
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rule]]\nname = "noise"\nlabels = "*"\nsinks = ["here"]\n'
        f'[sink.here]\ntype = "command"\nargv = ["/usr/bin/touch", "{tmp_path}/told"]\n'
    )
    running = daemon("--model", pack, "--rules", str(rules), env=bench.env, ready=False)
    until(running, demo="demo", device="lost")
    running.wait_for("NO MICROPHONE FOUND", LIMIT_S)
    until_told(running, "demo")
    assert running.get("/healthz")[0] == 503
    assert not (tmp_path / "told").exists()
    with sounding_microphone() as microphone:
        bench.plug(default=microphone)
        streams = until(running, demo="ended", device="live")
        assert "gave way to device" in streams["demo"]["detail"]
        running.wait_for("demo: ended: gave way to device", LIMIT_S)
        until_heard(running, "device")
        until_well(running)
    running.stop()
    with closing(sqlite3.connect(tmp_path / "store-0" / FILE_NAME)) as connection:
        kept = connection.execute("SELECT DISTINCT stream FROM events").fetchall()
    assert kept in ([], [("device",)])


def test_a_demo_is_kept_and_told_only_where_that_is_asked_for(daemon: StartDaemon, pack: str, tmp_path: Path) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[[rule]]\nname = "noise"\nlabels = "*"\nsinks = ["here"]\n'
        f'[sink.here]\ntype = "command"\nargv = ["/usr/bin/touch", "{tmp_path}/told"]\n'
    )
    env = {"STREAMCLF_SCORES_ENABLED": "true", "STREAMCLF_CLIPS_ENABLED": "true"}
    args = ("--model", pack, "--rules", str(rules))
    quiet = daemon("--source", "demo", *args, env=env)
    until_told(quiet, "demo")
    time.sleep(1)
    quiet.stop()
    assert kept_of(tmp_path / "store-0") == {}
    assert not (tmp_path / "told").exists()

    asked = daemon("--source", "demo#store=yes", *args, env=env)
    until_told(asked, "demo")
    deadline = time.monotonic() + LIMIT_S
    while not (tmp_path / "told").exists():
        assert time.monotonic() < deadline, asked.stderr
        time.sleep(0.1)
    asked.stop()
    kept = kept_of(tmp_path / "store-1")
    assert kept["events"] > 0
    assert kept["alerts"] > 0
    assert kept["files"] > 0


@contextmanager
def web_server(port: int, files: dict[str, bytes]) -> Iterator[None]:
    """Serves `files` on `port`, without telling their length: as a broadcast."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(files[self.path])

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield
        finally:
            server.shutdown()


def test_a_camera_that_starts_later_is_waited_for(
    daemon: StartDaemon, pack: str, tmp_path: Path, free_port: int
) -> None:
    pytest.importorskip("av", reason="PyAV is not installed (extra url)")
    noise = np.random.default_rng(0).uniform(-0.6, 0.6, 20 * 44_100).astype(np.float32)
    soundfile.write(tmp_path / "noise.wav", noise[: 44_100 * 2], 44_100)
    soundfile.write(tmp_path / "camera.flac", noise, 44_100)
    garden = f"url:http://user:secret@127.0.0.1:{free_port}/camera.flac#name=garden"
    sources = ("--source", garden, "--source", f"file:{tmp_path}/noise.wav#loop=yes&name=yard")
    running = daemon(*sources, "--model", pack, ready=False)
    streams = until(running, garden="lost", yard="live")
    until_heard(running, "yard")
    assert running.get("/healthz")[0] == 503
    assert "not there since the start" in streams["garden"]["detail"]
    assert "Connection refused" in streams["garden"]["detail"]
    assert "tried again " in streams["garden"]["detail"]
    assert streams["garden"]["source"] == f"url:http://127.0.0.1:{free_port}/camera.flac"

    with web_server(free_port, {"/camera.flac": (tmp_path / "camera.flac").read_bytes()}):
        streams = until(running, garden="live", yard="live")
        until_heard(running, "garden")
        until_well(running)
        assert "garden" not in lost_gaps(running)
    assert "48000 Hz" in streams["garden"]["source"]
    assert "secret" not in running.stderr


def test_what_can_never_become_right_is_refused(pack: str, tmp_path: Path, free_port: int) -> None:
    soundfile.write(tmp_path / "one.wav", np.zeros(RATE, dtype=np.float32), RATE)
    good = f"file:{tmp_path}/one.wav#loop=yes"
    for source, code, words in [
        (f"file:{tmp_path}/absent.wav", 1, "does not exist; check the path"),
        (f"file:{tmp_path}/one.wav#ch=2", 1, "has one channel, so ch=2 does not exist"),
        ("url:http://127.0.0.1:{port}/x#nmae=y", 2, "'nmae' is not an option of url"),
        ("microphone", 2, "begins with no kind of source"),
    ]:
        args = ("--source", good, "--source", source.format(port=free_port), "--model", pack, "--port", "0")
        done = run_cli("run", *args, "--no-store", home=tmp_path)
        assert done.returncode == code, done.stderr
        assert words in done.stderr.splitlines()[-1]


def test_with_fast_nothing_is_waited_for(pack: str, tmp_path: Path, free_port: int) -> None:
    pytest.importorskip("av", reason="PyAV is not installed (extra url)")
    args = ("--source", f"url:http://127.0.0.1:{free_port}/x.flac", "--model", pack, "--port", "0", "--fast")
    done = run_cli("run", *args, "--until-end", "--no-store", home=tmp_path)
    assert done.returncode == 1
    assert "Connection refused" in done.stderr.splitlines()[-1]


def until_told(running: Daemon, stream: str) -> None:
    """Returns once there is an event of `stream`."""
    with connect(f"{running.url}?tier=events&streams={stream}&since=0", compression=None) as client:
        deadline = time.monotonic() + LIMIT_S
        while True:
            message = json.loads(client.recv(timeout=max(0.1, deadline - time.monotonic())))
            if message["type"] == "event":
                return


def kept_of(store: Path) -> dict[str, int]:
    """How much a store holds, by table, and of files besides its own, where that is anything."""
    with closing(sqlite3.connect(store / FILE_NAME)) as connection:
        counts = {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}
    own = (FILE_NAME, "lock", BALLAST)
    counts["files"] = sum(path.is_file() and not path.name.startswith(own) for path in store.rglob("*"))
    return {kind: count for kind, count in counts.items() if count}
