"""A web radio that behaves badly on request: `python -m tools.faults.radio HOST PORT`; a letter on standard input each.

f flow, h hang (connections stay, nothing is sent), s slow (half as fast as real time), x end all connections and refuse
new ones, g garbage in the middle of the stream.
"""

import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from tools.faults.material import phrase

RATE = 16_000
_BLOCK = 800


class Radio:
    """mode: one of the letters above."""

    def __init__(self, host: str, port: int) -> None:
        self.mode = "f"
        self._held: set[socket.socket] = set()
        self._host = host
        self._server = self._listen(port)
        self.port: int = self._server.server_port

    def set(self, mode: str) -> None:
        """From now on."""
        before, self.mode = self.mode, mode
        if mode == "x":
            self._server.shutdown()
            self._server.server_close()
            for held in list(self._held):
                with suppress(OSError):  # its other end has gone
                    held.shutdown(socket.SHUT_RDWR)
        elif before == "x":
            self._server = self._listen(self.port)

    def close(self) -> None:
        """End all."""
        if self.mode != "x":
            self.set("x")

    def _listen(self, port: int) -> ThreadingHTTPServer:
        server = _RadioServer((self._host, port), _handler(self, self._held))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return server


class _RadioServer(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A listener that left."""


def _handler(radio: Radio, held: set[socket.socket]) -> type[BaseHTTPRequestHandler]:
    sound = (phrase(RATE) * 20_000).astype("<i2")

    class RadioHandler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            place = {"/moved": "/live", "/round": "/round", "/file": "file:///etc/passwd"}.get(self.path)
            if place is not None:
                self.send_response(302)
                self.send_header("Location", place)
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", "audio/wav")
            self.end_headers()
            if self.path == "/garbage":
                self.wfile.write(np.random.default_rng(8).bytes(200_000))
                return
            held.add(self.connection)
            try:
                self._play()
            except OSError:
                pass
            finally:
                held.discard(self.connection)

        def _play(self) -> None:
            none = 0xFFFFFFFF  # it has no end
            form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, RATE, 2 * RATE, 2, 16)
            self.wfile.write(b"RIFF" + struct.pack("<I", none) + b"WAVE" + form + b"data" + struct.pack("<I", none))
            due_s, at = time.monotonic() - 1.0, 0  # a second at once, as stations do
            while radio.mode != "x":
                time.sleep(max(0.0, due_s - time.monotonic()))
                due_s = max(due_s, time.monotonic() - 2.0) + _BLOCK / RATE * (2 if radio.mode == "s" else 1)
                if radio.mode == "h":
                    due_s = time.monotonic() + 0.05
                    continue
                block = sound[at : at + _BLOCK].tobytes()
                self.wfile.write(np.random.default_rng(at).bytes(len(block)) if radio.mode == "g" else block)
                at = (at + _BLOCK) % RATE

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    return RadioHandler


def main() -> None:
    """See the module."""
    radio = Radio(sys.argv[1], int(sys.argv[2]))
    print(radio.port, flush=True)
    for line in sys.stdin:
        radio.set(line.strip())


if __name__ == "__main__":
    main()
