"""How much others may ask of us: allowances that fill up with time. They read no clock: times are handed in."""


class Allowance:
    """So much a second, and at most `burst` at once. start: what there is at first, the whole burst unless given."""

    def __init__(self, rate: float, burst: float, *, now_s: float, start: float | None = None) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst if start is None else start
        self._at_s = now_s

    def take(self, amount: float, now_s: float) -> bool:
        """Take `amount` where it is there. Returns whether it was."""
        self._fill(now_s)
        if self._left < amount:
            return False
        self._left -= amount
        return True

    def owe(self, amount: float, now_s: float) -> float:
        """Take `amount` in any case. Returns the seconds until what was taken too early is paid back; 0 for none."""
        self._fill(now_s)
        self._left -= amount
        return max(0.0, -self._left / self._rate)

    @property
    def full(self) -> bool:
        """Whether it was as full as it gets when it was last used."""
        return self._left >= self._burst

    def _fill(self, now_s: float) -> None:
        self._left = min(self._burst, self._left + (now_s - self._at_s) * self._rate)
        self._at_s = now_s
