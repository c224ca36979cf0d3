"""Where a daemon is, as people write it. What server and client share."""

import ipaddress
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

from streamclf.errors import ServeError
from streamclf.text import one_line, public_url

TOKEN_VARIABLE = "STREAMCLF_TOKEN"
DEFAULT_PORT = 8765
DEFAULT_PATH = "/v1"
DEFAULT_URL = f"ws://127.0.0.1:{DEFAULT_PORT}{DEFAULT_PATH}"

_SCHEMES = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}


class Address(NamedTuple):
    """Where a daemon is. token: the one that stood in the address, which `url` no longer holds."""

    url: str
    token: str | None


def parse_url(text: str) -> Address:
    """From what people write: `ws://`, `http://` or `host[:port]`, also a page's address with `?token=`.

    Without a path it is /v1, and a path that ends in / is a page's; without a scheme the port is 8765. Raises
    `ServeError`.
    """
    expected = f"; expected something like {DEFAULT_URL} or birds.local:{DEFAULT_PORT}"
    shown = one_line(public_url(text) if set(text) & set("@?#") else text)  # a secret stands before @ or behind ?
    if not text or " " in text or not text.isprintable():
        raise ServeError(f"the address '{shown}' cannot be used{expected}")
    scheme, found, _ = text.partition("://")
    if found and scheme.lower() not in _SCHEMES:
        begin = f"{one_line(scheme)}://" if "://" in shown else "no scheme"
        raise ServeError(f"the address '{shown}' begins with {begin}{expected}")
    try:
        parts = urlsplit(text if found else f"ws://{text}")
        host, port = parts.hostname, parts.port
        query = parse_qs(parts.query, keep_blank_values=True, max_num_fields=8)
    except ValueError:  # whose text repeats what may be the half of a password
        raise ServeError(f"the address '{shown}' cannot be used: its host or port cannot be read{expected}") from None
    if not host or host.isdigit():
        raise ServeError(f"the address '{shown}' names no host{expected}")
    if parts.username is not None or parts.password is not None:
        raise ServeError("an address cannot carry a name and a password; give the token on its own")
    if set(query) - {"token"} or len(query.get("token", [])) > 1:
        raise ServeError("the only thing that an address may carry behind ? is one token; subscribe by options")
    if port is None and not found:
        port = DEFAULT_PORT
    place = f"[{host}]" if ":" in host else host
    path = f"{parts.path}v1" if parts.path.endswith("/") else parts.path or DEFAULT_PATH
    url = f"{_SCHEMES[parts.scheme]}://{place}{'' if port is None else f':{port}'}{path}"
    return Address(url, query["token"][0] if "token" in query else None)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    address = ip_of(host)
    return host == "localhost" if address is None else address.is_loopback


def ip_of(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `host` is, with or without its brackets; None where it is a name."""
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None
