"""Reads the rings of many streams in one tick: those that bring the same number of whole frames as rows of one array.

Most streams bring one frame of 20 ms at a time, all their lives. Their blocks are copied out of the rings in one call,
and what is measured of each frame (its mean, how loud it is) is measured of all of them in one call. What rests on a
stream's past stays with the stream. A stream whose block is not whole frames, that lost samples or has ended, is pulled
by itself; both ways give the same.
"""

from collections.abc import Sequence

import numpy as np

from streamclf.engine.scope import loudness
from streamclf.engine.stream import Stream
from streamclf.types import F32, Gap, GapReason

_UNSEEN = np.zeros(0, dtype=np.float32), np.zeros(0, dtype=np.float32)  # nobody asks how loud frames are


def pull_together(streams: Sequence[Stream]) -> list[Gap | None]:
    """Pull each of these streams, which are readable, once. Returns of each what its `pull` would."""
    if len(streams) == 1:
        return [streams[0].pull()]
    gaps: dict[int, Gap | None] = {}
    groups: dict[tuple[int, int], list[tuple[int, F32]]] = {}
    for number, stream in enumerate(streams):
        block = stream.whole_frames()
        if block is None:
            gaps[number] = stream.pull()
        else:
            groups.setdefault((stream.hop, len(block)), []).append((number, block))
    for (hop, _), group in groups.items():
        if len(group) == 1:
            gaps[group[0][0]] = streams[group[0][0]].pull()
        else:
            gaps |= _pull_rows([(number, streams[number]) for number, _ in group], [block for _, block in group], hop)
    return [gaps[number] for number in range(len(streams))]


def _pull_rows(group: Sequence[tuple[int, Stream]], views: Sequence[F32], hop: int) -> dict[int, Gap | None]:
    """views: the blocks of these streams where they lie in their rings, all of one length."""
    count = len(views[0]) // hop
    frames = np.concatenate(views).reshape(-1, hop)
    totals = np.add.reduce(frames, axis=1).tolist()
    seen = any(stream.scope.active for _, stream in group)
    rms, peaks = loudness(frames) if seen else _UNSEEN
    gaps: dict[int, Gap | None] = {}
    for at, (number, stream) in zip(range(0, len(frames), count), group, strict=True):
        end = at + count
        if not stream.ring.holds(stream.consumed):
            # the writer came round while it was being copied
            stream.begin_pull()
            gaps[number] = stream.skip_to_newest(GapReason.OVERRUN)
            continue
        stream.hear_frames(frames[at:end], totals[at:end], (rms[at:end], peaks[at:end]))
        gaps[number] = None
    return gaps
