"""What an address leads to: no file of this machine is opened, and others are spoken to by http alone."""

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
import soundfile

from tests.e2e.test_url import PLAYLIST, RATE, Server, handler_of

pytest.importorskip("av", reason="PyAV is not installed (extra url)")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server({})
    http = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(running))
    running.port = http.server_port
    thread = Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield running
    http.shutdown()
    http.server_close()
    thread.join()


LISTS = {
    "ffconcat": "ffconcat version 1.0\nfile {}\n",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 45678 RTP/AVP 0\n",
    "m3u8 of tcp": PLAYLIST + "#EXTINF:3.0,\ntcp://127.0.0.1:{port}\n#EXT-X-ENDLIST\n",
    "m3u8 of rtsp": PLAYLIST + "#EXTINF:3.0,\nrtsp://127.0.0.1:{port}/x\n#EXT-X-ENDLIST\n",
    "m3u8 of udp": PLAYLIST + "#EXTINF:3.0,\nudp://127.0.0.1:45678\n#EXT-X-ENDLIST\n",
    "m3u8 of concat": PLAYLIST + "#EXTINF:3.0,\nconcat:{}\n#EXT-X-ENDLIST\n",
    "m3u8 of subfile": PLAYLIST + "#EXTINF:3.0,\nsubfile,,start,0,end,9,,:{}\n#EXT-X-ENDLIST\n",
    "m3u8 of a file's key": PLAYLIST
    + '#EXT-X-KEY:METHOD=AES-128,URI="file://{}"\n#EXTINF:3.0,\nnoise.mp3\n#EXT-X-ENDLIST\n',
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT3S"><Period><AdaptationSet mimeType="audio/mpeg">'
    '<Representation id="1" bandwidth="1">'
    "<BaseURL>file://{}</BaseURL></Representation></AdaptationSet></Period></MPD>",
}


@pytest.mark.parametrize("kind", LISTS)
def test_what_a_server_sends_opens_no_file_here_and_speaks_to_others_in_no_other_way(
    server: Server, kind: str, tmp_path: Path
) -> None:
    """Watched from outside: a process of its own opens the address, and strace sees what it opens."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed (package strace)")
    local = tmp_path / "local.mp3"
    soundfile.write(local, np.random.default_rng(5).standard_normal(RATE) * 0.1, RATE)
    server.files["/noise.mp3"] = local.read_bytes()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server.files["/list"] = LISTS[kind].replace("{}", str(local)).replace("{port}", str(port)).encode()
        script = (
            "import sys; from streamclf.audio.sources import open_source, parse_source\n"
            "open_source(parse_source(sys.argv[1]), fast=True).open()"
        )
        words = [sys.executable, "-c", script, f"url:http://127.0.0.1:{server.port}/list"]
        seen = tmp_path / "strace"
        trace = ["strace", "-f", "-qq", "-e", "trace=open,openat,connect,bind,getsockname", "-o", str(seen)]
        ended = subprocess.run([*trace, *words], capture_output=True, text=True, timeout=120, check=False)
    calls = seen.read_text()
    connected = {found for found in re.findall(r"htons\((\d+)\)", calls) if found != "0"}

    own = set(re.findall(r"getsockname\(.*htons\((\d+)\)", calls))  # the escort's, which FFmpeg goes through

    assert "/list" in server.requests
    assert ended.returncode
    assert str(local) not in calls
    assert connected - own == {str(server.port)}
