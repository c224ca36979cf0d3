"""Any service that Apprise knows."""

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks.addresses import answers
from streamclf.alerts.sinks.body import text_of, title_of
from streamclf.alerts.sinks.config import SinkConfig, Text
from streamclf.alerts.sinks.kind import SinkContext, SinkKind
from streamclf.alerts.sinks.picture import Paint, painted
from streamclf.alerts.sinks.sink import Sink, Temporary
from streamclf.errors import ConfigError

if TYPE_CHECKING:
    from apprise.attachment.memory import AttachMemory  # slow to import: `needs` says when

_LIMIT_S = 60.0
_LOOK_S = 3.0
_SMTP = 25
# it logs addresses, which hold secrets
logging.getLogger("apprise").setLevel(logging.CRITICAL)


class AppriseConfig(SinkConfig, tag="apprise", frozen=True):
    """Any service that Apprise knows: mail, Telegram, ntfy, Signal and a hundred others, by its address."""

    url: Text = ""
    """Address of the service, such as `ntfy://my-garden-birds`; either this or `url_file`."""
    url_file: str = ""
    """A file that holds the address, which is mostly a secret."""
    picture: bool = False
    """Also a picture of the seconds around the event, as an attachment where the service takes some."""


class Services(Sink):
    """One address. Raises `ConfigError` where Apprise does not know it."""

    def __init__(self, config: AppriseConfig, paint: Paint | None = None) -> None:
        import apprise

        self._paint = paint
        url = config.url
        if config.url_file:
            try:
                url = Path(config.url_file).expanduser().read_text("utf-8").strip()
            except (OSError, UnicodeDecodeError) as fault:
                raise ConfigError(f"url_file {config.url_file} cannot be read: {fault}") from None
        self._apprise = apprise.Apprise()
        if not url or not self._apprise.add(url):
            scheme = url.partition("://")[0] if "://" in url else ""  # without one it may all be a token
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
            raise Temporary(await self._why_not())

    async def _why_not(self) -> str:
        """Apprise does not say why a service did not take it; that its server does not answer can be seen."""
        try:
            async with asyncio.timeout(_LOOK_S):
                await self.look()
        except (Temporary, TimeoutError) as fault:
            return str(fault) or "its server does not answer"
        return "the service did not take it (Apprise does not say why)"

    async def look(self) -> None:
        """Whether a mail server, or one with a port of its own, answers. Raises `Temporary`."""
        for service in self._apprise:
            host = getattr(service, "smtp_host", None) or (service.host if service.port else None)
            if host:
                await answers(host, service.port or _SMTP)

    async def _notify(self, alert: Alert, picture: "AttachMemory | None") -> bool:
        import apprise

        return bool(
            await self._apprise.async_notify(
                title=title_of(alert),
                body=text_of(alert),
                body_format=apprise.NotifyFormat.TEXT,
                attach=picture,
            )
        )


def _attached(png: bytes) -> "AttachMemory":
    from apprise.attachment.memory import AttachMemory

    attached: AttachMemory = AttachMemory(content=png, name="heard.png", mimetype="image/png")  # type: ignore[no-untyped-call]
    return attached


async def _check(config: AppriseConfig) -> None:
    """Of a mail server and of a service with a port of its own, whether it answers; the others are in the world."""
    await Services(config).look()


def _open(config: AppriseConfig, context: SinkContext) -> Services:
    return Services(config, context.painter(wanted=config.picture))


KIND = SinkKind(
    AppriseConfig,
    _open,
    does="sends it by a service that Apprise knows",
    also=(
        *("email", "mail", "smtp", "ntfy", "telegram", "pushover", "gotify", "discord", "slack", "matrix", "signal"),
        *("sms", "push", "phone"),
    ),
    examples={"url": '"ntfy://birds"', "url_file": '"/etc/streamclf/phone.url"', "picture": "true"},
    needs=("apprise", "apprise.attachment.memory"),
    check=_check,
)
