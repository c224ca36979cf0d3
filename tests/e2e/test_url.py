"""Network sources against a real HTTP server that breaks off, stalls, lies, and asks for a password."""

import io
import itertools
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.audio.sources import Source, open_source, parse_source
from streamclf.audio.sources.url import is_near
from streamclf.errors import SourceError
from streamclf.retry import Backoff
from streamclf.types import F32
from tests.support.listening import Listening

av = pytest.importorskip("av", reason="PyAV is not installed (extra url)")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

RATE = 44_100
SECONDS = 3
PLAYLIST = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n"


@dataclass
class Server:
    """`files`: what to serve. `breaks`: how many more answers end in the middle. `announce`: whether with a length."""

    files: dict[str, bytes]
    port: int = 0
    breaks: int = 0
    announce: bool = True
    stall: threading.Event = field(default_factory=threading.Event)
    stalling: bool = False
    requests: list[str] = field(default_factory=list)

    def source(self, path: str, *, fast: bool = False) -> Source:
        url = f"http://listener:secret@127.0.0.1:{self.port}{path}?token=secret"
        return open_source(parse_source(f"url:{url}"), fast=fast)


def handler_of(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            server.requests.append(path)
            body = server.files.get(path)
            if body is None:
                self.send_error(404)
                return
            self.send_response(200)
            if server.announce:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if server.breaks:
                server.breaks -= 1
                body = body[: len(body) // 2]
            try:
                self.wfile.write(body)
            except OSError:
                return  # the client had enough
            if server.stalling:
                server.stall.wait(60)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return Handler


@pytest.fixture
def server() -> Iterator[Server]:
    noise = (np.random.default_rng(5).standard_normal(RATE * SECONDS) * 0.1).astype(np.float32)
    files = {}
    for form in ("WAV", "OGG", "FLAC", "MP3"):
        buffer = io.BytesIO()
        soundfile.write(buffer, noise, RATE, format=form)
        files[f"/noise.{form.lower()}"] = buffer.getvalue()
    running = Server(files)
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(running))
    running.port = http.server_port
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield running
    running.stall.set()
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def listen() -> Iterator[Callable[[Source], Listening]]:
    started: list[Listening] = []

    def start(source: Source) -> Listening:
        started.append(Listening(source))
        return started[-1]

    yield start
    for listening in started:
        listening.source.stop()
        assert "secret" not in repr(listening.told) + listening.source.description


def decoded(server: Server, path: str) -> F32:
    samples: F32 = soundfile.read(io.BytesIO(server.files[path]), dtype="float32")[0]
    return samples


@pytest.mark.parametrize("form", ["wav", "ogg", "flac", "mp3"])
@pytest.mark.parametrize("breaks", [0, 1])
def test_a_recording_comes_whole_even_when_the_connection_broke(
    server: Server, listen: Callable[[Source], Listening], form: str, breaks: int
) -> None:
    server.breaks = breaks
    listening = listen(server.source(f"/noise.{form}", fast=True))
    assert (listening.source.rate, listening.source.channels, listening.source.live) == (RATE, 1, False)
    listening.until_ended()
    np.testing.assert_allclose(listening.samples, decoded(server, f"/noise.{form}"), atol=1e-5)
    assert listening.states == ["live", *["lost", "reconnecting", "live"] * breaks, "ended"]


def test_at_real_time_the_break_is_a_hole_and_nothing_else_is_missing(
    server: Server, listen: Callable[[Source], Listening]
) -> None:
    server.breaks = 1
    listening = listen(server.source("/noise.wav"))
    listening.until_ended()
    (hole,) = listening.ring.holes
    assert hole.reason == "lost"
    # half a second at least: so long it waits before it asks again
    assert (hole.end - hole.first) / RATE > 0.5
    heard = np.concatenate([listening.samples[: hole.first], listening.samples[hole.end :]])
    np.testing.assert_array_equal(heard, decoded(server, "/noise.wav"))


def test_a_broadcast_that_ends_is_taken_up_again_with_a_hole(
    server: Server, listen: Callable[[Source], Listening]
) -> None:
    server.announce = False
    listening = listen(server.source("/noise.ogg", fast=True))
    assert listening.source.live
    listening.until(lambda: listening.states.count("live") == 2 and listening.ring.written > RATE * SECONDS * 1.5)
    expected = decoded(server, "/noise.ogg")
    np.testing.assert_allclose(listening.samples[: len(expected)], expected, atol=1e-5)
    (hole,) = listening.ring.holes
    assert hole.first == len(expected)
    np.testing.assert_allclose(listening.samples[hole.end : hole.end + 1000], expected[:1000], atol=1e-5)
    assert not listening.source.ended


def test_a_stall_is_a_loss(
    server: Server, listen: Callable[[Source], Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    # it bounds the opening too, which a busy machine draws out
    monkeypatch.setattr("streamclf.audio.sources.openaddress.STALL_S", 3.0)
    server.announce, server.stalling = False, True
    listening = listen(server.source("/noise.mp3"))
    listening.until(lambda: "lost" in listening.states)
    assert "nothing came for 3 s" in listening.told[1][1]


@pytest.mark.parametrize("found", [True, False], ids=["edge", "busy"])
def test_what_a_broadcast_sent_before_it_was_read_is_of_the_past(
    server: Server, listen: Callable[[Source], Listening], monkeypatch: pytest.MonkeyPatch, *, found: bool
) -> None:
    """Stations send seconds at once. Read at the pace of time they would be told of as if they were still to come."""
    monkeypatch.setattr("streamclf.audio.sources.openaddress.STALL_S", 3.0)
    if not found:  # on a busy machine what comes at once seems to come slowly
        monkeypatch.setattr("streamclf.audio.sources.url.from_the_edge", lambda blocks, rate: blocks)
    server.announce, server.stalling = False, True
    listening = listen(server.source("/noise.mp3"))
    listening.until(lambda: listening.ring.written > (SECONDS - 0.2) * RATE)
    ahead_ms = (listening.clock.ns_of_sample(listening.ring.written) - time.time_ns()) / 1e6
    assert ahead_ms < 200  # of the seconds sent at once; the frames that a decoder gives together may be a little
    assert listening.states[0] == "live"


def test_stopping_does_not_wait_for_a_stalled_server(server: Server) -> None:
    server.announce, server.stalling = False, True
    listening = Listening(server.source("/noise.mp3"))
    listening.until(lambda: listening.ring.written > RATE)
    listening.source.stop()
    assert not server.stall.is_set(), "the server says nothing until this is set"
    written = listening.ring.written
    server.stall.set()
    assert listening.source.ended
    assert listening.ring.written == written


def test_a_finished_hls_list_is_one_recording(server: Server, listen: Callable[[Source], Listening]) -> None:
    parts = "".join(f"#EXTINF:{SECONDS}.0,\nnoise.mp3\n" for _ in range(2))
    server.files["/list.m3u8"] = (PLAYLIST + parts + "#EXT-X-ENDLIST\n").encode()
    listening = listen(server.source("/list.m3u8", fast=True))
    listening.until_ended()
    assert listening.ring.written == pytest.approx(2 * SECONDS * RATE, abs=5000)
    assert server.requests.count("/noise.mp3") == 2


def test_a_play_list_from_the_network_cannot_read_files_here(server: Server, tmp_path: Path) -> None:
    local = tmp_path / "local.mp3"
    local.write_bytes(server.files["/noise.mp3"])
    server.files["/list.m3u8"] = f"{PLAYLIST}#EXTINF:3.0,\nfile://{local}\n#EXT-X-ENDLIST\n".encode()
    with pytest.raises(SourceError, match="cannot be opened"):
        Listening(server.source("/list.m3u8"))


def test_a_rate_without_a_whole_frame_is_resampled(server: Server, listen: Callable[[Source], Listening]) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(np.arange(22_050) * 0.2) * 0.5, 11_025, format="WAV")
    server.files["/odd.wav"] = buffer.getvalue()
    listening = listen(server.source("/odd.wav", fast=True))
    listening.until_ended()
    assert listening.source.rate == 48_000
    assert listening.ring.written == pytest.approx(96_000, abs=200)
    expected = np.sin(np.arange(96_000) * 0.2 * 11_025 / 48_000) * 0.5
    np.testing.assert_allclose(listening.samples[1000:90_000], expected[1000:90_000], atol=0.02)


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/absent.mp3", "cannot be opened: Server returned 404 Not Found; check the address"),
        ("/text", "cannot be opened: what came is not audio that FFmpeg knows"),
    ],
)
def test_what_cannot_be_opened_is_said_without_the_password(server: Server, path: str, sentence: str) -> None:
    server.files["/text"] = b"dear diary\n" * 200
    with pytest.raises(SourceError) as caught:
        server.source(path).open()
    assert sentence in str(caught.value)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        for scheme in ("http", "rtsp", "rtmp"):
            with pytest.raises(SourceError, match="Connection refused") as caught:
                open_source(parse_source(f"url:{scheme}://a:secret@127.0.0.1:{port}/x")).open()
            assert "secret" not in str(caught.value)


def test_without_pyav_the_sentence_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['av'] = None\n"
        "from streamclf.audio.sources import open_source, parse_source\n"
        "open_source(parse_source('url:http://host/x'))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stderr.rstrip().endswith("SourceError: url: sources need PyAV; run: pip install 'streamclf[url]'")


@pytest.mark.parametrize(
    ("host", "near"),
    [("127.0.0.1:80", True), ("192.168.1.7", True), ("[fe80::1]", True), ("camera", True), ("cam.local.", True),
     ("u:p@cam.lan:554", True), ("93.184.215.14", False), ("radio.example", False), ("local.example", False),
     ("[2606:2800:21f:cb07::1]", False)],
)  # fmt: skip
def test_what_is_near_is_asked_again_sooner(host: str, near: bool) -> None:
    assert is_near(f"rtsp://{host}/live") is near


def test_an_address_of_this_machine_that_comes_back_late_is_heard_again_soon(
    server: Server, listen: Callable[[Source], Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamclf.audio.sources.url._OWN", Backoff(first_s=0.01, most_s=0.02))
    monkeypatch.setattr("streamclf.audio.sources.url._RETRY", Backoff(first_s=1000.0, most_s=1000.0))
    server.announce = False
    listening = listen(server.source("/noise.ogg"))
    sound = server.files.pop("/noise.ogg")
    listening.until(lambda: len(listening.told) > 10)  # it was played to its end, and then not there
    server.files["/noise.ogg"] = sound
    listening.until(lambda: listening.states.count("live") == 2)


@contextmanager
def endless_wav(seconds: float) -> Iterator[int]:
    """A network microphone that claims a length of 2 GiB; its first connection breaks off after so long. Its port."""
    rate, claimed = 16_000, 0x7FFF_FFFF
    header = (
        b"RIFF" + struct.pack("<I", claimed) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, rate, 2 * rate, 2, 16)
    )
    connections = itertools.count()
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            first = next(connections) == 0
            self.send_response(200)
            self.send_header("Content-Length", str(claimed + 44))
            self.end_headers()
            self.wfile.write(header + b"data" + struct.pack("<I", claimed))
            value = 1000 if first else 2000
            for frame in range(round(50 * seconds)) if first else itertools.count():
                if stopped.wait(0.02 if frame > 25 else 0.0):
                    return
                self.wfile.write(struct.pack("<h", value) * (rate // 50))

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made.server_address[1]
        stopped.set()
        made.shutdown()


def test_a_length_that_is_claimed_makes_no_recording_of_a_microphone(
    listen: Callable[[Source], Listening], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the break it starts anew, at the pace of time; it is not skipped for as long as it had been heard."""
    monkeypatch.setattr("streamclf.audio.sources.url._WEIGHED_S", 0.5)
    with endless_wav(3.0) as port:
        listening = listen(open_source(parse_source(f"url:http://127.0.0.1:{port}/live.wav")))
        listening.until(lambda: listening.states.count("live") == 2)
        listening.until(lambda: bool((listening.samples[-1000:] > 0.05).all()))
        assert not listening.source.ended
        before = listening.samples[: listening.ring.holes[0].first]
        assert len(before) > 16_000
        assert (before < 0.05).all()


@pytest.mark.parametrize("refuse", [False, True])
def test_of_a_camera_the_sound_alone_is_set_up(
    shared: Path, refuse: bool, listen: Callable[[Source], Listening]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    script = shared / "cases" / "servers" / "rtsp_setup_log.py"
    command = [sys.executable, str(script), str(port), "16000", *(["refuse-tcp"] if refuse else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as camera:
        assert camera.stdout is not None
        try:
            source = open_source(parse_source(f"url:rtsp://127.0.0.1:{port}/cam"))
            if refuse:
                with pytest.raises(SourceError):
                    wait_for(source.open)
            else:
                wait_for(source.open)
                source.stop()
        finally:
            camera.kill()
        asked = [line for line in camera.stdout.read().splitlines() if line.startswith("SETUP")]
    assert asked
    assert all("track2" in line for line in asked)
    assert "TCP" in asked[0]
    if refuse:
        assert any("TCP" not in line for line in asked), "another road is tried where TCP is refused"


def wait_for(opening: Callable[[], None]) -> None:
    """The camera may not listen yet."""
    for _ in range(200):
        try:
            opening()
            return
        except SourceError as fault:
            if "refused" not in str(fault):
                raise
            time.sleep(0.05)
    opening()
