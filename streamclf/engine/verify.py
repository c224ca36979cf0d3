"""`verify`: proof, pack by pack, that streaming equals offline and that the manifest's geometry is true.

Four claims are put to the test on one signal, comparing every frame:

1. any cutting into blocks gives the rows of one pass (`blocks`);
2. companions in the batch change nothing (`companions`);
3. the native rows are those of the golden reference, where the pack has one (`golden`);
4. what is heard later than the stated look-ahead changes no row already due (`look_ahead`).
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from timeit import timeit

import numpy as np

from streamclf.audio.ring import Ring
from streamclf.clock import FRAME_MS, hop_of
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.pace import hop_frames
from streamclf.engine.stream import Stream
from streamclf.engine.track import TrackOptions
from streamclf.errors import PackError
from streamclf.features.frontend import make_frontend
from streamclf.model.pack import Encoded, Manifest, Pack, Waveform
from streamclf.model.session import Session
from streamclf.types import F32, FrameScores, Provider, Shape

STREAM_TOLERANCE = 1e-5
GOLDEN_TOLERANCE = 1e-3
_SECONDS = 6


@dataclass(slots=True)
class Report:
    """What was measured. Differences are the largest over every frame and class; lengths in ms of the pack's audio."""

    pack: str
    provider: str
    frames: int
    blocks: float
    companions: float
    golden: float | None
    late: float
    """Largest change of a row by audio after its look-ahead; anything over the tolerance refutes the manifest."""
    run_ms: float
    hop_ms: int
    reuse: str
    """What is computed once and kept, in words."""
    saves: float
    """CPU time of computing everything anew every 20 ms, over that of streaming; both measured here."""
    window_ms: float
    look_ahead_ms: float
    problems: list[str] = field(default_factory=list)

    @property
    def rtf(self) -> float:
        """Run time over audio time, at the hop this machine can hold."""
        return self.run_ms / self.hop_ms


def verify(pack: Pack, *, provider: Provider = Provider.CPU, seed: int = 0) -> Report:
    """Put the claims to the test. Never raises for a failed claim: it stands in `problems`, a sentence each."""
    manifest = pack.manifest
    session = Session(pack, provider=provider)
    run_seconds = session.warm_up()
    golden = _golden(pack)
    rng = np.random.default_rng(seed)
    audio = golden[0] if golden is not None else _signal(manifest.rate, rng)
    first, whole, native = _rows(pack, session, [audio])
    _, cut, _ = _rows(pack, session, list(_cut(audio, rng, manifest.rate)))
    _, beside, _ = _rows(pack, session, list(_cut(audio, rng, manifest.rate)), companions=2, rng=rng)
    stateful = manifest.shape is Shape.STATEFUL
    step_ms = manifest.step * 1000 / manifest.rate
    hop_ms = step_ms if stateful else hop_frames(run_seconds, streams=1, window_packs=1) * FRAME_MS
    report = Report(
        pack=manifest.name,
        provider=session.provider,
        frames=len(whole),
        blocks=_difference(whole, cut),
        companions=_difference(whole, beside),
        golden=None if golden is None else _difference(golden[1], native),
        late=_late(pack, session, audio, first, whole, rng),
        run_ms=run_seconds * 1000,
        hop_ms=round(hop_ms),
        reuse=_reuse(manifest),
        saves=_saves(session, manifest, run_seconds),
        window_ms=manifest.window * 1000 / manifest.rate,
        look_ahead_ms=manifest.look_ahead * 1000 / manifest.rate,
    )
    _judge(report)
    return report


def _judge(report: Report) -> None:
    checks = (
        ("the cutting into blocks", report.blocks, STREAM_TOLERANCE),
        ("companions in the batch", report.companions, STREAM_TOLERANCE),
        ("audio after the stated look-ahead", report.late, STREAM_TOLERANCE),
    )
    for what, difference, tolerance in checks:
        if not difference <= tolerance:
            report.problems.append(f"{what} changes rows by up to {difference:.2g}, more than {tolerance:g}")
    if report.golden is not None and not report.golden <= GOLDEN_TOLERANCE:
        report.problems.append(
            f"rows differ from the golden reference by up to {report.golden:.2g}, more than {GOLDEN_TOLERANCE:g}"
        )


def _rows(
    pack: Pack, session: Session, blocks: list[F32], *, companions: int = 0, rng: np.random.Generator | None = None
) -> tuple[int, F32, F32]:
    """(first frame, final rows from it on, native rows) of a fresh stream; companions hear noise in its batches."""
    manifest = pack.manifest
    engine = Engine([PackRunner(pack, session)], options=TrackOptions(latency_ms=0, native=True))
    rings = [Ring(_SECONDS * manifest.rate) for _ in range(1 + companions)]
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


def _late(pack: Pack, session: Session, audio: F32, first: int, whole: F32, rng: np.random.Generator) -> float:
    """Replace all audio after a point and see whether a row that was due before it changes."""
    manifest = pack.manifest
    hop = hop_of(manifest.rate)
    worst = 0.0
    for share in (0.5, 0.8):
        point = int(len(audio) * share)
        other = audio.copy()
        other[point:] = rng.standard_normal(len(audio) - point).astype(np.float32) * np.float32(0.3)
        _, rows, _ = _rows(pack, session, [other])
        ahead = manifest.look_ahead if manifest.shape is not Shape.WINDOW_FRAMES else manifest.window
        due = max(0, (point - ahead) // hop - first)
        if manifest.shape is Shape.WINDOW_ROW and point < manifest.window:
            # the first rows of a stream rest on its first whole window
            continue
        worst = max(worst, _difference(whole[:due], rows[:due]))
    return worst


def _reuse(manifest: Manifest) -> str:
    if manifest.shape is Shape.STATEFUL:
        return "state tensors: each step runs once"
    if isinstance(manifest.features, Encoded):
        return "encoder frames are kept; windows run the rest of the model"
    if isinstance(manifest.features, Waveform):
        return "nothing: the window is run again each hop"
    return "feature frames are kept; windows run the model"


def _saves(session: Session, manifest: Manifest, run_seconds: float) -> float:
    """Ratio of the time for one second of audio at a 20 ms hop: all anew, over what the engine does."""
    hop = hop_of(manifest.rate)
    span = manifest.window if manifest.shape is not Shape.STATEFUL else manifest.rate
    audio = _signal(manifest.rate, np.random.default_rng(1))[: span + hop]

    def fresh(samples: int) -> float:
        frontend = make_frontend(manifest.features, manifest.rate, history=2 * span, encode=session.encode)
        return timeit(lambda: frontend.push(audio[:samples]), number=1)

    # the least of several, because other programs only ever add to a time
    whole = min(fresh(span) for _ in range(5))
    warm = make_frontend(manifest.features, manifest.rate, history=2 * span, encode=session.encode)
    warm.push(audio[:span])
    new = min(timeit(lambda: warm.push(audio[:hop]), number=1) for _ in range(20))
    if manifest.shape is Shape.STATEFUL:
        steps = hop / manifest.step
        return (whole + span / manifest.step * run_seconds) / (new + steps * run_seconds)
    return (whole + run_seconds) / (new + run_seconds)


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


def _signal(rate: int, rng: np.random.Generator) -> F32:
    """Six seconds of tones that come and go over noise, with a silence: something for every kind of net to say."""
    n = _SECONDS * rate
    time = np.arange(n) / rate
    sweep = np.sin(2 * np.pi * (200 + 300 * time) * time) * (np.sin(2 * np.pi * 0.7 * time) > 0)
    pulses = rng.standard_normal(n) * (np.sin(2 * np.pi * 3.1 * time) > 0.6)
    audio = 0.25 * sweep + 0.1 * pulses + 0.003 * rng.standard_normal(n)
    audio[n // 2 : n // 2 + rate // 2] = 0.0
    return audio.astype(np.float32)


def _golden(pack: Pack) -> tuple[F32, F32] | None:
    """(audio at the pack's rate, native rows) of golden.npz."""
    if pack.golden is None:
        return None
    try:
        with np.load(io.BytesIO(pack.golden), allow_pickle=False) as data:
            audio, native = data["audio"].astype(np.float32), data["native"].astype(np.float32)
    except (ValueError, KeyError, OSError, EOFError) as fault:
        raise PackError(
            f"golden.npz of pack {pack.manifest.name} cannot be used ({fault}); it must hold `audio` and `native`"
        ) from None
    return audio, native.reshape(-1, native.shape[-1])
