"""Values that travel between rooms. Plain data: no I/O, no clock, no wire format."""

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from streamclf.states import MEANINGS as MEANINGS
from streamclf.states import Meaning as Meaning
from streamclf.states import StreamState as StreamState
from streamclf.states import Tone as Tone

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


# What is made for every row of every stream is a struct of msgspec: a frozen dataclass takes fifteen times as long.


class Shape(StrEnum):
    """The shapes of a model pack (how rows come out of it)."""

    STATEFUL = "stateful"  # causal, state tensors in and out, one run per step
    WINDOW_FRAMES = "window-frames"  # a run over one window yields F rows
    WINDOW_ROW = "window-row"  # a run over one window yields one row
    FUSED = "fused"  # made of packs: a row of each member yields one row
    DERIVED = "derived"  # no graph: rows come of the sound itself, or of what another pack's run gave


class Stage(StrEnum):
    """Life of an event: confirmed, still going on, ended."""

    OPEN = "open"
    UPDATE = "update"
    CLOSE = "close"


class GapReason(StrEnum):
    """Why subscribers get no scores of samples. A source from outside may state another."""

    LOST = "lost"  # the device or the sender was gone
    XRUN = "xrun"  # the device lost samples
    PUSH_GAP = "push-gap"  # a client left them out
    OVERRUN = "overrun"  # they came faster than they were read
    PAUSED = "paused"  # the stream was paused
    UNSCORED = "unscored"  # no model scored them
    STALLED = "stalled"  # the source sent nothing
    UNTOLD = "untold"  # they were scored and kept, but the server was too far behind to tell subscribers


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
    enter_low: float | None = None
    enter_high: float | None = None
    """In place of `enter` at low and at high sensitivity; None shifts it, see `streamclf.sensitivity`."""
    min_on_ms: int | None = None  # how long it lasts at least; None takes the pack's
    min_off_ms: int | None = None  # and how long it must be away to be over


@dataclass(frozen=True, slots=True)
class Gap:
    """Samples [first_sample, last_sample] of a stream (its native rate, both ends included) have no scores."""

    stream: str
    first_sample: int
    last_sample: int
    reason: str


class FrameScores(msgspec.Struct, frozen=True):
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
    last frame whose row was needed to know this much. `ended_by` is an `engine.segment.Ending`, "" while it lasts.
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
    ended_by: str = ""


class Levels(msgspec.Struct, frozen=True):
    """How loud consecutive frames of a stream were, before any gain. Full scale is 1.

    rms, peak: (frames, ) float32, root mean square and largest magnitude of each frame from `first_frame` on.
    """

    stream: str
    first_frame: int
    rms: F32
    peak: F32


@dataclass(frozen=True, slots=True)
class LoudnessMinute:
    """How loud a stream was in one of its minutes of 3,000 frames, before any gain. dB; full scale (RMS of 1) is 0.

    frames: of it that were heard; the rest was lost. laeq, lceq, lzeq: mean level, A-, C- and not weighted. lafmax:
    highest A-weighted level with the time constant F (125 ms). lcpeak: highest C-weighted peak. l10, l50, l90: the
    level LAF that was exceeded in 10, 50 and 90 % of the frames. bands: mean level of each third octave from 25 Hz on.
    offset_db: what has to be added for dB over 20 micropascal; None where the stream is not calibrated.
    """

    stream: str
    first_frame: int
    frames: int
    laeq: float
    lceq: float
    lzeq: float
    lafmax: float
    lcpeak: float
    l10: float
    l50: float
    l90: float
    bands: tuple[float, ...]
    offset_db: float | None


class Picture(msgspec.Struct, frozen=True):
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


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a moment sounded like, to be kept: of an event that has ended, or ("" and "") of one picked by chance.

    identity: of the embedding, see `engine.embed`. numbers: (size, ) float32, finite.
    """

    stream: str
    frame: int
    event: str
    label: str
    identity: str
    numbers: F32


@dataclass(frozen=True, slots=True)
class OtherLabels:
    """From here on the rows of a derived pack have these columns, with the thresholds in force.

    decisions: an `engine.segment.Decision` for each. digest: of the pack as it is now.
    """

    pack: str
    digest: str
    labels: tuple[Label, ...]
    decisions: tuple[Any, ...]
    stream: str = ""


Output = FrameScores | Event | Levels | LoudnessMinute | Picture | Sound | Gap | Status | Remembered | OtherLabels
