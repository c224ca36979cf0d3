"""What there is and how it is now: the streams and packs of a hub, as `hello`, health and gauges tell of them."""

from collections.abc import Sequence

from streamclf import metrics
from streamclf.protocol import wire
from streamclf.serve.info import PackInfo, StreamInfo
from streamclf.types import Event, FrameScores, Gap, LoudnessMinute, OtherLabels, Status, StreamState

_OF_PACKS = (StreamState.PACK_PROBLEM, StreamState.PACK_BACK)


class Overview:
    """streams, packs: in the order of `hello`. Follows what the hub publishes, on its thread; any thread may read."""

    def __init__(self, streams: Sequence[StreamInfo], packs: Sequence[PackInfo]) -> None:
        self.streams = {stream.name: stream for stream in streams}
        self.packs = {pack.name: pack for pack in packs}
        self.coming: dict[str, PackInfo] = {}
        """Packs that are told of with their first labels."""
        self.metered = True
        """Whether what is published counts for /metrics: of a hub that repeats another one here it does not."""
        self.scored: dict[tuple[str, str], int] = {}
        """(stream, pack) -> the newest sample that a row rests on."""
        self.captured_ns: dict[tuple[str, str], int] = {}
        """(stream, pack) -> when (ns) the newest sound was captured that a row rests on."""
        self.gaps: dict[str, int] = {}
        """stream -> gaps told so far."""
        self.minutes: dict[str, LoudnessMinute] = {}
        """stream -> how loud its newest whole minute was."""

    def runs_every(self, pack: str, hop_ms: int) -> None:
        """From any thread: that is the time between two runs of `pack` from now on."""
        self.packs[pack].hop_ms = hop_ms

    def runs_on(self, pack: str, provider: str) -> None:
        """From any thread: `pack` has a new session, on that provider."""
        self.packs[pack].provider = provider

    def take_rows(self, scores: FrameScores) -> int:
        """Returns when (ns) the newest sound was captured that they rest on."""
        key = scores.stream, scores.pack
        self.scored[key] = scores.newest_sample
        newest_ns = self.captured_ns[key] = self.streams[scores.stream].clock.ns_of_sample(scores.newest_sample)
        if self.metered:
            metrics.frames_of(*key).inc(len(scores.rows))
        return newest_ns

    def take_event(self, event: Event, *, seq: int, decided_ns: int, sent_ns: int) -> wire.Event:
        """Returns its message, with the times at which it was."""
        if self.metered:
            metrics.EVENTS.labels(event.stream, event.pack, event.stage.value).inc()
        clock = self.streams[event.stream].clock
        onset_ns = clock.ns_of_frame(event.onset_frame)
        offset_ns = None if event.offset_frame is None else clock.ns_of_frame(event.offset_frame)
        return wire.Event(
            stream=event.stream,
            pack=event.pack,
            seq=seq,
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
            sent_ns=sent_ns,
            ended_by=event.ended_by,
        )

    def take_gap(self, gap: Gap) -> None:
        """Count it."""
        self.gaps[gap.stream] = self.gaps.get(gap.stream, 0) + 1
        if self.metered:
            metrics.GAPS.labels(gap.stream, gap.reason).inc()
            metrics.LOST_SAMPLES.labels(gap.stream, gap.reason).inc(gap.last_sample - gap.first_sample + 1)

    def take_status(self, status: Status) -> None:
        """The stream, or the pack, is in that state now."""
        stream = self.streams.get(status.stream)
        if stream is not None and not status.pack and status.state.of_stream:
            stream.state = status.state.settled
            stream.detail = status.detail
        if status.pack in self.packs and status.state in _OF_PACKS:
            # a sentence there must be: an empty one would mean that all is well
            wrong = status.state is StreamState.PACK_PROBLEM
            self.packs[status.pack].problem = (status.detail or status.state.meaning.what) if wrong else ""

    def relabel(self, other: OtherLabels) -> tuple[PackInfo, list[int | None]]:
        """The pack has other labels, or is new. Returns it, and in which column each label was before."""
        info = self.packs.get(other.pack) or self.coming.pop(other.pack)
        before = {label.id: column for column, label in enumerate(info.labels)}
        info.labels, info.digest = other.labels, other.digest
        self.packs[other.pack] = info
        return info, [before.get(label.id) for label in other.labels]
