"""A daemon that does not hear says so, soon and for as long as it lasts: real processes, pipes, sockets, devices."""

import json
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from websockets.sync.client import ClientConnection, connect

from tests.conftest import StartDaemon
from tests.support.deafness import LIMIT_S, RATE, Sender, bad, health, into, lasts, not_ok, told, until, well
from tests.support.faulty import start_faulty
from tools.lab.daemon import Daemon, free_port
from tools.lab.load import patience
from tools.lab.soundserver import missing, pulse_microphone
from tools.lab.tinypack import stateful_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

needs_pulse = pytest.mark.skipif(bool(missing(pulse=True)), reason=missing(pulse=True) or "-")
SOON_S = 5.0
"""A fault is to be seen within a second; a machine that others keep busy may need longer, and yet not for ever."""


@pytest.fixture
def pack(tmp_path: Path) -> str:
    return str(stateful_pack(tmp_path / "pack"))


def misplaced_s(daemon: Daemon) -> float:
    """How far from now the stream's clock places what was captured last."""
    with connect(daemon.url) as client:
        epoch_ns = json.loads(client.recv(timeout=20))["streams"][0]["epoch_ns"]
    (stream,) = daemon.get_json("/v1/status")["streams"]
    return float(time.time() - epoch_ns / 1e9 - stream["captured_s"])


def lost_s(daemon: Daemon) -> float:
    """How much of its one stream is a gap."""
    (stream,) = daemon.get_json("/v1/status")["streams"]
    return float(stream["lost_samples"]) / RATE


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue  # the test closed it


def test_a_pipe_that_sends_nothing_is_stalled_then_a_gap_and_at_its_end_gone(
    daemon: StartDaemon, pack: str, pipe: tuple[int, int]
) -> None:
    reading, writing = pipe
    sender = Sender(into(writing))
    with os.fdopen(reading, "rb", closefd=False) as stdin:
        running = daemon("--source", f"pipe:{RATE}", "--model", pack, stdin=stdin)
    until(running, lambda status, _: running.get("/readyz")[0] == 200, "that it is ready")
    time.sleep(1.0)

    before = told(running, "pipe: stalled")
    sender.hold()
    soon_s, found = until(running, bad("stalled"), "the stall")
    assert soon_s < SOON_S * patience()
    assert found["reasons"] == ["pipe is stalled: its source is open, but no sample comes"]
    lasts(running, "stalled", 3.0)
    sender.go_on()
    until(running, well, "that sound comes again")

    until(running, lambda status, _: lost_s(running) > 3.0, "the gap")
    until(running, lambda status, _: abs(misplaced_s(running)) < 0.5, "that its clock keeps to wall time")
    assert told(running, "pipe: stalled") == before + 1

    sender.end()
    os.close(writing)
    soon_s, _ = until(running, bad("gone"), "the end of the pipe")
    assert soon_s < SOON_S * patience()
    lasts(running, "gone", 2.0)
    assert running.get("/livez")[0] == 200


class Client:
    """Pushes over a websocket."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._sent = 0
        connection.send(json.dumps({"type": "push", "stream": "phone", "rate": RATE}))

    def send(self, samples: bytes) -> None:
        self._connection.send(struct.pack("<Q", self._sent) + samples)
        self._sent += len(samples) // 2


def test_a_client_that_is_connected_and_sends_nothing_is_stalled_and_its_silence_a_gap(
    daemon: StartDaemon, pack: str
) -> None:
    running = daemon("--source", f"push:phone,{RATE}", "--model", pack)
    until(running, lambda status, found: found["streams"][0]["state"] == "waiting", "that it waits for a client")
    time.sleep(2.0)
    assert well(*health(running)), "nobody has promised to push"

    with connect(running.url) as connection:
        client = Client(connection)
        soon_s, _ = until(running, bad("stalled"), "that nothing comes")
        assert soon_s < SOON_S * patience()
        sender = Sender(client.send)
        until(running, well, "the first sound")
        time.sleep(2.0)
        before_s = lost_s(running)
        sender.hold()
        soon_s, _ = until(running, bad("stalled"), "the stall")
        assert soon_s < SOON_S * patience()
        lasts(running, "stalled", 3.0)
        sender.go_on()
        until(running, well, "that sound comes again")

        # the client's own count knows nothing of it
        until(running, lambda status, _: lost_s(running) > before_s + 3.0, "the gap")
        until(running, lambda status, _: abs(misplaced_s(running)) < 0.5, "that its clock keeps to wall time")
        sender.end()
        connection.socket.shutdown(socket.SHUT_RDWR)  # it says no good-bye
        until(running, bad("lost"), "that the connection broke off")
        lasts(running, "lost", 1.0)
    with connect(running.url) as connection:
        Client(connection)
        until(running, bad("stalled"), "that a client is there again")
    until(running, lambda status, found: (status, found["streams"][0]["state"]) == (200, "waiting"), "that it has left")


@pytest.mark.parametrize("value", [0.0, 0.25])
def test_one_value_is_muted_and_another_ends_it(
    daemon: StartDaemon, pack: str, pipe: tuple[int, int], value: float
) -> None:
    reading, writing = pipe
    sender = Sender(into(writing))
    env = {"STREAMCLF_HEALTH_MUTED_S": "2"}
    with os.fdopen(reading, "rb", closefd=False) as stdin:
        running = daemon("--source", f"pipe:{RATE}#name=mic", "--model", pack, stdin=stdin, env=env)
    sender.value = value
    soon_s, found = until(running, bad("muted"), "the mute")
    assert soon_s < 2.0 + SOON_S * patience()
    assert found["reasons"][0].startswith("mic is muted: every sample is")
    lasts(running, "muted", 1.0)
    sender.value = None
    until(running, well, "that it is no longer muted")
    sender.end()


def test_a_file_that_ends_as_asked_is_well_and_one_that_is_deleted_while_it_loops_is_gone(
    tmp_path: Path, daemon: StartDaemon, pack: str
) -> None:
    for name in ("once", "again"):
        soundfile.write(tmp_path / f"{name}.wav", np.random.default_rng(2).normal(0, 0.01, 2 * RATE), RATE)
    once = daemon("--source", f"file:{tmp_path / 'once.wav'}", "--model", pack)
    again = daemon("--source", f"file:{tmp_path / 'again.wav'}#loop=yes", "--model", pack)

    until(once, lambda status, found: found["streams"][0]["state"] == "ended", "the end")
    assert well(*health(once))
    (tmp_path / "again.wav").unlink()
    _, found = until(again, bad("gone"), "that the file is deleted")
    assert "does not exist" in found["reasons"][0]
    lasts(again, "gone", 2.0)


def test_an_address_that_goes_silent_or_dies_is_told(daemon: StartDaemon, pack: str) -> None:
    pytest.importorskip("av", reason="PyAV is not installed (extra url)")
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"url:http://127.0.0.1:{server.getsockname()[1]}/radio.wav"
        running = daemon("--source", address, "--model", pack, ready=False)
        server.settimeout(LIMIT_S)
        radio, _ = server.accept()
        radio.recv(4096)
        head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 2**31 - 1, b"WAVE", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16,
                           b"data", 2**31 - 37)  # fmt: skip
        radio.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: audio/wav\r\n\r\n" + head)
        sender = Sender(radio.sendall)
        running.wait_ready()
        until(running, lambda status, _: running.get("/readyz")[0] == 200, "that it is ready")

        sender.hold()
        soon_s, _ = until(running, not_ok, "the silence")
        assert soon_s < SOON_S * patience()
        lasts(running, "stalled", 1.0)
        sender.go_on()
        until(running, well, "that sound comes again")
        sender.end()
        radio.shutdown(socket.SHUT_RDWR)
        radio.close()
    soon_s, _ = until(running, lambda status, _: status == 503, "the break")
    assert soon_s < SOON_S * patience()
    end_s = time.monotonic() + 4.0
    while time.monotonic() < end_s:
        assert health(running)[0] == 503
        time.sleep(0.1)


def test_a_model_that_hangs_is_told_past_the_thread_that_hangs(tmp_path: Path, pack: str) -> None:
    running = start_faulty("hung-model", ["--source", "demo", "--model", pack], port=free_port(), home=tmp_path)
    try:
        running.wait_ready()
        until(running, lambda status, _: running.get("/readyz")[0] == 200, "that it is ready")
        before = told(running, "demo: unscored")
        (tmp_path / "hang").touch()
        soon_s, _ = until(running, not_ok, "the hung model")
        assert soon_s < SOON_S * patience()
        until(running, bad("unscored"), "that nothing is scored")
        lasts(running, "unscored", 3.0)
        assert told(running, "demo: unscored") == before + 1
        (tmp_path / "hang").unlink()
        until(running, well, "that it goes on")
    finally:
        running.stop()


@needs_pulse
@pytest.mark.capture
def test_a_microphone_that_is_unplugged_is_503_until_it_is_back(daemon: StartDaemon, pack: str) -> None:
    with pulse_microphone() as microphone:
        env = {**microphone.env, "STREAMCLF_HEALTH_MUTED_S": "0"}
        running = daemon("--source", microphone.source, "--model", pack, env=env)
        until(running, lambda status, _: running.get("/readyz")[0] == 200, "that it is ready")
        microphone.unplug()
        soon_s, _ = until(running, lambda status, _: status == 503, "that it is unplugged")
        assert soon_s < SOON_S * patience()
        end_s = time.monotonic() + 5.0
        while time.monotonic() < end_s:
            assert health(running)[0] == 503
            time.sleep(0.1)
        microphone.plug()
        until(running, well, "that it is back")
        running.stop()
