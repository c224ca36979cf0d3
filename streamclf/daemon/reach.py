"""Where other machines find this daemon: the address of this machine on its network, told at the start."""

import socket
from collections.abc import Iterator

from streamclf.config import ServerConfig
from streamclf.protocol.address import ip_of

# addresses of documentation (RFC 5737 and 3849): a datagram's socket that is only pointed at them sends nothing, and
# the system tells from which of its own addresses it would
_SOMEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def addresses_of(server: ServerConfig, port: int) -> Iterator[str]:
    """The addresses that people on other machines can open; none where only this machine is listened to."""
    listens = ip_of(server.host or "0.0.0.0")
    if listens is None or listens.is_loopback:
        return
    scheme = "https" if server.certificate else "http"
    names = list(server.hosts)
    if not listens.is_unspecified:
        names.append(str(listens))
    else:
        names += [own for own in own_addresses() if listens.version == 6 or ":" not in own]
    for name in names:
        yield f"{scheme}://{f'[{name}]' if ':' in name else name}:{port}/"


def own_addresses() -> list[str]:
    """This machine's address towards others, of each kind that it has. Nothing is sent."""
    found = []
    for family, somewhere in _SOMEWHERE:
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as line:
                line.connect((somewhere, 9))
                found.append(str(line.getsockname()[0]))
        except OSError:  # no such network here
            continue
    return found
