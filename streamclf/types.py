"""Values that travel between rooms. Plain data: no I/O, no clock, no wire format."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    F32 = npt.NDArray[np.float32]
    F64 = npt.NDArray[np.float64]
    U8 = npt.NDArray[np.uint8]
    I16 = npt.NDArray[np.int16]
else:
    # a client of JSON alone imports this room and needs no numpy; nothing asks for these at run time
    F32 = F64 = U8 = I16 = Any


class Shape(StrEnum):
    """The three shapes of a model pack (how rows come out of it)."""

    STATEFUL = "stateful"  # causal, state tensors in and out, one run per step
    WINDOW_FRAMES = "window-frames"  # a run over one window yields F rows
    WINDOW_ROW = "window-row"  # a run over one window yields one row


class Stage(StrEnum):
    """Life of an event: confirmed, still going on, ended."""

    OPEN = "open"
    UPDATE = "update"
    CLOSE = "close"


class StreamState(StrEnum):
    """What a status says in one word: of a stream, or (the last two) of a pack or of the pace of it all.

    What a state means is asked of it here, and decided nowhere else. RESUMED is told once: the stream is LIVE then.
    """

    LIVE = "live"  # heard and scored
    DEMO = "demo"  # the same, of a recording in a microphone's place
    WAITING = "waiting"  # nobody has connected to push it yet
    ENDED = "ended"  # no sample will come any more
    LOST = "lost"  # its device or its sender is gone
    RECONNECTING = "reconnecting"  # and is tried again
    PAUSED = "paused"  # this machine has no time for it
    RESUMED = "resumed"  # and has again
    PROBLEM = "problem"  # what came is damaged, or cannot be used
    BEHIND = "behind"  # less is done, because this machine cannot keep up
    HOP = "hop"  # how often a pack runs

    @classmethod
    def read(cls, text: str) -> "StreamState | None":
        """The state of that word, None for a word that a newer daemon may say."""
        try:
            return cls(text)
        except ValueError:
            return None

    @property
    def of_stream(self) -> bool:
        """Whether it is a stream's own; the others are of a pack or of the pace, and leave its state alone."""
        return self not in (StreamState.BEHIND, StreamState.HOP)

    @property
    def settled(self) -> "StreamState":
        """The state that a stream is in from then on."""
        return StreamState.LIVE if self is StreamState.RESUMED else self

    @property
    def heard(self) -> bool:
        """Whether sound comes and is scored."""
        return self in (StreamState.LIVE, StreamState.DEMO)

    @property
    def silent(self) -> bool:
        """Whether no sound comes."""
        return self in (StreamState.WAITING, StreamState.ENDED, StreamState.LOST, StreamState.RECONNECTING)

    @property
    def unread(self) -> bool:
        """Whether nobody reads what sound there is."""
        return self in (StreamState.PAUSED, StreamState.ENDED)

    @property
    def expected(self) -> bool:
        """Whether all is as it was meant: nothing to warn of."""
        return self.heard or self is StreamState.ENDED

    @property
    def broken(self) -> bool:
        """Whether a stream that should be heard is not."""
        return self in (StreamState.LOST, StreamState.PROBLEM)

    @property
    def lessened(self) -> bool:
        """Whether less is heard than should be, and that for a while."""
        return self in (StreamState.RECONNECTING, StreamState.PAUSED, StreamState.BEHIND)


class GapReason(StrEnum):
    """Why samples have no scores. A source from outside may state another."""

    LOST = "lost"  # the device or the sender was gone
    XRUN = "xrun"  # the device lost samples
    PUSH_GAP = "push-gap"  # a client left them out
    OVERRUN = "overrun"  # they came faster than they were read
    PAUSED = "paused"  # the stream was paused


class Provider(StrEnum):
    """Execution providers a user may ask for. `auto` takes the best one that works and says which."""

    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"
    AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Label:
    """One class of a pack. `id` is stable ASCII (`[a-z0-9_]+`), `name` is what a person reads."""

    id: str
    name: str
    group: str = ""
    enter: float | None = None
    """Default enter threshold in [0, 1]; None takes the pack's."""
    hidden: bool = False
    """Too generic to show: left out of displays and of top-k by default."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples [first_sample, last_sample] of a stream (its native rate, both ends included) have no scores."""

    stream: str
    first_sample: int
    last_sample: int
    reason: str


@dataclass(frozen=True, slots=True)
class FrameScores:
    """Score rows of one pack on consecutive frames of one stream.

    rows: (frames, classes) float32 in [0, 1]; row i belongs to frame `first_frame + i`.
    newest_sample: native sample index one past the newest sample the last row rests on.
    """

    stream: str
    pack: str
    first_frame: int
    rows: F32
    final: bool
    newest_sample: int


@dataclass(frozen=True, slots=True)
class Event:
    """Onset to offset of one label. Frames are the stream's; `offset_frame` is one past the last active frame.

    While the event lasts, `offset_frame` is None. `peak` and `mean` are over the active frames so far, in [0, 1].
    `id` is unique within a run of the daemon and the same for all stages of one event. `decided_frame` is one past the
    last frame whose row was needed to know this much.
    """

    stream: str
    pack: str
    id: str
    label: str
    stage: Stage
    onset_frame: int
    offset_frame: int | None
    peak: float
    mean: float
    decided_frame: int


@dataclass(frozen=True, slots=True)
class Levels:
    """How loud consecutive frames of a stream were, before any gain. Full scale is 1.

    rms, peak: (frames, ) float32, root mean square and largest magnitude of each frame from `first_frame` on.
    """

    stream: str
    first_frame: int
    rms: F32
    peak: F32


@dataclass(frozen=True, slots=True)
class Picture:
    """Spectrum columns of the frames of `levels`, for the eye: see `features.picture`.

    columns: (frames, bands) uint8, half decibels from the floor on; the bands lie on a mel scale up to `high_hz`.
    """

    levels: Levels
    columns: U8
    high_hz: float


@dataclass(frozen=True, slots=True)
class Sound:
    """Consecutive frames of a stream for the ear, as captured and before any gain. Full scale is 32768.

    samples: (frames, hop) int16 of the frames from `first_frame` on.
    """

    stream: str
    first_frame: int
    samples: I16


@dataclass(frozen=True, slots=True)
class Status:
    """Something a subscriber must know about a stream or a pack, in a word and a sentence."""

    stream: str
    state: StreamState
    detail: str
    pack: str = ""


Output = FrameScores | Event | Levels | Picture | Sound | Gap | Status
