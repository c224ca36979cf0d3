"""The rows that many tracks give in one tick, compared with their thresholds in one call for each pack.

Of most rows nothing follows: no event lasts and none begins. For those the comparison is all there is to do.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamclf.engine.derived import DerivedTrack
from streamclf.engine.track import Track, TrackRows
from streamclf.types import F32, Output


class _Row(NamedTuple):
    """The one final row of a track on which no event lasts. place: of the track among all of them."""

    place: int
    track: Track
    due: TrackRows
    enter: F32
    leave: F32


def take_together(tracks: Sequence[Track | DerivedTrack]) -> list[Output]:
    """What `take` of each of these gives, in their order."""
    if len(tracks) == 1:
        return tracks[0].take()
    given: list[list[Output]] = [[] for _ in tracks]
    plain: dict[str, list[_Row]] = {}
    for place, track in enumerate(tracks):
        if isinstance(track, DerivedTrack):
            continue
        due = track.due()
        if len(due) == 1 and due[0][2] and len(due[0][1]) == 1:
            thresholds = track.segmenter.thresholds
            if thresholds is not None:
                plain.setdefault(track.manifest.name, []).append(_Row(place, track, due[0], *thresholds))
                continue
        given[place] = [output for rows in due for output in track.tell(rows)]
    for some in plain.values():
        _tell(some, given)
    for place, track in enumerate(tracks):
        # rests on what the others have given
        if isinstance(track, DerivedTrack):
            given[place] = track.take()
    return [output for outputs in given for output in outputs]


def _tell(some: Sequence[_Row], given: list[list[Output]]) -> None:
    """some: of one pack."""
    if len(some) == 1:
        given[some[0].place] = some[0].track.tell(some[0].due)
        return
    rows = np.concatenate([one.due[1] for one in some])
    enter = np.concatenate([one.enter for one in some]).reshape(rows.shape)
    leave = np.concatenate([one.leave for one in some]).reshape(rows.shape)
    begins = np.asarray((rows >= enter).any(axis=1))
    reached: npt.NDArray[np.bool_] = np.greater_equal(rows, leave)
    for at, one in enumerate(some):
        lasts, margins = reached[at], one.due[3]
        if margins is not None:
            # of these another model says how far back they reach
            lasts[one.track.segmenter.known] = margins[0] >= 0
        given[one.place] = one.track.tell(one.due, None if begins[at] else lasts)
