"""A model thread with a healthy pack and sick ones, which hears sound in real time and keeps all that it tells."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from streamclf.audio.ring import Ring
from streamclf.engine.batch import PackRunner
from streamclf.engine.calls import EngineCalls
from streamclf.engine.engine import Engine
from streamclf.engine.making import Making
from streamclf.engine.runner import ModelThread
from streamclf.engine.stream import Stream
from streamclf.model.fusedsession import PackSession, open_session
from streamclf.model.loader import load_pack
from streamclf.model.pack import Pack
from streamclf.model.session import Brake
from streamclf.types import FrameScores, Gap, GapReason, Output, Provider, Status, StreamState
from tools.lab.tinypack import RATE

BLOCK = RATE // 50
QUIET, TOO_LOUD = 0.05, 0.9
LIMIT_S = 240.0


class Clinic:
    """Streams `names`, all packs on each of them."""

    def __init__(self, packs: Sequence[Path], names: Sequence[str] = ("mic",), *, started: bool = True) -> None:
        self.level = dict.fromkeys(names, QUIET)
        self.told: list[Output] = []
        self.faults: list[BaseException] = []
        self.calls = EngineCalls()
        self.engine = Engine([runner(load_pack(folder), made=started) for folder in packs])
        self.rings = {name: Ring(10 * RATE) for name in names}
        for name, ring in self.rings.items():
            self.engine.add(Stream(name, rate=RATE, ring=ring))
        self.model = ModelThread(
            self.engine,
            lambda outputs, decided_ns: self.told.extend(outputs),
            calls=self.calls,
            live=True,
            on_fault=self.faults.append,
        )
        self.fed = 0
        self._over = threading.Event()
        self._feeder = threading.Thread(target=self._feed, daemon=True)

    @contextmanager
    def open(self) -> Iterator["Clinic"]:
        self.model.start()
        self._feeder.start()
        try:
            yield self
        finally:
            self._over.set()
            self._feeder.join()
            self.stopped = self.model.stop(LIMIT_S)
        assert not self.faults, self.faults

    def _feed(self) -> None:
        began_s, blocks = time.monotonic(), 0
        while not self._over.is_set():
            for name, ring in self.rings.items():
                level = self.level.get(name)
                if level is not None:  # else it has ended
                    ring.write(np.resize(np.array([level, -level], dtype=np.float32), BLOCK))
                    self.fed += 1
            self.calls.wake.set()
            blocks += 1
            time.sleep(max(0.0, began_s + blocks / 50 - time.monotonic()))

    def until(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + LIMIT_S
        while not done():
            assert not self.faults, self.faults
            assert time.monotonic() < deadline, f"{what}; told: {self.statuses()}"
            time.sleep(0.02)

    def heard(self, seconds: float) -> None:
        """So much more sound has been captured, and scored by the healthy pack."""
        end = {name: ring.written / BLOCK + 50 * seconds for name, ring in self.rings.items()}
        self.until(lambda: all(f and max(f) >= end[n] for n in end if (f := self.frames("healthy", n)) is not None),
                   "the healthy pack stands still")  # fmt: skip

    def heard_by(self, name: str, seconds: float) -> None:
        """So much more sound of that stream has been captured."""
        end = self.rings[name].written + round(seconds * RATE)
        self.until(lambda: self.rings[name].written >= end, "nothing is captured")

    def end(self, name: str, done: Callable[[], object]) -> None:
        """The source of that stream ends."""
        del self.level[name]
        fed = self.fed
        self.until(lambda: self.fed > fed + len(self.level), "nothing is captured")  # no block is on its way any more
        self.calls.end(name, [Status(name, StreamState.ENDED, "played")], done)

    def statuses(self) -> list[Status]:
        return [o for o in list(self.told) if isinstance(o, Status)]

    def of_pack(self, pack: str = "sick") -> list[StreamState]:
        return [s.state for s in self.statuses() if s.pack == pack and s.state is not StreamState.HOP]

    def of_stream(self, stream: str = "mic") -> list[StreamState]:
        return [s.state for s in self.statuses() if s.stream == stream]

    def gaps(self) -> list[Gap]:
        return [o for o in list(self.told) if isinstance(o, Gap)]

    def missing(self, stream: str = "mic") -> list[int]:
        """Frames up to the last one that the healthy pack gave no row for, and no gap tells of.

        A machine that is kept busy for longer than the ring holds may have gaps; nothing else may.
        """
        rows = self.frames("healthy", stream)
        assert sorted(set(rows)) == rows, "rows came twice or out of order"
        told = {GapReason.OVERRUN, GapReason.PAUSED}
        lost = [g for g in self.gaps() if g.stream == stream and g.reason in told]
        known = {*rows, *(f for g in lost for f in range(g.first_sample // BLOCK, g.last_sample // BLOCK + 1))}
        return [frame for frame in range(max(rows, default=-1) + 1) if frame not in known]

    def frames(self, pack: str, stream: str = "mic") -> list[int]:
        rows = [o for o in list(self.told) if isinstance(o, FrameScores) and (o.pack, o.stream) == (pack, stream)]
        return [o.first_frame + i for o in rows if o.final for i in range(len(o.rows))]


def runner(pack: Pack, *, made: bool) -> PackRunner:
    """made: its session is there at the start; otherwise it is still being made then."""

    def make(brake: Brake) -> PackSession:
        return open_session(pack, provider=Provider.CPU, brake=brake)

    one = PackRunner(pack, make(Brake()) if made else None, make=make)
    if not made:
        one.making = Making(one.name, make)
    return one
