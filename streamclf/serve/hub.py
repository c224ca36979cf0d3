"""The hub: takes what the engine decided, numbers it, keeps it for replay, hands it to subscribers. No I/O, no clock.

Rows, events, gaps and statuses come in through `publish`, in order; levels are not for subscribers and passed over.
Each gets the next sequence number. Subscribers with the same wish share a channel (channels.py), where a message is
encoded once and delivered as the same bytes to all. A subscriber that cannot take it keeps it in its own mailbox
(mailbox.py); one that has fallen behind, or comes back with `since`, reads from the replay ring (catchup.py) until it
has caught up. All of it runs on the thread of the event loop.
"""

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from streamclf import __version__, metrics
from streamclf.clock import NS_PER_FRAME
from streamclf.engine.segment import Ending
from streamclf.protocol import wire
from streamclf.serve.catchup import ReplayRing, vital
from streamclf.serve.channels import Channels
from streamclf.serve.info import PackInfo, StreamInfo
from streamclf.serve.mailbox import Outgoing
from streamclf.serve.ondemand import OnDemand
from streamclf.serve.replay import Item, Items, RowTrack, place_before, place_of
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
    StreamState,
)

__all__ = ["Grant", "Hub", "PackInfo", "StreamInfo"]

_OF_PACKS = (StreamState.PACK_PROBLEM, StreamState.PACK_BACK)


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
        self.streams = {stream.name: stream for stream in streams}
        self.packs = {pack.name: pack for pack in packs}
        self.instance = instance or secrets.token_hex(8)
        self.lossless = lossless
        self.metered = True
        """Whether what is published counts for /metrics: of a hub that repeats another one here it does not."""
        self.seq = 0
        self.scored: dict[tuple[str, str], int] = {}
        """(stream, pack) -> the newest sample that a row rests on."""
        self.coming: dict[str, PackInfo] = {}
        """Packs that are told of with their first labels."""
        self.gaps: dict[str, int] = {}
        """stream -> gaps told so far."""
        self.minutes: dict[str, LoudnessMinute] = {}
        """stream -> how loud its newest whole minute was."""
        self._on_subscribe = on_subscribe
        self._ring = ReplayRing(self.streams, self.packs, seconds=replay_seconds)
        self._channels = Channels(list(self.streams), self.packs)
        self.captured_ns: dict[tuple[str, str], int] = {}
        """(stream, pack) -> when (ns) the newest sound was captured that a row rests on."""
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

    def runs_every(self, pack: str, hop_ms: int) -> None:
        """From any thread: that is the time between two runs of `pack` from now on."""
        self.packs[pack].hop_ms = hop_ms

    def runs_on(self, pack: str, provider: str) -> None:
        """From any thread: `pack` has a new session, on that provider."""
        self.packs[pack].provider = provider

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
            self.minutes[output.stream] = output
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
        rows, key = scores.rows, (scores.stream, scores.pack)
        self.scored[key] = scores.newest_sample
        newest_ns = self.streams[scores.stream].clock.ns_of_sample(scores.newest_sample)
        self.captured_ns[key] = newest_ns
        channels = [c for c in self._channels if c.spec.tier == "frame" and self._ring.wanted(c, track)]
        if self.metered:
            metrics.frames_of(*key).inc(len(rows))
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
        clock = self.streams[event.stream].clock
        onset_ns = clock.ns_of_frame(event.onset_frame)
        offset_ns = None if event.offset_frame is None else clock.ns_of_frame(event.offset_frame)
        if event.stage is Stage.CLOSE:
            self._lasting.pop(event.id, None)
        else:
            self._lasting[event.id] = event
        if self.metered:
            metrics.EVENTS.labels(event.stream, event.pack, event.stage.value).inc()
        self.seq += 1
        message = wire.Event(
            stream=event.stream,
            pack=event.pack,
            seq=self.seq,
            id=event.id,
            label=event.label,
            stage=event.stage.value,
            onset_frame=event.onset_frame,
            offset_frame=event.offset_frame,
            peak=round(event.peak, wire.DECIMALS),
            mean=round(event.mean, wire.DECIMALS),
            onset_ns=onset_ns,
            offset_ns=offset_ns,
            captured_ns=self.captured_ns.get((event.stream, event.pack), offset_ns or onset_ns),
            decided_ns=decided_ns,
            sent_ns=self._sent_ns,
            ended_by=event.ended_by,
        )
        self._publish_item(Item(place_of(self.seq), event.stream, event.pack, event.label, message))

    def _publish_gap(self, gap: Gap) -> None:
        self.gaps[gap.stream] = self.gaps.get(gap.stream, 0) + 1
        if self.metered:
            metrics.GAPS.labels(gap.stream, gap.reason).inc()
            metrics.LOST_SAMPLES.labels(gap.stream, gap.reason).inc(gap.last_sample - gap.first_sample + 1)
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
        stream = self.streams.get(status.stream)
        if stream is not None:
            self._close_stream(status.stream)
            if not status.pack and status.state.of_stream:
                stream.state = status.state.settled
                stream.detail = status.detail
        if status.pack in self.packs and status.state in _OF_PACKS:
            # a sentence there must be: an empty one would mean that all is well
            wrong = status.state is StreamState.PACK_PROBLEM
            self.packs[status.pack].problem = (status.detail or status.state.meaning.what) if wrong else ""
        message = wire.Status(
            stream=status.stream, pack=status.pack, state=status.state, detail=status.detail, seq=self.seq
        )
        self._publish_item(Item(place_of(self.seq), status.stream, status.pack, "", message))

    def _relabel(self, other: OtherLabels) -> None:
        self.seq += 1
        for number, track in enumerate(t for t in self._ring.tracks.values() if t.pack == other.pack):
            self._close(track, place_before(self.seq, number))
        info = self.packs.get(other.pack) or self.coming.pop(other.pack)
        before = {label.id: column for column, label in enumerate(info.labels)}
        info.labels, info.digest = other.labels, other.digest
        self.packs[other.pack] = info
        self._ring.relabel(other.pack, [before.get(label.id) for label in other.labels])
        # not kept for replay: who comes back has the labels of now from `hello`, and the rows that are held follow them
        message = wire.Relabelled(entry=info.entry(), seq=self.seq)
        for recipient in self._channels.recipients:
            recipient.control(message)
        for recipient, channel in list(self._channels.relabel(other.pack)):
            recipient.moved(channel, channel.answer(seq=self.seq, since=None))

    def tell(self, news: wire.Taught) -> wire.Taught:
        """Number it and tell everybody. Returns what was told."""
        self._tell(news)
        return news

    def _tell(self, news: wire.Marked | wire.Taught) -> None:
        self.seq += 1
        news.seq = self.seq
        self._publish_item(Item(place_of(self.seq), "", "", "", news))
        if self.on_numbered is not None:
            self.on_numbered(self.seq - 1, news, self._sent_ns)

    def publish_mark(self, event: str, mark: wire.Verdict, label: str) -> wire.Marked:
        """Tell everybody what somebody said of a kept event. Fields as in `wire.Mark`. Returns what was told."""
        message = wire.Marked(event=event, mark=mark, label=label, seq=0)
        self._tell(message)
        return message

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
