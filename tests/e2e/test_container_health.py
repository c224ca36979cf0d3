"""The health check of the image, as the image runs it: it says what the daemon says."""

import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.support.certificates import make_pair

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "deploy" / "healthcheck.py"


def asked(port: int) -> subprocess.CompletedProcess[str]:
    """The health check, as the image runs it."""
    return subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={
            "STREAMCLF_SERVER_PORT": str(port),
            "http_proxy": "http://127.0.0.1:1",
            "https_proxy": "http://127.0.0.1:1",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("https", [False, True], ids=["http", "https"])
def test_the_health_check_says_what_the_daemon_says(https: bool, tmp_path: Path) -> None:
    answers = {"/healthz": (200, b"ok")}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[self.path]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """Of a client that speaks http to https."""

    with Quiet(("127.0.0.1", 0), Handler) as server:
        if https:
            certificate, key = make_pair(tmp_path, "birds")
            trust = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            trust.load_cert_chain(certificate, key)
            server.socket = trust.wrap_socket(server.socket, server_side=True)
        port = int(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            well = asked(port)
            answers["/healthz"] = (503, b"down: garden is lost")
            down = asked(port)
        finally:
            server.shutdown()
            thread.join()
    gone = asked(port)

    assert (well.returncode, well.stderr) == (0, "")
    assert (down.returncode, down.stderr.strip()) == (1, "down: garden is lost")
    assert gone.returncode == 1
    assert "Traceback" not in gone.stderr
