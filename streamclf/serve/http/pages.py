"""Plain HTTP on the websocket's port: the page, /healthz, /metrics, /v1/… A fixed table: no path is joined."""

import asyncio
import copy
import logging
import sqlite3
import time
from collections.abc import Awaitable, Mapping, Sequence
from email.utils import formatdate
from http import HTTPStatus
from importlib.resources import files
from types import MappingProxyType
from typing import NamedTuple

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from streamclf import __version__, metrics
from streamclf.errors import ServeError, StreamclfError
from streamclf.protocol.status import condition_of
from streamclf.serve.connection import ServedConnection
from streamclf.serve.http import cors, login, site
from streamclf.serve.http.access import Access, Refusal
from streamclf.serve.http.feed import PATH as FEED_PATH
from streamclf.serve.http.feed import Feed, Following
from streamclf.serve.http.route import NotKeptError, Query, Reply, Route
from streamclf.serve.http.stored import nothing_kept
from streamclf.serve.hub import Hub
from streamclf.serve.info import StreamInfo
from streamclf.serve.problems import Problems
from streamclf.serve.query import query_of
from streamclf.serve.roles import Caller, Role

SOCKET_PATH = "/v1"
ANSWER_LIMIT_S = 10.0
HEALTH_PATHS = ("/healthz", "/livez", "/readyz")

logger = logging.getLogger("streamclf.serve")

Answer = Response | Awaitable[Response] | Following

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "worker-src 'self'; "
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
_REFUSED = {"foreign": HTTPStatus.FORBIDDEN, "wait": HTTPStatus.TOO_MANY_REQUESTS}


class Face(NamedTuple):
    """What those of one scope see of a gateway: a hub, what is wrong with that, addresses besides the own, events."""

    hub: Hub
    problems: Problems
    routes: Mapping[str, Route]
    feed: Feed


class Pages:
    """Answers every request that is not a websocket's. Reads its files once. routes: what is added to the own ones.

    problems: what the answers about health are made from; None for what the hub alone tells. feed: of the events that
    are kept; None where none are.
    """

    routes: Mapping[str, Route]
    """Every address that wants a role."""

    def __init__(
        self,
        hub: Hub,
        access: Access,
        routes: Mapping[str, Route] | None = None,
        *,
        problems: Problems | None = None,
        feed: Feed | None = None,
    ) -> None:
        self._hub = hub
        self._feed = feed
        self._problems = problems or Problems(hub)
        self._access = access
        self._started_s = time.monotonic()
        self._site = site.load()
        self._schema = files("streamclf.protocol").joinpath("asyncapi.json").read_bytes()
        self.scoped: dict[str, Pages] = {}
        """By scope: what answers those who may see some of many sites alone."""
        self.routes = self._all(routes)

    def _all(self, routes: Mapping[str, Route] | None) -> dict[str, Route]:
        return {
            "/v1/picture": Route(Role.LABELS, self._picture),
            FEED_PATH: Route(Role.LABELS, nothing_kept),
            "/metrics": Route(Role.ADMIN, lambda query: Reply(metrics.exposition(), metrics.CONTENT_TYPE)),
            **(routes or {}),
        }

    def beside(self, face: Face) -> "Pages":
        """The same pages for somebody who sees that much alone."""
        other = copy.copy(self)
        other._hub, other._problems, other._feed, other.scoped = face.hub, face.problems, face.feed, {}
        other.routes = other._all(face.routes)
        return other

    def respond(self, request: Request, peer: str) -> Answer | Caller:
        """The answer, now or soon; or a caller that may open a websocket. peer: the sender's address."""
        if why := self._access.check_host(request.headers.get_all("Host"), peer=peer):
            return _refuse(HTTPStatus.FORBIDDEN, "host", why)
        path = self._below_base(request.path.partition("?")[0])
        origins = request.headers.get_all("Origin")
        if not cors.shared(path):
            return self._respond(request, peer)
        if why := self._access.check_origin(request.headers):
            return self._refuse_origin(origins, why)
        headers = cors.headers_for(origins[0] if origins else "")
        if request.method == "OPTIONS":
            headers = {**headers, **cors.preflight_headers(request.headers)}
            return _answer(HTTPStatus.NO_CONTENT, b"", "text/plain", head=False, more=headers)
        return _with(self._respond(request, peer), headers)

    def _below_base(self, path: str) -> str:
        base = self._access.base_path
        return path.removeprefix(base) if base and path.startswith(base + "/") else path

    def _respond(self, request: Request, peer: str) -> Answer | Caller:
        if request.method not in ("GET", "HEAD"):
            response = _refuse(HTTPStatus.METHOD_NOT_ALLOWED, "method", f"{request.method[:20]} is not answered here")
            response.headers["Allow"] = "GET, HEAD"
            return response
        path, _, fields = request.path.partition("?")
        try:
            tokens = query_of(request.path).get("token", [])
        except ValueError:
            return _refuse(HTTPStatus.BAD_REQUEST, "query", "that is more query than anything here takes")
        base = self._access.base_path
        if base and path == base:
            return _redirect(f"{base}/{'?' if fields else ''}{fields}")
        path = self._below_base(path)
        socket = path == SOCKET_PATH
        if socket and (why := self._access.check_origin(request.headers)):
            return self._refuse_origin(request.headers.get_all("Origin"), why)
        caller = self._access.caller_of(request.headers, tokens, peer=peer, socket=socket)
        if socket:
            return _refuse_caller(caller) if isinstance(caller, Refusal) else caller
        pages = self.scoped[caller.scope] if isinstance(caller, Caller) and caller.scope else self
        return pages._page(path, request, caller)

    def _refuse_origin(self, origins: Sequence[str], why: str) -> Response:
        """A browser hides the answer from its page, so the log tells the person who builds the page."""
        if line := self._access.origins.to_log(origins, time.monotonic()):
            logger.warning(line)
        return _refuse(HTTPStatus.FORBIDDEN, "origin", why)

    def _page(self, path: str, request: Request, caller: Caller | Refusal) -> Answer:
        head = request.method == "HEAD"
        if path in self._site:
            file = self._site[path]
            status, body, more = file.answer(request.headers)
            return _answer(status, body, file.kind, head=head, more=more)
        if path == "/v1/schema":
            return _answer(HTTPStatus.OK, self._schema, "application/json", head=head)
        if path in HEALTH_PATHS:
            status, health = self._health(path, detailed=isinstance(caller, Caller))
            return _answer(status, msgspec.json.encode(health), "application/json", head=head)
        if path in login.PATHS:
            answer = login.answer(self._access, path, request.headers, caller)
            if isinstance(answer, Refusal):
                return _refuse_caller(answer)
            return _answer(HTTPStatus.OK, answer.body, answer.kind, head=head, more=answer.headers)
        if path not in self.routes:
            return _answer(HTTPStatus.NOT_FOUND, b"There is nothing here.\n", "text/plain; charset=utf-8", head=head)
        if isinstance(caller, Refusal):
            return _refuse_caller(caller)
        route = self.routes[path]
        if caller.role < route.role:
            wanted = f"this needs the {route.role.name.lower()} token, and you came as {caller.role.name.lower()}"
            return _refuse(HTTPStatus.FORBIDDEN, "role", wanted)
        query = Query(query_of(request.path), caller.role)
        if path == FEED_PATH and self._feed is not None:
            if head:
                return _answer(HTTPStatus.OK, b"", "text/event-stream; charset=utf-8", head=True)
            try:
                return Following(self._feed, query.fields, request.headers.get_all("Last-Event-ID"))
            except ServeError as fault:
                return _refuse(HTTPStatus.BAD_REQUEST, "query", str(fault))
        return _in_thread(route, query, head=head) if route.in_thread else _reply(route, query, head=head)

    def _picture(self, query: Query) -> Reply:
        stream, frame = query.fields.get("stream", [""])[0], query.fields.get("from", ["0"])[0]
        if stream not in self._hub.streams or not frame.isdecimal():
            raise ServeError("say ?stream=NAME and, if you like, &from=FRAME, the first 20 ms frame you want")
        return Reply(self._hub.picture(stream, int(frame)), "application/octet-stream")

    def _health(self, path: str, *, detailed: bool) -> tuple[HTTPStatus, dict[str, object]]:
        """livez: it goes on, or will not by itself. readyz: it has begun, and does its work. healthz: all of it."""
        self._problems.note(time.time_ns())
        found = self._problems.found() if path != "/livez" else []
        reasons = [problem.what for problem in found if problem.grade != "advice"]
        condition = condition_of(found)
        if stuck := self._problems.stuck():
            reasons, condition = [stuck, *reasons], "down"
        elif path == "/readyz" and (unready := self._problems.unready()):
            reasons, condition = [*reasons, unready], "down"
        health: dict[str, object] = {
            "status": condition,
            "uptime_s": round(time.monotonic() - self._started_s, 3),
        }
        if detailed:
            health["reasons"] = reasons
        if detailed and path == "/healthz":
            health["version"] = __version__
            health["instance"] = self._hub.instance
            health["problems"] = [problem.what for problem in found]
            health["streams"] = [self._stream(info) for info in self._hub.streams.values()]
        return HTTPStatus.SERVICE_UNAVAILABLE if condition == "down" else HTTPStatus.OK, health

    def _stream(self, info: StreamInfo) -> dict[str, object]:
        state, detail = self._problems.state(info)
        return {"name": info.name, "state": state, "detail": detail, "demo": info.demo}


def _with(answer: Answer | Caller, headers: Mapping[str, str]) -> Answer | Caller:
    """`answer` with these headers besides."""
    if isinstance(answer, Response):
        for name, value in headers.items():
            answer.headers[name] = value
    elif isinstance(answer, Following):
        answer.headers.update(headers)
    elif not isinstance(answer, Caller):
        return _soon_with(answer, headers)
    return answer


async def _soon_with(answer: Awaitable[Response], headers: Mapping[str, str]) -> Response:
    response = await answer
    for name, value in headers.items():
        response.headers[name] = value
    return response


async def run_following(following: Following, connection: ServedConnection) -> Response | None:
    """None once it is over; an answer where it could not begin."""
    try:
        await following.run(connection)
    except (StreamclfError, sqlite3.Error) as fault:
        response = _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "fault", f"this cannot be answered now: {fault}")
        for name, value in following.headers.items():
            response.headers[name] = value
        return response
    except Exception:
        logger.exception("events could not be sent")  # the library makes it a 500 and is silenced by us
        raise
    return None


async def _in_thread(route: Route, query: Query, *, head: bool) -> Response:
    """A search through a year of events must not hold up the loop."""
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            return await asyncio.to_thread(_reply, route, query, head=head)
    except TimeoutError:
        return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "fault", "this cannot be answered now: the disk does not answer")


def _reply(route: Route, query: Query, *, head: bool) -> Response:
    try:
        reply = route.answer(query)
    except NotKeptError as fault:
        return _refuse(HTTPStatus.NOT_FOUND, "missing", str(fault))
    except ServeError as fault:
        return _refuse(HTTPStatus.BAD_REQUEST, "query", str(fault))
    except (StreamclfError, sqlite3.Error) as fault:
        logger.error("a request could not be answered: %s", fault)
        return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "fault", f"this cannot be answered now: {fault}")
    except Exception:
        logger.exception("a request could not be answered")  # the library makes it a 500 and is silenced by us
        raise
    return _answer(HTTPStatus.OK, reply.body, reply.kind, head=head, more=reply.headers)


def unavailable(text: str) -> Response:
    """503, for more connections than we hold."""
    return _refuse(HTTPStatus.SERVICE_UNAVAILABLE, "full", text)


def _refuse(status: HTTPStatus, reason: str, text: str) -> Response:
    metrics.REFUSED.labels(reason).inc()
    body = f"{text[:1].upper()}{text[1:]}.\n".encode()
    return _answer(status, body, "text/plain; charset=utf-8", head=False)


def _refuse_caller(refusal: Refusal) -> Response:
    status = _REFUSED.get(refusal.reason, HTTPStatus.UNAUTHORIZED)
    response = _refuse(status, "token" if status is HTTPStatus.UNAUTHORIZED else refusal.reason, refusal.text)
    if status is HTTPStatus.UNAUTHORIZED:
        response.headers["WWW-Authenticate"] = 'Bearer realm="streamclf"'
    return response


def _redirect(place: str) -> Response:
    return _answer(HTTPStatus.PERMANENT_REDIRECT, b"", "text/plain", head=False, more={"Location": place})


def _answer(
    status: HTTPStatus, body: bytes, kind: str, *, head: bool, more: Mapping[str, str] = MappingProxyType({})
) -> Response:
    headers = Headers(
        {
            "Date": formatdate(usegmt=True),
            "Connection": "close",
            "Content-Length": str(len(body)),
            "Content-Type": kind,
            **_GUARDS,
            **more,
        }
    )
    return Response(status.value, status.phrase, headers, b"" if head else body)
