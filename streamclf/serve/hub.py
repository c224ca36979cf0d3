"""The hub: takes what the engine decided, numbers it, keeps it for replay, hands it to subscribers. No I/O, no clock.

Rows, events, gaps and statuses come in through `publish`, in order; levels are not for subscribers and passed over.
Each gets the next sequence number. Subscribers with the same wish share a channel, where a message is encoded once and
delivered as the same bytes to all. Who cannot take it keeps it in a mailbox of its own (mailbox.py); who has fallen
behind, or comes back with `since`, reads from the replay ring (replay.py) until it has caught up. All of it runs on
the thread of the event loop.
"""

import heapq
import secrets
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import msgspec

from streamclf import __version__, metrics
from streamclf.clock import FRAMES_PER_SECOND, NS_PER_FRAME
from streamclf.serve import wire
from streamclf.serve.info import PackInfo, StreamInfo
from streamclf.serve.mailbox import Outgoing
from streamclf.serve.replay import Item, Items, Part, ReplayHole, RowTrack, place_before, place_of, seq_of
from streamclf.serve.shown import Shown
from streamclf.serve.subscription import Channel, Recipient, Spec, resolve
from streamclf.types import Event, FrameScores, Gap, Output, Picture, Sound, Status

__all__ = ["Grant", "Hub", "PackInfo", "StreamInfo"]


class Grant(NamedTuple):
    """What `subscribe` gave. cursor: place in the replay ring to read on from, None where live is enough."""

    channel: Channel
    cursor: int | None
    answers: list[wire.Message]


class Hub:
    """replay_seconds: score rows kept for each track, at least 60. lossless: who falls behind reads on from the ring.

    In a lossless run (a file as fast as it goes) the producer has to wait while `congested`. on_subscribe: called at
    each subscription. on_picture, on_sound: see `Shown`.
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
        self.seq = 0
        self.congested = False
        """Whether a producer that can wait should. A plain attribute: any thread may read it."""
        self._on_subscribe = on_subscribe
        self._stream_index = {name: i for i, name in enumerate(self.streams)}
        self._pack_index = {name: i for i, name in enumerate(self.packs)}
        self._max_rows = replay_seconds * FRAMES_PER_SECOND
        self.tracks: dict[tuple[str, str, bool], RowTrack] = {}
        """The score rows that are held, by stream, pack and whether they are final."""
        self.items = Items()
        """Events, gaps, statuses and marks that are held."""
        self._channels: dict[Spec, Channel] = {}
        self._channel_number = 0
        self._subscribed: dict[Recipient, Channel] = {}
        self._pressed: set[Recipient] = set()
        self._captured_ns: dict[tuple[str, str], int] = {}
        self.shown = Shown(
            self.streams, self._channels, frames=self._max_rows, on_picture=on_picture, on_sound=on_sound
        )
        self._sent_ns = 0

    def hello(self) -> wire.Hello:
        """The first message of a connection, as things stand now."""
        return wire.Hello(
            protocol=wire.PROTOCOL,
            version=__version__,
            instance=self.instance,
            seq=self.seq,
            oldest_seq=self.oldest_seq,
            streams=[stream.entry() for stream in self.streams.values()],
            packs=[pack.entry() for pack in self.packs.values()],
        )

    def runs_every(self, pack: str, hop_ms: int) -> None:
        """From any thread: that is the time between two runs of `pack` from now on."""
        self.packs[pack].hop_ms = hop_ms

    @property
    def oldest_seq(self) -> int:
        """Everything from this number on is still held."""
        rows = max((track.forgotten_seq for track in self.tracks.values()), default=0)
        return max(rows, seq_of(self.items.forgotten_place)) + 1

    # Publishing

    def publish(self, outputs: Sequence[Output], *, decided_ns: int, sent_ns: int) -> None:
        """Number, keep and deliver `outputs`, in order. decided_ns, sent_ns: wall time of the decision and of now."""
        self._sent_ns = sent_ns
        for output in outputs:
            if isinstance(output, FrameScores):
                self._publish_rows(output, decided_ns)
            elif isinstance(output, Event):
                self._publish_event(output, decided_ns)
            elif isinstance(output, Gap):
                self._publish_gap(output)
            elif isinstance(output, Picture):
                self.shown.picture(output, sent_ns=sent_ns)
            elif isinstance(output, Sound):
                self.shown.sound(output)
            elif isinstance(output, Status):
                self._publish_status(output)

    def flush(self) -> None:
        """Close all open groups: nothing more will be published."""
        for number, track in enumerate(self.tracks.values()):
            self._close(track, place_before(self.seq + 1, number))

    def _publish_rows(self, scores: FrameScores, decided_ns: int) -> None:
        track = self._track(scores)
        rows = scores.rows
        newest_ns = self.streams[scores.stream].clock.ns_of_sample(scores.newest_sample)
        self._captured_ns[scores.stream, scores.pack] = newest_ns
        channels = [c for c in self._channels.values() if c.spec.tier == "frame" and self._takes(c, track)]
        metrics.FRAMES.labels(scores.stream, scores.pack).inc(len(rows))
        for index, row in enumerate(rows):
            self.seq += 1
            frame = scores.first_frame + index
            if not track.continues(frame):
                self._close(track, place_before(self.seq, 0))
            captured_ns = newest_ns - (len(rows) - 1 - index) * NS_PER_FRAME
            part = track.add(frame, row, seq=self.seq, captured_ns=captured_ns, decided_ns=decided_ns)
            for channel in channels:
                self._deliver(channel, channel.encode(part, sent_ns=self._sent_ns))
            if track.full():
                self._close(track, place_of(self.seq))

    def _publish_event(self, event: Event, decided_ns: int) -> None:
        clock = self.streams[event.stream].clock
        onset_ns = clock.ns_of_frame(event.onset_frame)
        offset_ns = None if event.offset_frame is None else clock.ns_of_frame(event.offset_frame)
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
            captured_ns=self._captured_ns.get((event.stream, event.pack), offset_ns or onset_ns),
            decided_ns=decided_ns,
            sent_ns=self._sent_ns,
        )
        self._publish_item(Item(place_of(self.seq), event.stream, event.pack, event.label, message))

    def _publish_gap(self, gap: Gap) -> None:
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
        message = wire.Status(
            stream=status.stream, pack=status.pack, state=status.state, detail=status.detail, seq=self.seq
        )
        self._publish_item(Item(place_of(self.seq), status.stream, status.pack, "", message))

    def publish_mark(self, event: str, mark: wire.Verdict, label: str) -> wire.Marked:
        """Tell everybody what somebody said of a kept event. Fields as in `wire.Mark`. Returns what was told."""
        self.seq += 1
        message = wire.Marked(event=event, mark=mark, label=label, seq=self.seq)
        self._publish_item(Item(place_of(self.seq), "", "", "", message))
        return message

    def picture(self, stream: str, frame: int) -> bytes:
        """The columns of `stream` that are held and end behind `frame`. Raises KeyError for a name nothing has."""
        return self.shown.columns(stream, frame)

    def _publish_item(self, item: Item) -> None:
        self.items.add(item)
        outgoing = _vital(item.place, item.message)
        for channel in self._channels.values():
            if channel.takes_item(item):
                self._deliver(channel, outgoing)

    def _close_stream(self, stream: str) -> None:
        for number, track in enumerate(t for t in self.tracks.values() if t.stream == stream):
            self._close(track, place_before(self.seq, number))

    def _close(self, track: RowTrack, place: int) -> None:
        part = track.close(place)
        if part is None:
            return
        for channel in self._channels.values():
            if channel.spec.tier == "batch" and self._takes(channel, track):
                self._deliver(channel, channel.encode(part, sent_ns=self._sent_ns))

    def _deliver(self, channel: Channel, message: Outgoing) -> None:
        for recipient in channel.recipients:
            recipient.deliver(message)
        metrics.MESSAGES_SENT.labels(channel.spec.tier).inc(len(channel.recipients))

    def _track(self, scores: FrameScores) -> RowTrack:
        key = scores.stream, scores.pack, scores.final
        track = self.tracks.get(key)
        if track is None:
            track = self.tracks[key] = RowTrack(
                scores.stream,
                scores.pack,
                final=scores.final,
                stream_index=self._stream_index[scores.stream],
                pack_index=self._pack_index[scores.pack],
                max_rows=self._max_rows,
            )
        return track

    def _takes(self, channel: Channel, track: RowTrack) -> bool:
        return channel.takes(track, has_provisional=(track.stream, track.pack, False) in self.tracks)

    # Subscribing

    def subscribe(self, recipient: Recipient, wish: wire.Subscribe) -> Grant:
        """Put `recipient` on its wish's channel, in place of a former one. Raises `ServeError`; nothing changes then.

        The caller sends the answers, then reads on from the cursor (if any), and drops what `deliver` brings meanwhile.
        """
        spec = resolve(wish, list(self.streams), self.packs)
        self._leave(recipient)
        channel = self._channels.get(spec)
        if channel is None:
            self._channel_number += 1
            channel = self._channels[spec] = Channel(self._channel_number, spec, self.packs)
        channel.recipients[recipient] = None
        self._subscribed[recipient] = channel
        self._on_subscribe()
        self.shown.ask()
        if wish.since is None:
            return Grant(channel, None, [channel.answer(seq=self.seq, since=None)])
        elsewhere = wish.instance is not None and wish.instance != self.instance
        if elsewhere or wish.since > self.seq:
            restart = wire.Lagged(seq=0, from_seq=0, to_seq=0, dropped=0, reason="restart")
            return Grant(channel, place_of(0), [channel.answer(seq=self.seq, since=0), restart])
        return Grant(channel, place_of(wish.since), [channel.answer(seq=self.seq, since=wish.since)])

    def detach(self, recipient: Recipient) -> None:
        """Forget `recipient`. Forgets its channel with its last recipient."""
        self._leave(recipient)
        self.shown.ask()

    def _leave(self, recipient: Recipient) -> None:
        self.press(recipient, False)
        channel = self._subscribed.pop(recipient, None)
        if channel is not None:
            del channel.recipients[recipient]
            if not channel.recipients:
                del self._channels[channel.spec]

    def press(self, recipient: Recipient, full: bool) -> None:
        """`recipient` says whether so much waits for it that a producer that can wait should."""
        if full:
            self._pressed.add(recipient)
        else:
            self._pressed.discard(recipient)
        self.congested = bool(self._pressed)

    def read(
        self, channel: Channel, cursor: int, *, sent_ns: int, max_messages: int = 32, max_bytes: int = 65536
    ) -> tuple[list[Outgoing], int | None]:
        """What `channel` has after place `cursor`, a portion of it, and the place to read on from: None at the end.

        A portion ends with the message that reaches a bound. What is not held any more is declared by `lagged`.
        """
        out: list[Outgoing] = []
        size = 0
        for entry in self._after(channel, cursor):
            if isinstance(entry, Part):
                message = channel.encode(entry, sent_ns=sent_ns)
            elif isinstance(entry, ReplayHole):
                message = _vital(entry.place, _lagged(entry))
            else:
                message = _vital(entry.place, _resent(entry.message, sent_ns))
            out.append(message)
            size += len(message.frame)
            if len(out) >= max_messages or size >= max_bytes:
                return out, message.place
        return out, None

    def _after(self, channel: Channel, cursor: int) -> Iterator[Part | Item | ReplayHole]:
        tracks = [track for track in self.tracks.values() if self._takes(channel, track)]
        frames = channel.spec.tier == "frame"
        forgotten = self.items.forgotten_place
        for track in tracks:
            forgotten = max(forgotten, place_of(track.forgotten_seq) if frames else track.forgotten_place)
        start = max(cursor, forgotten)
        sources: list[Iterator[Part | Item | ReplayHole]] = [
            (item for item in self.items.after(cursor) if channel.takes_item(item)),
            *(track.rows_after(start) if frames else track.groups_after(start) for track in tracks),
        ]
        if cursor < forgotten:
            # last, so that what is still held of the hole's place itself comes before it
            sources.append(iter([ReplayHole(forgotten, seq_of(cursor) + 1, seq_of(forgotten))]))
        return heapq.merge(*sources, key=lambda entry: entry.place)


def _vital(place: int, message: wire.Message) -> Outgoing:
    return Outgoing(wire.text_frame(wire.encode(message)), place, 0, 0, 0, 0)


def _lagged(hole: ReplayHole) -> wire.Lagged:
    return wire.Lagged(
        seq=hole.to_seq,
        from_seq=hole.from_seq,
        to_seq=hole.to_seq,
        dropped=hole.to_seq - hole.from_seq + 1,
        reason="replay",
    )


def _resent(message: wire.Message, sent_ns: int) -> wire.Message:
    return msgspec.structs.replace(message, sent_ns=sent_ns) if isinstance(message, wire.Event) else message
