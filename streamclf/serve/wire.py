"""Wire protocol `streamclf.v1`: every message, its JSON form, the binary form of score rows, and websocket framing.

JSON text carries everything. Score rows may come in a compact binary form instead (`encoding` of a subscription is
`f16` or `u8`): a header of 64 bytes, then the rows. All numbers are little-endian.

    offset  type  what
         0  2s    magic, b"SC"
         2  u8    version, 1
         3  u8    type of the values: 1 = float16, 2 = uint8 (probability * 255)
         4  u8    flags: bit 0 = final, bit 1 = label indexes follow the header
         6  u16   count of rows
         8  u16   count of classes in a row
        10  u16   stream, index into `hello.streams`
        12  u16   pack, index into `hello.packs`
        16  u32   channel, as the `subscribed` answer named it: says which labels the columns are
        24  u64   seq
        32  i64   first_frame
        40  i64   captured_ns
        48  i64   decided_ns
        56  i64   sent_ns
        64  u16 * classes, only with flag bit 1 (`top_k` or `min_prob`): index of each column in `hello.packs[].labels`
         …  rows, one after the other

Sequence numbers. Each published thing (a score row of one pack, an event, a gap, a status) has the next number of one
counter per start of the daemon (`hello.instance`). A message of several rows carries the number of its last row. The
largest number seen is what a client hands back as `since`; it then gets all that it has not had. One thing can come
twice: a batch that a gap or status cut short stands just before that with an older number, and a client that was cut
off between the two gets it again (same stream, pack, first_frame and final).
"""

import re
import struct
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Literal, cast

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta
from websockets.frames import Frame, Opcode

from streamclf.errors import ServeError
from streamclf.types import F32, Shape

PROTOCOL = "streamclf.v1"
ROWS_PER_BATCH = 5
DECIMALS = 6

Tier = Literal["events", "batch", "frame"]
Encoding = Literal["json", "f16", "u8"]
Revision = Literal["all", "final", "provisional"]
PcmFormat = Literal["s16le", "f32le"]

Seq = Annotated[int, Meta(ge=0, description="Place in the one sequence of everything published since the start.")]
Frame20 = Annotated[int, Meta(description="Index of a 20 ms frame of the stream; frame 0 starts at its epoch.")]
Ns = Annotated[int, Meta(description="Nanoseconds since 1970-01-01 UTC.")]
Probability = Annotated[float, Meta(ge=0, le=1)]
Names = Annotated[list[str], Meta(max_length=4096)]


class Message(msgspec.Struct, tag_field="type", kw_only=True):
    """Anything on the wire; `type` says which."""


class LabelEntry(msgspec.Struct, kw_only=True):
    """One class of a pack."""

    id: str
    name: Annotated[str, Meta(description="For people; untrusted text, never markup.")]
    group: str
    hidden: Annotated[bool, Meta(description="Too generic to show; top_k leaves it out unless it is named.")]
    enter: float | None


class PackEntry(msgspec.Struct, kw_only=True):
    """One model pack and its latency budget."""

    name: str
    version: str
    digest: Annotated[str, Meta(description="sha256 of the pack's manifest, which holds the hash of every file.")]
    shape: Shape
    labels: list[LabelEntry]
    exclusive: Annotated[bool, Meta(description="Exactly one class holds at a time.")]
    window_ms: float
    look_ahead_ms: float
    algorithmic_latency_ms: Annotated[float, Meta(description="Look-ahead and buffering, without computing time.")]
    receptive_field_ms: Annotated[float | None, Meta(description="Null where it is unbounded (recurrent state).")]
    hop_ms: Annotated[int, Meta(description="Time between two runs of the model.")]
    provider: str
    latency_ms: Annotated[int | None, Meta(description="Deadline of the final revision; null where rows come once.")]


class StreamEntry(msgspec.Struct, kw_only=True):
    """One line of audio."""

    name: str
    rate: int
    epoch_ns: Annotated[int, Meta(description="Wall time of sample 0 (ns since 1970); 0 before the first sample.")]
    source: str
    state: str
    detail: str
    demo: Annotated[bool, Meta(description="A recording that ships with the project, not what can be heard here.")]
    priority: int
    packs: list[str]
    push: Annotated[bool, Meta(description="Takes its samples from a client.")]
    test: Annotated[bool, Meta(description="The self-test's stream: nothing that is heard on it is real.")]


class Hello(Message, tag="hello"):
    """First message of a connection."""

    protocol: str
    version: str
    instance: Annotated[str, Meta(description="Another one means that the daemon was restarted.")]
    seq: Seq
    oldest_seq: Annotated[int, Meta(description="Everything from this number on can be replayed with `since`.")]
    streams: list[StreamEntry]
    packs: list[PackEntry]
    no_audio: Annotated[str, Meta(description="Why `audio` cannot be had on this connection; empty where it can.")] = ""


class Scores(Message, tag="scores"):
    """Score rows of one pack on consecutive frames of one stream."""

    stream: str
    pack: str
    seq: Seq
    first_frame: Frame20
    count: int
    labels: Annotated[list[str], Meta(description="Ids of the columns; with top_k, best first.")]
    rows: Annotated[list[list[float]], Meta(description="count rows of one probability for each label.")]
    final: Annotated[bool, Meta(description="False: a revision of these frames follows.")]
    captured_ns: Annotated[int, Meta(description="Wall time (ns) of the newest sample that the last row rests on.")]
    decided_ns: Ns
    sent_ns: Ns


class Event(Message, tag="event"):
    """An event opened, goes on or closed."""

    stream: str
    pack: str
    seq: Seq
    id: str
    label: str
    stage: Literal["open", "update", "close"]
    onset_frame: Frame20
    offset_frame: Annotated[int | None, Meta(description="One past the last active frame; null while it lasts.")]
    peak: float
    mean: float
    onset_ns: Ns
    offset_ns: int | None
    captured_ns: Ns
    decided_ns: Ns
    sent_ns: Ns


class Gap(Message, tag="gap"):
    """Samples first_sample to last_sample, both included, have no scores."""

    stream: str
    seq: Seq
    first_sample: int
    last_sample: int
    reason: str


class Status(Message, tag="status"):
    """Something to know about a stream, or about a pack on it."""

    stream: str
    pack: str
    state: str
    detail: str
    seq: Seq


class Lagged(Message, tag="lagged"):
    """Messages that this subscriber will not get. Never silent.

    Reasons: `mailbox` (it read too slowly; dropped = score rows), `replay` (no longer held; dropped = things published,
    of any kind), `restart` (`since` belongs to an earlier start of the daemon; what this one holds follows).
    """

    seq: Seq
    from_seq: int
    to_seq: int
    dropped: int
    reason: Literal["mailbox", "replay", "restart"]


class Error(Message, tag="error"):
    """A message of the client was refused; the connection stays, and so does its former subscription."""

    code: Literal["bad-message", "bad-subscription", "bad-push"]
    message: str


class ChannelPack(msgspec.Struct, kw_only=True):
    """A pack of a subscription and its label ids, the columns of its rows unless top_k or min_prob picks some."""

    name: str
    labels: list[str]


class Subscribed(Message, tag="subscribed"):
    """Answer to `subscribe`: what is in force now."""

    seq: Seq
    channel: int
    tier: Tier
    encoding: Encoding
    final: Revision
    top_k: int | None
    min_prob: float
    picture: bool
    audio: str | None
    streams: list[str]
    packs: list[ChannelPack]
    since: Annotated[int | None, Meta(description="Replay begins after this number; null: live from now on.")]


class Pushing(Message, tag="pushing"):
    """Answer to `push`: binary messages may follow."""

    stream: str
    rate: int
    format: PcmFormat


class Subscribe(Message, tag="subscribe", forbid_unknown_fields=True):
    """Says what to send. A later one takes the place of the former.

    Left out means all. `labels` takes ids and `group:NAME`; `groups` adds whole groups. Events are filtered by stream,
    pack and label, never by probability; gaps and statuses by stream.
    """

    streams: Names | None = None
    packs: Names | None = None
    labels: Names | None = None
    groups: Names | None = None
    top_k: Annotated[int, Meta(ge=1, le=65535)] | None = None
    """The k best labels over the message's rows; hidden labels only where `labels` or `groups` names them."""
    min_prob: Probability = 0.0
    """Labels whose best row lies below are left out; a message left with none is still sent, as a sign of life."""
    tier: Tier = "batch"
    encoding: Encoding = "json"
    since: Annotated[int, Meta(ge=0)] | None = None
    instance: str | None = None
    final: Revision = "all"
    """`final`: settled rows; `provisional`: each row once, as early as it is known; `all`: both."""
    picture: bool = False
    """Levels and spectrum columns of each stream as well, in binary messages of their own."""
    audio: str | None = None
    """The live sound of this stream as well, in binary messages of its own, for who may listen."""


class Push(Message, tag="push", forbid_unknown_fields=True):
    """Announces samples for a `push` stream. Binary messages follow: u64 index of the first sample, then mono PCM."""

    stream: str
    rate: int
    channels: int = 1
    format: PcmFormat = "s16le"


ServerMessage = Hello | Scores | Event | Gap | Status | Lagged | Error | Subscribed | Pushing
ClientMessage = Subscribe | Push
SERVER_MESSAGES = (Hello, Subscribed, Scores, Event, Gap, Status, Lagged, Error, Pushing)
CLIENT_MESSAGES = (Subscribe, Push)

_encoder = msgspec.json.Encoder()
_server_decoder: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)
_client_decoder: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)


def encode(message: Message) -> bytes:
    """JSON text, UTF-8."""
    return _encoder.encode(message)


def rounded(rows: F32) -> list[list[float]]:
    """Probabilities as short JSON numbers: (frames, classes) to six decimals."""
    return cast(list[list[float]], rows.astype(np.float64).round(DECIMALS).tolist())


def decode_server(text: bytes | str) -> ServerMessage:
    """A server's JSON message. Unknown fields are ignored, so that an older client reads a newer server."""
    try:
        return _server_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServeError(f"the server sent what is no {PROTOCOL} message: {error}") from None


def decode_client(text: bytes | str) -> ClientMessage:
    """A client's JSON message. Raises `ServeError`, one sentence, with the nearest name for an unknown field."""
    try:
        return _client_decoder.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServeError(explain(error, [f for kind in CLIENT_MESSAGES for f in kind.__struct_fields__])) from None


def explain(error: Exception, fields: list[str]) -> str:
    """One sentence for a message or query that does not fit, with the nearest of `fields` for an unknown one."""
    text = str(error)
    if unknown := re.search(r"unknown field `(.*?)`", text):
        return f"unknown field '{unknown[1]}'{nearest(unknown[1], fields)}"
    return text[:1].lower() + text[1:]


def nearest(word: str, known: list[str]) -> str:
    """`; did you mean 'x'?`, or an empty text."""
    close = get_close_matches(word, known, n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def text_frame(data: bytes) -> bytes:
    """A websocket frame from server to client, ready for any number of transports."""
    return Frame(Opcode.TEXT, data).serialize(mask=False)


def binary_frame(data: bytes) -> bytes:
    """As `text_frame`, for the binary form."""
    return Frame(Opcode.BINARY, data).serialize(mask=False)


_HEADER = struct.Struct("<2sBBBxHHHH2xI4xQqqqq")
_MAGIC = b"SC"
_FINAL, _INDEXED = 1, 2


@dataclass(frozen=True, slots=True)
class BinaryScores:
    """Decoded binary form. rows: (count, classes) float32; columns: label indexes into the pack, or None.

    stream, pack: indexes into the lists of `hello`. channel: as in `subscribed`.
    """

    stream: int
    pack: int
    channel: int
    seq: int
    first_frame: int
    final: bool
    captured_ns: int
    decided_ns: int
    sent_ns: int
    rows: F32
    columns: tuple[int, ...] | None = None


def encode_binary(scores: BinaryScores, encoding: Encoding) -> bytes:
    """The layout at the top of this module; `encoding` is `f16` or `u8`."""
    values: npt.NDArray[np.float16] | npt.NDArray[np.uint8]
    if encoding == "f16":
        code, values = 1, scores.rows.astype("<f2")
    else:
        code, values = 2, (scores.rows * 255).round().astype(np.uint8)
    count, classes = scores.rows.shape
    flags = (_FINAL if scores.final else 0) | (_INDEXED if scores.columns is not None else 0)
    header = _HEADER.pack(
        _MAGIC, 1, code, flags, count, classes, scores.stream, scores.pack, scores.channel, scores.seq,
        scores.first_frame, scores.captured_ns, scores.decided_ns, scores.sent_ns,
    )  # fmt: skip
    columns = b"" if scores.columns is None else np.asarray(scores.columns, dtype="<u2").tobytes()
    return header + columns + values.tobytes()


def decode_binary(data: bytes) -> BinaryScores:
    """Inverse of `encode_binary`. Raises `ServeError` where the data are not such a message."""
    if len(data) < _HEADER.size or data[:3] != _MAGIC + b"\x01" or data[3] not in (1, 2):
        raise ServeError(f"{len(data)} bytes are no binary score message of {PROTOCOL}")
    _, _, code, flags, count, classes, stream, pack, channel, seq, first, captured, decided, sent = _HEADER.unpack_from(
        data
    )
    at = _HEADER.size
    columns: tuple[int, ...] | None = None
    width = 2 if code == 1 else 1
    extra = 2 * classes if flags & _INDEXED else 0
    if len(data) != at + extra + count * classes * width:
        raise ServeError(f"a binary score message of {count} x {classes} values cannot have {len(data)} bytes")
    if flags & _INDEXED:
        columns = tuple(np.frombuffer(data, "<u2", classes, at).tolist())
    raw = np.frombuffer(data, "<f2" if code == 1 else np.uint8, count * classes, at + extra)
    rows = raw.astype(np.float32).reshape(count, classes)
    if code == 2:
        rows /= np.float32(255)
    return BinaryScores(
        stream, pack, channel, seq, first, bool(flags & _FINAL), captured, decided, sent, rows, columns
    )  # fmt: skip
