"""How far a pack with running statistics is from its checkpoint, on recordings, and what it saves.

The checkpoint is asked window by window, each normalised as a whole; the pack's rows of the same windows come from its
own streaming features and graphs. Windows are taken at even distances, the first as soon as there is one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import thread_time
from timeit import repeat
from typing import Any

import msgspec
import numpy as np

from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.audio.sources.recording import readable
from streamclf.clock import hop_of
from streamclf.errors import UsageError
from streamclf.features.frontend import make_frontend
from streamclf.features.spec import Encoded
from streamclf.model.pack import Pack
from streamclf.model.session import Session, open_encoder
from streamclf.train.data.asheard import read_sound
from streamclf.train.export import parity
from streamclf.train.export.onnxgraph import to_onnx
from streamclf.types import F32

_LONGEST_S = 60.0
_MOST_S = 100.0
"""The checkpoint is asked for windows of so much sound in all."""
_FEWEST, _MOST = 20, 100


@dataclass(frozen=True, slots=True)
class Recordings:
    """Recordings heard one after another. audio: (samples, ) float32 at the pack's rate."""

    name: str
    audio: F32


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of the pack's rows with those of the window run anew.

    top_1: share of rows with the same most probable class. mean, worst: absolute difference of probabilities.
    correlation: of all of them. run_ms, anew_ms: CPU time of what is new at each hop, and of the whole window.
    """

    recordings: str
    seconds: float
    windows: int
    rows: int
    top_1: float
    mean: float
    worst: float
    correlation: float
    run_ms: float
    anew_ms: float

    @property
    def saves(self) -> float:
        """How many times less work it is."""
        return self.anew_ms / self.run_ms


def recordings(path: Path | None, rate: int, *, window: int) -> Recordings:
    """A recording, or all in a folder in the order of their names, up to a minute; None: the one of `--source demo`.

    window: samples at `rate` that there must be at least. Raises UsageError where there is nothing to measure on, the
    reader's own error where a recording cannot be read.
    """
    path = path or DEMO_FILE
    found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.suffix.lower() in readable())
    parts: list[F32] = []
    while found and sum(map(len, parts)) < _LONGEST_S * rate:
        parts.append(read_sound(found.pop(0), rate))
    audio = np.concatenate([np.zeros(0, np.float32), *parts])[: int(_LONGEST_S * rate)]
    if len(audio) < window:
        raise UsageError(
            f"{path} holds {len(audio) / rate:.2g} s of sound, less than a window of {window / rate:.2g} s; name a "
            "longer recording, or a folder of some"
        )
    return Recordings(path.name if path.is_file() else f"{len(parts)} recordings of {path.name}", audio)


def measure(
    pack: Pack,
    session: Session,
    heard: Recordings,
    *,
    exact: Callable[[F32], F32],
    undivided: Any,
    run_seconds: float,
) -> Agreement:
    """exact: windows (n, window) to logits (n, F, classes) of the checkpoint. undivided: its encoder, as in `Split`.

    run_seconds: CPU time of what the pack does at each hop.
    """
    manifest, audio = pack.manifest, heard.audio
    hop = hop_of(manifest.rate)
    last = (len(audio) - manifest.window) // hop
    count = int(np.clip(_MOST_S * manifest.rate / manifest.window, _FEWEST, _MOST))
    starts = np.unique(np.linspace(0, last, count).astype(int)) * hop
    logits = [exact(audio[start : start + manifest.window][None]) for start in starts]
    expected = parity.probabilities(np.concatenate(logits), manifest.activation)
    rows = _rows_at(pack, session, audio, [int(start) for start in starts])
    apart = np.abs(expected - rows)
    return Agreement(
        recordings=heard.name,
        seconds=len(audio) / manifest.rate,
        windows=len(starts),
        rows=int(np.prod(rows.shape[:-1])),
        top_1=float((expected.argmax(axis=-1) == rows.argmax(axis=-1)).mean()),
        mean=float(apart.mean()),
        worst=float(apart.max()),
        correlation=_correlation(expected, rows),
        run_ms=run_seconds * 1000,
        anew_ms=(session.warm_up(thread_time) + _seconds(pack, undivided)) * 1000,
    )


def _seconds(pack: Pack, undivided: Any) -> float:
    """CPU time of the undivided encoder on one window, by the runtime that packs run on."""
    import torch

    manifest = pack.manifest
    assert isinstance(manifest.features, Encoded)
    window = Encoded(
        frame_length=manifest.window,
        frame_shift=manifest.window,
        bands=manifest.features.bands,
        input=manifest.input,
        output=manifest.output,
    )
    graph = to_onnx(
        undivided,
        [torch.randn(2, manifest.window)],
        inputs=[window.input],
        outputs=[window.output],
        batch_axes=[0],
    )
    encode = open_encoder(msgspec.structs.replace(pack, encoder=graph.model), window)
    silence = np.zeros((1, manifest.window), np.float32)
    encode(silence)
    return float(np.median(repeat(partial(encode, silence), timer=thread_time, number=1, repeat=5)))


def _rows_at(pack: Pack, session: Session, audio: F32, starts: list[int]) -> F32:
    """The pack's native rows of the windows that begin there: (runs, F, classes)."""
    manifest = pack.manifest
    frontend = make_frontend(manifest.features, manifest.rate, history=2 * manifest.window, encode=session.encode)
    rows = []
    for start in starts:
        frontend.push(audio[frontend.samples : start + manifest.window])
        frontend.window(start, manifest.window, session.input_rows(1)[0])
        rows.append(session.run((0,)))
    return np.concatenate(rows)


def _correlation(expected: F32, rows: F32) -> float:
    """0 where one of them says the same all the time."""
    if not (np.ptp(expected) and np.ptp(rows)):
        return 0.0
    return float(np.corrcoef(expected.ravel(), rows.ravel())[0, 1])
