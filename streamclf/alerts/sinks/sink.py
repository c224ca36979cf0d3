"""What every sink is, and the two ways in which sending fails."""

from typing import Protocol

from streamclf.alerts.alert import Alert


class Temporary(Exception):  # noqa: N818 - what it says, not what it is
    """Not now: it is tried again. retry_after_s: how long the receiver wants to be left alone, where it said so."""

    def __init__(self, reason: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Permanent(Exception):  # noqa: N818
    """Never: the same alert would be refused again."""


class Sink(Protocol):
    """Where alerts go. Opened when its first alert comes; kept until the daemon ends or its settings change."""

    async def send(self, alert: Alert) -> None:
        """Hand the alert over, and return once the receiver has it. Raises `Temporary` or `Permanent`."""

    async def close(self) -> None:
        """Let go of what is held."""
