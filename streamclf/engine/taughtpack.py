"""What was taught, live: heads on the embeddings of a pack's own runs, as a pack without a session.

Theory of operation. The tap of the host's graph is given the embeddings of each run, for all streams of the run at
once. One product with all heads makes rows of them. A row then goes the way of the host's own: it stands where the
host's row of that run stands, and is held until the next one. So a class that was taught has a row for every frame that
the host has one for, and no run is made for it.

Of each stream the embeddings of the last while are kept, so that a moment that is over can still be taken as an
example; of every event, and of a moment now and then, one is given to be kept for good.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
import numpy.typing as npt

from streamclf.clock import FRAME_MS, FRAMES_PER_SECOND
from streamclf.engine.batch import PackRunner
from streamclf.engine.derived import Derived, DerivedTrack, derived_manifest, derived_pack
from streamclf.engine.edges import edges_of
from streamclf.engine.embed import Host, frame_of
from streamclf.engine.engine import Engine
from streamclf.engine.heads import Heads
from streamclf.engine.segment import Segmenter
from streamclf.engine.strand import Strand, TrackOptions
from streamclf.engine.stream import Stream
from streamclf.engine.track import Track
from streamclf.model.pack import Manifest, Pack, Segmentation
from streamclf.types import F32, Event, Label, OtherLabels, Output, Remembered, Shape, Stage

NAME = "taught"
RECENT_S = 120
"""Of each stream the embeddings of so long are held."""
EVERY_S = 10
"""So often one is picked by chance, to be kept."""
_STEP = 10  # frames between two that are held, at least: 2.4 MB of a stream, where there are 1,024 numbers
_SEGMENTATION = Segmentation(enter=0.5, leave=0.3, min_on_ms=300, min_off_ms=300, reach_back_ms=300, lag_ms=500)
"""Lag: a window that has a little of the sound may say nothing of it yet; so the sound itself says where it begins."""
_SLOW_LEAVE = 0.45
"""On a stateful net, which remembers a sound for seconds: its numbers fall at once, and then slowly."""


def segmentation_of(host: Host) -> Segmentation:
    """How events are cut out of what was taught on `host`."""
    slow = host.graph.manifest.shape is Shape.STATEFUL
    return msgspec.structs.replace(_SEGMENTATION, leave=_SLOW_LEAVE) if slow else _SEGMENTATION


class Recent:
    """The newest embeddings of one stream, `RECENT_S` long at most; the oldest are overwritten."""

    def __init__(self, size: int) -> None:
        most = RECENT_S * FRAMES_PER_SECOND // _STEP
        self._frames = np.full(most, -1, dtype=np.int64)
        self._numbers = np.zeros((most, size), dtype=np.float32)
        self._at = 0
        self.newest = -_STEP

    def add(self, frame: int, numbers: F32) -> None:
        """numbers: (size, ) float32, of that frame; left out where the last ones are of a moment ago."""
        if 0 <= frame - self.newest < _STEP:
            return
        at = self._at % len(self._frames)
        self._frames[at], self._numbers[at] = frame, numbers
        self._at += 1
        self.newest = frame

    def between(self, first: int, end: int) -> tuple[npt.NDArray[np.int64], F32]:
        """Those of frames [first, end): the frames, and (n, size) float32, oldest first."""
        at = np.flatnonzero((self._frames >= first) & (self._frames < end))
        at = at[np.argsort(self._frames[at])]
        return self._frames[at], self._numbers[at]


class TaughtPack(Derived):
    """The pack of what was taught on `host`. It taps its graph in `engine` from now on.

    Used on the model's thread alone, but for `pack`.
    """

    def __init__(self, engine: Engine, host: Host, *, name: str = NAME) -> None:
        super().__init__(derived_pack(_manifest(host, name), ()))
        self.host = host
        self.heads = Heads((), np.zeros((1, 0), dtype=np.float32))
        self.recent: dict[str, Recent] = {}
        self._engine = engine
        self._ahead = frame_of(host.graph.manifest, 0)
        self._streams: WeakKeyDictionary[Strand, str] = WeakKeyDictionary()
        self._tracks: WeakKeyDictionary[Strand, TaughtTrack] = WeakKeyDictionary()
        self._picked: dict[str, int] = {}  # stream -> the frame of the last moment that was picked
        self._chance = np.random.default_rng()
        self._runner(engine).graphs[host.at].tap = self.hear

    def track(self, stream: Stream, tracks: Sequence[Track], segmenter: Segmenter) -> "TaughtTrack | None":
        """None where the host does not listen to the stream."""
        for track in tracks:
            if track.manifest.name == self.host.name:
                strand = track.strands[self.host.at]
                edges = edges_of(self._runner(self._engine).pack, track.strands)
                if edges is not None:
                    segmenter.begins, segmenter.ends = edges.begins, edges.ends
                own = self._tracks[strand] = TaughtTrack(self.pack, segmenter, stream, strand)
                return own
        return None

    def use(self, heads: Heads, labels: Sequence[Label]) -> list[Output]:
        """Other heads from the next run on. labels: of their columns. Returns what that closes."""
        self.heads = heads
        if tuple(labels) == self.pack.labels:
            return []
        closed: list[Output] = []
        if self in self._engine.derived:
            closed = self._engine.relabel(self.name, labels)
        else:
            self.relabel(labels)
            self._engine.derive(self)
        decisions = tuple(self._engine.decisions(labels, self.pack.manifest))
        told = tuple(
            replace(label, enter=decision.enter if decision.enabled else None)
            for label, decision in zip(labels, decisions, strict=True)
        )
        return [*closed, OtherLabels(self.name, self.pack.digest, told, decisions)]

    def hear(self, strands: Sequence[Strand], embedded: F32) -> None:
        """The tap. embedded: (strands, F, numbers) float32, of the strands as they stand before the run's rows."""
        count, each, size = embedded.shape
        rows = self.heads(embedded.reshape(count * each, size)).reshape(count, each, -1)
        for strand, numbers, own in zip(strands, embedded, rows, strict=True):
            track = self._tracks.get(strand)
            if track is not None and own.shape[1] == len(track.segmenter.labels):
                track.accept(strand, own)
            name = self._stream_of(strand)
            recent = self.recent.get(name)
            if recent is None:
                recent = self.recent[name] = Recent(size)
            frame = strand.start // strand.hop + self._ahead  # a run begins at a whole frame
            for row in range(each):
                recent.add(frame + row, numbers[row])

    def remember(self, outputs: Sequence[Output]) -> list[Remembered]:
        """What is to be kept of the moments that these outputs tell of: an embedding of each event that has ended, and
        one of each stream now and then."""
        kept = [
            self._of_event(output) for output in outputs if isinstance(output, Event) and output.stage is Stage.CLOSE
        ]
        for stream, recent in self.recent.items():
            due = self._picked.setdefault(stream, recent.newest + self._pause())
            if recent.newest >= due:
                self._picked[stream] = recent.newest + self._pause()
                _, numbers = recent.between(recent.newest, recent.newest + 1)
                kept.append(self._remembered(stream, recent.newest, "", "", numbers))
        return [one for one in kept if one is not None]

    def _pause(self) -> int:
        """Frames until the next moment is picked: as likely sooner as later."""
        return int(self._chance.uniform(0.5, 1.5) * EVERY_S * FRAMES_PER_SECOND)

    def _of_event(self, event: Event) -> Remembered | None:
        recent = self.recent.get(event.stream)
        if recent is None or event.offset_frame is None:
            return None
        frames, numbers = recent.between(*heard_in(event.onset_frame, event.offset_frame))
        middle = event.onset_frame if not len(frames) else int(frames[len(frames) // 2])
        return self._remembered(event.stream, middle, event.id, event.label, numbers)

    def _remembered(self, stream: str, frame: int, event: str, label: str, numbers: F32) -> Remembered | None:
        if not len(numbers) or not np.isfinite(numbers).all():
            return None
        return Remembered(stream, frame, event, label, self.host.identity, numbers.mean(axis=0))

    def _stream_of(self, strand: Strand) -> str:
        name = self._streams.get(strand)
        if name is None:
            name = self._streams[strand] = next(
                stream
                for stream, tracks in self._engine.tracks.items()
                if any(strand in track.strands for track in tracks)
            )
        return name

    def _runner(self, engine: Engine) -> PackRunner:
        return next(runner for runner in engine.runners if runner.name == self.host.name)


def heard_in(onset: int, offset: int) -> tuple[int, int]:
    """Frames [first, end) whose embeddings have most of an event in them: a window sees what was before its frame."""
    return onset + min(FRAMES_PER_SECOND // 4, (offset - onset) // 2), offset + FRAMES_PER_SECOND // 5


class TaughtTrack(DerivedTrack):
    """A stream under it. Its rows stand where those of `host` do, the strand whose runs they come of."""

    def __init__(self, pack: Pack, segmenter: Segmenter, stream: Stream, host: Strand) -> None:
        super().__init__(pack, segmenter, stream=stream.name)
        self._native_hop = stream.hop
        self._strand = Strand(host.manifest, host.frontend, slot=host.slot, options=TrackOptions())
        self._next = -(-stream.consumed // stream.hop)
        self._strand.restart(self._next)

    def accept(self, host: Strand, rows: F32) -> None:
        """rows: (F, classes) of the run just made, before the host's strand moves on."""
        self._strand.follow(host, first=self._next)
        self._strand.accept(rows)

    def due(self) -> Iterable[tuple[int, F32, int]]:
        """Rows due by what has been heard."""
        for first, rows, final in self._strand.take():
            if final and len(rows):
                self._next = first + len(rows)
                yield first, rows, self._strand.newest(self._next) * self._native_hop // self._strand.hop

    def anew(self, frame: int) -> None:
        """See `DerivedTrack`."""
        self._next = frame
        self._strand.restart(frame)

    def finished(self, frames: int) -> None:
        """See `DerivedTrack`."""
        self._strand.end(frames)

    def relabel(self, labels: Sequence[Label], decisions: Sequence[object]) -> list[Output]:
        """The rows that wait have other columns; the next one comes of the next run."""
        events = super().relabel(labels, decisions)  # type: ignore[arg-type]
        self._strand.restart(self._next)
        self._strand.start = -1
        return events


def _manifest(host: Host, name: str) -> Manifest:
    graph = host.graph.manifest
    return derived_manifest(
        name,
        version=host.identity,
        title="What was taught here by example",
        source=f"examples that somebody has shown, on what {host.name} makes of sound",
        window_ms=max(FRAME_MS, graph.window * 1000 // graph.rate),
        look_ahead_ms=graph.look_ahead * 1000 // graph.rate,
        segmentation=segmentation_of(host),
    )
