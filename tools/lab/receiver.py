"""A real HTTP server that takes webhooks and heartbeats, keeps what came, and answers as it is told."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    """What a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def data(self) -> dict[str, Any]:
        """`data` of an alert's JSON."""
        found: dict[str, Any] = json.loads(self.body)["data"]
        return found


@dataclass
class WebhookReceiver:
    """answers: (status, headers, body) of the next requests, the last one for all that follow. reason: if unusual."""

    port: int
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=lambda: [(204, {}, b"")])
    reason: str | None = None
    requests: list[Request] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)

    @property
    def url(self) -> str:
        """Where it takes webhooks."""
        return f"http://127.0.0.1:{self.port}/hook"

    def wait_for(self, count: int, limit_s: float = 20.0) -> list[Request]:
        """The requests, once there are `count` of them."""
        with self.arrived:
            there = self.arrived.wait_for(lambda: len(self.requests) >= count, limit_s)
            assert there, f"{len(self.requests)} of {count} requests came within {limit_s:.0f} s"
            return list(self.requests)


@contextmanager
def http_receiver(port: int = 0) -> Iterator[WebhookReceiver]:
    """A real HTTP server on 127.0.0.1. port: 0 for a free one."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"] or 0)
            body = self.rfile.read(length)
            if len(body) < length:
                return  # whoever sent it was killed in the middle
            with receiver.arrived:
                status, headers, answer = receiver.answers[0]
                if len(receiver.answers) > 1:
                    receiver.answers.pop(0)
                receiver.requests.append(Request(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                receiver.arrived.notify_all()
            with suppress(ConnectionError):  # whoever sent it may have been killed since
                self.send_response(status, receiver.reason)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        do_GET = do_POST  # noqa: N815 - as the server calls it

        def log_message(self, format: str, *args: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    receiver = WebhookReceiver(server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
