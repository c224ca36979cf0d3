"""A source listened to inside the test's own process: everything it wrote and said."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from streamclf.audio.ring import Ring
from streamclf.audio.sources import Source
from streamclf.audio.wake import Wake
from streamclf.clock import StreamClock

_LIMIT_S = 60.0


class Listening:
    """Opens and starts `source` over a ring of `seconds`; `states` and `told` are what it notified."""

    def __init__(
        self, source: Source, *, seconds: float = 30.0, room: Callable[["Listening"], int] | None = None
    ) -> None:
        self.source = source
        self.wake = Wake()
        self.states: list[str] = []
        self.told: list[tuple[str, str]] = []
        source.open()
        self.ring = Ring(int(seconds * source.rate))
        self.clock = StreamClock(source.rate)
        source.start(
            self.ring,
            self.clock,
            self.wake,
            self._note,
            room=None if room is None else lambda: room(self),
        )

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait, woken by the source, until `condition` holds."""
        for _ in range(int(_LIMIT_S / 0.05)):
            if condition():
                return
            self.wake.wait(0.05)
        raise AssertionError(f"not within {_LIMIT_S:g} s; {self.ring.written} samples, told {self.told}")

    def until_ended(self) -> None:
        """Wait for the end of the source."""
        self.until(lambda: self.source.ended and bool({"ended", "gone"} & set(self.states)))

    @property
    def samples(self) -> npt.NDArray[np.float32]:
        """Everything the ring holds."""
        return self.ring.view(self.ring.first_valid, self.ring.written).copy()

    def _note(self, state: str, detail: str) -> None:
        self.told.append((state, detail))
        self.states.append(state)
        self.wake.set()
