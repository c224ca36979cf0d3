"""How fit the microphones are: reads what is new in the rings of live sources, on the loop, a little at a time."""

from collections.abc import Sequence

from streamclf.audio.fitness import Finding, Fitness
from streamclf.daemon.sources import SourceStream
from streamclf.errors import Overrun

JUDGE_S = 2.0
"""A second of every so many is measured, 1 ms of computing time."""


class MicrophoneCheck:
    """One of them."""

    def __init__(self, one: SourceStream, *, muted_s: float) -> None:
        self.fitness = Fitness(one.info.rate, muted_s=muted_s, lifted=one.stream.gain != "off")
        self._one = one
        self._read = one.ring.written
        self._lost = one.ring.lost
        self._whole_from = self._read  # no sample behind it was lost
        self._judged = self._read

    def look(self) -> None:
        """Take what has come since the last look; what was declared lost is no sound, and passed over."""
        ring, rate = self._one.ring, self._one.info.rate
        lost, written = ring.lost, ring.written
        if lost != self._lost:
            self._lost, self._read, self._whole_from = lost, written, written
            return
        start = max(self._read, written - rate)
        self._read = written
        try:
            self.fitness.hear(ring.view(start, written))
            if written - self._judged >= JUDGE_S * rate and written - rate >= self._whole_from:
                self._judged = written
                self.fitness.judge(ring.view(written - rate, written))
        except Overrun:  # this loop stood still for longer than a ring holds
            self._whole_from = written


class Microphones:
    """Those of a daemon: streams that are live and no recordings. muted_s: see `Fitness`."""

    def __init__(self, streams: Sequence[SourceStream], *, muted_s: float) -> None:
        self._streams = streams
        self._muted_s = muted_s
        self._all: dict[str, MicrophoneCheck] = {}

    def use(self, muted_s: float) -> None:
        """That setting holds from now on."""
        self._muted_s = muted_s
        for check in self._all.values():
            check.fitness.muted_s = muted_s

    def muted(self, one: SourceStream) -> str:
        """Look at it: why it counts as muted, "" where it does not."""
        if not one.source.live or one.spec.declared.recorded:
            return ""
        found = self._all.get(one.name)
        if found is None:
            found = self._all[one.name] = MicrophoneCheck(one, muted_s=self._muted_s)
        found.look()
        return found.fitness.muted

    def findings(self, stream: str) -> list[Finding]:
        """What is wrong with that one's microphone."""
        found = self._all.get(stream)
        return list(found.fitness.findings()) if found is not None else []
