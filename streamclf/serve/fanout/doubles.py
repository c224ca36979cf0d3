"""Two daemons under one site: whoever hears the runs of both finds it, and says so while it lasts.

A run, once another has come after it, is over. Where it is heard again, both run at once. What it gives is then passed
over, so that clients are not sent from one to the other and back: the one that came last is followed.
"""

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator

from streamclf.protocol.status import DaemonProblem

log = logging.getLogger("streamclf")

_TOLD_S = 15.0
"""After its last sign: three times the distance of what every daemon tells of itself (FACTS_S)."""


class Doubles:
    """Of one site. own: the run that hears the others, "" for who only follows. Any thread may ask `found`."""

    def __init__(self, site: str, *, own: str = "", now_s: Callable[[], float] = time.monotonic) -> None:
        self._site = site
        self._own = own
        self._now_s = now_s
        self._newest = own
        self._over: deque[str] = deque(maxlen=16)  # bound: 16 starts; an older run would count as a new one
        self._heard_s = self._newest_s = float("-inf")
        self._ended = False  # the newest has said that it stops

    def over(self, run: str) -> bool:
        """Whether another one has come after `run`."""
        return run in self._over

    def passed(self, run: str, *, ends: bool = False) -> bool:
        """Whether what has come of `run` is to be passed over, for another one goes on beside it.

        ends: it says that it stops.
        """
        if run == self._newest:
            self._newest_s, self._ended = self._now_s(), ends
            return False
        alone = self._ended or self._now_s() - self._newest_s > _TOLD_S
        if run in self._over and alone and not ends:
            self._over.remove(run)
        elif self._own or run in self._over:
            if not self._told:
                log.warning("%s", _what(self._site))
            self._heard_s = self._now_s()
            return True
        if self._newest:
            self._over.append(self._newest)
        self._newest, self._newest_s, self._ended = run, self._now_s(), ends
        return False

    def found(self) -> Iterator[DaemonProblem]:
        """What is wrong."""
        if self._told:
            yield DaemonProblem(_what(self._site), [], 0, "give each a site of its own in [nats]", "degraded")

    @property
    def _told(self) -> bool:
        return self._now_s() - self._heard_s < _TOLD_S


def _what(site: str) -> str:
    return f"two daemons give to NATS as {site}; gateways show one of them, and may ask the other for what is kept"
