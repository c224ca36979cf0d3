"""Subscriptions: a client's wish made exact, and the channel that encodes for all clients with the same one."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, cast

import msgspec
import numpy as np
import numpy.typing as npt

from streamclf.errors import ServeError
from streamclf.protocol import packed, wire
from streamclf.serve.framing import binary_frame, text_frame
from streamclf.serve.info import PackInfo
from streamclf.serve.mailbox import Outgoing
from streamclf.serve.published import Item, RowSlice, RowTrack
from streamclf.types import F32

GROUP_PREFIX = "group:"
# JSON of 521 to 6,522 labels costs 57 to 553 us a row and subscription; of YAMNet's 521 some ten reach a hundredth
_SPARSE_ABOVE, _SPARSE_MIN_PROB = 100, 0.01


class FrameWriter(Protocol):
    """What takes websocket frames at once: a transport."""

    def is_closing(self) -> bool:
        """Whether nothing may be written any more."""
        ...

    def write(self, frame: bytes) -> None:
        """Take a frame; must not block and must not raise."""


class Recipient(Protocol):
    """What the hub delivers to."""

    def deliver(self, message: Outgoing) -> None:
        """Take a message that everybody on the channel gets; must not block and must not raise."""

    def show(self, frame: bytes) -> bool:
        """Send a websocket frame that is worth nothing later, or leave it; must not block and must not raise.

        Returns whether it was sent.
        """

    def control(self, message: wire.Message) -> None:
        """Take a message that is for it alone, now or in its turn; must not block and must not raise."""

    def moved(self, channel: "Channel", answer: wire.Subscribed) -> None:
        """Sit on another channel from now on, for a pack has other labels; must not raise."""


@dataclass(frozen=True, slots=True)
class PackWish:
    """Columns of a pack's rows (None: all) and whether its events are filtered by label as well.

    min_prob: of those columns, the ones whose best row lies below are left out of a message.
    """

    name: str
    columns: tuple[int, ...] | None
    filtered: bool
    min_prob: float


@dataclass(frozen=True, slots=True)
class Spec:
    """A subscription without what differs between two clients that get the same messages."""

    streams: tuple[str, ...]
    packs: tuple[PackWish, ...]
    tier: wire.Tier
    encoding: wire.Encoding
    final: wire.Revision
    top_k: int | None
    min_prob: float | None
    picture: bool
    audio: str | None


def resolve(
    wish: wire.Subscribe, streams: Sequence[str], packs: Mapping[str, PackInfo], *, strict: bool = True
) -> Spec:
    """Make a wish exact. Raises `ServeError` for a name that nothing has, with the nearest that something has.

    strict: else a label or group that nothing has is as good as one that is never heard.
    """
    chosen = [packs[name] for name in _known("pack", wish.packs, list(packs))]
    named = wish.labels is not None or wish.groups is not None
    ids, groups = _names(wish)
    if strict:
        _known("label", sorted(ids), [label.id for pack in chosen for label in pack.labels])
        _known("group", sorted(groups), list(dict.fromkeys(label.group for pack in chosen for label in pack.labels)))
    scores = wish.tier != "events"
    wishes = []
    for pack in chosen:
        columns: tuple[int, ...] | None = None
        if named:
            columns = tuple(i for i, label in enumerate(pack.labels) if label.id in ids or label.group in groups)
            if not columns:
                continue
        elif wish.top_k is not None and scores:
            columns = tuple(i for i, label in enumerate(pack.labels) if not label.hidden)
        count = len(pack.labels) if columns is None else len(columns)
        wishes.append(PackWish(pack.name, columns, named, _min_prob(wish, count) if scores else 0.0))
    return Spec(
        streams=tuple(_known("stream", wish.streams, list(streams))),
        packs=tuple(wishes),
        tier=wish.tier,
        encoding=wish.encoding if scores else "json",
        final=wish.final if scores else "all",
        top_k=wish.top_k if scores else None,
        min_prob=wish.min_prob if scores else 0.0,
        picture=wish.picture,
        audio=None if wish.audio is None else _known("stream", [wish.audio], list(streams))[0],
    )


def _min_prob(wish: wire.Subscribe, labels: int) -> float:
    """In force for a pack of which that many labels are sent."""
    if wish.min_prob is not None:
        return wish.min_prob
    return _SPARSE_MIN_PROB if labels > _SPARSE_ABOVE and wish.top_k is None else 0.0


def _names(wish: wire.Subscribe) -> tuple[set[str], set[str]]:
    labels = wish.labels or []
    ids = {label for label in labels if not label.startswith(GROUP_PREFIX)}
    groups = {label.removeprefix(GROUP_PREFIX) for label in labels if label.startswith(GROUP_PREFIX)}
    return ids, groups | set(wish.groups or [])


def _known(kind: str, wanted: Sequence[str] | None, known: list[str]) -> list[str]:
    if wanted is None:
        return known
    for name in wanted:
        if name not in known:
            hint = wire.nearest(name, known) or f"; there are {', '.join(known[:8]) or 'none'}"
            raise ServeError(f"there is no {kind} '{name[:80]}' here{hint}")
    return [name for name in known if name in wanted]


class _Walk(NamedTuple):
    """Whom a message goes to: the sinks' `is_closing` and `write`, and those that have none open."""

    sinks: tuple[tuple[Callable[[], bool], Callable[[bytes], None]], ...]
    others: tuple[Recipient, ...]


class Selection:
    """Columns of one pack on one channel. labels: ids of the columns, in order. min_prob: as in `PackWish`."""

    def __init__(self, wish: PackWish, pack: PackInfo) -> None:
        self.columns: npt.NDArray[np.intp] | None = None
        self.min_prob = wish.min_prob
        self.labels = [label.id for label in pack.labels]
        if wish.columns is not None:
            self.columns = np.array(wish.columns, dtype=np.intp)
            self.labels = [self.labels[i] for i in wish.columns]
        self.events = frozenset(self.labels) if wish.filtered else None
        # the list of labels is the longest part of most messages and always the same
        self.labels_json = cast(list[str], msgspec.Raw(msgspec.json.encode(self.labels)))


class Channel:
    """One distinct subscription: encodes a message once for all its recipients. number: its name on the wire.

    Most recipients take what they are given at once; of those the channel keeps the bound methods of their sinks, and
    asks nothing else for each message. The others get it by `deliver` and decide for themselves.
    """

    def __init__(self, number: int, spec: Spec, packs: Mapping[str, PackInfo]) -> None:
        self.number = number
        self.spec = spec
        self.recipients: dict[Recipient, None] = {}
        self.written = 0
        """Bytes given to each sink that has been open since the channel's beginning."""
        self._open: dict[Recipient, tuple[Callable[[], bool], Callable[[bytes], None]]] = {}
        self._walk: _Walk | None = None  # None: somebody came, went or changed since the last message
        self._streams = frozenset(spec.streams)
        self._selections = {wish.name: Selection(wish, packs[wish.name]) for wish in spec.packs}

    def join(self, recipient: Recipient) -> None:
        """Deliver to `recipient` as well, by its own `deliver` until it opens a sink."""
        self.recipients[recipient] = None
        self._walk = None

    def leave(self, recipient: Recipient) -> None:
        """Deliver to `recipient` no more."""
        del self.recipients[recipient]
        self._open.pop(recipient, None)
        self._walk = None

    def open(self, recipient: Recipient, sink: FrameWriter) -> None:
        """Messages to `recipient` go straight into `sink` from now on."""
        self._open[recipient] = sink.is_closing, sink.write
        self._walk = None

    def shut(self, recipient: Recipient) -> None:
        """Messages go to its `deliver` again; also while one is being delivered."""
        self._open.pop(recipient, None)
        self._walk = None

    def deliver(self, message: Outgoing) -> None:
        """To all recipients, the same bytes. A sink that is closing is passed over."""
        if self._walk is None:
            self._walk = _Walk(
                tuple(self._open.values()), tuple(each for each in self.recipients if each not in self._open)
            )
        sinks, others = self._walk  # as they are now: who becomes full by this very message has had it
        frame = message.frame
        self.written += len(frame)
        for is_closing, write in sinks:
            if not is_closing():
                write(frame)
        for recipient in others:
            recipient.deliver(message)

    def show(self, frame: bytes) -> int:
        """Send a websocket frame that is worth nothing later to all recipients. Returns how many could not take it."""
        return sum(not recipient.show(frame) for recipient in self.recipients)

    def answer(self, *, seq: int, since: int | None) -> wire.Subscribed:
        """The acknowledgement."""
        spec = self.spec
        return wire.Subscribed(
            seq=seq,
            channel=self.number,
            tier=spec.tier,
            encoding=spec.encoding,
            final=spec.final,
            top_k=spec.top_k,
            min_prob=spec.min_prob,
            picture=spec.picture,
            audio=spec.audio,
            streams=list(spec.streams),
            packs=[
                wire.ChannelPack(name=name, labels=s.labels, min_prob=s.min_prob)
                for name, s in self._selections.items()
            ],
            since=since,
        )

    def takes(self, track: RowTrack, *, has_provisional: bool) -> bool:
        """Whether rows of `track` are wanted. has_provisional: its rows also come, earlier, as provisional ones."""
        if self.spec.tier == "events" or track.stream not in self._streams or track.pack not in self._selections:
            return False
        if self.spec.final == "final":
            return track.final
        return self.spec.final == "all" or not (track.final and has_provisional)

    def takes_item(self, item: Item) -> bool:
        """Whether the event, gap or status is wanted."""
        if item.stream and item.stream not in self._streams:
            return False
        if not item.pack:
            return True
        selection = self._selections.get(item.pack)
        if selection is None:
            return False
        return not item.label or selection.events is None or item.label in selection.events

    def encode(self, part: RowSlice, *, sent_ns: int) -> Outgoing:
        """A score message as a websocket frame."""
        group = part.group
        track = group.track
        selection = self._selections[track.pack]
        rows = group.rows[part.start : part.stop]
        if selection.columns is not None:
            rows = rows[:, selection.columns]
        picked = None
        if self.spec.top_k is not None or selection.min_prob > 0:
            picked = self._pick(rows, selection.min_prob)
            rows = rows[:, picked]
        seq, decided_ns = group.seqs[part.stop - 1], group.decided_ns[part.stop - 1]
        if self.spec.encoding == "json":
            labels = selection.labels_json if picked is None else [selection.labels[i] for i in picked.tolist()]
            message = wire.Scores(
                stream=track.stream,
                pack=track.pack,
                seq=seq,
                first_frame=group.first_frame + part.start,
                count=part.stop - part.start,
                labels=labels,
                rows=wire.rounded(rows),
                final=track.final,
                captured_ns=group.captured_ns[part.stop - 1],
                decided_ns=decided_ns,
                sent_ns=sent_ns,
            )
            frame = text_frame(wire.encode(message))
        else:
            if picked is not None and selection.columns is not None:
                picked = selection.columns[picked]
            binary = packed.BinaryScores(
                stream=track.stream_index,
                pack=track.pack_index,
                channel=self.number,
                seq=seq,
                first_frame=group.first_frame + part.start,
                final=track.final,
                captured_ns=group.captured_ns[part.stop - 1],
                decided_ns=decided_ns,
                sent_ns=sent_ns,
                rows=rows,
                columns=None if picked is None else tuple(picked.tolist()),
            )
            frame = binary_frame(packed.encode_binary(binary, self.spec.encoding))
        return Outgoing(frame, part.place, group.seqs[part.start], seq, part.stop - part.start, decided_ns)

    def _pick(self, rows: F32, min_prob: float) -> npt.NDArray[np.intp]:
        best = rows[0] if len(rows) == 1 else rows.max(axis=0)
        keep: npt.NDArray[np.intp] = (best >= np.float32(min_prob)).nonzero()[0]
        if self.spec.top_k is not None:
            keep = keep[np.argsort(-best[keep], kind="stable")[: self.spec.top_k]]
        return keep
