"""Who may connect: Host, Origin, token. The websocket library checks none of them by itself.

* Host, against DNS rebinding: a page of a foreign site can point its own name at our address, but the browser then
  still sends that name. So only names that are ours are let through.
* Origin, against foreign pages: a browser lets any page open a websocket to us, and says which page it was. No Origin
  at all is what programs send, and they could send anything.
* Token, beyond loopback: `Authorization: Bearer`, the websocket subprotocol `token.…` (a browser cannot set headers),
  or `?token=` in the address.
"""

import hmac
import ipaddress
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from urllib.parse import urlsplit

from streamclf.errors import ConfigError, ServeError

TOKEN_VARIABLE = "STREAMCLF_TOKEN"
MIN_TOKEN = 8
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::\d{1,5})?")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]+")
_SUBPROTOCOL = "token."


class Role(IntEnum):
    """What somebody may do here; each role may do what those before it may."""

    LABELS = 1
    """See labels, events and spectra."""
    AUDIO = 2
    """Hear, and be heard: clips, live sound, sending a microphone."""
    ADMIN = 3
    """Everything else: marks, measures of the daemon itself."""


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """Where to listen and whom to let in.

    origins: web origins besides our own, such as `https://dash.example.org`. hosts: names besides the bind address
    under which we are reached. no_audio: why nobody may listen live; empty where who has the role may.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    no_audio: str = ""


def read_token(file: str | Path | None, environ: Mapping[str, str]) -> str | None:
    """The token from STREAMCLF_TOKEN, or else from `file`, or None. Raises `ConfigError`, also for a readable file."""
    if environ.get(TOKEN_VARIABLE):
        return _checked(environ[TOKEN_VARIABLE].strip(), TOKEN_VARIABLE)
    if not file:
        return None
    path = Path(file)
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ConfigError(f"token file {path} is no regular file")
            if os.name == "posix" and status.st_mode & 0o077:
                raise ConfigError(
                    f"token file {path} has mode {stat.S_IMODE(status.st_mode):04o}, so that others can use it; "
                    f"run: chmod 600 {path}"
                )
            text = stream.read(4097)
    except OSError as fault:
        raise ConfigError(f"token file {path} cannot be read: {fault.strerror}") from None
    try:
        return _checked(text.decode("ascii").strip(), f"token file {path}")
    except UnicodeDecodeError:
        raise ConfigError(f"token file {path} holds something else than ASCII text") from None


def _checked(token: str, where: str) -> str:
    if len(token) < MIN_TOKEN or len(token) > 4096 or not _TOKEN.fullmatch(token):
        raise ConfigError(
            f"{where} holds no usable token; use at least {MIN_TOKEN} letters, digits or -._~+/=, "
            "such as what `openssl rand -hex 24` prints"
        )
    return token


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach `host`."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def check_bind(settings: ServerSettings) -> None:
    """Raises `ServeError` for a bind that others can reach when there is no token."""
    if settings.token is None and not is_loopback(settings.host):
        raise ServeError(
            f"binding to {settings.host or 'all addresses'} lets other machines listen, and no token is set; "
            f"set {TOKEN_VARIABLE} or server.token_file, or bind to 127.0.0.1"
        )


class Access:
    """The rules in force. Each check returns None, or one sentence that says why not."""

    def __init__(self, settings: ServerSettings) -> None:
        self._loopback = is_loopback(settings.host)
        self._hosts = {_bare(host) for host in settings.hosts} | {"localhost", _bare(settings.host)}
        self._origins = {_normal(origin) for origin in settings.origins}
        self._token = None if settings.token is None else settings.token.encode()

    @property
    def needs_token(self) -> bool:
        """Whether a token is set."""
        return self._token is not None

    def check_host(self, values: Sequence[str]) -> str | None:
        """values: all Host headers of the request."""
        match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        if match is None:
            return "a request needs one Host header"
        name = _bare(match["name"])
        if name in self._hosts:
            return None
        address = _address(name)
        # a name can be made to point here by whoever owns it; an address cannot
        if address is not None and (address.is_loopback or not self._loopback):
            return None
        return f"host '{name}' is none of ours; add it to server.hosts if it should be"

    def check_origin(self, values: Sequence[str], hosts: Sequence[str]) -> str | None:
        """values: all Origin headers; hosts: all Host headers, already checked."""
        if not values:
            return None
        if len(values) == 1:
            origin = _normal(values[0])
            scheme, _, place = origin.partition("://")
            if origin in self._origins or (scheme in ("http", "https") and place == hosts[0].lower()):
                return None
        return f"origin '{values[0][:200]}' may not connect; add it to server.origins if it should"

    def check_token(self, authorization: str | None, subprotocols: Sequence[str], query: Sequence[str]) -> str | None:
        """authorization: that header's value; subprotocols: those offered; query: values of `token=`."""
        if self._token is None:
            return None
        offered = [name.removeprefix(_SUBPROTOCOL) for name in subprotocols if name.startswith(_SUBPROTOCOL)]
        offered += query
        kind, _, value = (authorization or "").partition(" ")
        if kind.lower() == "bearer":
            offered.append(value.strip())
        for token in offered[:8]:
            if hmac.compare_digest(token.encode(errors="replace"), self._token):
                return None
        return "a wrong token was given" if offered else "a token is needed: Authorization: Bearer, or ?token="


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return None


def _bare(host: str) -> str:
    match = _HOST.fullmatch(host)
    return (match["name"] if match else host).strip("[]").lower().rstrip(".")


def _normal(origin: str) -> str:
    try:
        parts = urlsplit(origin)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}".lower() if parts.scheme and parts.netloc else origin.lower()
