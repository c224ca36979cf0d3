"""What pages of other sites may read: CORS for /v1/*, for the origins that the configuration lets in, and no other.

A page of an allowed origin shows a token like any program. The login of the daemon's own page never counts for it: no
answer allows credentials, so a browser hides it from a page that sends cookies along, and what a cookie shows is
refused here besides (access.py). Who is logged in, and logging in and out, are for the daemon's own page alone.
"""

from collections.abc import Mapping

from websockets.datastructures import Headers

from streamclf.serve.http import login

_PREFIX = "/v1/"
_MAX_AGE_S = 600
_HEADERS = "Authorization, Last-Event-ID"


def shared(path: str) -> bool:
    """Whether pages of other sites may be let in there."""
    return path.startswith(_PREFIX) and path not in login.PATHS


def headers_for(origin: str) -> Mapping[str, str]:
    """Of an answer to a page of `origin`, which is allowed; "" for who names none."""
    allowed = {"Access-Control-Allow-Origin": origin} if origin else {}
    return {"Vary": "Origin", **allowed}


def preflight_headers(asked: Headers) -> Mapping[str, str]:
    """What a page of an allowed origin may ask for, besides `headers_for`."""
    local = "Access-Control-Request-Private-Network" in asked
    return {
        "Access-Control-Allow-Methods": "GET, HEAD",
        "Access-Control-Allow-Headers": _HEADERS,
        "Access-Control-Max-Age": str(_MAX_AGE_S),
        **({"Access-Control-Allow-Private-Network": "true"} if local else {}),
    }
