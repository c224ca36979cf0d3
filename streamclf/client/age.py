"""How old what a message tells of is."""

import time

from streamclf.protocol import wire

_NS = 1_000_000_000


def age_s(message: wire.Scores | wire.Event, now_ns: int | None = None) -> float:
    """Seconds from the newest sample that `message` rests on to now: `(now_ns - captured_ns) / 1e9`.

    now_ns: wall time; None takes this machine's clock, which has to agree with the daemon's.
    """
    return ((time.time_ns() if now_ns is None else now_ns) - message.captured_ns) / _NS
