"""A notification on the desktop, by libnotify's own program."""

import asyncio
import html

from streamclf.alerts.alert import Alert
from streamclf.alerts.sinks.body import plain, title_of
from streamclf.alerts.sinks.configs import DesktopConfig
from streamclf.alerts.sinks.sink import Temporary

_LIMIT_S = 10.0


class Desktop:
    """Needs `notify-send` and a desktop session."""

    def __init__(self, config: DesktopConfig) -> None:
        self._milliseconds = int(config.seconds * 1000)

    async def send(self, alert: Alert) -> None:
        """See `Sink`."""
        argv = (
            "notify-send", "--app-name=streamclf", f"--expire-time={self._milliseconds}", "--",
            title_of(alert), html.escape(plain(alert.message)),  # desktops read the text as markup
        )  # fmt: skip
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
        except FileNotFoundError:
            raise Temporary("notify-send is not installed (package libnotify-bin)") from None
        try:
            async with asyncio.timeout(_LIMIT_S):
                _, told = await process.communicate()
        except TimeoutError:
            process.kill()
            await process.wait()
            raise Temporary(f"the desktop did not answer within {_LIMIT_S:.0f} s") from None
        if process.returncode:
            raise Temporary(told.decode("utf-8", "replace").strip()[:300] or f"status {process.returncode}")

    async def close(self) -> None:
        """Nothing is held."""
