"""Any service that Apprise knows."""

import asyncio
import logging
from pathlib import Path

import apprise

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks.body import plain, title_of
from streamclf.alerts.sinks.configs import AppriseConfig
from streamclf.alerts.sinks.sink import Temporary
from streamclf.errors import ConfigError

_LIMIT_S = 60.0
# it logs addresses, which hold secrets
logging.getLogger("apprise").setLevel(logging.CRITICAL)


class Services:
    """One address. Raises `ConfigError` where Apprise does not know it."""

    def __init__(self, config: AppriseConfig) -> None:
        url = config.url
        if config.url_file:
            try:
                url = Path(config.url_file).expanduser().read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as fault:
                raise ConfigError(f"url_file {config.url_file} cannot be read: {fault}") from None
        self._apprise = apprise.Apprise()
        if not url or not self._apprise.add(url):
            scheme = url.partition(":")[0]
            raise ConfigError(
                f"Apprise knows no service behind an address of {scheme!r}; see its list for the form, "
                "such as ntfy://TOPIC or mailto://USER:PASSWORD@HOST"
            )

    async def send(self, alert: Alert) -> None:
        """See `Sink`."""
        try:
            async with asyncio.timeout(_LIMIT_S):
                done = await self._apprise.async_notify(
                    title=title_of(alert), body=plain(alert.message), body_format=apprise.NotifyFormat.TEXT
                )
        except TimeoutError:
            raise Temporary(f"the service did not answer within {_LIMIT_S:.0f} s") from None
        if not done:
            raise Temporary("the service did not take it (Apprise does not say why)")

    async def close(self) -> None:
        """Nothing is held."""
