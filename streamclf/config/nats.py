"""The section `nats`: where gateways get what a daemon hears."""

import re
from typing import Annotated

import msgspec

SITE = re.compile(r"[A-Za-z0-9_-]{0,64}")


class NatsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where gateways (`streamclf gateway`) get what this daemon hears: a nats-server with JetStream."""

    url: str = ""
    """Address of the server, such as nats://192.168.1.20:4222, or of several of one cluster, by commas; empty for none.
    With `tls://` nothing is said to a server without TLS."""
    url_file: str = ""
    """A file of mode 0600 that holds the address, where a name or a token stands in it; in place of `url`."""
    authority: str = ""
    """PEM file of the authority that the server's certificate is from; empty takes those of the system."""
    certificate: str = ""
    """PEM file of a certificate of ours, where the server asks for one."""
    key: str = ""
    """PEM file of mode 0600 with its private key."""
    credentials: str = ""
    """A file of mode 0600 that lets us in: credentials (`.creds`), or an nkey's seed; in place of a name in `url`."""
    replicas: Annotated[int, msgspec.Meta(ge=1, le=5)] = 1
    """On how many servers of a cluster JetStream keeps what is given to it; where sites differ, the most."""
    site: str = ""
    """What this daemon is called there: letters, digits, _ and -; no two daemons share one."""
    events: bool = True
    """Whether gateways may ask for what is kept here, but for its sound."""
    clips: bool = False
    """Whether they may ask for clips: whoever may use that NATS may then hear them."""
    marks: bool = True
    """Whether gateways may hand on marks, and what is taught with them, of those who are admin there."""
    sites: tuple[str, ...] = ()
    """What a gateway follows: sites by name, or * for all that there are; empty is `site`."""
    labels_tokens: dict[str, str] = {}
    """Of a gateway: a site, or several by commas, and a file of mode 0600: whoever shows its token sees those alone."""
    audio_tokens: dict[str, str] = {}
    """The same for those who may hear as well: clips."""

    @property
    def named(self) -> bool:
        """Whether there is a server."""
        return bool(self.url or self.url_file)

    def __post_init__(self) -> None:
        if self.url and self.url_file:
            raise ValueError("url and url_file are both given; keep one")
        if bool(self.certificate) != bool(self.key):
            raise ValueError("certificate and key need each other; name both")
        if self.named and not self.site and not self.sites:
            raise ValueError('site is missing; name this daemon, such as site = "garden"')
