"""What fifty heads cost on sixteen streams: time in the tap and in their tracks, beside that of the host's runs."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from streamclf.audio.ring import Ring
from streamclf.engine.batch import PackRunner
from streamclf.engine.derived import DerivedTrack
from streamclf.engine.embed import hosts_of
from streamclf.engine.engine import Engine
from streamclf.engine.heads import Heads
from streamclf.engine.stream import Stream
from streamclf.engine.taughtpack import TaughtPack
from streamclf.model.fusedsession import open_session
from streamclf.model.library import find_pack
from streamclf.model.pack import Pack
from streamclf.model.session import Session
from streamclf.types import Label, Provider

HEADS, STREAMS, SECONDS, RATE = 50, 16, 20, 16_000
HOP_FRAMES = 10


def measure_cost(model: str) -> str:
    """A sentence. All streams are fed 20 ms at a time, as live; CPU time of this thread."""
    pack = find_pack(model)
    runner = PackRunner(pack, open_session(pack, provider=Provider.CPU, threads=1))
    runner.set_hop(HOP_FRAMES)
    engine = Engine([runner])
    rings = {f"s{at}": Ring(4 * RATE) for at in range(STREAMS)}
    for name, ring in rings.items():
        engine.add(Stream(name, rate=RATE, ring=ring))
    (host,) = hosts_of([pack])[:1]
    taught = TaughtPack(engine, host)
    heads = np.random.default_rng(0).standard_normal((_size(host.graph) + 1, HEADS)).astype(np.float32)
    heads[-1] = -4.0
    taught.use(Heads([f"h{at}" for at in range(HEADS)], heads), [Label(f"h{at}", "") for at in range(HEADS)])
    graph = runner.graphs[host.at]
    graph.tap = tap = _Timed(taught.hear)
    tracks = [track for some in engine.tracks.values() for track in some if isinstance(track, DerivedTrack)]
    rows = [_Timed(track.take) for track in tracks]
    for track, timed in zip(tracks, rows, strict=True):
        track.take = timed  # type: ignore[method-assign]
    noise = np.random.default_rng(0).standard_normal((SECONDS * 50, 320)).astype(np.float32) * np.float32(0.05)
    for block in noise[:100]:
        _feed(engine, rings, block)
    tap.spent_s, begin_s = 0.0, time.thread_time()
    for timed in rows:
        timed.spent_s = 0.0
    for block in noise:
        _feed(engine, rings, block)
    whole_s, runs_s = time.thread_time() - begin_s, _runs_s(host.graph)
    shares = [100 * spent_s / SECONDS for spent_s in (whole_s, runs_s, tap.spent_s, sum(one.spent_s for one in rows))]
    return (
        f"{STREAMS} streams of {model} every {HOP_FRAMES * 20} ms and {HEADS} heads take {shares[0]:.1f} % of a core: "
        f"runs of the model {shares[1]:.2f} %; heads, and embeddings that are held, {shares[2]:.2f} %, which is "
        f"{100 * shares[2] / shares[1]:.2f} % of the runs; rows and events, 50 a second and stream, {shares[3]:.2f} %"
    )


class _Timed:
    """Calls a function, and sums up the CPU time that it takes."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.spent_s = 0.0
        self._function = function

    def __call__(self, *args: Any) -> Any:
        begin_s = time.thread_time()
        try:
            return self._function(*args)
        finally:
            self.spent_s += time.thread_time() - begin_s


def _feed(engine: Engine, rings: dict[str, Ring], block: np.ndarray) -> None:
    for ring in rings.values():
        ring.write(block)
    engine.drain()


def _size(graph: Pack) -> int:
    session = Session(graph, provider=Provider.CPU)
    session.embed(True)
    session.input_rows(1)
    session.run([0])
    return int(session.embedded.shape[-1])


def _runs_s(graph: Pack) -> float:
    """CPU seconds of the host's runs alone."""
    session = Session(graph, provider=Provider.CPU)
    session.input_rows(STREAMS)[...] = 0.1
    session.run(list(range(STREAMS)))
    begin_s = time.thread_time()
    for _ in range(SECONDS * 50 // HOP_FRAMES):
        session.run(list(range(STREAMS)))
    return time.thread_time() - begin_s
