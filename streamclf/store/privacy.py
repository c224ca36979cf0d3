"""Which frames of a stream hold no speech. Whatever is not known to be clear counts as speech.

It is a filter on what the packs in use hear, with their mistakes, not a promise.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from streamclf.types import FrameScores, Label


class SpeechWatch:
    """Reads whole score rows, every class of them, of the packs that have a label for speech.

    columns: pack -> columns of its rows that stand for speech. frames: how many are remembered of each stream.
    A frame is clear once each of these packs has scored it below `threshold` in all these columns.
    """

    def __init__(self, columns: Mapping[str, Sequence[int]], *, threshold: float, frames: int) -> None:
        self._columns = {pack: list(found) for pack, found in columns.items() if found}
        self._threshold = threshold
        self._frames = frames
        self._clear: dict[tuple[str, str], npt.NDArray[np.int64]] = {}  # frame % frames -> the frame, where clear
        self._known: dict[tuple[str, str], int] = {}

    def take(self, scores: FrameScores) -> None:
        """Final rows of one pack on one stream."""
        columns = self._columns.get(scores.pack)
        if columns is None or not scores.final:
            return
        key = scores.stream, scores.pack
        clear = self._clear.setdefault(key, np.full(self._frames, -1, dtype=np.int64))
        quiet = scores.rows[:, columns].max(axis=1) < self._threshold
        frames = np.arange(scores.first_frame, scores.first_frame + len(scores.rows))
        clear[frames % self._frames] = np.where(quiet, frames, -1)
        self._known[key] = scores.first_frame + len(scores.rows)

    def known(self, stream: str, packs: Sequence[str]) -> int:
        """Frames before this one have been scored by each of `packs` that can tell speech, or never will be."""
        return min(self._known.get((stream, pack), 0) for pack in packs if pack in self._columns)

    def speech(self, stream: str, packs: Sequence[str], first: int, end: int, *, margin: int) -> npt.NDArray[np.bool_]:
        """(end - first, ) bool: frames that hold speech or lie within `margin` frames of such, or are not known."""
        frames = np.arange(first - margin, end + margin)
        clear = np.ones(len(frames), dtype=bool)
        for pack in packs:
            if pack in self._columns:
                held = self._clear.get((stream, pack))
                clear &= False if held is None else held[frames % self._frames] == frames
        clear[frames < 0] = True  # before the stream began there was nothing
        near = np.convolve(~clear, np.ones(2 * margin + 1, dtype=np.int64), mode="valid")
        return near > 0


def speech_columns(labels: Sequence[Label], wanted: Sequence[str]) -> list[int]:
    """Columns of the classes that `wanted` (ids, `group:NAME`) names."""
    return [at for at, label in enumerate(labels) if label.id in wanted or f"group:{label.group}" in wanted]
