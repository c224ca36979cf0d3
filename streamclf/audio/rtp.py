"""PCM in RTP packets (RFC 3550, L16 and L24 of RFC 3551 and RFC 3190), and their order. No I/O, no clock.

Every packet says where its first sample belongs (the time stamp, which counts samples), so what was lost on the way is
known to the sample, and what comes late or twice can be put where it belongs, or left out. The time stamp has 32 bits
and begins anywhere; it is continued here to 64.
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streamclf.types import F32

_HEADER = struct.Struct(">BBHII")
_WRAP = 1 << 32
FORMS = ("l16", "l24")
"""Of samples: big-endian, 16 or 24 bits."""


class Packet(NamedTuple):
    """at: time stamp of its first sample, 32 bits. sender: who counts it (SSRC). samples: (n, channels) float32."""

    at: int
    sender: int
    samples: F32


def parse(data: bytes, *, channels: int, form: str) -> Packet:
    """Raises ValueError, with what is wrong, where it is not an RTP packet of such samples."""
    if len(data) < _HEADER.size or data[0] >> 6 != 2:
        raise ValueError("it is no RTP packet of version 2")
    first, _, _, at, sender = _HEADER.unpack_from(data)
    begin = _HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:  # an extension, whose length stands in its second half word
        if len(data) < begin + 4:
            raise ValueError("it ends within its header")
        begin += 4 + 4 * int.from_bytes(data[begin + 2 : begin + 4], "big")
    end = len(data) - (data[-1] if first & 0x20 else 0)
    size = (2 if form == "l16" else 3) * channels
    if end < begin or (end - begin) % size:
        raise ValueError(f"its {len(data)} bytes hold no whole samples of {size} bytes ({channels} channels, {form})")
    return Packet(at, sender, _samples(data[begin:end], form).reshape(-1, channels))


def encode(at: int, samples: F32, *, sender: int, sequence: int) -> bytes:
    """A packet of L16: samples (n, ) float32 in [-1, 1]. For tests and tools."""
    whole = np.clip(np.rint(samples * 32768), -32768, 32767).astype(">i2")
    return _HEADER.pack(0x80, 96, sequence % (1 << 16), at % _WRAP, sender) + whole.tobytes()


def _samples(data: bytes, form: str) -> F32:
    if form == "l16":
        return np.frombuffer(data, ">i2").astype(np.float32) / np.float32(1 << 15)
    bytes_of = np.frombuffer(data, np.uint8).reshape(-1, 3).astype(np.int32)
    whole = (bytes_of[:, 0] << 24 | bytes_of[:, 1] << 16 | bytes_of[:, 2] << 8) >> 8
    return whole.astype(np.float32) / np.float32(1 << 23)


@dataclass(frozen=True, slots=True)
class Arrived:
    """What comes next: `lost` samples that never came, and then `samples`, (n, channels). anew: of another sender, or
    so far from what was before that time tells how much is missing."""

    lost: int
    samples: F32
    anew: bool = False


class Reorder:
    """Puts packets of one sender in order. Bounded: what is held spans at most `hold` samples.

    hold: how much may have come behind what is missing before that counts as lost. far: a time stamp that is
    further off than that, either way, is not one of the same count.
    """

    def __init__(self, *, hold: int, far: int) -> None:
        self.late = 0
        """Samples that came twice, or after they were given up."""
        self._hold = hold
        self._far = far
        self.sender: int | None = None
        """Whose packets these are."""
        self._next = 0  # position of the next sample, continued to 64 bits
        self._held: dict[int, F32] = {}  # by position; bound: `hold`

    @property
    def holds(self) -> bool:
        """Whether packets wait for one that is missing."""
        return bool(self._held)

    def push(self, packet: Packet) -> list[Arrived]:
        """What has become certain by this packet, in order."""
        if not len(packet.samples):
            return []
        if packet.sender != self.sender:
            return self._begin(packet)
        at = self._next + (packet.at - self._next + _WRAP // 2) % _WRAP - _WRAP // 2
        if abs(at - self._next) > self._far:
            return self._begin(packet)
        if at > self._next:
            self._held[at] = packet.samples
            return self._settle(whole=False)
        late = min(self._next - at, len(packet.samples))
        self.late += late
        if late == len(packet.samples):
            return []
        pieces = [self._take(0, packet.samples[late:])]
        return pieces + self._settle(whole=False)

    def give_up(self) -> list[Arrived]:
        """What is missing before that which is held is lost."""
        return self._settle(whole=True)

    def _begin(self, packet: Packet) -> list[Arrived]:
        pieces = self._settle(whole=True)
        anew = self.sender is not None
        self.sender, self._next = packet.sender, packet.at + len(packet.samples)
        return [*pieces, Arrived(0, packet.samples, anew)]

    def _settle(self, *, whole: bool) -> list[Arrived]:
        pieces = []
        while self._held:
            at = min(self._held)
            newest = max(at + len(samples) for at, samples in self._held.items())
            if at > self._next and not whole and newest - at <= self._hold:
                break
            samples = self._held.pop(at)
            late = max(0, min(self._next - at, len(samples)))
            self.late += late
            if late < len(samples):
                pieces.append(self._take(max(0, at - self._next), samples[late:]))
        return pieces

    def _take(self, lost: int, samples: F32) -> Arrived:
        self._next += lost + len(samples)
        return Arrived(lost, samples)
