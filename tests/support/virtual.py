"""A model thread on a machine of its own: virtual time, sound that comes by that time, work and stalls as planted.

Nothing is measured and nothing waits, so a minute passes in a moment and always the same way.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from streamclf.audio.ring import Ring
from streamclf.audio.wake import Halt, Wake
from streamclf.clock import FRAME_MS
from streamclf.engine.batch import PackRunner
from streamclf.engine.calls import EngineCalls
from streamclf.engine.engine import Engine
from streamclf.engine.runner import Machine, ModelThread
from streamclf.engine.stream import Stream
from streamclf.model.loader import load_pack
from streamclf.model.session import Session
from streamclf.types import F32, FrameScores, Gap, Output, Provider, Status

RATE = 16_000
BLOCK = RATE * FRAME_MS // 1000
BLOCK_S = FRAME_MS / 1000
RING_S = 10
_LIMIT_S = 120.0

Told = tuple[float, Output]
"""When (virtual time) something was delivered, and what."""


@dataclass
class World(Machine):
    """The machine, and what comes to its ears.

    cost: computing time for a second of sound of one stream, and run_s that of a run of the pack, by the time;
    waits: [(from, seconds)], stretches in which the thread does not run; gaps: stream -> the same, in which its
    source loses sound; says: what sources tell, and when; threads: of the session, of which the
    thread itself does the least if there are more; awaited: whether somebody waits for rows, by the time.
    """

    rings: dict[str, Ring]
    cost: Callable[[float], float] = lambda now_s: 0.02
    run_s: Callable[[float], float] = lambda now_s: 0.0
    waits: Sequence[tuple[float, float]] = ()
    gaps: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    says: Sequence[tuple[float, Status]] = ()
    loud: float = 0.2
    threads: int = 1
    awaited: Callable[[float], bool] = lambda now_s: True
    until_s: float = 60.0
    calls: EngineCalls = field(default_factory=EngineCalls)
    over: threading.Event = field(default_factory=threading.Event)
    _now_s: float = 0.0
    _cpu_s: float = 0.0
    _blocks: int = 0

    def __post_init__(self) -> None:
        self._block = np.resize(np.array([self.loud, -self.loud], dtype=np.float32), BLOCK)

    def now_s(self) -> float:
        return self._now_s

    def cpu_s(self) -> float:
        return self._cpu_s

    def listen(self, wake: Wake, limit_s: float) -> bool:
        if wake is self.calls.hurry:
            return self._hurried(limit_s)
        self.go((self._blocks + 1) * BLOCK_S - self._now_s)
        self._say()
        return True

    def _hurried(self, limit_s: float) -> bool:
        """No block rings here, only what is asked of the thread."""
        said_s = self.says[0][0] if self.says else self.until_s
        self.go(min(limit_s, said_s - self._now_s))
        self._say()
        return self.calls.waiting

    def _say(self) -> None:
        while self.says and self.says[0][0] <= self._now_s:
            (_, status), *self.says = self.says
            self.calls.call(partial(list[Output], [status]))

    def rest(self, stopping: Halt, seconds: float) -> None:
        self.go(seconds)

    def work(self, sound_s: float, runs: float) -> None:
        """Score so much sound of a stream, by so many runs."""
        took_s = sound_s * self.cost(self._now_s) + runs * self.run_s(self._now_s)
        self._cpu_s += 0 if self.threads > 1 else took_s
        self.go(took_s)

    def go(self, seconds: float) -> None:
        """Time goes by, and sound comes; a stall lets more go by."""
        end_s = self._now_s + max(0.0, seconds)
        end_s += sum(length_s for from_s, length_s in self.waits if self._now_s < from_s <= end_s)
        self._now_s = end_s
        while (self._blocks + 1) * BLOCK_S <= end_s + 1e-9:
            self._blocks += 1
            for name, ring in self.rings.items():
                self._hear(name, ring, self._blocks * BLOCK_S)
        if end_s >= self.until_s:
            self.over.set()

    def _hear(self, name: str, ring: Ring, at_s: float) -> None:
        """A source tells of what it lost once it is back, as they do."""
        for from_s, length_s in self.gaps.get(name, ()):
            if from_s <= at_s < from_s + length_s:
                return
        lost = self._blocks * BLOCK - BLOCK - ring.written
        ring.skip(lost, "lost")
        ring.write(self._block)


class _Counted(Session):
    """Counts windows one behind the other: a run of several of one stream takes as long as they do."""

    windows = 0

    def run(self, slots: Sequence[int]) -> F32:
        self.windows += max(Counter(slots).values())
        return super().run(slots)


class _Worked(Engine):
    """Its ticks take as long as the world says."""

    world: World
    session: _Counted

    def tick(self) -> list[Output]:
        scored, runs = self._done()
        outputs = super().tick()
        scored_now, runs_now = self._done()
        self.world.work((scored_now - scored) / RATE, runs_now - runs)
        return outputs

    def _done(self) -> tuple[int, int]:
        scored = sum(stream.scored for stream in self.streams.values())
        return scored, self.session.windows


@dataclass
class Run:
    """What a model thread told in its time."""

    told: list[Told]
    engine: Engine
    thread: ModelThread

    def statuses(self, stream: str) -> list[tuple[float, Status]]:
        return [(at, o) for at, o in self.told if isinstance(o, Status) and o.stream == stream]

    def gaps(self, stream: str) -> list[Gap]:
        return [o for _, o in self.told if isinstance(o, Gap) and o.stream == stream]

    def frames(self, stream: str) -> list[int]:
        rows = [o for _, o in self.told if isinstance(o, FrameScores) and o.stream == stream and o.final]
        return [o.first_frame + i for o in rows for i in range(len(o.rows))]


def run(folder: Path, world: World, *, lowest: str = "yard") -> Run:
    """Run the pack in `folder` on the model thread until the world's end. lowest: stream that is paused first."""
    session = _Counted(load_pack(folder), provider=Provider.CPU, threads=world.threads)
    engine = _Worked([PackRunner(load_pack(folder), session)])
    engine.world, engine.session = world, session
    for name, ring in world.rings.items():
        engine.add(Stream(name, rate=RATE, ring=ring), priority=-1 if name == lowest else 0)
    told: list[Told] = []
    faults: list[BaseException] = []

    def fault(found: BaseException) -> None:
        faults.append(found)
        world.over.set()

    thread = ModelThread(
        engine,
        lambda outputs, decided_ns: told.extend((world.now_s(), output) for output in outputs),
        calls=world.calls,
        live=True,
        hop_ms=FRAME_MS,
        awaited=lambda: world.awaited(world.now_s()),
        on_fault=fault,
        machine=world,
    )
    thread.start()
    assert world.over.wait(_LIMIT_S), "virtual time stands still"
    assert thread.stop(_LIMIT_S)
    if faults:
        raise faults[0]
    return Run(told, engine, thread)


def rings(*names: str) -> dict[str, Ring]:
    return {name: Ring(RING_S * RATE) for name in names}
