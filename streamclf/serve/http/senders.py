"""Whose a request or a connection is, so that what one sender does counts together."""

import ipaddress
from functools import lru_cache
from typing import NamedTuple

from websockets.datastructures import Headers

from streamclf.protocol.address import ip_of

HERE = "127.0.0.1"
"""The network of all of this machine's own addresses."""


class Sender(NamedTuple):
    """address: whose wrong tokens count together. here: whether the request itself came from this machine.

    Then a proxy may have said what the address is, or a program of this machine that goes without a token may have
    made it up.
    """

    address: str
    here: bool


def sender_of(headers: Headers, peer: str) -> Sender:
    """Who tries: of a proxy on this machine, the client that it names last; it may have let others pass before."""
    address = _address(peer)
    here = address is not None and address.is_loopback
    chain = [part.strip() for value in headers.get_all("X-Forwarded-For") for part in value.split(",")]
    named = _address(chain[-1]) if here and chain else None
    return Sender(_network(named or address) or peer, here)


@lru_cache(maxsize=1024)
def network_of(peer: str) -> str:
    """Of the address that a connection comes from."""
    return _network(_address(peer)) or peer


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `text` is, an IPv4 one also where IPv6 carries it; without the name of an interface."""
    found = ip_of(text.partition("%")[0])
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def _network(address: ipaddress.IPv4Address | ipaddress.IPv6Address | None) -> str:
    """Those that one sender may well have all of: an address, of IPv6 its network; all of this machine's own."""
    if address is None:
        return ""
    if address.is_loopback:
        return HERE
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)
