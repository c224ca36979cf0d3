"""What every sink is, and the two ways in which sending fails."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence

from streamclf.alerts.alert import Alert
from streamclf.store.events import StoredEvent
from streamclf.types import LoudnessMinute


class Temporary(Exception):  # noqa: N818 - what it says, not what it is
    """Not now: it is tried again. retry_after_s: how long the receiver wants to be left alone, where it said so."""

    def __init__(self, reason: str, *, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Permanent(Exception):  # noqa: N818
    """Never: the same alert would be refused again."""


class Sink(ABC):
    """Where alerts go. Opened when its first alert comes; kept until the daemon ends or its settings change.

    All of it runs on the event loop's thread.
    """

    @abstractmethod
    async def send(self, alert: Alert) -> None:
        """Hand the alert over, and return once the receiver has it. Raises `Temporary` or `Permanent`."""

    async def close(self) -> None:  # noqa: B027
        """Let go of what is held: nothing, unless a sink says otherwise."""

    def heard(self, events: Sequence[StoredEvent]) -> None:  # noqa: B027 - most sinks show no states
        """Events that opened, went on or closed, for a sink that shows states."""

    def scores(self, probabilities: Mapping[tuple[str, str], float]) -> None:  # noqa: B027
        """(stream, label) -> probability now, for a sink that shows them."""

    def loudness(self, minutes: Mapping[str, LoudnessMinute]) -> None:  # noqa: B027
        """Stream -> how loud its newest whole minute was, for a sink that shows that."""
