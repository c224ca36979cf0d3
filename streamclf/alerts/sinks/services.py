"""Any service that Apprise knows."""

import asyncio
import logging
from pathlib import Path

import apprise
from apprise.attachment.memory import AttachMemory

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks.body import plain, title_of
from streamclf.alerts.sinks.configs import AppriseConfig
from streamclf.alerts.sinks.picture import Paint, painted
from streamclf.alerts.sinks.sink import Temporary
from streamclf.errors import ConfigError

_LIMIT_S = 60.0
# it logs addresses, which hold secrets
logging.getLogger("apprise").setLevel(logging.CRITICAL)


class Services:
    """One address. Raises `ConfigError` where Apprise does not know it."""

    def __init__(self, config: AppriseConfig, paint: Paint | None = None) -> None:
        self._paint = paint
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
        """See `Sink`. What does not go with its picture goes without, at once."""
        picture = await painted(self._paint, alert)
        try:
            async with asyncio.timeout(_LIMIT_S):
                done = picture.png is not None and await self._notify(alert, _attached(picture.png))
                done = done or await self._notify(alert, None)
        except TimeoutError:
            raise Temporary(f"the service did not answer within {_LIMIT_S:.0f} s") from None
        if not done:
            raise Temporary("the service did not take it (Apprise does not say why)")

    async def _notify(self, alert: Alert, picture: AttachMemory | None) -> bool:
        return bool(
            await self._apprise.async_notify(
                title=title_of(alert),
                body=plain(alert.message),
                body_format=apprise.NotifyFormat.TEXT,
                attach=picture,
            )
        )

    async def close(self) -> None:
        """Nothing is held."""


def _attached(png: bytes) -> AttachMemory:
    attached: AttachMemory = AttachMemory(content=png, name="heard.png", mimetype="image/png")  # type: ignore[no-untyped-call]
    return attached
