"""What streams and packs can be in, and what each of these states means. Plain data, asked of `types`."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


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
            what="A pack does not score: it hangs, fails, or gives values that are not numbers.",
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
