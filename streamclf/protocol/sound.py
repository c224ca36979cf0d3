"""Live sound on the wire, for clients that may listen.

A binary message carries consecutive samples of one stream, little-endian:

    offset  type  what
         0  2s    magic, b"SA"
         2  u8    version, 1
         4  u16   stream, index into `hello.streams`
         6  u16   count of samples: one frame of 20 ms
         8  u32   rate in Hz, the stream's own
        16  i64   first_sample
        24  …     for each sample i16, full scale being 32768; one channel, as captured, before any gain

Sound is sent only while somebody listens, and is heard or forgotten: it has no sequence number, is kept nowhere and
never sent again. A client that cannot take a message misses it; a lost sample is a jump in first_sample either way.
"""

import struct
from dataclasses import dataclass

import numpy as np

from streamclf.types import I16

_HEADER = struct.Struct("<2sBxHHI4xq")
_MAGIC = b"SA"


@dataclass(frozen=True, slots=True)
class SoundBlock:
    """Consecutive samples. samples: (count, ) int16. stream: as in the message. rate: Hz."""

    stream: int
    rate: int
    first_sample: int
    samples: I16

    def encode(self) -> bytes:
        """The layout at the top of this module."""
        header = _HEADER.pack(_MAGIC, 1, self.stream, len(self.samples), self.rate, self.first_sample)
        return header + self.samples.astype("<i2").tobytes()


def is_sound(data: bytes) -> bool:
    """Whether a binary message says that it is one of sound."""
    return data.startswith(_MAGIC)


def decode(data: bytes) -> SoundBlock:
    """Inverse of `SoundBlock.encode`. Raises ValueError where the data are not one."""
    if len(data) < _HEADER.size or data[:3] != _MAGIC + b"\x01":
        raise ValueError("these bytes are not a sound message")
    _, _, stream, count, rate, first = _HEADER.unpack_from(data)
    if len(data) != _HEADER.size + 2 * count:
        raise ValueError(f"a sound message of {count} samples cannot have {len(data)} bytes")
    return SoundBlock(stream, rate, first, np.frombuffer(data, "<i2", count, _HEADER.size).astype(np.int16))
