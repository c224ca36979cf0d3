"""One GET of a running daemon, beside its websocket: what it answers, or a sentence that says why not."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from streamclf.errors import ServeError
from streamclf.protocol.address import is_loopback
from streamclf.text import one_line

_LIMIT_S = 10.0
_MAX_BYTES = 64 << 20  # an hour of spectrum columns is 18 MB
_SCHEMES = {"ws": "http", "wss": "https"}


def fetch(url: str, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> bytes:
    """The body at `path` below the websocket's address `url`; blocks for up to 10 s. Raises `ServeError`."""
    parts = urlsplit(url)
    # a proxy setting must not catch loopback; a redirect would take the token along, and no daemon sends one
    proxies = urllib.request.ProxyHandler({} if is_loopback(parts.hostname or "") else None)
    opener = urllib.request.build_opener(proxies, _NoRedirect())
    place = f"{_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path}/{path}"
    request = urllib.request.Request(f"{place}?{urlencode(query)}", headers=dict(headers))
    try:
        with opener.open(request, timeout=_LIMIT_S) as answer:
            body: bytes = answer.read(_MAX_BYTES + 1)
    except urllib.error.HTTPError as refused:
        with refused:
            said = one_line(refused.read(400).decode(errors="replace"), 300).strip().rstrip(".")
        raise ServeError(f"{place} answered {refused.code}: {said or one_line(refused.reason, 100)}") from None
    except (OSError, http.client.HTTPException) as fault:
        raise ServeError(f"nothing usable came from {place} ({one_line(str(fault), 200)})") from None
    if len(body) > _MAX_BYTES:
        raise ServeError(f"{place} sent over {_MAX_BYTES >> 20} MiB, as no daemon does; check the address")
    return body


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *args: object, **more: object) -> None:
        return None
