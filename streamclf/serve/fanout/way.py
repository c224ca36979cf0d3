"""The way to a nats-server, or to a cluster of them: addresses, TLS, what lets us in; and what went wrong there, told.

Each connection is made anew, to any of the servers: so it finds one that is there, with certificates and credentials as
they are in their files by then.
"""

import asyncio
import os
import ssl
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

from streamclf.config.nats import NatsConfig
from streamclf.errors import ConfigError
from streamclf.text import clean
from streamclf.trust import read_secret

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription

_CONNECT_S = 5
_CLOSE_S = 3.0
_PING_S = 5  # what does not answer two of them is gone: a network that was cut says nothing
_PORT = 4222
_SCHEMES = ("nats", "tls", "ws", "wss")
_OVER_TLS = ("tls", "wss")
_EXPECTED = "expected something such as nats://192.168.1.20:4222"
_CREDENTIALS = "-----BEGIN NATS USER JWT-----"
_NO_TLS = "it does not ask for TLS, and its address says tls://"


@dataclass(frozen=True, slots=True)
class NatsWay:
    """url: of the server, or of several, by commas. Files may be named with ~. See `NatsConfig`.

    Raises `ConfigError` where that cannot be one, or a library is not installed.
    """

    url: str = field(repr=False)
    authority: str = ""
    certificate: str = ""
    key: str = ""
    credentials: str = ""
    replicas: int = 1

    def __post_init__(self) -> None:
        if find_spec("nats") is None:
            raise ConfigError("the library nats-py is not installed; pip install 'streamclf[nats]'")
        parts = self._parts
        schemes = {part.scheme for part in parts}
        if schemes & {"ws", "wss"}:
            if schemes & {"nats", "tls"}:
                raise ConfigError("the addresses of NATS mix websockets and plain ones; expected all of one kind")
            if find_spec("aiohttp") is None:
                raise ConfigError("ws:// needs the library aiohttp, which is not installed; pip install aiohttp")
        if (self.authority or self.certificate) and not schemes <= set(_OVER_TLS):
            raise ConfigError("nats.authority and nats.certificate need an address with tls:// in place of nats://")
        if self.credentials:
            if find_spec("nkeys") is None:
                raise ConfigError("nats.credentials needs the library nkeys; pip install 'streamclf[nats]'")
            self._login()
        self._context()

    @property
    def name(self) -> str:
        """For people, without a secret."""
        places = (f"{part.hostname}:{part.port or _PORT}" for part in self._parts)
        return f"NATS at {', '.join(places)}"

    async def connect(self, name: str) -> "Client":
        """A connection that does not come back by itself, under that name, and whose `close` ends in 3 s whatever the
        server does.

        Raises `nats.errors.Error`, `OSError`, `TimeoutError`, and `ConfigError` for a file that cannot be used any
        more.
        """
        import nats.errors
        from nats.aio.client import Client

        faults: list[Exception] = []

        async def heard(fault: Exception) -> None:
            """Otherwise the library would log it."""
            faults[:] = [fault]

        class Guarded(Client):
            """Says nothing of itself, no name and no password either, where TLS was asked for and is not there."""

            def _connect_command(self) -> bytes:
                server = self._current_server
                if server is not None and server.uri.scheme == "tls" and not self._server_info.get("tls_required"):
                    if self._transport is not None:
                        self._transport.close()  # type: ignore[no-untyped-call]  # the library would leave it open
                    raise nats.errors.Error(_NO_TLS)
                return super()._connect_command()

            async def close(self) -> None:
                """What a server that takes nothing has not taken by then is let go."""
                closing = asyncio.ensure_future(super().close())
                try:
                    await asyncio.wait([closing], timeout=_CLOSE_S)
                finally:
                    if not closing.done():
                        writer = getattr(self._transport, "_io_writer", None)  # over websockets: a library of its own
                        if writer is not None:
                            writer.transport.abort()
                        closing.cancel()
                    elif not closing.cancelled():
                        closing.exception()  # an end that failed is an end

        client = Guarded()
        try:
            await client.connect(
                self.url.split(","),
                name=name,
                error_cb=heard,
                allow_reconnect=False,
                max_reconnect_attempts=1,  # of each server in the first place; 0 would be for ever
                reconnect_time_wait=0,
                connect_timeout=_CONNECT_S,
                ping_interval=_PING_S,
                max_outstanding_pings=2,
                **self._login(),
                **self._tls(),
            )
        except nats.errors.NoServersError as fault:
            raise (faults or [fault])[0] from None
        return client

    def problem(self, fault: BaseException) -> str:
        """In a sentence, without a secret."""
        text = str(fault) or type(fault).__name__
        if isinstance(fault, TimeoutError):
            text = "no answer in time"
        elif isinstance(fault, ssl.SSLCertVerificationError):
            text = f"its certificate is not believed: {fault.verify_message}"
        elif isinstance(fault, ssl.SSLError):
            text = f"TLS failed: {fault.reason or text}"
        elif isinstance(fault, OSError) and fault.errno:
            text = os.strerror(fault.errno)
        elif "authorization violation" in text.lower():
            text = "it does not let us in: the name, the password, the token or the credentials are others there"
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, "…")
        return f"{self.name}: {clean(text, 200)}"

    @property
    def _parts(self) -> list[SplitResult]:
        found = []
        for url in self.url.split(","):
            try:
                parts = urlsplit(url.strip())
                good = parts.scheme in _SCHEMES and bool(parts.hostname) and (parts.port or _PORT) > 0
            except ValueError:
                good = False
            if not good:  # the address itself may hold a secret and is not repeated
                raise ConfigError(f"the address of NATS cannot be read; {_EXPECTED}")
            found.append(parts)
        return found

    @property
    def _secrets(self) -> list[str]:
        own = [text for part in self._parts for text in (part.username, part.password, part.geturl()) if text]
        return [*own, self.url]

    def _login(self) -> dict[str, Any]:
        if not self.credentials:
            return {}
        path = Path(self.credentials).expanduser()
        text = read_secret(path, "nats.credentials")
        if _CREDENTIALS in text:
            return {"user_credentials": str(path)}
        seed = text.strip()
        if not (seed.startswith("SU") and seed.isalnum()):
            raise ConfigError(f"nats.credentials: {path} holds neither credentials nor the seed of a user's nkey (SU…)")
        return {"nkeys_seed_str": seed}

    def _tls(self) -> dict[str, Any]:
        context = self._context()
        return {} if context is None else {"tls": context}

    def _context(self) -> ssl.SSLContext | None:
        """How TLS is spoken; None where the library's own way does."""
        if not self.authority and not self.certificate:
            return None
        try:
            context = ssl.create_default_context(
                cafile=str(Path(self.authority).expanduser()) if self.authority else None
            )
        except OSError as fault:
            raise ConfigError(f"nats.authority: {self.authority} cannot be used: {_said(fault)}") from None
        if self.certificate:
            read_secret(Path(self.key).expanduser(), "nats.key")
            try:
                context.load_cert_chain(Path(self.certificate).expanduser(), Path(self.key).expanduser(), password="")
            except OSError as fault:
                raise ConfigError(f"nats.certificate: {self.certificate} cannot be used: {_said(fault)}") from None
        return context


def way_of(config: NatsConfig, url: str | None = None) -> NatsWay:
    """As the configuration says; url comes before what that has. Raises `ConfigError`."""
    return NatsWay(
        url or read_url(config.url, config.url_file),
        config.authority,
        config.certificate,
        config.key,
        config.credentials,
        config.replicas,
    )


def read_url(url: str, file: str) -> str:
    """The address: given, or in `file`. Raises `ConfigError` for a file that others may read, as one of a token."""
    return read_secret(Path(file).expanduser(), "nats.url_file").strip() if file else url


def _said(fault: OSError) -> str:
    if isinstance(fault, ssl.SSLError):
        return f"it holds no PEM that fits ({fault.reason or 'unknown'})"
    return fault.strerror or str(fault)


async def next_message(subscription: "Subscription", *, timeout_s: float) -> "Msg":
    """The next message. Raises `nats.errors.TimeoutError` where none comes, and what the library raises besides.

    Python 3.11's `wait_for`, by which the library waits, takes a cancellation for done where a message has just come,
    and the library one of a closed connection for a fault: here it is never lost.
    """
    try:
        return await subscription.next_msg(timeout=timeout_s)
    finally:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise asyncio.CancelledError
