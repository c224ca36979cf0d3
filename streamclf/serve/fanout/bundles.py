"""What travels from a daemon to its gateways: each thing that its hub numbered, packed so that another hub repeats it.

An *entry* is one such thing with the number before it. Entries travel in *bundles*, MessagePack arrays. A `Facts` entry
says all that `hello` tells: a gateway can begin at any of them, so one comes every few seconds.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence

import msgspec
import numpy as np

from streamclf.clock import StreamClock, hop_of
from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.sensitivity import Sensitivity
from streamclf.serve.info import PackInfo, StreamInfo
from streamclf.types import (
    Event,
    FrameScores,
    Gap,
    Label,
    Levels,
    LoudnessMinute,
    OtherLabels,
    Output,
    Picture,
    Shape,
    Status,
    StreamState,
)

MAX_ROW_BYTES = 128 * 1024  # of an entry; nats-server takes messages of 1 MiB unless it is told otherwise
MAX_NUMBERS = 1023
"""In a bundle: a gateway of many sites counts bundles, and what is in one of them up to here."""
_FLOAT = "<f4"


class Entry(msgspec.Struct, array_like=True, tag=True, frozen=True):
    """seq: the number before it, as the daemon's hub counts. decided_ns: wall time of the decision."""

    seq: int
    decided_ns: int


class SentStream(msgspec.Struct, array_like=True, frozen=True):
    """See `StreamInfo`. epoch_ns: None where its clock has not started."""

    name: str
    rate: int
    epoch_ns: int | None
    source: str
    demo: bool
    push: bool
    test: bool
    priority: int
    packs: tuple[str, ...]
    state: StreamState
    detail: str


class SentPack(msgspec.Struct, array_like=True, frozen=True):
    """See `PackInfo`. labels: compressed MessagePack."""

    name: str
    version: str
    digest: str
    shape: Shape
    labels: bytes
    exclusive: bool
    window_ms: float
    look_ahead_ms: float
    algorithmic_latency_ms: float
    receptive_field_ms: float | None
    hop_ms: int
    provider: str
    latency_ms: int | None
    problem: str
    sensitivity: Sensitivity


class Facts(Entry, array_like=True, tag=True, frozen=True):
    """All that `hello` tells, as things stand behind number `seq`."""

    replay_seconds: int
    streams: tuple[SentStream, ...]
    packs: tuple[SentPack, ...]


class NumberedRows(Entry, array_like=True, tag=True, frozen=True):
    """Score rows. rows: float32, little-endian. epoch_ns: of the stream's clock."""

    stream: str
    pack: str
    first_frame: int
    final: bool
    newest_sample: int
    epoch_ns: int
    count: int
    rows: bytes


class Happened(Entry, array_like=True, tag=True, frozen=True):
    """A stage of an event. captured_ns: of the newest row of its pack; None before the first."""

    event: Event
    epoch_ns: int
    captured_ns: int | None


class Missing(Entry, array_like=True, tag=True, frozen=True):
    """A gap."""

    gap: Gap


class Stated(Entry, array_like=True, tag=True, frozen=True):
    """A status."""

    status: Status


class Minute(Entry, array_like=True, tag=True, frozen=True):
    """How loud a minute was."""

    minute: LoudnessMinute


class DrawnColumns(Entry, array_like=True, tag=True, frozen=True):
    """Spectrum columns. rms, peak: float32, little-endian."""

    stream: str
    first_frame: int
    rms: bytes
    peak: bytes
    columns: bytes
    high_hz: float


class Relabelling(Entry, array_like=True, tag=True, frozen=True):
    """A pack has other labels, or is new: as it is now."""

    pack: SentPack


class Announced(Entry, array_like=True, tag=True, frozen=True):
    """A message for everybody, such as a mark: JSON of the protocol."""

    message: bytes


class Ended(Entry, array_like=True, tag=True, frozen=True):
    """The daemon stopped: nothing follows."""


AnyEntry = Facts | NumberedRows | Happened | Missing | Stated | Minute | DrawnColumns | Relabelling | Announced | Ended


class Bundle(msgspec.Struct, array_like=True, frozen=True):
    """Entries in order. run: the daemon's start, as in `hello`."""

    run: str
    entries: tuple[AnyEntry, ...]

    @property
    def ends(self) -> bool:
        """Whether the daemon says that it stops."""
        return any(isinstance(entry, Ended) for entry in self.entries)


class _RawBundle(msgspec.Struct, array_like=True, frozen=True):
    run: str
    entries: tuple[msgspec.Raw, ...]


def pack_bundle(run: str, entries: Sequence[bytes]) -> bytes:
    """entries: as `pack_entry` gives them."""
    return msgspec.msgpack.encode(_RawBundle(run, tuple(msgspec.Raw(entry) for entry in entries)))


def unpack_bundle(data: bytes) -> Bundle:
    """Raises `ServeError` for what is not one."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as fault:
        raise ServeError(f"what came is no bundle of a daemon of this version ({fault})") from None


def _plain(value: object) -> object:
    """Numbers that numpy made are sent as numbers."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be sent")


_encoder = msgspec.msgpack.Encoder(enc_hook=_plain)
_decoder = msgspec.msgpack.Decoder(Bundle)
_said: msgspec.json.Decoder[wire.Marked | wire.Taught] = msgspec.json.Decoder(wire.Marked | wire.Taught)


def pack_entry(entry: AnyEntry) -> bytes:
    """MessagePack."""
    return _encoder.encode(entry)


def entries_of(
    seq: int,
    thing: Output | wire.Marked | wire.Taught | None,
    decided_ns: int,
    *,
    streams: Mapping[str, StreamInfo],
    packs: Mapping[str, PackInfo],
    captured_ns: Mapping[tuple[str, str], int],
) -> Iterator[AnyEntry]:
    """What to send of a thing that the hub has just published; nothing of what gateways do not pass on.

    seq, thing, decided_ns: as `Hub.on_numbered` is given them. captured_ns: by stream and pack, of the newest rows.
    """
    if thing is None:
        yield Ended(seq, decided_ns)
    elif isinstance(thing, FrameScores):
        yield from _rows(seq, thing, decided_ns, streams[thing.stream])
    elif isinstance(thing, Event):
        epoch_ns = streams[thing.stream].clock.epoch_ns
        yield Happened(seq, decided_ns, thing, epoch_ns, captured_ns.get((thing.stream, thing.pack)))
    elif isinstance(thing, Gap):
        yield Missing(seq, decided_ns, thing)
    elif isinstance(thing, Status):
        yield Stated(seq, decided_ns, thing)
    elif isinstance(thing, LoudnessMinute):
        yield Minute(seq, decided_ns, thing)
    elif isinstance(thing, Picture):
        levels = thing.levels
        rms, peak = levels.rms.astype(_FLOAT).tobytes(), levels.peak.astype(_FLOAT).tobytes()
        columns = thing.columns.tobytes()
        yield DrawnColumns(seq, decided_ns, levels.stream, levels.first_frame, rms, peak, columns, thing.high_hz)
    elif isinstance(thing, OtherLabels):
        yield Relabelling(seq, decided_ns, sent_pack(packs[thing.pack]))
    elif isinstance(thing, wire.Marked | wire.Taught):
        yield Announced(seq, decided_ns, wire.encode(thing))


def _rows(seq: int, scores: FrameScores, decided_ns: int, info: StreamInfo) -> Iterator[NumberedRows]:
    """In pieces that NATS takes. Each rests on the sound up to its own last row, which is where the whole has it."""
    rows = np.ascontiguousarray(scores.rows, dtype=_FLOAT)
    most = min(MAX_NUMBERS, max(1, MAX_ROW_BYTES // max(1, rows[:1].nbytes)))
    hop = hop_of(info.rate)
    for start in range(0, len(rows), most):
        piece = rows[start : start + most]
        behind = len(rows) - start - len(piece)
        yield NumberedRows(
            seq + start,
            decided_ns,
            scores.stream,
            scores.pack,
            scores.first_frame + start,
            scores.final,
            scores.newest_sample - behind * hop,
            info.clock.epoch_ns,
            len(piece),
            piece.tobytes(),
        )


def scores_of(entry: NumberedRows) -> FrameScores:
    """The way back. Raises `ServeError` for rows that are none."""
    try:
        rows = np.frombuffer(entry.rows, dtype=_FLOAT).reshape(entry.count, -1).astype(np.float32)
    except ValueError as fault:
        raise ServeError(f"score rows of {entry.stream} have another shape than they say ({fault})") from None
    return FrameScores(entry.stream, entry.pack, entry.first_frame, rows, entry.final, entry.newest_sample)


def picture_of(entry: DrawnColumns) -> Picture:
    """The way back. Raises `ServeError` for columns that are none."""
    try:
        rms, peak = np.frombuffer(entry.rms, dtype=_FLOAT), np.frombuffer(entry.peak, dtype=_FLOAT)
        columns = np.frombuffer(entry.columns, dtype=np.uint8).reshape(len(rms), -1)
    except ValueError as fault:
        raise ServeError(f"columns of {entry.stream} have another shape than they say ({fault})") from None
    levels = Levels(entry.stream, entry.first_frame, rms.astype(np.float32), peak.astype(np.float32))
    return Picture(levels, columns, entry.high_hz)


def message_of(entry: Announced) -> wire.Marked | wire.Taught:
    """The way back. Raises `ServeError` where it is not such a message."""
    try:
        return _said.decode(entry.message)
    except msgspec.MsgspecError as fault:
        raise ServeError(f"what was said to everybody is no message of this version ({fault})") from None


def sent_stream(info: StreamInfo) -> SentStream:
    """As things stand."""
    clock = info.clock
    return SentStream(
        info.name,
        info.rate,
        clock.epoch_ns if clock.started else None,
        info.source,
        info.demo,
        info.push,
        info.test,
        info.priority,
        tuple(info.packs),
        info.state,
        info.detail,
    )


def stream_info(facts: SentStream) -> StreamInfo:
    """The way back."""
    clock = StreamClock(facts.rate, facts.epoch_ns or 0, facts.epoch_ns is not None)
    return StreamInfo(
        facts.name,
        facts.rate,
        clock,
        facts.source,
        demo=facts.demo,
        push=facts.push,
        test=facts.test,
        priority=facts.priority,
        packs=list(facts.packs),
        state=facts.state,
        detail=facts.detail,
    )


_packed: dict[str, tuple[tuple[Label, ...], bytes]] = {}  # by pack: thousands of labels are not packed anew each time


def sent_pack(info: PackInfo) -> SentPack:
    """As things stand."""
    labels, packed = _packed.get(info.name, ((), b""))
    if labels is not info.labels or not packed:
        packed = zlib.compress(msgspec.msgpack.encode(info.labels))
        _packed[info.name] = info.labels, packed
    values = {name: getattr(info, name) for name in SentPack.__struct_fields__}
    return SentPack(**{**values, "labels": packed})


def pack_info_of(fact: SentPack) -> PackInfo:
    """The way back. Raises `ServeError` for labels that are none."""
    values = {name: getattr(fact, name) for name in SentPack.__struct_fields__}
    return PackInfo(**{**values, "labels": labels_of(fact)})


def labels_of(fact: SentPack) -> tuple[Label, ...]:
    """Raises `ServeError` for labels that are none."""
    try:
        return msgspec.msgpack.decode(zlib.decompress(fact.labels), type=tuple[Label, ...])
    except (zlib.error, msgspec.MsgspecError) as fault:
        raise ServeError(f"the labels of {fact.name} cannot be read ({fault})") from None
