"""The section `kserve`: a server on which models run in place of this process."""

import re
from ipaddress import ip_address
from typing import Annotated

import msgspec

_ADDRESS = re.compile(r"grpcs?://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}")
_OF_TLS = ("authority", "certificate", "key", "token_file")


class KserveConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where models run in place of this process: a server that speaks KServe v2 over gRPC, such as Triton."""

    url: str = ""
    """Address of the server, such as grpc://127.0.0.1:8001, or grpcs://gpu.example.org:8001 over TLS; "" for none."""
    packs: tuple[str, ...] = ()
    """Packs that run there, and members of fused ones; empty is all."""
    timeout_ms: Annotated[int, msgspec.Meta(ge=50, le=60_000)] = 1000
    """Milliseconds after which a run has failed that the server has not answered."""
    plain: bool = False
    """Whether features, of which sound can be made, may go to another machine without TLS."""
    authority: str = ""
    """PEM file of the authority that the server's certificate is from; empty takes those that gRPC brings."""
    certificate: str = ""
    """PEM file of a certificate of ours, where the server asks for one."""
    key: str = ""
    """PEM file of mode 0600 with its private key."""
    token_file: str = ""
    """A file of mode 0600 that holds a token, which is sent as `authorization: Bearer`."""

    def __post_init__(self) -> None:
        if not self.url:
            return
        found = _ADDRESS.fullmatch(self.url)
        if not found:
            raise ValueError("url is no address; expected something such as grpc://127.0.0.1:8001")
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key need each other; name both")
        if self.url.startswith("grpcs://"):
            return
        here = _is_loopback(found[1].strip("[]"))
        if not (here or self.plain):
            raise ValueError(
                f"url {self.url} would let sound leave this machine for all to read; expected grpcs://, or plain = "
                "true in a network of your own"
            )
        for key in _OF_TLS:
            if getattr(self, key) and not (key == "token_file" and here):
                raise ValueError(f"{key} needs grpcs://, and url is {self.url}")


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
