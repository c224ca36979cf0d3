"""The one back-off: how long to wait before what failed is tried again. No clock and no chance of its own.

Theory of operation. A delay doubles with each failure in a row, from `first_s` up to `most_s`: what is back soon is had
soon, and what stays away costs one try in `most_s`. Where there are many at once (the clients of a daemon that was
restarted) it takes a spread: each delay is shortened by up to that share, by chance, so that not all come at once.

Bounds, for any number of failures and any chance: `first_s * (1 - spread) <= delay <= most_s`; without a spread the
delays never become shorter from one failure to the next.
"""

from dataclasses import dataclass

_MOST_DOUBLINGS = 64  # 2 ** 64 times a microsecond is half a million years, and far from what a float can hold


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds. spread: the share of a delay that chance may take away, in [0, 1)."""

    first_s: float
    most_s: float
    spread: float = 0.0

    def __post_init__(self) -> None:
        if not (0 < self.first_s <= self.most_s and 0 <= self.spread < 1):
            raise ValueError(f"{self} expected: 0 < first_s <= most_s, 0 <= spread < 1")

    def delay_s(self, failures: int, *, chance: float = 0.0) -> float:
        """Seconds to wait after `failures` failures before the last one (0: it was the first). chance: in [0, 1)."""
        longest: float = min(self.most_s, self.first_s * 2.0 ** min(failures, _MOST_DOUBLINGS))
        return longest * (1 - self.spread * chance)
