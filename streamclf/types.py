"""Values that travel between rooms. Plain data: no I/O, no clock, no wire format."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
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
    """The shapes of a model pack (how rows come out of it)."""

    STATEFUL = "stateful"  # causal, state tensors in and out, one run per step
    WINDOW_FRAMES = "window-frames"  # a run over one window yields F rows
    WINDOW_ROW = "window-row"  # a run over one window yields one row
    FUSED = "fused"  # made of packs: a row of each member yields one row


class Stage(StrEnum):
    """Life of an event: confirmed, still going on, ended."""

    OPEN = "open"
    UPDATE = "update"
    CLOSE = "close"


class Tone(StrEnum):
    """How a state reads to a person who looks at it, from all is well to something is wrong."""

    GOOD = "good"
    NOTE = "note"
    WARN = "warn"
    BAD = "bad"


class StreamState(StrEnum):
    """What a status says in one word: of a stream, of a pack, or of the pace of it all.

    What a state means is asked of it here, answered from `MEANINGS` below, and decided nowhere else. RESUMED is told
    once: the stream is LIVE then. So is PACK_BACK: its pack has no problem then.
    """

    LIVE = "live"
    DEMO = "demo"
    WAITING = "waiting"
    ENDED = "ended"
    GONE = "gone"
    LOST = "lost"
    RECONNECTING = "reconnecting"
    STALLED = "stalled"
    MUTED = "muted"
    UNSCORED = "unscored"
    PAUSED = "paused"
    RESUMED = "resumed"
    PROBLEM = "problem"
    BEHIND = "behind"
    HOP = "hop"
    PACK_PROBLEM = "pack-problem"
    PACK_BACK = "pack-back"

    @classmethod
    def read(cls, text: str) -> "StreamState | None":
        """The state of that word, None for a word that a newer daemon may say."""
        try:
            return cls(text)
        except ValueError:
            return None

    @property
    def meaning(self) -> "Meaning":
        """Its line of the table."""
        return MEANINGS[self]

    @property
    def of_stream(self) -> bool:
        """Whether it is a stream's own; the others are of a pack or of the pace, and leave its state alone."""
        return self.meaning.of_stream

    @property
    def settled(self) -> "StreamState":
        """The state that a stream is in from then on."""
        return StreamState.LIVE if self is StreamState.RESUMED else self

    @property
    def heard(self) -> bool:
        """Whether sound comes and is scored."""
        return self.meaning.heard

    @property
    def silent(self) -> bool:
        """Whether no sample comes."""
        return self.meaning.silent

    @property
    def unread(self) -> bool:
        """Whether nobody reads what sound there is."""
        return self.meaning.unread

    @property
    def over(self) -> bool:
        """Whether no sample will come any more, as asked or not."""
        return self.silent and self.unread

    @property
    def expected(self) -> bool:
        """Whether all is as it was meant: nothing to warn of."""
        return self.meaning.expected

    @property
    def lessened(self) -> bool:
        """Whether less is done than should be, though every stream is heard: health is degraded, and still 200."""
        return self.meaning.lessened

    @property
    def deaf(self) -> bool:
        """Whether something that should be heard is not: health is 503 while it lasts."""
        return self.meaning.deaf


@dataclass(frozen=True, slots=True, kw_only=True)
class Meaning:
    """What a state means. words: after "the stream is"; what: in a sentence; to_do: for who sees it, "" for nothing.

    The flags are explained at the properties of `StreamState`.
    """

    words: str
    what: str
    tone: Tone
    of_stream: bool = True
    heard: bool = False
    silent: bool = False
    unread: bool = False
    expected: bool = False
    lessened: bool = False
    deaf: bool = False
    to_do: str = ""


MEANINGS: Mapping[StreamState, Meaning] = MappingProxyType(  # the worst first: in this order problems are told
    {
        StreamState.LOST: Meaning(
            words="lost",
            what="Its device, its sender or its address is gone, or has not been there yet.",
            tone=Tone.BAD,
            silent=True,
            deaf=True,
            to_do="see that the device is plugged in, or that its address answers; it is tried again all the time",
        ),
        StreamState.RECONNECTING: Meaning(
            words="reconnecting",
            what="It was lost, and is tried again all the time.",
            tone=Tone.BAD,
            silent=True,
            deaf=True,
            to_do="see that the device is plugged in, or that its address answers; it is tried again all the time",
        ),
        StreamState.GONE: Meaning(
            words="gone",
            what="Its sound has ended for good, and nobody asked for that end.",
            tone=Tone.BAD,
            silent=True,
            unread=True,
            deaf=True,
            to_do="start what feeds it again, and then this daemon: the stream does not come back by itself",
        ),
        StreamState.STALLED: Meaning(
            words="stalled",
            what="Its source is open, but no sample comes.",
            tone=Tone.BAD,
            silent=True,
            deaf=True,
            to_do="see what feeds it: it is open, and sends nothing",
        ),
        StreamState.MUTED: Meaning(
            words="muted",
            what="Samples come, but all are digital silence or one stuck value.",
            tone=Tone.BAD,
            deaf=True,
            to_do="see that the microphone is switched on, not muted in the mixer, and its cable whole",
        ),
        StreamState.UNSCORED: Meaning(
            words="not scored",
            what="Sound comes, but no model scores it.",
            tone=Tone.BAD,
            deaf=True,
            to_do="see what its packs say, and the log: a model hangs, fails or gives no numbers",
        ),
        StreamState.PROBLEM: Meaning(
            words="in trouble",
            what="What came is damaged, or cannot be used.",
            tone=Tone.BAD,
            deaf=True,
            to_do="see what the detail says, and the log",
        ),
        StreamState.PACK_PROBLEM: Meaning(
            words="in trouble",
            what="A pack does not score: it hangs, fails, or gives what is no number.",
            tone=Tone.BAD,
            of_stream=False,
            deaf=True,
            to_do="see the log; `streamclf verify` tries a pack",
        ),
        StreamState.PAUSED: Meaning(
            words="paused",
            what="This machine has no time for it; what is captured meanwhile is a gap.",
            tone=Tone.WARN,
            unread=True,
            deaf=True,
            to_do="give this machine fewer streams or a lighter model, or this stream a higher #priority",
        ),
        StreamState.BEHIND: Meaning(
            words="behind",
            what="Less is done, because this machine cannot keep up.",
            tone=Tone.WARN,
            of_stream=False,
            lessened=True,
            to_do="give it fewer streams, or a lighter model",
        ),
        StreamState.WAITING: Meaning(
            words="waiting", what="No client pushes it: none has come yet, or it has left.", tone=Tone.NOTE, silent=True
        ),
        StreamState.ENDED: Meaning(
            words="ended",
            what="It was played to its end, as asked; no sample will come any more.",
            tone=Tone.NOTE,
            silent=True,
            unread=True,
            expected=True,
        ),
        StreamState.DEMO: Meaning(
            words="demo",
            what="A recording plays in a microphone's place, and is scored; it is not what can be heard here.",
            tone=Tone.NOTE,
            heard=True,
            expected=True,
        ),
        StreamState.LIVE: Meaning(
            words="live", what="It is heard and scored.", tone=Tone.GOOD, heard=True, expected=True
        ),
        StreamState.RESUMED: Meaning(
            words="live", what="There is time for it again; it is live then.", tone=Tone.GOOD
        ),
        StreamState.HOP: Meaning(
            words="hop", what="How often a pack runs from now on.", tone=Tone.NOTE, of_stream=False
        ),
        StreamState.PACK_BACK: Meaning(
            words="back", what="A pack scores again.", tone=Tone.GOOD, of_stream=False, expected=True
        ),
    }
)  # fmt: skip


class GapReason(StrEnum):
    """Why samples have no scores. A source from outside may state another."""

    LOST = "lost"  # the device or the sender was gone
    XRUN = "xrun"  # the device lost samples
    PUSH_GAP = "push-gap"  # a client left them out
    OVERRUN = "overrun"  # they came faster than they were read
    PAUSED = "paused"  # the stream was paused
    UNSCORED = "unscored"  # no model scored them
    STALLED = "stalled"  # the source sent nothing


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
