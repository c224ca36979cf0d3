"""The spectrum columns of the last minute and a half, in the messages (picture.py) in which they are sent."""

from collections import deque

import numpy as np

from streamclf.features.spectrum import steps
from streamclf.protocol.spectrum import Columns
from streamclf.protocol.wire import ROWS_PER_BATCH
from streamclf.types import Picture


class Gallery:
    """Columns of one stream. frames: how many are held (policy: the oldest are forgotten)."""

    def __init__(self, stream: int, *, frames: int) -> None:
        self._stream = stream
        self._held: deque[Columns] = deque(maxlen=frames // ROWS_PER_BATCH)  # one entry a message
        self._open: list[Columns] = []

    def add(self, picture: Picture) -> list[bytes]:
        """Keep columns. Returns the messages that became complete: five columns, or fewer before a hole."""
        levels = picture.levels
        loud = steps(np.column_stack([levels.rms, levels.peak]) ** 2)
        values = np.concatenate([loud, picture.columns], axis=1)
        if not self._open and len(values) == ROWS_PER_BATCH and levels.first_frame % ROWS_PER_BATCH == 0:
            # as the engine draws them
            return [self._keep(Columns(self._stream, levels.first_frame, picture.high_hz, values))]
        done: list[bytes] = []
        for index, column in enumerate(values):
            frame = levels.first_frame + index
            if self._open and frame != self._open[-1].first_frame + 1:
                done.append(self._close())
            self._open.append(Columns(self._stream, frame, picture.high_hz, column[None]))
            if (frame + 1) % ROWS_PER_BATCH == 0:
                done.append(self._close())
        return done

    def since(self, frame: int) -> bytes:
        """All messages held that end behind `frame`, one behind the other."""
        return b"".join(held.encode() for held in self._held if held.first_frame + len(held.values) > frame)

    def _close(self) -> bytes:
        first = self._open[0]
        whole = Columns(self._stream, first.first_frame, first.high_hz, np.concatenate([c.values for c in self._open]))
        self._open = []
        return self._keep(whole)

    def _keep(self, whole: Columns) -> bytes:
        self._held.append(whole)
        return whole.encode()
