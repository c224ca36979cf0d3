"""The hub of a gateway: it repeats what the daemon's hub published, with the daemon's own numbers.

Theory of operation. A relay begins at a `Facts` entry and holds what came after it, so that all relays of one run of
the daemon, and the daemon's hub itself, send the same messages under the same numbers: a client may leave one and come
to another with `since`. What lies before the beginning is a hole like that of any replay ring; where numbers are
missing later on, `lagged` stands in their place, live and replayed. A relay numbers nothing of its own. A client may be
ahead of it, for another one was quicker; it then waits at its place until the relay has come that far.
"""

from streamclf.errors import ServeError
from streamclf.protocol import wire
from streamclf.serve.fanout.bundles import (
    Announced,
    AnyEntry,
    DrawnColumns,
    Ended,
    Facts,
    Happened,
    Minute,
    Missing,
    NumberedRows,
    Relabelling,
    Stated,
    labels_of,
    message_of,
    pack_info_of,
    picture_of,
    scores_of,
    stream_info,
)
from streamclf.serve.hub import Grant, Hub
from streamclf.serve.mailbox import Outgoing
from streamclf.serve.published import Item, place_before, place_of, seq_of
from streamclf.serve.subscription import Channel, Recipient
from streamclf.types import OtherLabels, Output


class Relay(Hub):
    """run: the daemon's start, which is the instance of each of its relays. facts: where it begins.

    ended: the daemon has stopped. Raises `ServeError` for facts that cannot be read.
    """

    def __init__(self, run: str, facts: Facts) -> None:
        super().__init__(
            streams=[stream_info(each) for each in facts.streams],
            packs=[pack_info_of(each) for each in facts.packs],
            replay_seconds=facts.replay_seconds,
            instance=run,
        )
        self.ended = False
        self.seq = facts.seq
        self._ring.items.forgotten_place = place_of(facts.seq)

    def fits(self, facts: Facts) -> bool:
        """Whether it can go on at `facts`: streams and packs are those that it has, with the same labels."""
        if [each.name for each in facts.streams] != list(self.streams):
            return False
        packs = [(each.name, each.digest, len(labels_of(each))) for each in facts.packs]
        return packs == [(each.name, each.digest, len(each.labels)) for each in self.packs.values()]

    def take(self, entry: AnyEntry, *, sent_ns: int) -> None:
        """Repeat it. What it has had is passed over. Raises `ServeError` for what cannot be read.

        Behind missing numbers it goes on at the next facts alone: labels may have changed in between.
        """
        if entry.seq < self.seq:
            return
        if entry.seq > self.seq:
            if not isinstance(entry, Facts):
                return
            self._hole(entry.seq)
        try:
            self._repeat(entry, sent_ns)
        except (KeyError, ValueError) as fault:
            raise ServeError(f"what came does not fit what its daemon told of itself ({fault!r})") from None

    def _repeat(self, entry: AnyEntry, sent_ns: int) -> None:
        if isinstance(entry, Facts):
            self._look(entry)
        elif isinstance(entry, Ended):
            self.ended = True
            self._close_all()
        elif isinstance(entry, Announced):
            self.tell(message_of(entry))
        else:
            self._follow_clock(entry)
            self.publish([self._output(entry)], decided_ns=entry.decided_ns, sent_ns=sent_ns)

    def flush(self) -> None:
        """Nothing: that a gateway stops ends no event."""

    def subscribe(self, recipient: Recipient, wish: wire.Subscribe) -> Grant:
        """See `Hub`. A client of the same run that is ahead gets what follows its place, once that is here."""
        ahead = wish.since is not None and wish.since > self.seq and wish.instance == self.instance
        if not ahead or wish.since is None:
            return super().subscribe(recipient, wish)
        channel = self._channels.join(recipient, wish)
        return Grant(channel, place_of(wish.since), [channel.answer(seq=self.seq, since=wish.since)])

    def read(
        self, channel: Channel, cursor: int, *, sent_ns: int, max_messages: int = 32, max_bytes: int = 65536
    ) -> tuple[list[Outgoing], int | None]:
        """See `Hub`. Nothing, and the same place, for a reader that is ahead."""
        if seq_of(cursor) > self.seq:
            return [], cursor
        return super().read(channel, cursor, sent_ns=sent_ns, max_messages=max_messages, max_bytes=max_bytes)

    def _hole(self, seq: int) -> None:
        for number, track in enumerate(self._ring.tracks.values()):
            self._close(track, place_before(self.seq + 1, number))
        missing = seq - self.seq
        hole = wire.Lagged(seq=seq, from_seq=self.seq + 1, to_seq=seq, dropped=missing, reason="replay")
        self.seq = seq
        self._publish_item(Item(place_of(seq), "", "", "", hole))

    def _look(self, facts: Facts) -> None:
        """States as they are, where what told of them was lost."""
        for each in facts.streams:
            info = self.streams[each.name]
            info.state, info.detail = each.state, each.detail
            self._set_clock(each.name, each.epoch_ns)
        for fact in facts.packs:
            pack = self.packs[fact.name]
            pack.hop_ms, pack.provider, pack.problem = fact.hop_ms, fact.provider, fact.problem

    def _follow_clock(self, entry: AnyEntry) -> None:
        """The daemon's clock of a stream moves a little now and then, and times are told by it."""
        if isinstance(entry, NumberedRows):
            self._set_clock(entry.stream, entry.epoch_ns)
        elif isinstance(entry, Happened):
            event = entry.event
            self._set_clock(event.stream, entry.epoch_ns)
            if entry.captured_ns is not None:
                self.overview.captured_ns[event.stream, event.pack] = entry.captured_ns

    def _set_clock(self, stream: str, epoch_ns: int | None) -> None:
        clock = self.streams[stream].clock
        clock.epoch_ns, clock.started = epoch_ns or 0, epoch_ns is not None

    def _output(
        self, entry: NumberedRows | Happened | Missing | Stated | Minute | DrawnColumns | Relabelling
    ) -> Output:
        if isinstance(entry, NumberedRows):
            return scores_of(entry)
        if isinstance(entry, Happened):
            return entry.event
        if isinstance(entry, Missing):
            return entry.gap
        if isinstance(entry, Stated):
            return entry.status
        if isinstance(entry, Minute):
            return entry.minute
        if isinstance(entry, DrawnColumns):
            return picture_of(entry)
        return self._relabelling(entry)

    def _relabelling(self, entry: Relabelling) -> OtherLabels:
        info = pack_info_of(entry.pack)
        if info.name not in self.packs:
            self.overview.coming[info.name] = info
        return OtherLabels(info.name, info.digest, info.labels, ())
