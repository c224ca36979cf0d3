"""Which network addresses a webhook may go to: the name is resolved here, checked, and that very address is used.

Whoever controls a name can point it at this machine, its neighbours or a cloud's metadata service at any time, even
between a check and the connection; so the check is made on the address and the connection goes to it.
"""

import asyncio
import ipaddress
import socket
import ssl
from contextlib import suppress

from streamclf.alerts.sinks.sink import Temporary

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_OWN = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("127.0.0.0/8", "::1/128"),  # this machine
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),  # the local network
        "100.64.0.0/10",  # behind a provider's NAT, and overlay networks
    )
)
# for protocols and documents: not all releases of Python know that these are not global
_SPECIAL = tuple(ipaddress.ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "2001::/32", "3fff::/20"))
_METADATA = frozenset(  # of clouds that do not use a link-local address: they give credentials to whoever asks
    ipaddress.ip_address(text) for text in ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16")
)
_UNICAST = ipaddress.ip_network("2000::/3")  # all of IPv6 that is given out; what is outside has a special meaning
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_ISATAP = (0x00005EFE, 0x02005EFE)  # third quarter of an address whose last one is an IPv4 address


async def resolve(host: str, port: int, *, private: bool) -> str:
    """An address of `host` that may be used. private: this machine and the local network are allowed.

    Raises `Temporary` where there is none: names and settings change.
    """
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as fault:
        raise Temporary(f"{host} has no address: {fault.strerror or fault}") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if allowed(address, private=private):
            return address
    hint = "" if private else "; private = true allows those of this machine and the local network"
    name = "" if addresses == [host] else f"{host} is "
    raise Temporary(f"{name}{', '.join(addresses)}, where no alert is sent to{hint}")


async def answers(host: str, port: int, *, tls: ssl.SSLContext | None = None, name: str | None = None) -> None:
    """Connect, and go again without a word. name: that the certificate must be of. Raises `Temporary`."""
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=tls, server_hostname=name if tls else None)
    except OSError as fault:
        raise Temporary(f"{name or host}:{port} does not answer: {fault.strerror or fault}") from None
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()


def allowed(address: str, *, private: bool) -> bool:
    """Whether alerts may go to `address`: a global unicast one; with private, one of `_OWN` as well.

    An IPv6 address that stands for an IPv4 one is judged as that. Link-local ones and `_METADATA` are never allowed.
    """
    ip = _meant(ipaddress.ip_address(address.partition("%")[0]))
    if ip in _METADATA or any(ip in network for network in _SPECIAL):
        return False
    if any(ip in network for network in _OWN):
        return private
    return ip.is_global and not ip.is_multicast and (isinstance(ip, ipaddress.IPv4Address) or ip in _UNICAST)


def _meant(ip: _Address) -> _Address:
    """The IPv4 address that a gateway, or the system itself, would connect to for `ip`; else `ip`."""
    if isinstance(ip, ipaddress.IPv4Address):
        return ip
    low = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip in _NAT64 or (int(ip) >> 32) & 0xFFFFFFFF in _ISATAP:
        return low
    return ip.ipv4_mapped or ip.sixtofour or ip
