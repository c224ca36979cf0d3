"""What lies where on a nats-server: the names of a site's subjects, and a connection to them."""

from typing import TYPE_CHECKING

from streamclf.config.nats import SITE
from streamclf.errors import ConfigError
from streamclf.retry import Backoff
from streamclf.serve.fanout.way import NatsWay

if TYPE_CHECKING:
    from nats.aio.client import Client

STREAM = "streamclf"
"""Of JetStream: what all sites give, for as long as it can be replayed."""
SITES = "streamclf-sites"
"""Of JetStream: what each site told of itself last."""
EVERY_SITE = "*"
_HEARD, _SITE, _ASK, _KEPT = "streamclf.heard", "streamclf.site", "streamclf.ask", "streamclf.kept"
KEEP_SITES_S = 30 * 24 * 3600
RETRY = Backoff(first_s=0.5, most_s=10.0, spread=0.3)


def check_site(site: str) -> None:
    """Raises `ConfigError` for a name that no site can have."""
    if not site or not SITE.fullmatch(site):
        raise ConfigError(f"the site is {site[:80]!r}; expected up to 64 letters, digits, _ and -, such as garden")


class NatsPlace:
    """Where a site lies on a server, or all of them (EVERY_SITE).

    Raises `ConfigError` for a name that no site can have.
    """

    def __init__(self, way: NatsWay, site: str) -> None:
        if site != EVERY_SITE:
            check_site(site)
        self._way = way
        self.name = way.name
        """Of the server, for people, without a secret."""
        self.replicas = way.replicas
        self.site = site
        self.subject, self.every = f"{_HEARD}.{site}", f"{_HEARD}.{EVERY_SITE}"
        """Of what is heard: there, and at any site."""
        self.site_subject, self.every_site = f"{_SITE}.{site}", f"{_SITE}.{EVERY_SITE}"
        """Of what it told of itself last, and of any site."""
        self.question_subject = f"{_ASK}.{site}"
        """Of what gateways ask its daemon."""
        self.kept_subject = f"{_KEPT}.{site}"
        """Where its daemon says, without a word, that something is kept that was not before."""

    async def connect(self) -> "Client":
        """A connection that does not come back by itself. Raises as `NatsWay.connect` does."""
        return await self._way.connect(f"streamclf {self.site}")

    def problem(self, fault: BaseException) -> str:
        """In a sentence, without a secret."""
        return self._way.problem(fault)


def site_of(subject: str) -> str:
    """The site that a message of `NatsPlace.subject` or `site_subject` is of."""
    return subject.rpartition(".")[2]
