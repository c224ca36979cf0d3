"""Stations at public, local and own addresses, all within a network of this process's own; prints what came of each.

`unshare -nm python -m tests.support.stations FOLDER`: nothing here reaches a real network.
"""

import io
import json
import socket
import ssl
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import soundfile

from streamclf.audio.sources import open_source, parse_source
from streamclf.errors import StreamclfError
from tests.support.certificates import make_pair

HEAD = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n"
STATION, OTHER, HOME, HERE = "11.0.0.1", "12.0.0.1", "192.168.7.1", "127.0.0.1"
INNER = {
    "this machine": f"http://{HERE}/sound.mp3",
    "localhost": "http://localhost/sound.mp3",
    "a number": "http://2130706433/sound.mp3",
    "hexadecimal": "http://0x7f.1/sound.mp3",
    "IPv6": "http://[::1]/sound.mp3",
    "mapped": "http://[::ffff:127.0.0.1]/sound.mp3",
    "nothing": "http://0.0.0.0/sound.mp3",
    "the local network": f"http://{HOME}/sound.mp3",
    "metadata": "http://169.254.169.254/sound.mp3",
    "credentials": f"http://ada:hunter22@{HOME}/sound.mp3?key=sesame99",
    "https": f"https://{HOME}/sound.mp3",
    "two steps": f"http://{OTHER}/to?http://{HOME}/sound.mp3",
}
LISTS = {
    "segment": HEAD + "#EXTINF:3,\n{}\n#EXT-X-ENDLIST\n",
    "second segment": HEAD + f"#EXTINF:3,\nhttp://{STATION}/sound.mp3\n#EXTINF:3,\n{{}}\n#EXT-X-ENDLIST\n",
    "variant": "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=64000\n{}\n",
    "key": HEAD + '#EXT-X-KEY:METHOD=AES-128,URI="{}"\n#EXTINF:3,\nsound.mp3\n#EXT-X-ENDLIST\n',
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
    'mediaPresentationDuration="PT3S"><Period><AdaptationSet mimeType="audio/mpeg">'
    '<Representation id="1" bandwidth="1">'
    "<BaseURL>{}</BaseURL></Representation></AdaptationSet></Period></MPD>",
}
hits: list[tuple[str, str, bool]] = []
"""(address, path, whether it brought credentials) of each request."""


def main(folder: Path) -> None:
    """See the module."""
    hosts = folder / "hosts"
    hosts.write_text(f"{HERE} localhost\n{STATION} station.example\n")
    for words in (
        ["mount", "--bind", str(hosts), "/etc/hosts"],
        ["ip", "link", "set", "lo", "up"],
        *(["ip", "addr", "add", f"{one}/32", "dev", "lo"] for one in (STATION, OTHER, HOME, "169.254.169.254")),
    ):
        subprocess.run(words, check=True)
    files = {"/sound.mp3": _sound(), "/listen.pls": b"[playlist]\nFile1=http://127.0.0.1/sound.mp3\n"}
    for name, text in LISTS.items():
        files[f"/{name.replace(' ', '-')}.m3u8"] = text.replace("{}", f"http://{HOME}/sound.mp3").encode()
    handler = _handler(files, hosts)
    plain = _Dual(("::", 80), handler)
    secret = _Dual(("::", 443), handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make_pair(folder, "station"))
    secret.socket = context.wrap_socket(secret.socket, server_side=True)
    for server in (plain, secret):
        Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps({name: _heard(address) for name, address in _cases().items()}))


def _cases() -> dict[str, str]:
    found = {f"to {name}": f"http://{STATION}/to?{inner}" for name, inner in INNER.items()}
    found |= {f"list: {name}": f"http://{STATION}/{name.replace(' ', '-')}.m3u8" for name in LISTS}
    return found | {
        "outward": f"http://{STATION}/to?http://{OTHER}/sound.mp3",
        "outward with a password": f"http://ada:hunter22@{STATION}/closed?http://{OTHER}/sound.mp3",
        "outward to https": f"http://{STATION}/to?https://{OTHER}/sound.mp3",
        "local to local": f"http://{HOME}/to?http://{HOME}/sound.mp3",
        "local outward": f"http://{HOME}/to?http://{STATION}/sound.mp3",
        "local inward": f"http://{HOME}/to?http://{HERE}/sound.mp3",
        "out and in again": f"http://{HOME}/to?http://{STATION}/to?http://{HERE}/sound.mp3",
        "to a file": f"http://{STATION}/to?file:///etc/passwd",
        "to tcp": f"http://{STATION}/to?tcp://{HERE}:80",
        "in a round": f"http://{STATION}/round",
        "thirty times": f"http://{STATION}/count?30",
        "five times": f"http://{STATION}/count?5",
        "a play list": f"http://{STATION}/listen.pls",
        "rebound": "http://station.example/rebind",
    }


def _heard(address: str) -> dict[str, object]:
    hits.clear()
    source = open_source(parse_source(f"url:{address}"), fast=True)
    said, samples = "", 0
    try:
        source.open()
        connection = source._connection  # type: ignore[attr-defined]
        samples = sum(len(block) for block, _ in connection.blocks())
    except StreamclfError as fault:
        said = str(fault)
    except Exception as fault:
        said = f"broke: {fault}"
    finally:
        source._close()  # type: ignore[attr-defined]
    return {"said": said, "samples": samples, "hits": list(hits)}


def _sound() -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.random.default_rng(5).standard_normal(44_100 * 3) * 0.1, 44_100, format="MP3")
    return buffer.getvalue()


class _Dual(ThreadingHTTPServer):
    address_family = socket.AF_INET6
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went is none."""


def _handler(files: dict[str, bytes], hosts: Path) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            at = str(self.connection.getsockname()[0]).removeprefix("::ffff:")
            path, _, query = self.path.partition("?")
            hits.append((at, path, "Authorization" in self.headers))
            if path == "/closed" and "Authorization" not in self.headers:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="x"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            where = {
                "/to": query,
                "/closed": query,
                "/round": "/round",
                "/rebind": "http://station.example/sound.mp3",
            }.get(path, "")
            if path == "/count":
                where = f"/count?{int(query) - 1}" if int(query) else "/sound.mp3"
            if path == "/rebind":
                hosts.write_text(f"{HERE} localhost\n{HOME} station.example\n")
            body = files.get(path, b"")
            self.send_response(302 if where else 200 if body else 404)
            if where:
                self.send_header("Location", where)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return Handler


if __name__ == "__main__":
    main(Path(sys.argv[1]))
