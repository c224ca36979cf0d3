"""A notification on the desktop, by libnotify's own program."""

import asyncio
import html
import os
import shutil
from typing import Annotated

from msgspec import Meta

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks.body import text_of, title_of
from streamclf.alerts.sinks.config import SinkConfig
from streamclf.alerts.sinks.kind import SinkKind
from streamclf.alerts.sinks.sink import Sink, Temporary
from streamclf.config import for_children
from streamclf.errors import ConfigError

_LIMIT_S = 10.0
_ABSENT = "notify-send is not installed (package libnotify-bin)"


class DesktopConfig(SinkConfig, tag="desktop", frozen=True):
    """A notification on the desktop of the user who runs the daemon, by `notify-send`."""

    seconds: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    """How long it is shown."""


class Desktop(Sink):
    """Needs `notify-send` and a desktop session."""

    def __init__(self, config: DesktopConfig) -> None:
        self._milliseconds = int(config.seconds * 1000)

    async def send(self, alert: Alert) -> None:
        """See `Sink`."""
        argv = (
            "notify-send", "--app-name=streamclf", f"--expire-time={self._milliseconds}", "--",
            title_of(alert), html.escape(text_of(alert)),  # desktops read the text as markup
        )  # fmt: skip
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                env=for_children(os.environ),
            )
        except FileNotFoundError:
            raise Temporary(_ABSENT) from None
        try:
            async with asyncio.timeout(_LIMIT_S):
                _, told = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise Temporary(f"the desktop did not answer within {_LIMIT_S:.0f} s") from None
        if process.returncode:
            raise Temporary(told.decode("utf-8", "replace").strip()[:300] or f"status {process.returncode}")


async def _check(config: DesktopConfig) -> None:
    if shutil.which("notify-send") is None:
        raise ConfigError(_ABSENT)


KIND = SinkKind(
    DesktopConfig,
    lambda config, context: Desktop(config),
    does="shows it on the desktop",
    also=("notification", "notify", "popup"),
    examples={"seconds": "30.0"},
    check=_check,
)
