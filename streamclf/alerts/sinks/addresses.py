"""Which network addresses a webhook may go to: the name is resolved here, checked, and that very address is used.

Whoever controls a name can point it at this machine, its neighbours or a cloud's metadata service at any time, even
between a check and the connection; so the check is made on the address and the connection goes to it.
"""

import asyncio
import ipaddress
import socket

from streamclf.alerts.sinks.sink import Temporary


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
    raise Temporary(f"{host} is {', '.join(addresses)}, where no alert is sent to{hint}")


def allowed(address: str, *, private: bool) -> bool:
    """Whether alerts may go to `address`. Link-local ones (metadata services live there) are never allowed."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    inner = getattr(ip, "ipv4_mapped", None) or getattr(ip, "sixtofour", None)
    if inner is not None:
        ip = inner
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return False
    return ip.is_global or private
