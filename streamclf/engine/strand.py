"""A strand: one stream under one graph, that of a pack or of a member of a fused one.

It holds everything mutable of the pair; weights and sessions are elsewhere. Positions are samples of the graph's rate.
`start` is where the next run begins; a run is ready once the features have heard `start + span`. After it `start` moves
by the step (stateful) or by the hop between runs (windows), which may change at any time and is always a multiple of
20 ms.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamclf.clock import hop_of
from streamclf.engine.aggregate import HoldRows, ReviseRows, Rows
from streamclf.features.frontend import Frontend
from streamclf.model.pack import Manifest
from streamclf.types import F32, Shape

if TYPE_CHECKING:
    from streamclf.engine.gate import RunGate

_NEVER = 1 << 62
_DEAF_MS = 500
_CALM_MS = 2000  # of rows that are all finite: what was wrong before is over


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """What a user may choose of a track.

    latency_ms: window-frames only: how late the final revision comes. average: mean of windows instead of the newest.
    native: also keep native rows (offline use only; nothing bounds them but who takes them away).
    """

    latency_ms: int = 500
    average: bool = False
    native: bool = False


class Strand:
    """See the module's text. `slot` and `generation` name its place in the graph's session."""

    def __init__(self, manifest: Manifest, frontend: Frontend, *, slot: int, options: TrackOptions) -> None:
        self.manifest = manifest
        self.frontend = frontend
        self.slot = slot
        self.generation = 0
        self.paused = False
        """Whether its pack does not work: it is not run."""
        self.bad_samples = 0
        """Sound since the last row that was finite, where rows are not."""
        self._ill_samples = 0  # sound of rows that were not finite, since there was calm
        self._calm_samples = 0  # sound since the last of those
        self.fresh = True
        """True until the first run after a start or a gap: its state must be zeroed before it."""
        self.native: list[tuple[int, F32]] | None = [] if options.native else None
        self.hop = hop_of(manifest.rate)
        self._stateful = manifest.shape is Shape.STATEFUL
        self._is_frames = manifest.shape is Shape.WINDOW_FRAMES
        self._context = manifest.window - manifest.step if self._stateful else 0
        self._span = manifest.step if self._stateful else manifest.window
        self._advance = manifest.step if self._stateful else self.hop
        self._rows: HoldRows | ReviseRows
        if self._is_frames:
            latency = options.latency_ms * manifest.rate // 1000
            self._rows = ReviseRows(hop=self.hop, latency=latency, average=options.average)
        else:
            self._rows = HoldRows(
                hop=self.hop, look_ahead=manifest.look_ahead, backfill=manifest.shape is Shape.WINDOW_ROW
            )
        self.start = 0
        self.heard: Callable[[int, F32], None] | None = None
        """Is told of each row of a run: where it is complete, and the row."""
        self.gate: RunGate | None = None
        """Says which windows are worth a run; all of them where there is none."""
        self._given_to = 0  # sample up to which the last run gave rows of frames
        self._frames: int | None = None
        self._last = 0  # once the stream has ended: sample at which its last run is complete

    def restart(self, frame: int) -> None:
        """Begin anew at `frame` (the stream's start, or the first whole frame after a gap)."""
        self.start = frame * self.hop
        self.fresh = True
        self._frames = None
        self.generation += 1
        self._rows.restart(frame)
        if self.gate is not None:
            self.gate.restart()

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
        if self._frames is not None and complete > self._last:
            return False
        return self.gate is None or self.gate.known(complete)

    @property
    def wanted(self) -> bool:
        """Of a strand that is ready, whether its next window is worth a run; else `accept` takes what stands for it."""
        return self.gate is None or self.gate.passes(self.start, self.start + self._span)

    def made(self, sample: int) -> bool:
        """Whether every row that is complete by `sample`, and comes at all, has been made."""
        complete = self.start + self._span
        return complete > sample or (self._frames is not None and complete > self._last)

    def starts(self) -> range:
        """Where the runs begin whose features have been heard, windows of `manifest.window` samples."""
        heard = self.frontend.samples if self._frames is None else min(self.frontend.samples, self._last)
        return range(self.start, heard - self._span + 1 if not self.paused else self.start, self._advance)

    @property
    def deaf(self) -> bool:
        """Whether its rows have not been finite for so long that they count as none."""
        return self.bad_samples * 1000 >= _DEAF_MS * self.manifest.rate

    @property
    def ailing(self) -> bool:
        """Whether there were rows that were not finite, and no calm since."""
        return self._ill_samples > 0

    @property
    def ill(self) -> bool:
        """Whether there were so many of those that it has to be told. It stays told until there is calm."""
        return self._ill_samples * 1000 >= _DEAF_MS * self.manifest.rate

    def note(self, bad: bool) -> None:
        """Whether the rows just accepted were not finite."""
        self.bad_samples = self.bad_samples + self._advance if bad else 0
        self._calm_samples = 0 if bad else self._calm_samples + self._advance
        if bad:
            self._ill_samples += self._advance
        elif self._calm_samples * 1000 >= _CALM_MS * self.manifest.rate:
            self._ill_samples = 0

    def recover(self) -> None:
        """Forget what was not finite: it is run by another session now."""
        self.bad_samples = self._ill_samples = self._calm_samples = 0

    def fill(self, out: F32, start: int) -> None:
        """Write the input of the run that begins at `start` into `out`, one row of the session's input buffer (model
        layout)."""
        self.frontend.window(start - self._context, self._context + self._span, out)

    def accept(self, rows: F32) -> None:
        """rows: (F, classes) of the run just made, the strand's own from now on."""
        complete = self.start + self._span
        if isinstance(self._rows, HoldRows):
            for index, row in enumerate(rows):
                self._rows.add(complete + index * self.hop, row)
                if self.heard is not None:
                    self.heard(complete + index * self.hop, row)
        else:
            self._rows.add(self.start // self.hop, complete, rows)
            self._given_to = self.start + len(rows) * self.hop
        if self.native is not None:
            self.native.append((self.start, rows))
        self.start += self._advance
        self.fresh = False

    def follow(self, other: "Strand", *, first: int) -> None:
        """Stand where `other` does, a strand of the same graph on the same stream, whose runs give this one rows, too.

        Where it stood elsewhere, it begins anew, and gives no row of a frame before `first`.
        """
        self._advance = other._advance
        if self.start != other.start:
            self.start = other.start
            self._rows.restart(max(first, self.start // self.hop))

    def take(self) -> Iterable[Rows]:
        """Rows of frames due by what has been heard."""
        if self._frames is not None:
            return self._last_rows(self._frames)
        heard, complete, rows = self.frontend.samples, self.start + self._span, self._rows
        if isinstance(rows, HoldRows):
            due = rows.due(heard, complete)
            return () if due is None else (due,)
        return rows.take(heard, complete)

    def _last_rows(self, frames: int) -> Iterator[Rows]:
        heard = self.frontend.samples
        # after the end no run and no deadline is waited for: what is there is final
        for first, rows, final in self._rows.take(_NEVER if self._is_frames else heard, _NEVER):
            left = max(0, frames - first)
            if left:
                yield first, rows[:left], final

    def newest(self, end: int) -> int:
        """One past the newest sample that the row of the last frame before frame `end` rests on."""
        if self._is_frames:
            return self.frontend.samples
        return min(self.frontend.samples, end * self.hop + self.manifest.look_ahead)

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
