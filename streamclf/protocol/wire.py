"""Wire protocol `streamclf.v1`: every message, its JSON form, and websocket framing.

JSON text carries everything; score rows may come in a compact binary form instead (binary.py).

Sequence numbers. Each published thing (a score row of one pack, an event, a gap, a status, a mark) has the next number
of one counter per start of the daemon (`hello.instance`). A message of several rows carries the number of its last row.
The largest number seen is what a client hands back as `since`; it then gets all that it has not had. One thing can come
twice: a batch that a gap or status cut short stands just before that with an older number, and a client that was cut
off between the two gets it again (same stream, pack, first_frame and final).
"""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta, inspect

from streamclf.errors import ServeError
from streamclf.protocol.base import DECIMALS as DECIMALS
from streamclf.protocol.base import PROTOCOL as PROTOCOL
from streamclf.protocol.base import ROWS_PER_BATCH as ROWS_PER_BATCH
from streamclf.protocol.base import Encoding as Encoding
from streamclf.protocol.base import Frame20 as Frame20
from streamclf.protocol.base import Message as Message
from streamclf.protocol.base import Names as Names
from streamclf.protocol.base import Ns as Ns
from streamclf.protocol.base import PcmFormat as PcmFormat
from streamclf.protocol.base import Probability as Probability
from streamclf.protocol.base import Revision as Revision
from streamclf.protocol.base import Seq as Seq
from streamclf.protocol.base import Tier as Tier
from streamclf.protocol.base import Verdict as Verdict
from streamclf.protocol.entries import LabelEntry as LabelEntry
from streamclf.protocol.entries import PackEntry as PackEntry
from streamclf.protocol.entries import StreamEntry as StreamEntry
from streamclf.protocol.inbound import Adjust as Adjust
from streamclf.protocol.inbound import Forget as Forget
from streamclf.protocol.inbound import Mark as Mark
from streamclf.protocol.inbound import Push as Push
from streamclf.protocol.inbound import Subscribe as Subscribe
from streamclf.protocol.inbound import Teach as Teach
from streamclf.types import F32


class Hello(Message, tag="hello"):
    """First message of a connection."""

    protocol: str
    """Name and version of this protocol."""
    version: str
    """Of the daemon."""
    instance: Annotated[str, Meta(description="Another one means that the daemon was restarted.")]
    seq: Seq
    oldest_seq: Annotated[int, Meta(description="Everything from this number on can be replayed with `since`.")]
    streams: list[StreamEntry]
    """All of them; binary messages name one by its index here."""
    packs: list[PackEntry]
    """All of them; binary messages name one by its index here."""
    no_audio: Annotated[str, Meta(description="Why `audio` cannot be had on this connection; empty where it can.")] = ""


class Scores(Message, tag="scores"):
    """Score rows of one pack on consecutive frames of one stream."""

    stream: str
    """Name of the stream."""
    pack: str
    """Name of the pack."""
    seq: Seq
    first_frame: Frame20
    count: int
    """Rows in this message."""
    labels: Annotated[list[str], Meta(description="Ids of the columns; with top_k, best first.")]
    rows: Annotated[list[list[float]], Meta(description="count rows of one probability for each label.")]
    final: Annotated[bool, Meta(description="False: a revision of these frames follows.")]
    captured_ns: Annotated[int, Meta(description="Wall time (ns) of the newest sample that the last row rests on.")]
    decided_ns: Ns
    """Wall time at which the engine had decided."""
    sent_ns: Ns
    """Wall time at which it was sent."""


class Event(Message, tag="event"):
    """An event opened, goes on or closed."""

    stream: str
    """Name of the stream."""
    pack: str
    """Name of the pack."""
    seq: Seq
    id: str
    """The same in all stages of one event."""
    label: str
    """Id of its label."""
    stage: Literal["open", "update", "close"]
    """It begins, goes on (told once a second), has ended."""
    onset_frame: Frame20
    offset_frame: Annotated[int | None, Meta(description="One past the last active frame; null while it lasts.")]
    peak: float
    """Largest probability so far."""
    mean: float
    """Mean probability over its active frames so far."""
    onset_ns: Ns
    """Wall time of the onset."""
    offset_ns: int | None
    """Wall time of the offset; null while it lasts."""
    captured_ns: Ns
    """Wall time of the newest sample that the decision rests on."""
    decided_ns: Ns
    """Wall time at which the engine had decided."""
    sent_ns: Ns
    """Wall time at which it was sent."""
    ended_by: str = ""
    """Empty while it lasts; quiet, gap (sound was lost, or its pack failed), paused, changed, end or stop."""


class Gap(Message, tag="gap"):
    """Samples first_sample to last_sample, both included, have no scores."""

    stream: str
    """Name of the stream."""
    seq: Seq
    first_sample: int
    """Index at the stream's own rate."""
    last_sample: int
    """Index at the stream's own rate."""
    reason: str
    """In a word or a sentence."""


class Status(Message, tag="status"):
    """Something to know about a stream, or about a pack on it."""

    stream: str
    """Name of the stream."""
    pack: str
    """Name of the pack, empty where it is about the whole stream."""
    state: str
    """In a word, such as live, waiting, lost, ended, behind, paused."""
    detail: str
    """In a sentence; may be empty."""
    seq: Seq


class Lagged(Message, tag="lagged"):
    """Messages that this subscriber will not get. Never silent.

    Reasons: `mailbox` (it read too slowly; dropped = score rows), `replay` (no longer held; dropped = things published,
    of any kind), `restart` (`since` belongs to an earlier start of the daemon; nobody knows how much of it is missing,
    and what this one holds follows; /v1/events has the events of all starts, with a sequence of its own).
    """

    seq: Seq
    from_seq: int
    """The first number that is missing, or may be."""
    to_seq: int
    """The last one."""
    dropped: int | None
    """How much is missing, in what `reason` counts; null where that is not known, after a restart."""
    reason: Literal["mailbox", "replay", "restart"]
    """Why; see above."""


class Error(Message, tag="error"):
    """A message of the client was refused; the connection stays, and so does its former subscription."""

    code: Literal["bad-message", "bad-subscription", "bad-push", "bad-mark", "bad-adjust", "bad-teach"]
    """What was refused."""
    message: str
    """Why, in a sentence."""


class ChannelPack(msgspec.Struct, kw_only=True):
    """A pack of a subscription and its label ids, the columns of its rows unless top_k or min_prob picks some."""

    name: str
    """Name of the pack."""
    labels: list[str]
    """Ids, in the order of the columns."""
    min_prob: Probability = 0.0
    """In force for this pack: a label that a message leaves out lies below it in all its rows; 0 where none is."""


class Subscribed(Message, tag="subscribed"):
    """Answer to `subscribe`: what is in force now. Fields as there."""

    seq: Seq
    channel: int
    """Number that binary score rows of this subscription bear."""
    tier: Tier
    encoding: Encoding
    final: Revision
    top_k: int | None
    min_prob: float | None
    picture: bool
    audio: str | None
    streams: list[str]
    """Names of the streams that are sent."""
    packs: list[ChannelPack]
    """The packs that are sent."""
    since: Annotated[int | None, Meta(description="Replay begins after this number; null: live from now on.")]


class Pushing(Message, tag="pushing"):
    """Answer to `push`: binary messages may follow."""

    stream: str
    """Name of the stream."""
    rate: int
    """Samples a second, as announced."""
    format: PcmFormat
    """Of the samples, as announced."""


class Marked(Message, tag="marked"):
    """Somebody marked an event that is kept; everybody is told. Fields as in `mark`."""

    event: str
    """Its `id` at /v1/events."""
    mark: Verdict
    """What it was marked as; empty where the mark was taken back."""
    label: str
    """With `wrong`: what it was instead, where somebody said so."""
    seq: Seq


class Relabelled(Message, tag="relabelled"):
    """A pack has other labels from here on, or is new: then it stands behind all others of `hello.packs`.

    A new `subscribed` follows where the client's own subscription is another one by that.
    """

    entry: PackEntry
    """As it is from now on."""
    seq: Seq


class Taught(Message, tag="taught"):
    """Somebody has taught, or had forgotten; everybody is told. Fields as in `teach`."""

    label: str
    """Id of the class."""
    name: str
    """For people; untrusted text, never markup."""
    said: Literal["is", "not", "forgot", "named"]
    """What was said of the example; `forgot`: it, or the whole class, is forgotten; `named`: `name` is new, no more."""
    example: str
    """Id of the example; empty where all of them are meant."""
    pack: str
    """The pack that has the class as a label."""
    examples: int
    """Of what it is, that are kept now."""
    against: int
    """Of what it is not."""
    detail: str
    """What there is to know of it, in a sentence; may be empty."""
    seq: Seq


class Adjusted(Message, tag="adjusted"):
    """Answer to `adjust`: the thresholds stand in the configuration, which takes them over within two seconds."""

    label: str
    """Id of the label."""
    enter: float
    """At which an event begins."""
    leave: float
    """Below which it ends."""
    min_on_ms: int
    """How long a sound has to last to be one."""
    kept: str
    """Name of the file beside it that holds the former configuration; empty where there was none."""


ServerMessage = (
    Hello
    | Scores
    | Event
    | Gap
    | Status
    | Lagged
    | Error
    | Subscribed
    | Pushing
    | Marked
    | Adjusted
    | Relabelled
    | Taught
)
ClientMessage = Subscribe | Push | Mark | Adjust | Teach | Forget
SERVER_MESSAGES = (
    Hello,
    Subscribed,
    Scores,
    Event,
    Gap,
    Status,
    Lagged,
    Error,
    Pushing,
    Marked,
    Adjusted,
    Relabelled,
    Taught,
)
CLIENT_MESSAGES = (Subscribe, Push, Mark, Adjust, Teach, Forget)

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # the last for lists deep in unknown fields
_encoder = msgspec.json.Encoder()
_server_decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)
_client_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)


def encode(message: Message) -> bytes:
    """JSON text, UTF-8."""
    return _encoder.encode(message)


def rounded(rows: F32) -> list[list[float]]:
    """Probabilities as short JSON numbers: (frames, classes) to six decimals."""
    return cast(list[list[float]], rows.astype("float64").round(DECIMALS).tolist())


def decode_server(text: bytes | str) -> ServerMessage:
    """A server's JSON message. Unknown fields are ignored, so that an older client reads a newer server."""
    try:
        return _server_decoder.decode(text)
    except _UNREADABLE as error:
        raise ServeError(f"the server sent something that is not a {PROTOCOL} message: {error}") from None


def decode_client(text: bytes | str) -> ClientMessage:
    """A client's JSON message. Raises `ServeError`, one sentence, with the nearest name for an unknown field."""
    try:
        return _client_decoder.decode(text)
    except _UNREADABLE as error:
        raise ServeError(explain(error, *CLIENT_MESSAGES)) from None


def explain(error: Exception, *asked: type[msgspec.Struct]) -> str:
    """One sentence for a message or query that is none of `asked`: the nearest field, or what may stand there."""
    text = str(error)
    if unknown := re.search(r"unknown field `(.*?)`", text):
        fields = [field for kind in asked for field in kind.__struct_fields__]
        return f"unknown field '{unknown[1]}'{nearest(unknown[1], fields)}"
    problem, _, place = text.partition(" - at `$.")
    key = place.rstrip("`")
    if came := re.fullmatch(r"Invalid (?:enum )?value (.*)", problem):
        choices = [word or "an empty text" for word in _choices(key, asked)]
        return f"{key} is {came[1]}; expected one of {', '.join(choices)}" if choices else f"{key} is {came[1]}"
    if absent := re.fullmatch(r"Object missing required field `(.*)`", problem):
        return (f"{key}: " if key else "") + f"the field '{absent[1]}' is missing"
    words = re.sub(r"`(\w+)(?: \| null)?`", lambda word: _WORDS.get(word[1], word[1]), problem)
    return (f"{key}: " if key else "") + words[:1].lower() + words[1:]


_WORDS = {
    "int": "a whole number", "float": "a number", "str": "text", "bool": "true or false", "array": "a list",
    "object": "an object",
}  # fmt: skip


def _choices(key: str, asked: Sequence[type[msgspec.Struct]]) -> list[str]:
    """What the field may be, where that is a word of some."""
    if key == "type":
        return [str(kind.__struct_config__.tag) for kind in asked]
    structs = [info for info in map(inspect.type_info, asked) if isinstance(info, inspect.StructType)]
    types = [field.type for info in structs for field in info.fields if field.name == key]
    flat = [one for kind in types for one in (kind.types if isinstance(kind, inspect.UnionType) else [kind])]
    words = [str(word) for one in flat if isinstance(one, inspect.LiteralType) for word in one.values]
    enums = [one.cls for one in flat if isinstance(one, inspect.EnumType)]
    return list(dict.fromkeys([*words, *(str(word.value) for enum in enums for word in enum)]))


def nearest(word: str, known: list[str]) -> str:
    """`; did you mean 'x'?`, or an empty text."""
    close = get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""
