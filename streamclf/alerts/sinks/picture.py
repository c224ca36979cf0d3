"""Pictures of the seconds around an alert's event, for the sinks that can carry one. What draws them is handed in."""

import asyncio
import logging
from importlib.util import find_spec
from typing import NamedTuple, Protocol

from streamclf.alerts.alert import Alert
from streamclf.errors import ConfigError, StreamclfError

log = logging.getLogger("streamclf.alerts")

LIMIT_S = 1.0  # an alert waits no longer for its picture


def check_pillow() -> None:
    """Raises `ConfigError` where the package that draws is absent."""
    if find_spec("PIL") is None:
        raise ConfigError("a picture needs the package pillow: pip install 'streamclf[picture]'")


class Paint(Protocol):
    """What draws alerts, for the event loop's thread."""

    def prepare(self) -> None:
        """A picture may be wanted soon. Raises `ConfigError` where there can never be one."""

    async def __call__(self, alert: Alert) -> bytes:
        """The PNG. Raises `StreamclfError` that says why there can be none."""


class Painted(NamedTuple):
    """The PNG, or None and why: an empty reason where none was wished for."""

    png: bytes | None = None
    missing: str = ""


async def painted(paint: Paint | None, alert: Alert) -> Painted:
    """The picture, in at most a second. An alert without one is still sent."""
    if paint is None:
        return Painted()
    try:
        async with asyncio.timeout(LIMIT_S):
            return Painted(await paint(alert))
    except TimeoutError:
        missing = f"it was not drawn within {LIMIT_S:g} s"
    except StreamclfError as fault:
        missing = str(fault)
    except Exception as fault:
        # a fault of ours: the alert must not be lost by it
        log.exception("the picture of alert %s failed", alert.id)
        missing = repr(fault)
    log.warning("alert %s goes without a picture: %s", alert.id, missing)
    return Painted(missing=missing)
