"""A track: one stream under one pack. Its strands give rows of frames; it tells them, and the events that follow.

A pack has one strand on a stream, a fused pack one for each member; then a row of each makes a row of the pack.
"""

from collections.abc import Iterator, Sequence

from streamclf.clock import hop_of
from streamclf.engine.aggregate import FuseRows
from streamclf.engine.segment import Ending, Segmenter
from streamclf.engine.strand import Strand, TrackOptions
from streamclf.features.deferred import DeferredFrontend
from streamclf.model.pack import Pack
from streamclf.types import F32, Event, FrameScores, Output

__all__ = ["Track", "TrackOptions"]

_TrackRows = tuple[int, F32, bool, F32 | None]
"""(first frame, rows, final, how far the member that says when is over its own leave)"""


class Track:
    """See the module's text. native_hop: samples of a frame at the stream's own rate."""

    def __init__(
        self,
        pack: Pack,
        strands: Sequence[Strand],
        segmenter: Segmenter,
        *,
        stream: str,
        native_hop: int,
        options: TrackOptions,
    ) -> None:
        self.stream = stream
        self.manifest = pack.manifest
        self.strands = tuple(strands)
        self.segmenter = segmenter
        self.slot = strands[0].slot
        self.priority = 0
        self.paused = False
        """Whether its pack does not work: it is not run, and gives nothing."""
        self.given = 0
        """One past the last frame whose final row was given."""
        self.begins = 0
        """The first frame of those whose rows were given without a break."""
        self.hop = hop_of(pack.manifest.rate)
        self.native = strands[0].native
        """Where they are kept: (sample at which a run begins, its rows); of a fused pack its rows of frames."""
        self._native_hop = native_hop
        self._fused = None if pack.fusion is None else FuseRows(pack.fusion)
        if pack.fusion is not None:
            self.native = [] if options.native else None
            for strand in strands:
                strand.native = None

    def restart(self, frame: int, ended_by: Ending = Ending.GAP) -> list[Output]:
        """Begin anew at `frame` (the stream's start, or the first whole frame after a gap). Closes open events."""
        events: list[Output] = list(self.segmenter.finish(ended_by))
        self.given = self.begins = frame
        for strand in self.strands:
            strand.restart(frame)
        if self._fused is not None:
            self._fused.restart()
        return events

    def sleep(self) -> None:
        """Its pack does not work."""
        self._rest(True)

    def wake(self) -> None:
        """Its pack works again: `restart` comes next."""
        self._rest(False)
        for strand in self.strands:
            strand.recover()

    def _rest(self, paused: bool) -> None:
        self.paused = paused
        for strand in self.strands:
            strand.paused = paused
            if isinstance(strand.frontend, DeferredFrontend):
                if paused:
                    strand.frontend.sleep()
                else:
                    strand.frontend.wake()

    @property
    def deaf(self) -> bool:
        """Whether its rows have not been finite for so long that they count as none."""
        return any(strand.bad_samples and strand.deaf for strand in self.strands)

    @property
    def scoring(self) -> bool:
        """Whether it gives rows that mean something."""
        return not (self.paused or self.deaf)

    @property
    def ill(self) -> bool:
        """Whether so many rows were not finite that it has to be told. It stays told until there is calm."""
        return any(strand.ill for strand in self.strands)

    def take(self) -> list[Output]:
        """Score rows due by what has been heard, and the events that follow from the final ones."""
        if self.paused:
            return []
        outputs: list[Output] = []
        for first, rows, final, margins in self._due():
            end = first + len(rows)
            if self.deaf:
                self.begins = max(self.begins, end)
            else:
                outputs.append(self._scores(first, rows, final))
                self.given = end if final else self.given
            if final:
                outputs += self.segmenter.push(first, rows, margins)
        return outputs

    def end(self, frames: int) -> None:
        """The stream has ended after `frames` frames; the next `take` gives all that is left."""
        for strand in self.strands:
            strand.end(frames)

    def finish(self, ended_by: Ending) -> list[Event]:
        """Close what is open."""
        return self.segmenter.finish(ended_by)

    def _due(self) -> Iterator[_TrackRows]:
        fused = self._fused
        if fused is None:
            for first, rows, final in self.strands[0].take():
                yield first, rows, final, None
            return
        for member, strand in enumerate(self.strands):
            for first, rows, final in strand.take():
                if final:
                    fused.add(member, first, rows)
        due = fused.take()
        if due is not None:
            first, rows, margins = due
            if self.native is not None:
                self.native.append((first * self.hop, rows))
            yield first, rows, True, margins

    def _scores(self, first: int, rows: F32, final: bool) -> FrameScores:
        end = first + len(rows)
        return FrameScores(
            stream=self.stream,
            pack=self.manifest.name,
            first_frame=first,
            rows=rows,
            final=final,
            newest_sample=max(strand.newest(end) * self._native_hop // strand.hop for strand in self.strands),
        )
