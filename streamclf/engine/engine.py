"""The engine: streams and packs in, score rows, events and gaps out. No thread, no clock, no I/O.

`tick` is the whole of it: read every ring, run every pack until no track is ready, give what is due. The daemon calls
it from the model thread when a block has come, `classify` calls it in a loop over a file; there is no second path.
"""

from collections.abc import Container, Iterator, Mapping, Sequence

from streamclf.engine.batch import PackRunner
from streamclf.engine.deciding import decisions_of
from streamclf.engine.derived import Derived, DerivedTrack
from streamclf.engine.joining import join
from streamclf.engine.reading import pull_together
from streamclf.engine.scope import draw_columns
from streamclf.engine.segment import Decision, Ending, Segmenter
from streamclf.engine.stream import Stream
from streamclf.engine.telling import take_together
from streamclf.engine.track import Track, TrackOptions
from streamclf.model.fusedsession import PackSession
from streamclf.model.pack import Manifest, Pack
from streamclf.sensitivity import Sensitivity
from streamclf.types import Gap, GapReason, Label, Output


class Engine:
    """Streams, and for each the tracks of the packs that listen to it.

    derived: packs without a session, whose tracks stand behind those of the models. per_label: label id, `group:NAME`
    or `*` -> fields of `Decision` that replace the pack's own. sensitivity: which of the pack's own thresholds.
    """

    def __init__(
        self,
        runners: Sequence[PackRunner],
        *,
        derived: Sequence[Derived] = (),
        options: TrackOptions | None = None,
        per_label: Mapping[str, Mapping[str, object]] | None = None,
        sensitivity: Sensitivity = Sensitivity.NORMAL,
    ) -> None:
        self.runners = list(runners)
        self.derived = list(derived)
        self.streams: dict[str, Stream] = {}
        self.tracks: dict[str, list[Track | DerivedTrack]] = {}
        # What a tick has begun is kept here: where a run in it is given up, the next tick goes on with it.
        self._heard: list[Track | DerivedTrack] = []  # bound: the tracks
        self._told: list[Output] = []  # bound: what one tick gives
        self._options = options or TrackOptions()
        self._per_label = per_label or {}
        self._sensitivity = sensitivity

    def add(self, stream: Stream, *, packs: Sequence[str] | None = None, priority: int = 0) -> None:
        """Run every pack (or those named) on `stream` from its next sample on."""
        tracks = [
            join(
                runner,
                stream,
                among=self.runners,
                decisions=self.decisions(runner.pack.labels, runner.pack.manifest),
                options=self._options,
                priority=priority,
            )
            for runner in self.runners
            if packs is None or runner.pack.manifest.name in packs
        ]
        self.streams[stream.name] = stream
        self.tracks[stream.name] = [*tracks, *self._derive(stream, tracks, packs)]

    @property
    def packs(self) -> list[Pack]:
        """Of the models, and behind them those that are derived."""
        return [*(runner.pack for runner in self.runners), *(one.pack for one in self.derived)]

    def derive(self, one: Derived) -> None:
        """Have one more derived pack on every stream that it listens to, from the next sample on."""
        self.derived.append(one)
        for name, stream in self.streams.items():
            models = [track for track in self.tracks[name] if isinstance(track, Track)]
            track = self._derived_track(one, stream, models)
            if track is not None:
                track.priority = self.priority(name)
                self.tracks[name].append(track)

    def relabel(self, name: str, labels: Sequence[Label]) -> list[Output]:
        """The derived pack `name` has other labels from the next row on. Returns the closing of its open events."""
        next(one for one in self.derived if one.name == name).relabel(labels)
        outputs: list[Output] = []
        for tracks in self.tracks.values():
            for track in tracks:
                if isinstance(track, DerivedTrack) and track.manifest.name == name:
                    outputs += track.relabel(labels, self.decisions(labels, track.manifest))
        return outputs

    def _derive(self, stream: Stream, tracks: Sequence[Track], packs: Sequence[str] | None) -> Iterator[DerivedTrack]:
        for one in self.derived:
            if packs is None or one.name in packs:
                track = self._derived_track(one, stream, tracks)
                if track is not None:
                    yield track

    def _derived_track(self, one: Derived, stream: Stream, tracks: Sequence[Track]) -> DerivedTrack | None:
        labels, manifest = one.pack.labels, one.pack.manifest
        return one.track(stream, tracks, Segmenter(stream.name, one.name, labels, self.decisions(labels, manifest)))

    def decisions(self, labels: Sequence[Label], manifest: Manifest) -> list[Decision]:
        """How a pack's labels are decided now."""
        return decisions_of(labels, manifest, per_label=self._per_label, sensitivity=self._sensitivity)

    def remove(self, name: str) -> list[Output]:
        """Forget a stream. Returns the closing of its open events."""
        del self.streams[name]
        outputs: list[Output] = []
        for track in self.tracks.pop(name):
            outputs += track.finish(Ending.END)
            if isinstance(track, Track):
                next(r for r in self.runners if track in r.tracks).remove(track)
        return outputs

    def priority(self, name: str) -> int:
        """Priority of a stream: the lowest is paused first."""
        return self.tracks[name][0].priority if self.tracks[name] else 0

    def pause(self, name: str) -> list[Output]:
        """Stop reading the stream and close its events; what is captured meanwhile becomes a gap, see `pass_over`."""
        self.streams[name].paused = True
        return self.close_events(name, Ending.PAUSED)

    def pass_over(self, name: str) -> list[Output]:
        """The gap of a paused stream, up to its newest whole frame; nothing where there is none."""
        stream = self.streams[name]
        if stream.ended or stream.waiting < stream.hop:
            return []
        return self._restart(name, stream.skip_to_newest(GapReason.PAUSED))

    def resume(self, name: str) -> list[Output]:
        """Go on at the stream's newest whole frame."""
        outputs = self.pass_over(name)
        self.streams[name].paused = False
        return outputs

    def close_events(self, name: str, ended_by: Ending) -> list[Output]:
        """Give what rows are due and close what events last: the stream is not heard for a while."""
        outputs: list[Output] = []
        for track in self.tracks[name]:
            outputs += track.take_rest()
            outputs += track.finish(ended_by)
        return outputs

    def decide(self, per_label: Mapping[str, Mapping[str, object]], sensitivity: Sensitivity) -> list[Output]:
        """Decide by other thresholds from the next row on. Returns the closing of events whose label is off now."""
        self._per_label, self._sensitivity = per_label, sensitivity
        outputs: list[Output] = []
        for tracks in self.tracks.values():
            for track in tracks:
                outputs += track.segmenter.redecide(self.decisions(track.segmenter.labels, track.manifest))
        return outputs

    def allow(self, packs: Container[str], labels: Container[str] | None) -> None:
        """Of these packs only events of these label ids begin from now on; None is all."""
        for tracks in self.tracks.values():
            for track in tracks:
                if track.manifest.name in packs:
                    track.segmenter.allow(labels)

    def draw(self, on: bool) -> None:
        """Begin or cease to make spectrum columns of every stream."""
        for stream in self.streams.values():
            stream.draw(on)

    def tap(self, name: str, on: bool) -> None:
        """Begin or cease to give the sound of stream `name` itself."""
        self.streams[name].tap(on)

    def tick(self) -> list[Output]:
        """Everything that has become certain since the last call, in order for each stream."""
        heard, told = self._heard, self._told
        if not heard:
            readable = [stream for stream in self.streams.values() if stream.readable]
            for stream, gap in zip(readable, pull_together(readable), strict=True):
                told += stream.seen
                if gap is not None:
                    told += self._restart(stream.name, gap)
                heard += self.tracks[stream.name]
            if due := [stream.scope for stream in readable if stream.scope.due]:
                told += draw_columns(due)
        self._run(heard)
        # the last rows of a stream that has ended are given by `last`, when all of its runs are made
        told += take_together([track for track in heard if not self.streams[track.stream].ended])
        self._heard, self._told = [], []
        return told

    @property
    def waiting(self) -> bool:
        """Whether another tick has something to read."""
        return any(stream.readable for stream in self.streams.values())

    @property
    def backlog_ms(self) -> float:
        """How much sound waits of the stream where most does.

        A gap is not sound; for one that is paused or has ended nobody waits.
        """
        # asked once a tick, of all streams
        most = 0.0
        for stream in self.streams.values():
            if stream.waiting > 0 and not (stream.paused or stream.ended):
                most = max(most, stream.backlog * 1000 / stream.rate)
        return most

    def drain(self) -> list[Output]:
        """Tick until the rings are empty."""
        outputs = self.tick()
        while self.waiting:
            outputs += self.tick()
        return outputs

    def end(self, name: str) -> None:
        """The source of stream `name` has ended: the ticks that follow hear as much silence as its last rows rest on.

        Its ring must be empty. When the stream is no longer `readable`, `finish` gives those rows at once.
        """
        stream, tracks = self.streams[name], self.tracks[name]
        frames = -(-stream.consumed // stream.hop)
        needed: dict[int, int] = {}
        for track in tracks:
            for strand in track.strands:
                rate = strand.manifest.rate
                needed[rate] = max(needed.get(rate, 0), strand.needed(frames))
            track.end(frames)
        stream.end(needed)
        self._heard = list(tracks)
        self._run(tracks)
        self._heard = []

    def finish(self, name: str) -> list[Output]:
        """The source of stream `name` has ended: give the rows of its last frames and close its events."""
        outputs = self.resume(name) if self.streams[name].paused else []
        outputs += self.drain()
        if not self.streams[name].ended:
            self.end(name)
            outputs += self.drain()
        return outputs + self.last(name)

    def last(self, name: str) -> list[Output]:
        """Give the last rows of a stream that has ended and was heard out, and close its events."""
        told, self._told = self._told, []
        told += self.streams[name].draw_rest()
        return told + self.close_events(name, Ending.END)

    def regain(self, runner: PackRunner, session: PackSession, run_seconds: float) -> None:
        """The pack, which had no session, runs again: on every stream from its next whole frame on."""
        runner.regain(session, run_seconds)
        for track in runner.tracks:
            stream = self.streams[track.stream]
            if stream.ended:
                continue
            track.wake()
            track.restart(-(-stream.consumed // stream.hop))

    def lose(self, runner: PackRunner) -> None:
        """The pack has no session any more: give what rows of it are due, close its events and leave it out."""
        for track in runner.tracks:
            if not self.streams[track.stream].ended:
                self._told += track.take()
            self._told += track.finish(Ending.GAP)
            track.sleep()

    def unscored(self, name: str) -> bool:
        """Whether no pack that listens to the stream gives rows that mean something."""
        tracks = [track for track in self.tracks[name] if isinstance(track, Track)]
        return bool(tracks) and not any(track.scoring for track in tracks)

    def given(self, name: str) -> int:
        """The first frame of the stream that no pack has given its final row for."""
        return max((track.given for track in self.tracks[name]), default=0)

    def passed(self, name: str) -> int:
        """The first frame of an unscored stream that may get a row, or of one that is scored again the first that has.

        All frames from `given` up to this one get none.
        """
        running = [track.begins for track in self.tracks[name] if not track.paused]
        stream = self.streams[name]
        return min(running, default=stream.consumed // stream.hop)

    def _restart(self, name: str, gap: Gap) -> list[Output]:
        outputs: list[Output] = []
        ended_by = Ending.PAUSED if gap.reason == GapReason.PAUSED else Ending.GAP
        for track in self.tracks[name]:
            # rows that were due before the hole come before the news of it
            outputs += track.take_rest()
            outputs += track.restart(self.streams[name].started_at, ended_by)
        outputs.append(gap)
        return outputs

    def _run(self, heard: Sequence[Track | DerivedTrack]) -> None:
        for runner in self.runners:
            if not runner.works:
                continue
            manifest = runner.pack.manifest
            tracks = [track for track in heard if isinstance(track, Track) and track.manifest is manifest]
            if tracks:
                runner.run(tracks)
            if not runner.works:
                self.lose(runner)
