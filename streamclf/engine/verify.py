"""`verify`: proof, pack by pack, that streaming equals offline and that the manifest's geometry is true.

Five claims are put to the test on one signal, comparing every frame:

1. any cutting into blocks gives the rows of one pass (`blocks`);
2. companions in the batch change nothing (`companions`);
3. the native rows are those of the golden reference, where the pack has one (`golden`);
4. what is heard later than the stated look-ahead changes no row already due (`look_ahead`);
5. where the signal ends, its last frame has a row (`last`).

`hears_out` tries the last one alone, in a few runs.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from streamclf.audio.resample import Resampler
from streamclf.audio.ring import Ring
from streamclf.clock import hop_of
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.engine.pace import hop_frames
from streamclf.engine.stream import Stream
from streamclf.engine.track import TrackOptions
from streamclf.errors import Overrun, PackError
from streamclf.features.frontend import Frontend, make_frontend
from streamclf.model.fusedsession import PackSession, open_session
from streamclf.model.golden import read_golden
from streamclf.model.pack import Encoded, Image, Manifest, Pack, Waveform
from streamclf.model.session import Session
from streamclf.types import F32, FrameScores, Output, Provider, Shape

STREAM_TOLERANCE = 1e-5
GOLDEN_TOLERANCE = 1e-3
_SECONDS = 6
# of `hears_out`: few enough runs for a pack that takes a second for each
_WIDE_HOP = 20


@dataclass(slots=True)
class Verification:
    """What was measured. Differences are the largest over every frame and class; lengths in ms of the pack's audio."""

    pack: str
    provider: str
    frames: int
    blocks: float
    companions: float
    golden: float | None
    late: float | None
    """Largest change of a row by audio after its look-ahead; anything over the tolerance refutes the manifest. None
    where the golden signal is too short to tell."""
    run_ms: float
    """Of all that is run in a hop."""
    hop_ms: int
    reuse: str
    """What is computed once and kept, in words."""
    saves: float
    """Time of computing `against` every 20 ms, over that of streaming; both measured here."""
    against: str
    window_ms: float
    look_ahead_ms: float
    problems: list[str] = field(default_factory=list)

    @property
    def rtf(self) -> float:
        """Run time over audio time, at the hop this machine can hold."""
        return self.run_ms / self.hop_ms


def verify(
    pack: Pack, *, provider: Provider = Provider.CPU, seed: int = 0, cpu_clock: Callable[[], float] = perf_counter
) -> Verification:
    """Put the claims to the test. One that fails stands in `problems`, a sentence each.

    Raises `PackError` where a signal is not heard out, because then no rows can be compared.
    cpu_clock: seconds of CPU of this thread, in which what streaming saves is measured.
    """
    manifest = pack.manifest
    session = open_session(pack, provider=provider)
    hears_out(pack, session)
    runner = PackRunner(pack, session)
    runner.set_hop(hop_frames(session.warm_up(), streams=1, window_packs=1))
    golden = None if pack.golden is None else read_golden(pack.golden, manifest.name, classes=len(pack.labels))
    rng = np.random.default_rng(seed)
    audio = golden[0] if golden is not None else signal(manifest, rng)
    first, whole, native = _rows(pack, session, [audio])
    _, cut, _ = _rows(pack, session, list(_cut(audio, rng, manifest.rate)))
    _, beside, _ = _rows(pack, session, list(_cut(audio, rng, manifest.rate)), companions=2, rng=rng)
    graphs = [graph.manifest for graph in runner.graphs]
    report = Verification(
        pack=manifest.name,
        provider=session.provider,
        frames=len(whole),
        blocks=_difference(whole, cut),
        companions=_difference(whole, beside),
        golden=None if golden is None else _difference(golden[1], native),
        late=_late(pack, session, audio, first, whole, rng),
        run_ms=_run_ms(runner),
        hop_ms=runner.step_ms,
        reuse="; ".join(
            (f"{graph.label}: " if graph.label else "") + _reuse(graph.manifest) for graph in runner.graphs
        ),
        saves=_saves(session, graphs, cpu_clock),
        against=_against(graphs),
        window_ms=manifest.window * 1000 / manifest.rate,
        look_ahead_ms=manifest.look_ahead * 1000 / manifest.rate,
    )
    _judge(report)
    return report


def _judge(report: Verification) -> None:
    checks = (
        ("the cutting into blocks", report.blocks, STREAM_TOLERANCE),
        ("companions in the batch", report.companions, STREAM_TOLERANCE),
        ("audio after the stated look-ahead", report.late, STREAM_TOLERANCE),
    )
    for what, difference, tolerance in checks:
        if difference is not None and not difference <= tolerance:
            report.problems.append(f"{what} changes rows by up to {difference:.2g}, more than {tolerance:g}")
    if report.golden is not None and not report.golden <= GOLDEN_TOLERANCE:
        report.problems.append(
            f"rows differ from the golden reference by up to {report.golden:.2g}, more than {GOLDEN_TOLERANCE:g}"
        )


def native_rows(pack: Pack, audio: F32) -> F32:
    """Every native row of a fresh stream that hears `audio`, at the pack's rate: (rows, classes)."""
    return _rows(pack, open_session(pack, provider=Provider.CPU), [audio])[2]


def hears_out(pack: Pack, session: PackSession) -> None:
    """Raises `PackError` where a recording that ends has no row for its last frame. A trial of few runs."""
    manifest = pack.manifest
    hop = hop_of(manifest.rate)
    # the last frame is not whole
    samples = max(manifest.window, manifest.rate) + hop // 3
    noise = np.random.default_rng(0).standard_normal(samples).astype(np.float32) * np.float32(0.1)
    runner = PackRunner(pack, session)
    runner.set_hop(_WIDE_HOP)
    engine = Engine([runner], options=TrackOptions(latency_ms=0))
    what = f"pack {manifest.name} does not come to the end of a recording of {samples / manifest.rate:.2f} s"
    outputs: list[Output] = []
    try:
        for part in run_blocks(engine, "recording", rate=manifest.rate, blocks=[noise]):
            outputs += part
    except Overrun as fault:
        raise PackError(f"{what}: {fault}") from fault
    frames = samples // hop + 1
    given = max((o.first_frame + len(o.rows) for o in outputs if isinstance(o, FrameScores) and o.final), default=0)
    if given != frames:
        raise PackError(f"{what}: of its {frames} frames the last {frames - given} get no row")


def _rows(
    pack: Pack, session: PackSession, blocks: list[F32], *, companions: int = 0, rng: np.random.Generator | None = None
) -> tuple[int, F32, F32]:
    """(first frame, final rows from it on, native rows) of a fresh stream; companions hear noise in its batches."""
    manifest = pack.manifest
    engine = Engine([PackRunner(pack, session)], options=TrackOptions(latency_ms=0, native=True))
    longest = max(_SECONDS * manifest.rate, *(len(block) for block in blocks))
    rings = [Ring(longest) for _ in range(1 + companions)]
    for number, ring in enumerate(rings):
        engine.add(Stream(f"verify-{number}", rate=manifest.rate, ring=ring))
    outputs = []
    for block in blocks:
        rings[0].write(block)
        for ring in rings[1:]:
            assert rng is not None
            ring.write(rng.standard_normal(int(rng.integers(1, manifest.rate // 5))).astype(np.float32))
        outputs += engine.drain()
    outputs += engine.finish("verify-0")
    scores = [o for o in outputs if isinstance(o, FrameScores) and o.stream == "verify-0" and o.final]
    native = [rows for _, rows in engine.tracks["verify-0"][0].native or []]
    empty = np.zeros((0, len(pack.labels)), dtype=np.float32)
    first = scores[0].first_frame if scores else 0
    rows = np.concatenate([s.rows for s in scores]) if scores else empty
    return first, rows, np.concatenate(native) if native else empty


def _late(
    pack: Pack, session: PackSession, audio: F32, first: int, whole: F32, rng: np.random.Generator
) -> float | None:
    """Replace all audio after a point and see whether a row that was due before it changes."""
    manifest = pack.manifest
    hop = hop_of(manifest.rate)
    # the first rows of a window-row stream rest on its first whole window
    shapes = {one.manifest.shape for one in pack.graphs}
    begin = manifest.window if Shape.WINDOW_ROW in shapes else 0
    ahead = manifest.window if pack.revised else manifest.look_ahead
    # a member of another rate hears what a resampler makes of the sound
    ahead += max(Resampler(manifest.rate, one.manifest.rate).ahead for one in pack.graphs)
    worst = None
    for share in (0.5, 0.8):
        point = begin + int((len(audio) - begin) * share)
        due = (point - ahead) // hop - first
        if point < begin or due < 1:
            continue
        other = audio.copy()
        other[point:] = rng.standard_normal(len(audio) - point).astype(np.float32) * np.float32(0.3)
        _, rows, _ = _rows(pack, session, [other])
        worst = max(worst or 0.0, _difference(whole[:due], rows[:due]))
    return worst


def _reuse(manifest: Manifest) -> str:
    if manifest.shape is Shape.STATEFUL:
        cached = any("keys" in tensor.input for tensor in manifest.state)
        return f"{'keys and values' if cached else 'state tensors'}: each step is run once"
    if isinstance(manifest.features, Encoded):
        by = ", by statistics of the sound before it" if manifest.features.statistics else ""
        return f"encoder frames: each is computed once{by}; windows run the rest of the model"
    if isinstance(manifest.features, Waveform | Image):
        return "nothing: the window is run again each hop"
    return "feature frames: each is computed once, windows run the model"


def _run_ms(runner: PackRunner) -> float:
    runs = zip(runner.graphs, runner.session.members, strict=True)
    return sum(1000 * (own.run_seconds or 0.0) * runner.step_ms / graph.step_ms for graph, own in runs)


def _against(graphs: Sequence[Manifest]) -> str:
    if len(graphs) > 1:
        return "each member's window or last second anew"
    return "the last second anew, step by step," if graphs[0].shape is Shape.STATEFUL else "the window anew"


def _saves(session: PackSession, graphs: Sequence[Manifest], clock: Callable[[], float]) -> float:
    """Ratio of the CPU time for 20 ms of audio: all that a row rests on anew, over what is new."""
    costs = [_costs(own, graph, clock) for own, graph in zip(session.members, graphs, strict=True)]
    return sum(anew for anew, _ in costs) / sum(new for _, new in costs)


def _costs(session: Session, manifest: Manifest, clock: Callable[[], float]) -> tuple[float, float]:
    """CPU time for 20 ms of audio (s): of a window (of a stateful pack: a second) anew, and of what is new."""
    hop = hop_of(manifest.rate)
    span = manifest.window if manifest.shape is not Shape.STATEFUL else manifest.rate
    audio = signal(manifest, np.random.default_rng(1))
    run = session.warm_up(clock)

    def fresh(samples: int) -> float:
        frontend = make_frontend(manifest.features, manifest.rate, history=2 * span, encode=session.encode)
        return _took(frontend, audio[:samples], clock)

    # the least of several, because other programs only ever add to a time
    whole = min(fresh(span) for _ in range(5))
    warm = make_frontend(manifest.features, manifest.rate, history=2 * span, encode=session.encode)
    _took(warm, audio[:span], clock)
    new = min(_took(warm, audio[:hop], clock) for _ in range(20))
    if manifest.shape is Shape.STATEFUL:
        return whole + span / manifest.step * run, new + hop / manifest.step * run
    return whole + run, new + run


def _took(frontend: Frontend, samples: F32, clock: Callable[[], float]) -> float:
    """What it takes to compute their features (s)."""
    began_s = clock()
    frontend.push(samples)
    _ = frontend.available
    return clock() - began_s


def _difference(a: F32, b: F32) -> float:
    if a.shape != b.shape:
        return float("inf")
    return float(np.abs(a - b).max()) if a.size else 0.0


def _cut(audio: F32, rng: np.random.Generator, rate: int) -> Iterator[F32]:
    at = 0
    while at < len(audio):
        size = int(rng.integers(1, rate // 5))
        yield audio[at : at + size]
        at += size


def signal(manifest: Manifest, rng: np.random.Generator) -> F32:
    """Tones that come and go over noise, with a silence: something for every kind of net to say. 6 s at least."""
    rate = manifest.rate
    n = max(_SECONDS * rate, 2 * manifest.window)
    time = np.arange(n) / rate
    sweep = np.sin(2 * np.pi * (200 + 300 * time) * time) * (np.sin(2 * np.pi * 0.7 * time) > 0)
    pulses = rng.standard_normal(n) * (np.sin(2 * np.pi * 3.1 * time) > 0.6)
    audio = 0.25 * sweep + 0.1 * pulses + 0.003 * rng.standard_normal(n)
    audio[n // 2 : n // 2 + rate // 2] = 0.0
    return audio.astype(np.float32)
