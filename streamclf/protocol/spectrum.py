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
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from streamclf.types import U8

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
    """The messages in `data`, one behind the other. Raises ValueError where they are not."""
    at = 0
    while at < len(data):
        if len(data) - at < _HEADER.size:
            raise ValueError("a picture message is cut off in its header")
        magic, version, stream, count, bands, high_hz, first = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        if magic != _MAGIC or version != 1:
            raise ValueError("these bytes are not a picture message")
        values = np.frombuffer(data, np.uint8, count * (bands + 2), at).reshape(count, bands + 2)
        at += values.size
        yield Columns(stream, first, high_hz, values)
