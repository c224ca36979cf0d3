"""Which network addresses a webhook may go to: the name is resolved here, checked, and that very address is used.

Whoever controls a name can point it at this machine, its neighbours or a cloud's metadata service at any time, even
between a check and the connection; so the check is made on the address and the connection goes to it.
"""

import asyncio
import socket
import ssl
from contextlib import suppress

from streamclf.alerts.sinks.sink import Temporary
from streamclf.network import allowed


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
