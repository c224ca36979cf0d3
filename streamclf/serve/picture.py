"""Spectrum columns on the wire, and the last minute and a half of them.

A binary message carries consecutive columns of one stream, little-endian:

    offset  type  what
         0  2s    magic, b"SP"
         2  u8    version, 1
         4  u16   stream, index into `hello.streams`
         6  u16   count of columns
         8  u16   bands in a column
        12  f32   high_hz, upper end of the highest band; the bands lie on the HTK mel scale from 50 Hz up to it
        16  i64   first_frame
        24  …     for each frame u8 root mean square, u8 peak, u8 for each band, the lowest first

Each u8 is a level of -127.5 dB + value / 2, full scale being 0 dB. Columns are shown or forgotten: they have no
sequence number, are not resent, and a client that cannot take one misses it. What it missed, or what was before it
came, it may fetch from /v1/picture while it is held.
"""

import struct
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from streamclf.features.picture import steps
from streamclf.serve.wire import ROWS_PER_BATCH
from streamclf.types import U8, Picture

_HEADER = struct.Struct("<2sBxHHH2xfq")
_MAGIC = b"SP"


@dataclass(frozen=True, slots=True)
class Columns:
    """Consecutive columns. values: (frames, 2 + bands) uint8, root mean square and peak first."""

    stream: int
    first_frame: int
    high_hz: float
    values: U8

    def encode(self) -> bytes:
        """The layout at the top of this module."""
        count, width = self.values.shape
        header = _HEADER.pack(_MAGIC, 1, self.stream, count, width - 2, self.high_hz, self.first_frame)
        return header + self.values.tobytes()


def decode(data: bytes) -> Iterator[Columns]:
    """The messages in `data`, one behind the other. Raises ValueError where they are none."""
    at = 0
    while at < len(data):
        magic, version, stream, count, bands, high_hz, first = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        if magic != _MAGIC or version != 1:
            raise ValueError("these bytes are no picture message")
        values = np.frombuffer(data, np.uint8, count * (bands + 2), at).reshape(count, bands + 2)
        at += values.size
        yield Columns(stream, first, high_hz, values)


class Gallery:
    """Columns of one stream. frames: how many are held (policy: the oldest are forgotten)."""

    def __init__(self, stream: int, *, frames: int) -> None:
        self._stream = stream
        self._held: deque[Columns] = deque(maxlen=frames // ROWS_PER_BATCH)  # one entry a message
        self._open: list[Columns] = []

    def add(self, picture: Picture) -> list[bytes]:
        """Keep columns. Returns the messages that became complete: five columns, or fewer before a hole."""
        levels = picture.levels
        values = np.column_stack([steps(levels.rms**2), steps(levels.peak**2), picture.columns])
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
        self._held.append(whole)
        return whole.encode()
