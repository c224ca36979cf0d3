"""What a pack says of a sound, through the engine that `classify` and `run` use, kept on disk so that it is asked once.

A result is kept under the pack's digest and a digest of the samples, their rate, the length of a block and the hop:
rows as logits in float16, each run of equal rows once (a window pack holds a row for its whole hop), and the events
that the engine told at the pack's own thresholds. Another threshold makes another digest, so nothing goes stale.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import numpy as np

from streamclf.audio.ring import Ring
from streamclf.audio.sources.file import open_blocks
from streamclf.clock import FRAME_MS, FRAMES_PER_SECOND
from streamclf.engine.engine import Engine
from streamclf.engine.stream import Stream
from streamclf.errors import SourceError
from streamclf.types import F32, Event, FrameScores, Output, Shape, Stage

_CLIP = 15.0
_FORM = 1
"""Of what is kept: another form, another number."""
_TOGETHER = 16
_RING_SECONDS = 4


@dataclass(frozen=True, slots=True)
class HeardEvent:
    """One event. Times in seconds from the recording's start.

    told_s: how much of the sound had come when the event was told; the time of computing is not in it.
    """

    column: int
    onset_s: float
    offset_s: float
    told_s: float


@dataclass(frozen=True, slots=True)
class SoundHeard:
    """What one pack said of one sound. rows: (frames, labels) float32 in [0, 1], from frame `first` on."""

    rows: F32
    first: int
    events: tuple[HeardEvent, ...]
    seconds: float

    def maxima(self, columns: list[int]) -> float:
        """The largest of these columns in any frame, 0 where there is none."""
        return float(self.rows[:, columns].max(initial=0.0))

    def brief(self) -> "SoundHeard":
        """Without its rows but for their maximum: all rows of all recordings are too much to hold."""
        return replace(self, rows=self.rows.max(axis=0, keepdims=True, initial=0.0))


class Listener:
    """One pack that listens to sounds.

    hop_ms: between two runs of a window pack; packs of other shapes have their own.
    """

    def __init__(self, name: str, engine: Engine, *, cache: Path | None, hop_ms: int) -> None:
        self.name = name
        self.pack = engine.runners[0].pack
        self._engine = engine
        windowed = self.pack.manifest.shape in (Shape.WINDOW_FRAMES, Shape.WINDOW_ROW)
        self.hop_ms = hop_ms if windowed else 0
        if windowed:
            engine.runners[0].set_hop(hop_ms // FRAME_MS)
        self._folder = cache / f"{self.pack.manifest.name}-{self.pack.digest[:16]}" if cache else None
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)

    def hear(self, sounds: Iterable[tuple[F32, int]], *, block_ms: int = 1000) -> Iterator[SoundHeard]:
        """What the pack says of each sound, in order; several are run at once.

        sounds: (samples, rate): (n, ) float32 and Hz, given to the engine in blocks of `block_ms`.
        """
        for group in batched(sounds, _TOGETHER):
            paths = [self._path(samples, rate, block_ms) for samples, rate in group]
            new = [at for at, path in enumerate(paths) if path is None or not path.is_file()]
            fresh = dict(zip(new, self._hear([group[at] for at in new], block_ms), strict=True))
            for at, path in enumerate(paths):
                if path is None:
                    yield fresh[at]
                    continue
                if at in fresh:
                    _write(path, fresh[at])
                # what is read back is what counts, so that a second run gives the same figures as the first
                yield _read(path)

    def _path(self, samples: F32, rate: int, block_ms: int) -> Path | None:
        if self._folder is None:
            return None
        said = hashlib.sha256(np.ascontiguousarray(samples).tobytes())
        said.update(f"{_FORM} {rate} {block_ms} {self.hop_ms}".encode())
        return self._folder / f"{said.hexdigest()[:32]}.npz"

    def _hear(self, sounds: Sequence[tuple[F32, int]], block_ms: int) -> list[SoundHeard]:
        """All at once, each a stream of its own."""
        column = {label.id: at for at, label in enumerate(self.pack.labels)}
        notes = {f"judge{at}": _Notes(samples, rate, column) for at, (samples, rate) in enumerate(sounds)}
        for name, note in notes.items():
            self._engine.add(Stream(name, rate=note.rate, ring=note.ring))
        going = dict(notes)
        while going:
            for note in going.values():
                note.give(note.rate * block_ms // 1000)
            _take(notes, self._engine.drain())
            for name in [name for name, note in going.items() if note.ended]:
                _take(notes, self._engine.finish(name))
                self._engine.remove(name)
                del going[name]
        return [note.hearing(len(self.pack.labels)) for note in notes.values()]


class _Notes:
    """One sound on its way through the engine, and what was said of it so far."""

    def __init__(self, samples: F32, rate: int, column: Mapping[str, int]) -> None:
        self.rate = rate
        self.ring = Ring(_RING_SECONDS * rate)
        self._samples = samples
        self._column = column
        self._come = 0
        self._parts: list[FrameScores] = []
        self._opened: dict[str, float] = {}
        self._events: list[HeardEvent] = []

    @property
    def ended(self) -> bool:
        return self._come >= len(self._samples)

    def give(self, size: int) -> None:
        """The next `size` samples."""
        self.ring.write(self._samples[self._come : self._come + size])
        self._come = min(len(self._samples), self._come + size)

    def take(self, output: FrameScores | Event) -> None:
        now = self._come / self.rate
        if isinstance(output, FrameScores):
            if output.final:
                self._parts.append(output)
        elif output.stage is Stage.OPEN:
            self._opened[output.id] = now
        elif output.stage is Stage.CLOSE and output.offset_frame is not None:
            onset, offset = output.onset_frame / FRAMES_PER_SECOND, output.offset_frame / FRAMES_PER_SECOND
            told = self._opened.get(output.id, now)
            self._events.append(HeardEvent(self._column[output.label], onset, offset, told))

    def hearing(self, labels: int) -> SoundHeard:
        none = np.zeros((0, labels), dtype=np.float32)
        rows = np.concatenate([none, *(part.rows for part in self._parts)])
        first = self._parts[0].first_frame if self._parts else 0
        return SoundHeard(rows, first, tuple(self._events), len(self._samples) / self.rate)


def _take(notes: Mapping[str, _Notes], outputs: Iterable[Output]) -> None:
    for output in outputs:
        if isinstance(output, FrameScores | Event):
            notes[output.stream].take(output)


def read_samples(path: Path) -> tuple[F32, int]:
    """All of a recording, mixed down, and its rate (Hz). Raises SourceError where it is damaged or empty."""
    damage: list[str] = []
    rate, _, blocks = open_blocks(path, problem=damage.append)
    parts = [block.copy() for block in blocks]
    if damage:
        raise SourceError(damage[0])
    if not parts:
        raise SourceError(f"{path} holds no samples that can be read; give a recording with sound in it")
    return np.concatenate(parts), rate


def batched(sounds: Iterable[tuple[F32, int]], count: int) -> Iterator[list[tuple[F32, int]]]:
    """`count` of them at a time; the last list may be shorter."""
    rest = iter(sounds)
    while group := list(islice(rest, count)):
        yield group


def _write(path: Path, heard: SoundHeard) -> None:
    clipped = np.clip(heard.rows.astype(np.float64), 1e-12, 1 - 1e-7)
    logits = np.clip(np.log(clipped / (1 - clipped)), -_CLIP, _CLIP).astype(np.float16)
    begins = np.ones(len(logits), dtype=np.bool_)
    begins[1:] = (logits[1:] != logits[:-1]).any(axis=1)
    starts = np.flatnonzero(begins)
    events = np.array([[e.column, e.onset_s, e.offset_s, e.told_s] for e in heard.events], dtype=np.float64)
    part = path.with_suffix(f".{os.getpid()}")
    with part.open("wb") as file:
        np.savez(
            file,
            logits=logits[starts],
            counts=np.diff([*starts.tolist(), len(logits)]),
            events=events.reshape(-1, 4),
            place=np.array([heard.first, heard.seconds]),
        )
    part.replace(path)


def _read(path: Path) -> SoundHeard:
    with np.load(path, allow_pickle=False) as kept:
        logits = np.repeat(kept["logits"].astype(np.float32), kept["counts"], axis=0)
        events = tuple(HeardEvent(int(c), float(on), float(off), float(told)) for c, on, off, told in kept["events"])
        first, seconds = kept["place"].tolist()
    rows = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return SoundHeard(rows, int(first), events, seconds)
