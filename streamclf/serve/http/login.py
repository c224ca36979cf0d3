"""Who somebody is here, and how a browser is logged in and out: v1/session, v1/login, v1/logout.

Logging in and out change what a browser keeps, so they want the header `X-Streamclf: page`: a foreign page cannot send
it without asking first, and is told no.
"""

import msgspec
from websockets.datastructures import Headers

from streamclf.serve.http.access import Access, Refusal
from streamclf.serve.http.route import Reply
from streamclf.serve.roles import Caller

PATHS = frozenset({"/v1/session", "/v1/login", "/v1/logout"})
_OWN_PAGE = "X-Streamclf"


class Login(msgspec.Struct):
    """What the page has to know before anything else. why: a login that holds no more, and what to do; else empty."""

    needs_token: bool
    role: str | None
    why: str


def answer(access: Access, path: str, headers: Headers, caller: Caller | Refusal) -> Reply | Refusal:
    """path: one of PATHS. caller: whom `headers` show."""
    secure = access.secure or "https" in [
        part.strip() for value in headers.get_all("X-Forwarded-Proto") for part in value.split(",")
    ]
    if path != "/v1/session" and headers.get_all(_OWN_PAGE) != ["page"]:
        return Refusal("foreign", f"logging in and out is for our own page, which sends the header {_OWN_PAGE}: page")
    if path == "/v1/logout":
        return _reply(access, None, "", access.logout(secure=secure))
    if isinstance(caller, Refusal):
        if path == "/v1/login":
            return caller
        return _reply(access, None, "" if caller.reason == "none" else caller.text, "")
    # each use of a login renews it: a person who looks in every month needs no token again
    keep = access.needs_token and (path == "/v1/login" or access.shows_login(headers))
    return _reply(access, caller, "", access.login(caller, secure=secure) if keep else "")


def _reply(access: Access, caller: Caller | None, why: str, cookie: str) -> Reply:
    login = Login(access.needs_token, None if caller is None else caller.role.name.lower(), why)
    return Reply(msgspec.json.encode(login), headers={"Set-Cookie": cookie} if cookie else {})
