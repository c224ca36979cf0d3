"""A track: one stream under one pack. Its strands give rows of frames; it tells them, and the events that follow.

A pack has one strand on a stream, a fused pack one for each member; then a row of each makes a row of the pack.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from streamclf.clock import hop_of
from streamclf.engine.aggregate import FuseRows
from streamclf.engine.segment import Ending, Segmenter
from streamclf.engine.strand import Strand, TrackOptions
from streamclf.features.deferred import DeferredFrontend
from streamclf.model.pack import Pack
from streamclf.types import F32, Event, FrameScores, Output

__all__ = ["Track", "TrackOptions"]

TrackRows = tuple[int, F32, bool, F32 | None]
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
        strands = self.strands
        # asked for every row of every stream, and a generator takes four times as long
        return strands[0].deaf if len(strands) == 1 else any(strand.deaf for strand in strands)

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
        outputs: list[Output] = []
        for rows in self.due():
            outputs += self.tell(rows)
        return outputs

    def take_rest(self) -> list[Output]:
        """What `take` gives: nothing waits for more."""
        return self.take()

    def due(self) -> list[TrackRows]:
        """Rows due by what has been heard, each to be told before the next."""
        if self.paused:
            return []
        if self._fused is not None:
            return list(self._fuse(self._fused))
        return [(first, rows, final, None) for first, rows, final in self.strands[0].take()]

    def tell(self, due: TrackRows, lasts: npt.NDArray[np.bool_] | None = None) -> list[Output]:
        """The score rows, and the events that follow where they are final.

        lasts: of the one row, where it is known that nothing begins with it: see `Segmenter.pass_over`.
        """
        first, rows, final, margins = due
        end = first + len(rows)
        outputs: list[Output] = []
        if self.deaf:
            self.begins = max(self.begins, end)
        else:
            outputs.append(self._scores(first, rows, final))
            self.given = end if final else self.given
        if final and (lasts is None or not self.segmenter.pass_over(first, lasts)):
            outputs += self.segmenter.push(first, rows, margins)
        return outputs

    def end(self, frames: int) -> None:
        """The stream has ended after `frames` frames; the next `take` gives all that is left."""
        for strand in self.strands:
            strand.end(frames)

    def finish(self, ended_by: Ending) -> list[Event]:
        """Close what is open."""
        return self.segmenter.finish(ended_by)

    def _fuse(self, fused: FuseRows) -> Iterator[TrackRows]:
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
        end, hop, strands = first + len(rows), self._native_hop, self.strands
        newest = strands[0].newest(end) * hop // strands[0].hop
        for strand in strands[1:]:
            newest = max(newest, strand.newest(end) * hop // strand.hop)
        return FrameScores(self.stream, self.manifest.name, first, rows, final, newest)
