"""Parity: one signal through the checkpoint's own code, through ONNX, and through the engine that runs live.

The reference takes every window of the whole signal through the checkpoint's own feature extractor and torch. Held
against it, in probabilities and over every row and class:

1. ONNX at batch 1 and at batch 4, on features computed window by window;
2. streaming: the engine on blocks of odd sizes, both its native rows and the final row of every 20 ms frame.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from streamclf.clock import hop_of
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.offline import run_blocks
from streamclf.engine.track import TrackOptions
from streamclf.errors import StreamclfError
from streamclf.features.frontend import make_frontend
from streamclf.model import geometry
from streamclf.model.pack import Manifest, Pack
from streamclf.model.session import Session
from streamclf.types import F32, FrameScores, Shape

TOLERANCE = 1e-3
_BLOCKS = (1, 317, 1009, 4801, 160, 2, 3333)
_LONGEST_S = 6.0
"""Verifying a pack feeds its golden signal in one block into a ring of so many seconds."""

Expected = Callable[[F32], F32]
"""A signal (samples, ) -> native rows (runs, F, classes) float32 probabilities, of every run that `starts` names."""


@dataclass(frozen=True, slots=True)
class Streamed:
    """What the engine gave: native rows (runs, F, classes) and the final grid row of every frame (frames, classes)."""

    native: F32
    grid: F32


@dataclass(frozen=True, slots=True)
class Parity:
    """Largest differences of probabilities from the reference; runs and frames that were compared."""

    runs: int
    frames: int
    batch_1: float
    batch_4: float
    streaming: float

    @property
    def worst(self) -> float:
        """The largest of them."""
        return max(self.batch_1, self.batch_4, self.streaming)


def signal(rate: int, samples: int, *, seed: int = 7) -> F32:
    """Something for every net to say: sweeps, pulses of noise, a voice-like buzz, quiet stretches. In [-1, 1]."""
    rng = np.random.default_rng(seed)
    time = np.arange(samples) / rate
    sweep = np.sin(2 * np.pi * (150 + 0.12 * rate * (time % 1.7)) * (time % 1.7)) * (np.sin(2 * np.pi * 0.9 * time) > 0)
    buzz = np.sign(np.sin(2 * np.pi * 127 * time)) * (np.sin(2 * np.pi * 2.3 * time + 1) > 0.2)
    pulses = rng.standard_normal(samples) * (np.sin(2 * np.pi * 3.7 * time) > 0.7)
    audio = 0.2 * sweep + 0.08 * buzz + 0.12 * pulses + 0.004 * rng.standard_normal(samples)
    return np.clip(audio, -1.0, 1.0).astype(np.float32)


def signal_length(manifest: Manifest, run_seconds: float, *, budget_s: float = 12.0) -> int:
    """Samples of a signal whose runs, 20 ms apart, cost about `budget_s` in all; 8 to 100 of them, at most 6 s."""
    hop = hop_of(manifest.rate)
    if manifest.shape is Shape.STATEFUL:
        return int(2 * manifest.rate)
    runs = int(np.clip(budget_s / max(run_seconds, 1e-6), 8, 100))
    wanted = manifest.window + (runs - 1) * hop - _beyond(manifest)
    return int(min(_LONGEST_S * manifest.rate, max(hop, -(-wanted // hop) * hop)))


def starts(manifest: Manifest, samples: int) -> list[int]:
    """First samples of all native runs that the engine makes on a signal of that length, windows 20 ms apart."""
    hop = hop_of(manifest.rate)
    whole = -(-samples // hop) * hop + _beyond(manifest)
    if manifest.shape is Shape.STATEFUL:
        return list(range(0, whole - manifest.step + 1, manifest.step))
    whole = max(whole, manifest.window)
    return list(range(0, whole - manifest.window + 1, hop))


def windows(manifest: Manifest, audio: F32, *, before: int = 0) -> Iterator[F32]:
    """The samples of every native run of a window pack, zeros behind the signal's end: (window, ) each.

    before: as many samples more of what came before each window, where there are so many.
    """
    for start in starts(manifest, len(audio)):
        first, end = max(0, start - before), start + manifest.window
        part = audio[first:end]
        yield np.concatenate([part, np.zeros(end - first - len(part), dtype=np.float32)])


def stream(pack: Pack, session: Session, audio: F32) -> Streamed:
    """The signal through the engine in blocks of odd sizes, a run every 20 ms."""
    engine = Engine([PackRunner(pack, session)], options=TrackOptions(latency_ms=0, native=True))
    scores: list[FrameScores] = []
    for outputs in run_blocks(engine, "parity", rate=pack.manifest.rate, blocks=_cut(audio), keep=True):
        scores += [output for output in outputs if isinstance(output, FrameScores) and output.final]
    native = [rows for _, rows in engine.tracks["parity"][0].native or ()]
    grid = np.concatenate([part.rows for part in scores])
    return Streamed(np.stack(native), grid)


def grid_of(manifest: Manifest, native: F32, samples: int) -> F32:
    """The final row of every frame, from native rows by the pack's definition: (frames, classes).

    A stateful pack's first frames may have none; they are left out, as the engine leaves them out.
    """
    hop = hop_of(manifest.rate)
    frame = np.arange(-(-samples // hop))
    if manifest.shape is Shape.WINDOW_FRAMES:
        first = np.maximum(0, frame - manifest.rows_per_window + 1)
        return np.asarray(native[first, frame - first])
    rows = native.reshape(-1, native.shape[-1])
    bound = (frame + 1) * hop + manifest.look_ahead
    if manifest.shape is Shape.WINDOW_ROW:
        newest = np.clip((bound - manifest.window) // hop, 0, len(rows) - 1)
    elif manifest.rows_per_window > 1:
        newest = np.minimum(bound // hop - manifest.rows_per_window, len(rows) - 1)
    else:
        newest = np.minimum(bound // manifest.step - 1, len(rows) - 1)
    return np.asarray(rows[newest[newest >= 0]])


def offline(pack: Pack, session: Session, audio: F32, *, batch: int) -> F32:
    """Native rows of a window pack, each window's features computed by themselves, `batch` windows a run."""
    manifest = pack.manifest
    rows = []
    for group in _groups(windows(manifest, audio, before=geometry.reach(manifest)), batch):
        for row, samples in zip(session.input_rows(len(group)), group, strict=True):
            frontend = make_frontend(manifest.features, manifest.rate, history=len(samples), encode=session.encode)
            frontend.push(samples)
            frontend.window(len(samples) - manifest.window, manifest.window, row)
        rows.append(session.run(range(len(group))))
    return np.concatenate(rows)


def stepped(pack: Pack, session: Session, audio: F32, *, batch: int) -> F32:
    """Native rows of a stateful pack, stepped `batch` times side by side on the same signal; the last one's rows."""
    manifest = pack.manifest
    places = starts(manifest, len(audio))
    heard = np.concatenate([audio, np.zeros(max(0, places[-1] + manifest.step - len(audio)), dtype=np.float32)])
    frontend = make_frontend(
        manifest.features, manifest.rate, history=len(heard) + manifest.window, encode=session.encode
    )
    frontend.push(heard)
    context = manifest.window - manifest.step
    for slot in range(batch):
        session.reset(slot)
    rows = []
    for start in places:
        for row in session.input_rows(batch):
            frontend.window(start - context, manifest.window, row)
        rows.append(session.run(range(batch))[-1])
    return np.stack(rows)


def measure(pack: Pack, session: Session, audio: F32, expected: F32) -> Parity:
    """Hold ONNX and the engine against the reference's native rows. Never raises for a difference."""
    manifest = pack.manifest
    by_batch = stepped if manifest.shape is Shape.STATEFUL else offline
    single = by_batch(pack, session, audio, batch=1)
    four = by_batch(pack, session, audio, batch=4)
    live = stream(pack, session, audio)
    grid = grid_of(manifest, expected, len(audio))
    return Parity(
        runs=len(expected),
        frames=len(grid),
        batch_1=difference(expected, single),
        batch_4=difference(expected, four),
        streaming=max(difference(expected, live.native), difference(grid, live.grid)),
    )


def require(parity: Parity, what: str) -> None:
    """Raises StreamclfError where a difference is over the tolerance."""
    if not parity.worst <= TOLERANCE:
        raise StreamclfError(
            f"{what} does not give what its checkpoint gives: probabilities differ by up to {parity.batch_1:.2g} at "
            f"batch 1, {parity.batch_4:.2g} at batch 4 and {parity.streaming:.2g} streaming, more than {TOLERANCE:g}; "
            "no pack was written, report it with the checkpoint's config.json"
        )


def probabilities(logits: F32, activation: str) -> F32:
    """Logits to probabilities over the last axis, float32, by the textbook's formulas in float64."""
    values = logits.astype(np.float64)
    if activation == "sigmoid":
        values = 1.0 / (1.0 + np.exp(-values))
    elif activation == "softmax":
        values = np.exp(values - values.max(axis=-1, keepdims=True))
        values /= values.sum(axis=-1, keepdims=True)
    return values.astype(np.float32)


def difference(a: F32, b: F32) -> float:
    """Largest absolute difference; infinity where the shapes differ."""
    if a.shape != b.shape:
        return float("inf")
    return float(np.abs(a - b).max()) if a.size else 0.0


def golden_file(audio: F32, native: F32) -> bytes:
    """golden.npz: the signal at the pack's rate and the native rows (runs, F, classes) that must come out."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, audio=audio, native=native)
    return buffer.getvalue()


def _beyond(manifest: Manifest) -> int:
    if manifest.shape is Shape.WINDOW_FRAMES:
        return manifest.window - manifest.rows_per_window * hop_of(manifest.rate)
    return manifest.look_ahead


def _cut(audio: F32) -> Iterator[F32]:
    at = index = 0
    while at < len(audio):
        size = _BLOCKS[index % len(_BLOCKS)]
        yield audio[at : at + size]
        at += size
        index += 1


def _groups(items: Iterator[F32], size: int) -> Iterator[list[F32]]:
    group: list[F32] = []
    for item in items:
        group.append(item)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
