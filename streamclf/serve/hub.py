"""The hub: takes what the engine decided, numbers it, keeps it for replay, hands it to subscribers. No I/O, no clock.

Rows, events, gaps and statuses come in through `publish`, in order; levels are not for subscribers and passed over.
Each gets the next sequence number; what it tells of a stream or a pack goes into the overview (overview.py).
Subscribers with the same wish share a channel (channels.py), where a message is encoded once and delivered as the same
bytes to all. A subscriber that cannot take it keeps it in its own mailbox (mailbox.py); one that has fallen behind, or
comes back with `since`, reads from the replay ring (catchup.py) until it has caught up. All of it runs on the thread of
the event loop.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

from streamclf import __version__
from streamclf.clock import NS_PER_FRAME
from streamclf.engine.segment import Ending
from streamclf.protocol import wire
from streamclf.serve.catchup import ReplayRing, vital
from streamclf.serve.channels import Channels
from streamclf.serve.info import PackInfo, StreamInfo
from streamclf.serve.mailbox import Outgoing
from streamclf.serve.ondemand import OnDemand
from streamclf.serve.overview import Overview
from streamclf.serve.published import Item, Items, RowTrack, place_before, place_of
from streamclf.serve.subscription import Channel, Recipient
from streamclf.types import (
    Event,
    FrameScores,
    Gap,
    Levels,
    LoudnessMinute,
    OtherLabels,
    Output,
    Picture,
    Sound,
    Stage,
    Status,
)

__all__ = ["Grant", "Hub", "PackInfo", "StreamInfo"]

News = TypeVar("News", bound=wire.Marked | wire.Taught)
"""What people say, which is told to everybody."""


class Grant(NamedTuple):
    """What `subscribe` gave. cursor: place in the replay ring to read on from, None where live is enough."""

    channel: Channel
    cursor: int | None
    answers: list[wire.Message]


class Hub:
    """replay_seconds: score rows kept for each track, at least 60. lossless: who falls behind reads on from the ring.

    In a lossless run (a file as fast as it goes) the producer has to wait while `congested`. on_subscribe: called at
    each subscription. on_picture, on_sound: see `OnDemand`.
    """

    def __init__(
        self,
        *,
        streams: Sequence[StreamInfo],
        packs: Sequence[PackInfo],
        replay_seconds: int = 90,
        lossless: bool = False,
        instance: str | None = None,
        on_subscribe: Callable[[], object] = lambda: None,
        on_picture: Callable[[bool], object] = lambda wanted: None,
        on_sound: Callable[[str, bool], object] = lambda stream, wanted: None,
    ) -> None:
        self.overview = Overview(streams, packs)
        self.streams, self.packs = self.overview.streams, self.overview.packs
        self.instance = instance or secrets.token_hex(8)
        self.lossless = lossless
        self.seq = 0
        self._on_subscribe = on_subscribe
        self._ring = ReplayRing(self.streams, self.packs, seconds=replay_seconds)
        self._channels = Channels(list(self.streams), self.packs)
        self._lasting: dict[str, Event] = {}  # bound: a class of a track has one open event at most
        self._on_demand = OnDemand(
            self.streams, self._channels, frames=self._ring.max_rows, on_picture=on_picture, on_sound=on_sound
        )
        self._sent_ns = 0
        self.on_numbered: Callable[[int, Output | wire.Marked | wire.Taught | None, int], object] | None = None
        """Called behind each thing that was published: the number before it, the thing, and when it was decided (ns).

        None in place of a thing: nothing follows, all groups are closed.
        """

    def hello(self) -> wire.Hello:
        """The first message of a connection, as things stand now."""
        return wire.Hello(
            protocol=wire.PROTOCOL,
            version=__version__,
            instance=self.instance,
            seq=self.seq,
            oldest_seq=self._ring.oldest_seq,
            streams=[stream.entry() for stream in self.streams.values()],
            packs=[pack.entry() for pack in self.packs.values()],
        )

    @property
    def oldest_seq(self) -> int:
        """Everything from this number on is still held."""
        return self._ring.oldest_seq

    @property
    def tracks(self) -> Mapping[tuple[str, str, bool], RowTrack]:
        """The score rows that are held, by stream, pack and whether they are final."""
        return self._ring.tracks

    @property
    def items(self) -> Items:
        """Events, gaps, statuses and marks that are held."""
        return self._ring.items

    @property
    def congested(self) -> bool:
        """Whether a producer that can wait should. Any thread may ask."""
        return self._channels.congested

    @property
    def awaited(self) -> bool:
        """Whether anybody is told what is published here. Any thread may ask."""
        return self._channels.anybody or self.on_numbered is not None

    def presses(self, outputs: Sequence[Output]) -> bool:
        """Whether anybody would be told of these at once; rows in the midst of a group wait for its end. Any thread."""
        if self._channels.by_frame or self.on_numbered is not None:
            return True
        for output in outputs:
            if isinstance(output, FrameScores):
                end = output.first_frame + len(output.rows)
                if end // wire.ROWS_PER_BATCH > output.first_frame // wire.ROWS_PER_BATCH:
                    return True
            elif not isinstance(output, Levels):
                return True
        return False

    # Publishing

    def publish(self, outputs: Sequence[Output], *, decided_ns: int, sent_ns: int) -> None:
        """Number, keep and deliver `outputs`, in order. decided_ns, sent_ns: wall time of the decision and of now."""
        self._sent_ns = sent_ns
        for output in outputs:
            before = self.seq
            self._publish(output, decided_ns)
            if self.on_numbered is not None:
                self.on_numbered(before, output, decided_ns)

    def _publish(self, output: Output, decided_ns: int) -> None:
        if isinstance(output, FrameScores):
            self._publish_rows(output, decided_ns)
        elif isinstance(output, Event):
            self._publish_event(output, decided_ns)
        elif isinstance(output, Gap):
            self._publish_gap(output)
        elif isinstance(output, Picture):
            self._on_demand.picture(output, sent_ns=self._sent_ns)
        elif isinstance(output, Sound):
            self._on_demand.sound(output)
        elif isinstance(output, Status):
            self._publish_status(output)
        elif isinstance(output, LoudnessMinute):
            self.overview.minutes[output.stream] = output
        elif isinstance(output, OtherLabels):
            self._relabel(output)

    def flush(self) -> None:
        """Close all events and groups that are open: the daemon stops, and nothing more will be published."""
        for event in list(self._lasting.values()):
            end = max(event.onset_frame + 1, event.decided_frame)  # where it was last known to go on
            closed = replace(event, stage=Stage.CLOSE, offset_frame=end, ended_by=Ending.STOP)
            self.publish([closed], decided_ns=self._sent_ns, sent_ns=self._sent_ns)
        self._close_all()
        if self.on_numbered is not None:
            self.on_numbered(self.seq, None, self._sent_ns)

    def _close_all(self) -> None:
        for number, track in enumerate(self._ring.tracks.values()):
            self._close(track, place_before(self.seq + 1, number))

    def _publish_rows(self, scores: FrameScores, decided_ns: int) -> None:
        track = self._ring.track(scores)
        rows, newest_ns = scores.rows, self.overview.take_rows(scores)
        channels = [c for c in self._channels if c.spec.tier == "frame" and self._ring.wanted(c, track)]
        for index, row in enumerate(rows):
            self.seq += 1
            frame = scores.first_frame + index
            if not track.continues(frame):
                self._close(track, place_before(self.seq, 0))
            captured_ns = newest_ns - (len(rows) - 1 - index) * NS_PER_FRAME
            track.add(frame, row, seq=self.seq, captured_ns=captured_ns, decided_ns=decided_ns)
            for channel in channels:
                self._channels.deliver(channel, channel.encode(track.newest_part, sent_ns=self._sent_ns))
            if track.full():
                self._close(track, place_of(self.seq))

    def _publish_event(self, event: Event, decided_ns: int) -> None:
        seq = self.seq + 1
        message = self.overview.take_event(event, seq=seq, decided_ns=decided_ns, sent_ns=self._sent_ns)
        if event.stage is Stage.CLOSE:
            self._lasting.pop(event.id, None)
        else:
            self._lasting[event.id] = event
        self.seq = seq
        self._publish_item(Item(place_of(self.seq), event.stream, event.pack, event.label, message))

    def _publish_gap(self, gap: Gap) -> None:
        self.overview.take_gap(gap)
        self.seq += 1
        self._close_stream(gap.stream)
        message = wire.Gap(
            stream=gap.stream,
            seq=self.seq,
            first_sample=gap.first_sample,
            last_sample=gap.last_sample,
            reason=gap.reason,
        )
        self._publish_item(Item(place_of(self.seq), gap.stream, "", "", message))

    def _publish_status(self, status: Status) -> None:
        self.seq += 1
        self.overview.take_status(status)
        if status.stream in self.streams:
            self._close_stream(status.stream)
        message = wire.Status(
            stream=status.stream, pack=status.pack, state=status.state, detail=status.detail, seq=self.seq
        )
        self._publish_item(Item(place_of(self.seq), status.stream, status.pack, "", message))

    def _relabel(self, other: OtherLabels) -> None:
        self.seq += 1
        for number, track in enumerate(t for t in self._ring.tracks.values() if t.pack == other.pack):
            self._close(track, place_before(self.seq, number))
        info, columns = self.overview.relabel(other)
        self._ring.relabel(other.pack, columns)
        # not kept for replay: who comes back has the labels of now from `hello`, and the rows that are held follow them
        message = wire.Relabelled(entry=info.entry(), seq=self.seq)
        for recipient in self._channels.recipients:
            recipient.control(message)
        for recipient, channel in list(self._channels.relabel(other.pack)):
            recipient.moved(channel, channel.answer(seq=self.seq, since=None))

    def tell(self, news: News) -> News:
        """Number it and tell everybody. Returns what was told."""
        self.seq += 1
        news.seq = self.seq
        self._publish_item(Item(place_of(self.seq), "", "", "", news))
        if self.on_numbered is not None:
            self.on_numbered(self.seq - 1, news, self._sent_ns)
        return news

    def publish_mark(self, event: str, mark: wire.Verdict, label: str) -> wire.Marked:
        """Tell everybody what somebody said of a kept event. Fields as in `wire.Mark`. Returns what was told."""
        return self.tell(wire.Marked(event=event, mark=mark, label=label, seq=0))

    def picture(self, stream: str, frame: int) -> bytes:
        """The columns of `stream` that are held and end behind `frame`. Raises KeyError for a name nothing has."""
        return self._on_demand.columns(stream, frame)

    def _publish_item(self, item: Item) -> None:
        self._ring.items.add(item)
        outgoing = vital(item.place, item.message)
        for channel in self._channels:
            if channel.takes_item(item):
                self._channels.deliver(channel, outgoing)

    def _close_stream(self, stream: str) -> None:
        for number, track in enumerate(t for t in self._ring.tracks.values() if t.stream == stream):
            self._close(track, place_before(self.seq, number))

    def _close(self, track: RowTrack, place: int) -> None:
        part = track.close(place)
        if part is None:
            return
        for channel in self._channels:
            if channel.spec.tier == "batch" and self._ring.wanted(channel, track):
                self._channels.deliver(channel, channel.encode(part, sent_ns=self._sent_ns))

    # Subscribing

    def subscribe(self, recipient: Recipient, wish: wire.Subscribe) -> Grant:
        """Put `recipient` on its wish's channel, in place of a former one. Raises `ServeError`; nothing changes then.

        The caller sends the answers, then reads on from the cursor (if any), and drops what `deliver` brings meanwhile.
        """
        channel = self._channels.join(recipient, wish)
        self._on_subscribe()
        self._on_demand.ask()
        if wish.since is None:
            return Grant(channel, None, [channel.answer(seq=self.seq, since=None)])
        elsewhere = wish.instance is not None and wish.instance != self.instance
        if elsewhere or wish.since > self.seq:
            restart = wire.Lagged(seq=0, from_seq=0, to_seq=0, dropped=None, reason="restart")
            return Grant(channel, place_of(0), [channel.answer(seq=self.seq, since=0), restart])
        return Grant(channel, place_of(wish.since), [channel.answer(seq=self.seq, since=wish.since)])

    def detach(self, recipient: Recipient) -> None:
        """Forget `recipient`. Forgets its channel with its last recipient."""
        self._channels.leave(recipient)
        self._on_demand.ask()

    def press(self, recipient: Recipient, full: bool) -> None:
        """`recipient` says whether so much waits for it that a producer that can wait should."""
        self._channels.press(recipient, full)

    def read(
        self, channel: Channel, cursor: int, *, sent_ns: int, max_messages: int = 32, max_bytes: int = 65536
    ) -> tuple[list[Outgoing], int | None]:
        """See `ReplayRing.read`."""
        return self._ring.read(channel, cursor, sent_ns=sent_ns, max_messages=max_messages, max_bytes=max_bytes)
