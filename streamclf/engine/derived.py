"""Packs without a session: their rows are derived from the sound itself, or from what another pack's run gave.

Such a pack has labels, decisions, rows and events like any other, and is told, kept and judged like any other. It has
no graph: none of it is batched, measured, mended or paused, and it says nothing of whether a stream is scored. Its
track stands behind those of the stream's models, so that in one tick it may read what their runs gave.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import msgspec

from streamclf.clock import FRAME_MS, hop_of
from streamclf.engine.segment import Decision, Ending, Segmenter
from streamclf.engine.stream import Stream
from streamclf.engine.track import Track
from streamclf.features.spec import Waveform
from streamclf.model.pack import Manifest, Pack, Segmentation
from streamclf.types import F32, Event, FrameScores, Label, Output, Shape

RATE = 1000
"""Of a derived pack's `window` and `look_ahead` (Hz): they are milliseconds."""


class DerivedTrack(ABC):
    """One stream under one derived pack. Frames are the stream's.

    rows: (frames, classes) float32 in [0, 1] of consecutive frames, each given once and final.
    """

    strands = ()
    scoring = False
    paused = True
    deaf = ill = False
    given = begins = 0
    native: list[tuple[int, F32]] | None = None
    hop = hop_of(RATE)

    def __init__(self, pack: Pack, segmenter: Segmenter, *, stream: str) -> None:
        self.stream = stream
        self.manifest = pack.manifest
        self.segmenter = segmenter
        self.priority = 0

    @abstractmethod
    def due(self) -> Iterable[tuple[int, F32, int]]:
        """What has become certain since the last call: (first frame, rows, one past the newest native sample that the
        last row rests on)."""

    @abstractmethod
    def anew(self, frame: int) -> None:
        """Samples were lost: what was begun is forgotten, and no row is of a frame before `frame`."""

    @abstractmethod
    def finished(self, frames: int) -> None:
        """The stream has ended after `frames` frames; the next `due` gives all that is left."""

    def restart(self, frame: int, ended_by: Ending = Ending.GAP) -> list[Output]:
        """Begin anew at `frame`. Closes open events."""
        events: list[Output] = list(self.segmenter.finish(ended_by))
        self.anew(frame)
        return events

    def take(self) -> list[Output]:
        """Score rows that are due, and the events that follow from them."""
        outputs: list[Output] = []
        for first, rows, newest in self.due():
            outputs.append(FrameScores(self.stream, self.manifest.name, first, rows, True, newest))
            outputs += self.segmenter.push(first, rows)
        return outputs

    def take_rest(self) -> list[Output]:
        """What `take` gives, and what waits for more to be told with: the stream is heard no more, or anew."""
        return self.take()

    def end(self, frames: int) -> None:
        """See `finished`."""
        self.finished(frames)

    def finish(self, ended_by: Ending) -> list[Event]:
        """Close what is open."""
        return self.segmenter.finish(ended_by)

    def relabel(self, labels: Sequence[Label], decisions: Sequence[Decision]) -> list[Output]:
        """Other labels from the next row on, one for each column; what is open is closed."""
        events: list[Output] = list(self.segmenter.finish(Ending.CHANGED))
        begins, ends = self.segmenter.begins, self.segmenter.ends
        self.segmenter = Segmenter(self.stream, self.manifest.name, labels, decisions, begins=begins, ends=ends)
        return events


class Derived(ABC):
    """A derived pack: makes the tracks of the streams that it listens to. pack: as it is told and kept now."""

    hop_ms = FRAME_MS
    """From one time when its rows are made to the next."""

    def __init__(self, pack: Pack) -> None:
        self.pack = pack

    @property
    def name(self) -> str:
        """The pack's name."""
        return self.pack.manifest.name

    @abstractmethod
    def track(self, stream: Stream, tracks: Sequence[Track], segmenter: Segmenter) -> DerivedTrack | None:
        """Listen to `stream` from its next sample on; None where it does not. tracks: of the stream's models."""

    def relabel(self, labels: Sequence[Label]) -> None:
        """Other labels from now on. Its tracks are told by the engine."""
        self.pack = derived_pack(self.pack.manifest, labels)


def derived_manifest(
    name: str,
    *,
    version: str,
    title: str,
    source: str,
    window_ms: int = FRAME_MS,
    look_ahead_ms: int = 0,
    segmentation: Segmentation | None = None,
) -> Manifest:
    """window_ms: sound that a row rests on. look_ahead_ms: how much of it lies behind the row's frame."""
    return Manifest(
        format=1,
        name=name,
        version=version,
        title=title,
        licence="MIT",
        source=source,
        rate=RATE,
        shape=Shape.DERIVED,
        window=window_ms,
        look_ahead=look_ahead_ms,
        features=Waveform(),
        input="",
        output="",
        activation="none",
        files={},
        segmentation=segmentation or Segmentation(),
    )


def derived_pack(manifest: Manifest, labels: Sequence[Label]) -> Pack:
    """The pack of these labels; what it is told by is a hash over all that it says of itself."""
    digest = hashlib.sha256(msgspec.json.encode((manifest, labels))).hexdigest()
    return Pack(manifest=manifest, labels=tuple(labels), model=b"", path="", digest=digest)
