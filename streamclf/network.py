"""Whose a network address is: this machine's, the local network's, or everybody's.

A foreign server, or whoever controls a name, can say any address. So the address itself is judged, and is then the very
one that is used.
"""

import ipaddress

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
_HERE = tuple(ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1/128", "0.0.0.0/8", "::/128"))
_LINK = tuple(ipaddress.ip_network(text) for text in ("169.254.0.0/16", "fe80::/10"))


def allowed(address: str, *, private: bool) -> bool:
    """Whether `address` is one to speak to: a global unicast one; with private, one of `_OWN` as well.

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


def depth(address: str) -> int:
    """How far inside `address` lies: 0 everybody's, 1 the local network and all that is not public, 2 this machine.

    Services that clouds have at link-local and other addresses, for one machine alone, lie as deep as the machine.
    """
    ip = _meant(ipaddress.ip_address(address.partition("%")[0]))
    if ip in _METADATA or any(ip in network for network in (*_HERE, *_LINK)):
        return 2
    return 0 if allowed(address, private=False) else 1
