"""A place on the local network, told by mDNS to whoever looks for its kind of service. Off unless asked for.

What is told is what anybody on that network can find out by trying ports.
"""

import socket
from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

from streamclf import __version__
from streamclf.errors import ConfigError
from streamclf.protocol.address import ip_of

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

DAEMON = "_streamclf._tcp.local."
WYOMING = "_wyoming._tcp.local."
"""What Home Assistant looks for."""


class Announcement:
    """A part. kind: of service; host, port: where it listens; told: what else is told of it.

    Raises `ConfigError` where the library is not installed.
    """

    name = "the announcement on the local network"
    stop_s = 0.5

    def __init__(self, kind: str, host: str, port: int, told: Mapping[str, str] | None = None) -> None:
        if find_spec("zeroconf") is None:
            raise ConfigError(
                "--announce, or server.announce, needs the library zeroconf; pip install 'streamclf[zeroconf]'"
            )
        self._kind = kind
        self._host = host
        self._port = port
        self._told = {"version": __version__, **(told or {})}
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
            self._kind,
            f"streamclf on {machine} {self._port}.{self._kind}",
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
