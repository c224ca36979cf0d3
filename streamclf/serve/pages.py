"""Plain HTTP on the websocket's port: the page, /healthz, /metrics, /v1/… A fixed table: no path is joined."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import Awaitable, Mapping
from email.utils import formatdate
from http import HTTPStatus
from importlib.resources import files
from urllib.parse import parse_qs

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from streamclf import __version__, metrics
from streamclf.errors import ServeError, StreamclfError
from streamclf.serve.access import Access
from streamclf.serve.history import Asked, History, asked_of
from streamclf.serve.hub import Hub

SOCKET_PATH = "/v1"

logger = logging.getLogger("streamclf.serve")

# States of a stream in which nothing can be heard, and that somebody has to look at; the others pass by themselves.
_BROKEN = {"lost", "problem"}
_LESSENED = {"reconnecting", "paused", "behind"}

_WEB = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/live.js": ("live.js", "text/javascript; charset=utf-8"),
    "/live.css": ("live.css", "text/css; charset=utf-8"),
}
_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_GUARDS = {
    "Content-Security-Policy": _CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Pages:
    """Answers every request that is not a websocket's. Reads its files once. history: None where no events are kept."""

    def __init__(self, hub: Hub, access: Access, history: History | None = None) -> None:
        self._hub = hub
        self._access = access
        self._history = history
        self._started_s = time.monotonic()
        serve = files("streamclf.serve")
        self._fixed = {path: (serve.joinpath("web", name).read_bytes(), kind) for path, (name, kind) in _WEB.items()}
        self._fixed["/v1/schema"] = (serve.joinpath("asyncapi.json").read_bytes(), "application/json")

    def respond(self, request: Request) -> Response | Awaitable[Response] | None:
        """The answer, now or soon, or None where the request may go on to become a websocket."""
        hosts = request.headers.get_all("Host")
        if why := self._access.check_host(hosts):
            return _refuse(HTTPStatus.FORBIDDEN, "host", why)
        if request.method not in ("GET", "HEAD"):
            response = _refuse(HTTPStatus.METHOD_NOT_ALLOWED, "method", f"{request.method[:20]} is not answered here")
            response.headers["Allow"] = "GET, HEAD"
            return response
        path = request.path.partition("?")[0]
        try:
            query_of(request.path)
        except ValueError:
            return _refuse(HTTPStatus.BAD_REQUEST, "query", "that is more query than anything here takes")
        if path == SOCKET_PATH:
            if why := self._access.check_origin(request.headers.get_all("Origin"), hosts):
                return _refuse(HTTPStatus.FORBIDDEN, "origin", why)
            return self._check_token(request)
        return self._page(path, request)

    def _page(self, path: str, request: Request) -> Response | Awaitable[Response]:
        head = request.method == "HEAD"
        if path in self._fixed:
            body, kind = self._fixed[path]
            return _answer(HTTPStatus.OK, body, kind, head=head)
        if path == "/healthz":
            status, health = self._health(detailed=self._check_token(request) is None)
            return _answer(status, msgspec.json.encode(health), "application/json", head=head)
        if path == "/v1/picture":
            return self._check_token(request) or self._picture(request, head=head)
        if path == "/v1/events":
            return self._check_token(request) or self._events(request, head=head)
        if path == "/metrics":
            return self._check_token(request) or _answer(
                HTTPStatus.OK, metrics.exposition(), metrics.CONTENT_TYPE, head=head
            )
        return _answer(HTTPStatus.NOT_FOUND, b"There is nothing here.\n", "text/plain; charset=utf-8", head=head)

    def _picture(self, request: Request, *, head: bool) -> Response:
        query = query_of(request.path)
        stream, frame = query.get("stream", [""])[0], query.get("from", ["0"])[0]
        if stream not in self._hub.streams or not frame.isdecimal():
            wanted = "say ?stream=NAME and, if you like, &from=FRAME, the first 20 ms frame you want"
            return _refuse(HTTPStatus.BAD_REQUEST, "query", wanted)
        return _answer(HTTPStatus.OK, self._hub.picture(stream, int(frame)), "application/octet-stream", head=head)

    def _events(self, request: Request, *, head: bool) -> Response | Awaitable[Response]:
        if self._history is None:
            return _refuse(HTTPStatus.NOT_FOUND, "events", "no events are kept; [store] enabled switches it on")
        try:
            asked = asked_of(query_of(request.path))
        except ServeError as fault:
            return _refuse(HTTPStatus.BAD_REQUEST, "query", str(fault))
        return self._read_events(self._history, asked, head=head)

    async def _read_events(self, history: History, asked: Asked, *, head: bool) -> Response:
        """In a thread: a search through a year of events must not hold up the loop."""
        try:
            page = await asyncio.to_thread(history.page, asked)
        except (StreamclfError, sqlite3.Error) as fault:
            logger.error("events cannot be read: %s", fault)
            return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "events", f"events cannot be read: {fault}")
        return _answer(HTTPStatus.OK, page, "application/json", head=head)

    def _check_token(self, request: Request) -> Response | None:
        why = self._access.check_token(
            request.headers.get_all("Authorization")[0] if "Authorization" in request.headers else None,
            [name.strip() for value in request.headers.get_all("Sec-WebSocket-Protocol") for name in value.split(",")],
            query_of(request.path).get("token", []),
        )
        if why is None:
            return None
        response = _refuse(HTTPStatus.UNAUTHORIZED, "token", why)
        response.headers["WWW-Authenticate"] = 'Bearer realm="streamclf"'
        return response

    def _health(self, *, detailed: bool) -> tuple[HTTPStatus, dict[str, object]]:
        states = {stream.state for stream in self._hub.streams.values()}
        broken = bool(states & _BROKEN)
        problems = list(self._hub.problems())
        health: dict[str, object] = {
            "status": "degraded" if broken or problems or states & _LESSENED else "ok",
            "uptime_s": round(time.monotonic() - self._started_s, 3),
        }
        if detailed:
            health["version"] = __version__
            health["instance"] = self._hub.instance
            health["problems"] = problems
            health["streams"] = [
                {"name": stream.name, "state": stream.state, "detail": stream.detail, "demo": stream.demo}
                for stream in self._hub.streams.values()
            ]
        return HTTPStatus.SERVICE_UNAVAILABLE if broken else HTTPStatus.OK, health


def query_of(path: str) -> Mapping[str, list[str]]:
    """The query of a request's path. Raises ValueError above 64 fields."""
    return parse_qs(path.partition("?")[2], keep_blank_values=True, max_num_fields=64)


def unavailable(text: str) -> Response:
    """503, for more connections than we hold."""
    return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "full", text)


def _refuse(status: HTTPStatus, reason: str, text: str) -> Response:
    metrics.REFUSED.labels(reason).inc()
    body = f"{text[:1].upper()}{text[1:]}.\n".encode()
    return _answer(status, body, "text/plain; charset=utf-8", head=False)


def _answer(status: HTTPStatus, body: bytes, kind: str, *, head: bool) -> Response:
    headers = Headers(
        {
            "Date": formatdate(usegmt=True),
            "Connection": "close",
            "Content-Length": str(len(body)),
            "Content-Type": kind,
            **_GUARDS,
        }
    )
    return Response(status.value, status.phrase, headers, b"" if head else body)
