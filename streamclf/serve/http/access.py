"""Who may connect, and as whom: Host, Origin, token, login. The websocket library checks none of them by itself.

* Host, against DNS rebinding: a page of a foreign site can point its own name at our address, but the browser then
  still sends that name. So only names that are ours are let through.
* Origin, against foreign pages: a browser lets any page open a websocket to us, and says which page it was. No Origin
  at all is what programs send, and they could send anything.
* Token, beyond loopback, one for each role: `Authorization: Bearer`, the websocket subprotocol `token.…` (a browser
  cannot set headers), or `?token=` in the address.
* Login, a cookie in place of a token (cookie.py). A browser adds it by itself, whichever page asks; SameSite=Strict
  leaves pages of other ports of this host. So it counts only where the request says that our own page, or the user,
  made it: Origin, which every websocket of a browser has, and Sec-Fetch-Site. A foreign page can set neither.
"""

import hmac
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Literal, NamedTuple

from websockets.datastructures import Headers

from streamclf.errors import ConfigError
from streamclf.protocol.address import TOKEN_VARIABLE, ip_of, is_loopback
from streamclf.serve.http import cookie
from streamclf.serve.http.origins import Origins, normal
from streamclf.serve.http.senders import Sender, sender_of
from streamclf.serve.http.tls import Certificate
from streamclf.serve.http.tokens import Guesses
from streamclf.serve.roles import Caller, Role

_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_SUBPROTOCOL = "token."
_MOST_TOKENS = 8  # of one request that are looked at


class ScopedToken(NamedTuple):
    """Who shows it comes as `Caller(role, scope)`."""

    scope: str
    role: Role
    token: str


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where to listen and whom to let in.

    token: the admin's; audio_token, labels_token: those of the lesser roles. origins: web origins besides our own, such
    as `https://dash.example.org`. hosts: names besides the bind address under which we are reached. base_path: "" or
    such as "/birds", below which everything answers as well as at the root. behind: address of a proxy that has let in
    whoever comes through it; "" for none. no_audio: why nobody may listen live; empty
    where everybody with the role may. certificate: https and wss, and nothing else; None for http and ws. connections:
    most that are open at once; connections_each: of one address, but for this machine's own. scoped: tokens of those
    who may see some of many sites alone.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    audio_token: str | None = None
    labels_token: str | None = None
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    base_path: str = ""
    behind: str = ""
    no_audio: str = ""
    certificate: Certificate | None = None
    connections: int = 4096
    connections_each: int = 256
    scoped: tuple[ScopedToken, ...] = ()
    logins: str = ""

    @property
    def tokens(self) -> dict[Caller, str]:
        """Those that are set."""
        given = {Role.ADMIN: self.token, Role.AUDIO: self.audio_token, Role.LABELS: self.labels_token}
        everything = {Caller(role): token for role, token in given.items() if token is not None}
        return everything | {Caller(each.role, each.scope): each.token for each in self.scoped}


class Refusal(NamedTuple):
    """Why somebody is not let in: a sentence, and what it is about.

    none: nothing was shown. token: a wrong one. stale: a login that holds no more. foreign: a login that was not shown
    by our own page. wait: too many wrong tokens.
    """

    reason: Literal["none", "token", "stale", "foreign", "wait"]
    text: str


def check_bind(settings: ServerSettings) -> None:
    """Raises `ConfigError` for a bind that others can reach when there is no token."""
    if settings.token is None and not is_loopback(settings.host):
        raise ConfigError(
            f"binding to {settings.host or 'all addresses'} lets other machines listen, and no token is set; "
            f"set {TOKEN_VARIABLE} or server.token_file, or bind to 127.0.0.1; a first token: "
            f"`{TOKEN_VARIABLE}=$(openssl rand -hex 24) streamclf run --host {settings.host or '0.0.0.0'}`"
        )


class Access:
    """The rules in force. Each check returns None, or one sentence that says why not."""

    port: int
    """Where we listen; 0 in the settings leaves it to the system, and the server sets it then."""

    def __init__(self, settings: ServerSettings) -> None:
        self.port = settings.port
        self._logins_for = settings.logins
        self.base_path = settings.base_path
        self._behind = ip_of(settings.behind)
        self.secure = settings.certificate is not None
        """Whether everything goes over https."""
        self._loopback = is_loopback(settings.host)
        self._hosts = {_bare(host) for host in settings.hosts} | {"localhost", _bare(settings.host)}
        self.origins = Origins(settings.origins)
        self._tokens = {caller: token.encode() for caller, token in settings.tokens.items()}
        self._digests = {caller: sha256(token).digest() for caller, token in self._tokens.items()}
        self._callers = {_who(caller): caller for caller in self._tokens}
        """By what a login calls them."""
        self._guesses = Guesses()

    @property
    def needs_token(self) -> bool:
        """Whether a token is set. Where none is, everybody is admin."""
        return bool(self._tokens)

    @property
    def _place(self) -> str:
        """What a login is for."""
        return self._logins_for or str(self.port)

    def trusts(self, peer: str) -> bool:
        """Whether a request from that address comes through the proxy that lets people in itself."""
        address = ip_of(peer)
        address = getattr(address, "ipv4_mapped", None) or address  # an IPv4 one also where IPv6 carries it
        return self._behind is not None and address == self._behind

    def check_host(self, values: Sequence[str], *, peer: str = "") -> str | None:
        """values: all Host headers of the request. peer: where it comes from; a trusted proxy has names of its own."""
        if self.trusts(peer):
            return None
        match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        if match is None:
            return "a request needs one Host header"
        name = _bare(match["name"])
        if name in self._hosts:
            return None
        address = ip_of(name)
        # a name can be made to point here by whoever owns it; an address cannot
        if address is not None and (address.is_loopback or not self._loopback):
            return None
        return f"host '{name}' is not a name of this server; add it to server.hosts if it should be"

    def check_origin(self, headers: Headers) -> str | None:
        """headers: of a request whose Host is already checked."""
        origins = headers.get_all("Origin")
        if not origins or _own_origin(headers) or (len(origins) == 1 and self.origins.allows(origins[0])):
            return None
        return self.origins.why_not(origins)

    def caller_of(self, headers: Headers, query: Sequence[str] = (), *, peer: str, socket: bool) -> Caller | Refusal:
        """Who the sender of a request is. query: values of `token=`; peer: its address; socket: of a websocket.

        A token that is shown decides, also where a login would have said something else.
        """
        if not self._tokens or self.trusts(peer):
            return Caller(Role.ADMIN)
        offered = [*_subprotocol_tokens(headers), *query, *_bearer_tokens(headers)][:_MOST_TOKENS]
        if offered:
            return self._caller_by_token(offered, sender_of(headers, peer))
        values = self._logins(headers)
        if not values:
            return Refusal("none", "a token is needed: log in on the page, or send Authorization: Bearer, or ?token=")
        if not _by_own_page(headers, socket=socket):
            return Refusal("foreign", "this browser is logged in, but it was a page of another site that asked")
        return self._caller_by_cookie(values)

    def shows_login(self, headers: Headers) -> bool:
        """Whether a request brings a cookie of ours, good or not."""
        return bool(self._logins(headers))

    def login(self, caller: Caller, *, secure: bool) -> str:
        """A Set-Cookie header's value that keeps `caller` in this browser. secure: over https only."""
        token = self._tokens[caller]
        return cookie.set_cookie(_who(caller), token, place=self._place, now_s=time.time(), secure=secure)

    def logout(self, *, secure: bool) -> str:
        """A Set-Cookie header's value that ends it."""
        return cookie.clear_cookie(place=self._place, secure=secure)

    def _logins(self, headers: Headers) -> list[str]:
        return cookie.shown(headers.get_all("Cookie"), self._place)

    def _caller_by_token(self, offered: Sequence[str], sender: Sender) -> Caller | Refusal:
        now_s = time.monotonic()
        if why := self._guesses.why_wait(sender, now_s):
            return Refusal("wait", why)
        for token in offered:
            digest = sha256(token.encode(errors="replace")).digest()
            # all are compared, always: how long it takes tells nothing
            found = [caller for caller, own in self._digests.items() if hmac.compare_digest(digest, own)]
            if found:
                return found[0]
            self._guesses.wrong(sender, now_s)
        return Refusal("token", "a wrong token was given")

    def _caller_by_cookie(self, values: Sequence[str]) -> Caller | Refusal:
        tokens = {who: self._tokens[caller] for who, caller in self._callers.items()}
        found = [cookie.who_holds(value, tokens, place=self._place, now_s=time.time()) for value in values]
        callers = [self._callers[who] for who, _ in found if who]
        return max(callers, key=lambda caller: caller.role) if callers else Refusal("stale", found[0][1])


def _who(caller: Caller) -> str:
    """What a login calls somebody: the role, and behind it what stands for the scope."""
    scope = sha256(caller.scope.encode()).hexdigest()[:8] if caller.scope else ""
    return caller.role.name.lower() + scope


def _subprotocol_tokens(headers: Headers) -> list[str]:
    names = [name.strip() for value in headers.get_all("Sec-WebSocket-Protocol") for name in value.split(",")]
    return [name.removeprefix(_SUBPROTOCOL) for name in names if name.startswith(_SUBPROTOCOL)]


def _bearer_tokens(headers: Headers) -> list[str]:
    values = [value.partition(" ") for value in headers.get_all("Authorization")]
    return [token.strip() for kind, _, token in values if kind.lower() == "bearer"]


def _own_origin(headers: Headers) -> bool:
    """Whether the one Origin is where the request went, as we see it or as a reverse proxy says that it was seen.

    No page can set X-Forwarded-Host on a websocket, nor on a request that it makes without being allowed to.
    """
    origins = [normal(origin) for origin in headers.get_all("Origin")]
    hosts = [host.strip().lower() for name in ("Host", "X-Forwarded-Host") for host in headers.get_all(name)]
    return len(origins) == 1 and any(
        origins[0] in (normal(f"http://{host}"), normal(f"https://{host}")) for host in hosts
    )


def _by_own_page(headers: Headers, *, socket: bool) -> bool:
    """Whether a browser says that the page that asked was ours, or that it was the user himself."""
    if socket or headers.get_all("Origin"):
        return _own_origin(headers)
    return all(site in ("same-origin", "none") for site in headers.get_all("Sec-Fetch-Site"))


def _bare(host: str) -> str:
    match = _HOST.fullmatch(host)
    return (match["name"] if match else host).strip("[]").lower().rstrip(".")
