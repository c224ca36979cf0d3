"""A file of score rows: records that are appended, each with its own check sum.

    record   b"SCLR", kind (H or B), 3 zero bytes, length and CRC-32 of the payload (uint32, little-endian), payload
    H        what the rows are: `Header` as JSON; the first record of a file
    B        up to ten seconds of consecutive rows: first frame, wall time of frame 0 (ns), rows (int64, little-endian),
             then zlib of the codes, uint8, class by class, the first one as it is and the others as differences

A file is written by one run of the daemon and never opened for writing again. What a crash cut off at its end is
recognised by length or check sum and left out.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from streamclf.clock import NS_PER_FRAME
from streamclf.engine.segment import Decision
from streamclf.errors import StoreError
from streamclf.types import F32, U8, Label

SUFFIX = ".scores"
_RECORD = struct.Struct("<4sc3xII")
_BLOCK = struct.Struct("<qqq")
_MAGIC = b"SCLR"
_LARGEST = 64 << 20  # bytes of a record; anything longer is damage
_LEVEL = 6


class Header(msgspec.Struct, frozen=True):
    """What the rows of a file are. values: what each code stands for: a probability, or dBFS where `kind` is levels."""

    kind: Literal["scores", "levels"]
    run: str
    stream: str
    pack: str
    pack_hash: str
    labels: tuple[Label, ...]
    decisions: tuple[Decision, ...]
    """In force when the rows were made, one for each label; none for levels."""
    values: tuple[float, ...]
    look_ahead_ms: float = 0.0
    """How much later than its frame a row was known."""
    top_k: int = 0
    """Classes kept of each row; 0 for all. The others read as 0."""
    format: Literal[1] = 1


@dataclass(frozen=True)
class Stretch:
    """Consecutive rows. epoch_ns: wall time of frame 0 as the stream's clock had it. codes: (frames, classes) uint8."""

    header: Header
    first_frame: int
    epoch_ns: int
    codes: U8

    @cached_property
    def rows(self) -> F32:
        """(frames, classes) float32."""
        return np.array(self.header.values, dtype=np.float32)[self.codes]

    @property
    def first_ns(self) -> int:
        """Wall time (ns) of the first row's frame."""
        return self.epoch_ns + self.first_frame * NS_PER_FRAME

    @property
    def end_ns(self) -> int:
        """Wall time (ns) of the end of the last row's frame."""
        return self.first_ns + len(self.codes) * NS_PER_FRAME

    def between(self, since_ns: int, until_ns: int) -> "Stretch | None":
        """The rows whose frames begin in [since, until), None where there are none."""
        first = max(0, -(-(since_ns - self.first_ns) // NS_PER_FRAME))
        end = min(len(self.codes), -(-(until_ns - self.first_ns) // NS_PER_FRAME))
        if first >= end:
            return None
        return Stretch(self.header, self.first_frame + first, self.epoch_ns, self.codes[first:end])


def header_record(header: Header) -> bytes:
    """The first record of a file."""
    return _record(b"H", msgspec.json.encode(header))


def block_record(first_frame: int, epoch_ns: int, codes: U8) -> bytes:
    """codes: (frames, classes) uint8."""
    by_class = np.ascontiguousarray(codes.T)
    by_class[:, 1:] -= by_class[:, :-1].copy()  # modulo 256; a class that rests becomes zeros
    head = _BLOCK.pack(first_frame, epoch_ns, len(codes))
    return _record(b"B", head + zlib.compress(by_class.tobytes(), _LEVEL))


class ScoreFile:
    """A file to read. torn: bytes at its end that are not a whole record, known once `stretches` has been read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.torn = 0
        with path.open("rb") as file:
            kind, payload = _read_record(file.read(_RECORD.size), file.read)
        if kind != b"H":
            raise StoreError(f"{path} is not a file of score rows: it does not begin as one; move it away")
        try:
            self.header = msgspec.json.decode(payload, type=Header)
        except msgspec.DecodeError as fault:
            raise StoreError(f"{path} was written by another version of streamclf: {fault}; move it away") from None

    def stretches(self) -> Iterator[Stretch]:
        """Every whole block, in order."""
        for payload in self._blocks():
            yield self._stretch(payload, self.header, slice(None))

    def column(self, label: str) -> Iterator[Stretch]:
        """Of every whole block the one class, by its id; nothing where the file has no scores of it."""
        ids = [known.id for known in self.header.labels]
        if self.header.kind != "scores" or label not in ids:
            return
        at = ids.index(label)
        header = msgspec.structs.replace(
            self.header, labels=(self.header.labels[at],), decisions=(self.header.decisions[at],)
        )
        for payload in self._blocks():
            yield self._stretch(payload, header, slice(at, at + 1))

    def _blocks(self) -> Iterator[bytes]:
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            whole = 0
            while head := file.read(_RECORD.size):
                kind, payload = _read_record(head, file.read)
                if not kind:
                    self.torn = size - whole
                    return
                whole = file.tell()
                if kind == b"B":
                    yield payload

    def _stretch(self, payload: bytes, header: Header, classes: slice) -> Stretch:
        first_frame, epoch_ns, count = _BLOCK.unpack_from(payload)
        raw = np.frombuffer(zlib.decompress(payload[_BLOCK.size :]), dtype=np.uint8)
        by_class = raw.reshape(len(self.header.labels), count)
        codes = np.add.accumulate(by_class[classes], axis=1, dtype=np.uint8).T
        return Stretch(header, first_frame, epoch_ns, codes)


def _record(kind: bytes, payload: bytes) -> bytes:
    return _RECORD.pack(_MAGIC, kind, len(payload), zlib.crc32(payload, zlib.crc32(kind))) + payload


def _read_record(head: bytes, read: Callable[[int], bytes]) -> tuple[bytes, bytes]:
    """Kind and payload; kind is empty where this is not a whole record."""
    if len(head) == _RECORD.size:
        magic, kind, length, check = _RECORD.unpack(head)
        if magic == _MAGIC and length <= _LARGEST:
            payload = read(length)
            if len(payload) == length and zlib.crc32(payload, zlib.crc32(kind)) == check:
                return kind, payload
    return b"", b""
