"""A receiver of webhooks that answers, refuses, hangs or sends the daemon elsewhere."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hook:
    """answer: a status; 0 hangs. location: of a redirect. got: (arrived at, alert's data)."""

    def __init__(self, port: int = 0) -> None:
        self.answer = 204
        self.location = ""
        self.got: list[tuple[float, dict[str, Any]]] = []
        self.tries = 0
        self._over = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._server.daemon_threads = True
        self.port: int = self._server.server_port
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Listen no more."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def _handler(hook) -> type[BaseHTTPRequestHandler]:  # noqa: N805 - `self` is the handler's
        class HookHandler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                hook.tries += 1
                if not hook.answer:
                    hook._over.wait(60)
                    return
                if hook.answer < 300 and body:  # a sender that had to leave sends none
                    hook.got.append((time.monotonic(), json.loads(body)["data"]))
                self.send_response(hook.answer)
                if hook.location:
                    self.send_header("Location", hook.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                hook.tries += 1
                self.send_error(404)

            def log_message(self, format: str, *args: object) -> None:
                """Quiet."""

        return HookHandler
