"""The replay ring of a hub: what was published lately, for subscribers that have fallen behind or come back."""

import heapq
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from streamclf.clock import FRAMES_PER_SECOND
from streamclf.protocol import wire
from streamclf.serve.framing import text_frame
from streamclf.serve.mailbox import Outgoing
from streamclf.serve.published import Item, Items, ReplayHole, RowSlice, RowTrack, place_of, seq_of
from streamclf.serve.subscription import Channel
from streamclf.types import FrameScores


class ReplayRing:
    """streams, packs: in the order of `hello`. seconds: of score rows that are kept for each track.

    tracks: the score rows that are held, by stream, pack and whether they are final. items: events, gaps, statuses and
    marks that are held.
    """

    def __init__(self, streams: Iterable[str], packs: Iterable[str], *, seconds: int) -> None:
        self.tracks: dict[tuple[str, str, bool], RowTrack] = {}
        self.items = Items()
        self.max_rows = seconds * FRAMES_PER_SECOND
        self.counted = True
        """Whether each number is a thing that was published, so that a hole tells how many are missing."""
        self._stream_index = {name: i for i, name in enumerate(streams)}
        self._pack_index = {name: i for i, name in enumerate(packs)}

    @property
    def oldest_seq(self) -> int:
        """Everything from this number on is still held."""
        rows = max((track.forgotten_seq for track in self.tracks.values()), default=0)
        return max(rows, seq_of(self.items.forgotten_place)) + 1

    def track(self, scores: FrameScores) -> RowTrack:
        """The one that `scores` belong to."""
        key = scores.stream, scores.pack, scores.final
        track = self.tracks.get(key)
        if track is None:
            track = self.tracks[key] = RowTrack(
                scores.stream,
                scores.pack,
                final=scores.final,
                stream_index=self._stream_index[scores.stream],
                pack_index=self._pack_index[scores.pack],
                max_rows=self.max_rows,
            )
        return track

    def relabel(self, pack: str, columns: Sequence[int | None]) -> None:
        """See `RowTrack.relabel`. A pack that is new stands behind all others."""
        self._pack_index.setdefault(pack, len(self._pack_index))
        for track in self.tracks.values():
            if track.pack == pack:
                track.relabel(columns)

    def wanted(self, channel: Channel, track: RowTrack) -> bool:
        """Whether `channel` wants the rows of `track`."""
        return channel.takes(track, has_provisional=(track.stream, track.pack, False) in self.tracks)

    def read(
        self, channel: Channel, cursor: int, *, sent_ns: int, max_messages: int, max_bytes: int
    ) -> tuple[list[Outgoing], int | None]:
        """What `channel` has after place `cursor`, a portion of it, and the place to read on from: None at the end.

        A portion ends with the message that reaches a bound. What is not held any more is declared by `lagged`.
        """
        out: list[Outgoing] = []
        size = 0
        for entry in self._after(channel, cursor):
            if isinstance(entry, RowSlice):
                message = channel.encode(entry, sent_ns=sent_ns)
            elif isinstance(entry, ReplayHole):
                message = vital(entry.place, _lagged(entry, counted=self.counted))
            else:
                message = vital(entry.place, _resent(entry.message, sent_ns))
            out.append(message)
            size += len(message.frame)
            if len(out) >= max_messages or size >= max_bytes:
                return out, message.place
        return out, None

    def _after(self, channel: Channel, cursor: int) -> Iterator[RowSlice | Item | ReplayHole]:
        tracks = [track for track in self.tracks.values() if self.wanted(channel, track)]
        frames = channel.spec.tier == "frame"
        forgotten = self.items.forgotten_place
        for track in tracks:
            forgotten = max(forgotten, place_of(track.forgotten_seq) if frames else track.forgotten_place)
        start = max(cursor, forgotten)
        sources: list[Iterator[RowSlice | Item | ReplayHole]] = [
            (item for item in self.items.after(cursor) if channel.takes_item(item)),
            *(track.rows_after(start) if frames else track.groups_after(start) for track in tracks),
        ]
        if cursor < forgotten:
            # last, so that what is still held of the hole's place itself comes before it
            sources.append(iter([ReplayHole(forgotten, seq_of(cursor) + 1, seq_of(forgotten))]))
        return heapq.merge(*sources, key=lambda entry: entry.place)


def vital(place: int, message: wire.Message) -> Outgoing:
    """A message without score rows: no mailbox may drop it."""
    return Outgoing(text_frame(wire.encode(message)), place, 0, 0, 0, 0)


def _lagged(hole: ReplayHole, *, counted: bool) -> wire.Lagged:
    return wire.Lagged(
        seq=hole.to_seq,
        from_seq=hole.from_seq,
        to_seq=hole.to_seq,
        dropped=hole.to_seq - hole.from_seq + 1 if counted else None,
        reason="replay",
    )


def _resent(message: wire.Message, sent_ns: int) -> wire.Message:
    return msgspec.structs.replace(message, sent_ns=sent_ns) if isinstance(message, wire.Event) else message
