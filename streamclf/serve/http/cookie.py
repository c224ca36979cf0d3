"""A login that a browser keeps, so that neither the page nor its address need hold the token.

The value is WHO.EXPIRY.MAC. The MAC's key comes out of the token that was shown, so that a login outlives a restart of
the daemon, ends when that token is changed, and nothing is kept here. Browsers send a host's cookies to every port of
it: so the place is in the name, and in the MAC, since two daemons may have the same token. The place is the port; of
gateways it is what they follow, so that who is logged in at one is logged in at the other behind the same address.

No Path is set. A browser then takes the folder of the address that it asked, `…/v1`: where everything that wants a role
is, and right below any base path, whatever a reverse proxy takes away from it.
"""

import hmac
import re
from collections.abc import Mapping, Sequence
from hashlib import sha256

KEEP_S = 30 * 24 * 3600
_VALUE = re.compile(r"([a-z0-9]{1,16})\.([0-9]{1,12})\.([0-9a-f]{64})")
_MOST = 8  # cookies of one name that are looked at; several come where another port or path set some too


def name_of(place: str) -> str:
    """What the cookie of the server at `place` is called."""
    return f"streamclf-{place}"


def set_cookie(who: str, token: bytes, *, place: str, now_s: float, secure: bool) -> str:
    """The value of a Set-Cookie header that lets `who` in for KEEP_S from `now_s` (Unix time) on."""
    expiry = f"{now_s + KEEP_S:.0f}"
    return _header(f"{who}.{expiry}.{_mac(who, expiry, token, place)}", KEEP_S, place=place, secure=secure)


def clear_cookie(*, place: str, secure: bool) -> str:
    """The value of a Set-Cookie header that ends a login in this browser."""
    return _header("", 0, place=place, secure=secure)


def shown(headers: Sequence[str], place: str) -> list[str]:
    """The values for `place` in Cookie headers, which other programs of this host may have filled as they like."""
    pairs = (pair.strip().partition("=") for header in headers for pair in header.split(";"))
    return [value for name, _, value in pairs if name == name_of(place)][:_MOST]


def who_holds(value: str, tokens: Mapping[str, bytes], *, place: str, now_s: float) -> tuple[str, str]:
    """Who is let in by `value` ("" for nobody), and else why not, as a sentence. tokens: of everybody there is."""
    match = _VALUE.fullmatch(value)
    if match is None:
        return "", "this browser's login cannot be read; log in again"
    who, expiry, mac = match.groups()
    if who not in tokens or not hmac.compare_digest(_mac(who, expiry, tokens[who], place), mac):
        return "", "the token was changed since this browser logged in; log in again with the new one"
    if int(expiry) < now_s:
        return "", f"this browser logged in more than {KEEP_S // 86400} days ago; log in again"
    return who, ""


def _mac(who: str, expiry: str, token: bytes, place: str) -> str:
    key = hmac.digest(token, b"streamclf login", "sha256")
    return hmac.new(key, f"{who}.{expiry}.{place}".encode(), sha256).hexdigest()


def _header(value: str, keep_s: int, *, place: str, secure: bool) -> str:
    guards = "; HttpOnly; SameSite=Strict" + ("; Secure" if secure else "")
    return f"{name_of(place)}={value}; Max-Age={keep_s}{guards}"
