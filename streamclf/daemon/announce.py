"""The daemon's place on the local network, told by mDNS to whoever looks for `_streamclf._tcp`. Off unless asked for.

What is told is what anybody on that network can find out by trying ports: the address, the port, the version, and
whether https is spoken and a token is wanted. No name of a stream.
"""

import socket
from importlib.util import find_spec
from typing import TYPE_CHECKING

from streamclf import __version__
from streamclf.errors import ConfigError
from streamclf.protocol.address import ip_of

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

KIND = "_streamclf._tcp.local."


class Announcement:
    """A part. host, port: where the server listens. secure: whether it speaks https. needs_token: whether it wants one.

    Raises `ConfigError` where the library is not installed.
    """

    name = "the announcement on the local network"
    stop_s = 0.5

    def __init__(self, host: str, port: int, *, secure: bool, needs_token: bool) -> None:
        if find_spec("zeroconf") is None:
            raise ConfigError("server.announce needs the library zeroconf; pip install 'streamclf[zeroconf]'")
        self._host = host
        self._port = port
        self._told = {
            "version": __version__,
            "path": "/",
            "scheme": "https" if secure else "http",
            "token": "yes" if needs_token else "no",
        }
        self._responder: AsyncZeroconf | None = None

    async def start(self) -> None:
        """Say it, on the interface of the one address that is listened at, or on all. Raises `OSError`."""
        from zeroconf import InterfaceChoice, ServiceInfo
        from zeroconf.asyncio import AsyncZeroconf

        one = ip_of(self._host)
        everywhere = one is None or one.is_unspecified
        self._responder = AsyncZeroconf(interfaces=InterfaceChoice.All if everywhere else [self._host])
        machine = socket.gethostname().partition(".")[0]
        info = ServiceInfo(
            KIND,
            f"streamclf on {machine} {self._port}.{KIND}",
            port=self._port,
            properties=self._told,
            server=f"{machine}.local.",
            parsed_addresses=[*_own_addresses()] if everywhere else [self._host],
        )
        await self._responder.async_register_service(info, allow_name_change=True)

    async def stop(self, limit_s: float) -> bool:
        """Take it back."""
        if self._responder is not None:
            await self._responder.async_unregister_all_services()
            await self._responder.async_close()
        return True


def _own_addresses() -> list[str]:
    """IPv4, but for loopback."""
    import ifaddr  # which zeroconf brings

    told = [ip.ip for adapter in ifaddr.get_adapters() for ip in adapter.ips]
    return [address for address in told if isinstance(address, str) and not address.startswith("127.")]
