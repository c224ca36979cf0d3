"""What a gateway follows and whom it lets in, from flags and configuration. A mistake is refused here, in words."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

from streamclf.config import Config
from streamclf.config.nats import NatsConfig
from streamclf.daemon.ground import read_settings
from streamclf.errors import ConfigError, UsageError
from streamclf.serve.fanout.broker import EVERY_SITE, check_site
from streamclf.serve.fanout.fleet import SitesSeen
from streamclf.serve.fanout.way import NatsWay, way_of
from streamclf.serve.http.access import ScopedToken, ServerSettings
from streamclf.serve.http.tokens import check_apart, read_token
from streamclf.serve.roles import Role


@dataclass(frozen=True, slots=True)
class Followed:
    """way: to NATS. sites: one alone, which is repeated as it is; or several, or all (EVERY_SITE), as one fleet.

    scopes: who sees some of the sites alone, by the name that `ServerSettings.scoped` has for them.
    """

    way: NatsWay
    sites: tuple[str, ...]
    scopes: Mapping[str, SitesSeen] = field(default_factory=dict)

    @property
    def one(self) -> bool:
        """Whether it is one site alone, under the daemon's own names."""
        return len(self.sites) == 1 and self.sites[0] != EVERY_SITE and not self.scopes

    @property
    def all(self) -> SitesSeen:
        """What those see who see everything here."""
        return SitesSeen(None if EVERY_SITE in self.sites else frozenset(self.sites))

    @property
    def named(self) -> tuple[str, ...]:
        """Those that there should be."""
        return tuple(site for site in self.sites if site != EVERY_SITE)


def read_followed(config: NatsConfig, *, url: str | None, sites: tuple[str, ...], every: bool) -> Followed:
    """url, sites, every: as the command line says, which comes first.

    Raises `UsageError` where there is nothing to follow, `ConfigError` for names and files that cannot be used.
    """
    if not url and not config.named:
        raise UsageError("no NATS is named; say --nats nats://HOST:4222, or set url in [nats]")
    if every and sites:
        raise UsageError("--all follows every site; leave --site out, or --all")
    given = (EVERY_SITE,) if every else sites or config.sites or ((config.site,) if config.site else ())
    if not given:
        raise UsageError("no site is named; say --site with the name that the daemon has in [nats], or --all")
    for site in given:
        if site != EVERY_SITE:
            check_site(site)
    followed = tuple(dict.fromkeys(given))
    scopes = {name: _scope(name, followed) for name in (*config.labels_tokens, *config.audio_tokens)}
    return Followed(way_of(config, url), followed, scopes)


def _scope(name: str, followed: tuple[str, ...]) -> SitesSeen:
    sites = frozenset(part.strip() for part in name.split(","))
    for site in sites:
        check_site(site)
        if EVERY_SITE not in followed and site not in followed:
            raise ConfigError(f"a token of [nats] is for {site}, which this gateway does not follow")
    return SitesSeen(sites)


def read_gateway_settings(config: Config, followed: Followed) -> ServerSettings:
    """Whom a gateway lets in. Logins hold at all that follow the same and have the same tokens.

    Raises `ConfigError` for a token or a certificate that cannot be used.
    """
    settings = read_settings(config)
    kinds = (("labels", Role.LABELS, config.nats.labels_tokens), ("audio", Role.AUDIO, config.nats.audio_tokens))
    scoped: list[ScopedToken] = []
    keys = {"server.token_file": settings.token}
    keys |= {"server.audio_token_file": settings.audio_token, "server.labels_token_file": settings.labels_token}
    for kind, role, files in kinds:
        for scope, file in files.items():
            token = read_token(file, {})
            if token is None:
                raise ConfigError(f"nats.{kind}_tokens names no file for {scope!r}")
            scoped.append(ScopedToken(scope, role, token))
            keys[f"nats.{kind}_tokens {scope!r}"] = token
    check_apart(keys)
    logins = f"gateway-{sha256(','.join(sorted(followed.sites)).encode()).hexdigest()[:8]}"
    return replace(settings, scoped=tuple(scoped), logins=logins)
