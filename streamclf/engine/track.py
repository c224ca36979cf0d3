"""A track: one stream under one pack. Holds everything mutable of the pair; weights and sessions are elsewhere.

Positions are samples of the pack's rate. `start` is where the next run begins; a run is ready once the features have
heard `start + span`. After it `start` moves by the step (stateful) or by the hop between runs (windows), which may
change at any time and is always a multiple of 20 ms.
"""

from dataclasses import dataclass

from streamclf.clock import hop_of
from streamclf.engine.aggregate import HoldRows, ReviseRows
from streamclf.engine.segment import Segmenter
from streamclf.features.frontend import Frontend
from streamclf.model.pack import Manifest
from streamclf.types import F32, Event, FrameScores, Output, Shape

_NEVER = 1 << 62
_DEAF_MS = 500
_CALM_MS = 2000  # of rows that are all finite: what was wrong before is over


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """What a user may choose of a track.

    latency_ms: window-frames only: how late the final revision comes. average: mean of windows instead of the newest.
    native: also keep native rows (offline use only; nothing bounds them but the file).
    """

    latency_ms: int = 500
    average: bool = False
    native: bool = False


class Track:
    """See the module's text. `slot` and `generation` name its place in the pack's session."""

    def __init__(
        self,
        *,
        stream: str,
        native_hop: int,
        manifest: Manifest,
        frontend: Frontend,
        segmenter: Segmenter,
        slot: int,
        options: TrackOptions,
    ) -> None:
        self.stream = stream
        self.manifest = manifest
        self.frontend = frontend
        self.segmenter = segmenter
        self.slot = slot
        self.generation = 0
        self.priority = 0
        self.paused = False
        """Whether its pack does not work: it is not run, and gives nothing."""
        self.bad_samples = 0
        """Sound since the last row that was finite, where rows are not."""
        self._ill_samples = 0  # sound of rows that were not finite, since there was calm
        self._calm_samples = 0  # sound since the last of those
        self.given = 0
        """One past the last frame whose final row was given."""
        self.begins = 0
        """The first frame of those whose rows were given without a break."""
        self.fresh = True
        """True until the first run after a start or a gap: its state must be zeroed before it."""
        self.native: list[tuple[int, F32]] | None = [] if options.native else None
        self.hop = hop_of(manifest.rate)
        self._native_hop = native_hop
        self._stateful = manifest.shape is Shape.STATEFUL
        self._context = manifest.window - manifest.step if self._stateful else 0
        self._span = manifest.step if self._stateful else manifest.window
        self._advance = manifest.step if self._stateful else self.hop
        self._rows: HoldRows | ReviseRows
        if manifest.shape is Shape.WINDOW_FRAMES:
            latency = options.latency_ms * manifest.rate // 1000
            self._rows = ReviseRows(hop=self.hop, latency=latency, average=options.average)
        else:
            self._rows = HoldRows(
                hop=self.hop, look_ahead=manifest.look_ahead, backfill=manifest.shape is Shape.WINDOW_ROW
            )
        self.start = 0
        self._given_to = 0  # sample up to which the last run gave rows of frames
        self._frames: int | None = None
        self._last = 0  # once the stream has ended: sample at which its last run is complete

    def restart(self, frame: int) -> list[Output]:
        """Begin anew at `frame` (the stream's start, or the first whole frame after a gap). Closes open events."""
        events: list[Output] = list(self.segmenter.finish())
        self.start = frame * self.hop
        self.fresh = True
        self._frames = None
        self.given = self.begins = frame
        self.generation += 1
        self._rows.restart(frame)
        return events

    def set_hop(self, frames: int) -> None:
        """Frames between two window runs; at most one window, so that no frame stays without a row.

        Once the stream has ended it stays as it is.
        """
        if not self._stateful and self._frames is None:
            widest = max(1, self.manifest.rows_per_window if self._is_frames else self._span // self.hop)
            self._advance = min(frames, widest) * self.hop

    @property
    def ready(self) -> bool:
        """Whether the features of the next run have been heard."""
        complete = self.start + self._span
        if self.paused or self.frontend.samples < complete:
            return False
        return self._frames is None or complete <= self._last

    @property
    def deaf(self) -> bool:
        """Whether its rows have not been finite for so long that they count as none."""
        return self.bad_samples * 1000 >= _DEAF_MS * self.manifest.rate

    @property
    def scoring(self) -> bool:
        """Whether it gives rows that mean something."""
        return not (self.paused or (self.bad_samples and self.deaf))

    @property
    def ailing(self) -> bool:
        """Whether there were rows that were not finite, and no calm since."""
        return self._ill_samples > 0

    @property
    def ill(self) -> bool:
        """Whether there were so many of those that it has to be told. It stays told until there is calm."""
        return self._ill_samples * 1000 >= _DEAF_MS * self.manifest.rate

    def note(self, bad: bool) -> None:
        """Whether the rows just accepted were not finite, and zeros stand in their place."""
        self.bad_samples = self.bad_samples + self._advance if bad else 0
        self._calm_samples = 0 if bad else self._calm_samples + self._advance
        if bad:
            self._ill_samples += self._advance
        elif self._calm_samples * 1000 >= _CALM_MS * self.manifest.rate:
            self._ill_samples = 0

    def recover(self) -> None:
        """Forget what was not finite: it is run by another session now."""
        self.bad_samples = self._ill_samples = self._calm_samples = 0

    def fill(self, out: F32) -> None:
        """Write the next run's input into `out`, one row of the session's input buffer (model layout)."""
        self.frontend.window(self.start - self._context, self._context + self._span, out)

    def accept(self, rows: F32) -> None:
        """rows: (F, classes) of the run just made, the track's own from now on."""
        complete = self.start + self._span
        if isinstance(self._rows, HoldRows):
            for index, row in enumerate(rows):
                self._rows.add(complete + index * self.hop, row)
        else:
            self._rows.add(self.start // self.hop, complete, rows)
            self._given_to = self.start + len(rows) * self.hop
        if self.native is not None:
            self.native.append((self.start, rows))
        self.start += self._advance
        self.fresh = False

    def take(self) -> list[Output]:
        """Score rows due by what has been heard, and the events that follow from the final ones."""
        if self.paused:
            return []
        heard = self.frontend.samples
        complete = self.start + self._span
        if self._frames is not None:
            # after the end no run and no deadline is waited for: what is there is final
            complete = _NEVER
            heard = _NEVER if self._is_frames else heard
        outputs: list[Output] = []
        for first, rows, final in self._rows.take(heard, complete):
            if self._frames is not None:
                rows = rows[: max(0, self._frames - first)]
            if len(rows):
                end = first + len(rows)
                if self.bad_samples and self.deaf:
                    self.begins = max(self.begins, end)
                else:
                    outputs.append(self._scores(first, rows, final))
                    self.given = end if final else self.given
                if final:
                    outputs += self.segmenter.push(first, rows)
        return outputs

    def needed(self, frames: int) -> int:
        """Samples to be heard so that each of a stream's `frames` frames gets its row (silence follows its end)."""
        whole = frames * self.hop
        if not self._is_frames:
            whole += self.manifest.look_ahead
        elif self.fresh or self._given_to < whole:
            # windows run on, each a hop behind the one before, until one holds the last frame
            ahead = max(0, whole - self.manifest.rows_per_window * self.hop - self.start)
            whole = self.start + -(-ahead // self._advance) * self._advance + self._span
        # a stream (or what follows its last gap) may be shorter than one window: it is run once all the same
        return max(whole, self.start + self._span) if self.fresh and not self._stateful else whole

    def end(self, frames: int) -> None:
        """The stream has ended after `frames` frames; the next `take` gives all that is left."""
        self._last = self.needed(frames)
        self._frames = frames

    def finish(self) -> list[Event]:
        """Close what is open."""
        return self.segmenter.finish()

    @property
    def _is_frames(self) -> bool:
        return self.manifest.shape is Shape.WINDOW_FRAMES

    def _scores(self, first: int, rows: F32, final: bool) -> FrameScores:
        newest = self.frontend.samples
        if isinstance(self._rows, HoldRows):
            newest = min(newest, (first + len(rows)) * self.hop + self.manifest.look_ahead)
        return FrameScores(
            stream=self.stream,
            pack=self.manifest.name,
            first_frame=first,
            rows=rows,
            final=final,
            newest_sample=newest * self._native_hop // self.hop,
        )
