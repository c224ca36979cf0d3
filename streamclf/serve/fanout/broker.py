"""The way to a nats-server: its address without its secret, a connection, the names of what lies there."""

import os
import stat
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from streamclf.config.sections import SITE
from streamclf.errors import ConfigError
from streamclf.retry import Backoff
from streamclf.text import clean
from streamclf.trust import others_may_use

if TYPE_CHECKING:
    from nats.aio.client import Client

STREAM = "streamclf"
"""Of JetStream: what all sites give, for as long as it can be replayed."""
SITES = "streamclf-sites"
"""Of JetStream: what each site told of itself last."""
EVERY_SITE = "*"
_HEARD, _SITE, _ASK, _KEPT = "streamclf.heard", "streamclf.site", "streamclf.ask", "streamclf.kept"
KEEP_SITES_S = 30 * 24 * 3600
RETRY = Backoff(first_s=0.5, most_s=10.0, spread=0.3)
_CONNECT_S = 5
_PING_S = 5  # what does not answer two of them is gone: a network that was cut says nothing
_SCHEMES = ("nats", "tls", "ws", "wss")


def check_site(site: str) -> None:
    """Raises `ConfigError` for a name that no site can have."""
    if not site or not SITE.fullmatch(site):
        raise ConfigError(f"the site is {site[:80]!r}; expected up to 64 letters, digits, _ and -, such as garden")


class NatsPlace:
    """Where a site lies on a server, or all of them (EVERY_SITE).

    Raises `ConfigError` where that cannot be, or the library is not installed.
    """

    def __init__(self, url: str, site: str) -> None:
        if find_spec("nats") is None:
            raise ConfigError("the library nats-py is not installed; pip install 'streamclf[nats]'")
        if site != EVERY_SITE:
            check_site(site)
        self._url = url
        self.site = site
        self.subject, self.every = f"{_HEARD}.{site}", f"{_HEARD}.{EVERY_SITE}"
        """Of what is heard: there, and at any site."""
        self.site_subject, self.every_site = f"{_SITE}.{site}", f"{_SITE}.{EVERY_SITE}"
        """Of what it told of itself last, and of any site."""
        self.question_subject = f"{_ASK}.{site}"
        """Of what gateways ask its daemon."""
        self.kept_subject = f"{_KEPT}.{site}"
        """Where its daemon says, without a word, that something is kept that was not before."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or 4222
        except ValueError:
            parts, host, port = None, None, 0
        if parts is None or parts.scheme not in _SCHEMES or not host:
            # the address itself may hold a secret and is not repeated
            raise ConfigError("the address of NATS is none; expected something such as nats://192.168.1.20:4222")
        self._secrets = [part for part in (parts.username, parts.password, url) if part]
        self.name = f"NATS at {host}:{port}"
        """For people, without a secret."""

    async def connect(self) -> "Client":
        """A connection that does not come back by itself. Raises `nats.errors.Error`, `OSError`, `TimeoutError`."""
        import nats
        import nats.errors

        faults: list[Exception] = []

        async def heard(fault: Exception) -> None:
            """Otherwise the library would log it."""
            faults[:] = [fault]

        try:
            return await nats.connect(
                self._url,
                name=f"streamclf {self.site}",
                error_cb=heard,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # of each server in the first place; 0 would be for ever
                reconnect_time_wait=0,
                connect_timeout=_CONNECT_S,
                ping_interval=_PING_S,
                max_outstanding_pings=2,
            )
        except nats.errors.NoServersError as fault:
            raise (faults or [fault])[0] from None

    def problem(self, fault: BaseException) -> str:
        """In a sentence, without a secret."""
        text = str(fault) or type(fault).__name__
        if isinstance(fault, TimeoutError):
            text = "no answer in time"
        elif isinstance(fault, OSError) and fault.errno:
            text = os.strerror(fault.errno)
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "…")
        return f"{self.name}: {clean(text, 200)}"


def site_of(subject: str) -> str:
    """The site that a message of `NatsPlace.subject` or `site_subject` is of."""
    return subject.rpartition(".")[2]


def read_url(url: str, file: str) -> str:
    """The address: given, or in `file`. Raises `ConfigError` for a file that others may read, as one of a token."""
    if not file:
        return url
    path = Path(file).expanduser()
    try:
        with path.open("rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode) or others_may_use(status, path):
                raise ConfigError(f"{path} holds the address of NATS and others can use it; run: chmod 600 {path}")
            return stream.read(4096).decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"the address of NATS cannot be read from {path}: {fault}") from None
