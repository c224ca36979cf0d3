"""The compact form of score rows, for subscriptions whose `encoding` is `f16` or `u8`.

A header of 64 bytes, then the rows. All numbers are little-endian.

    offset  type  what
         0  2s    magic, b"SC"
         2  u8    version, 1
         3  u8    type of the values: 1 = float16, 2 = uint8 (probability * 255)
         4  u8    flags: bit 0 = final, bit 1 = label indexes follow the header
         6  u16   count of rows
         8  u16   count of classes in a row
        10  u16   stream, index into `hello.streams`
        12  u16   pack, index into `hello.packs`
        16  u32   channel, as the `subscribed` answer named it: says which labels the columns are
        24  u64   seq
        32  i64   first_frame
        40  i64   captured_ns
        48  i64   decided_ns
        56  i64   sent_ns
        64  u16 * classes, only with flag bit 1 (`top_k` or `min_prob`): index of each column in `hello.packs[].labels`
         …  rows, one after the other
"""

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamclf.errors import ServeError
from streamclf.protocol.wire import PROTOCOL, Encoding
from streamclf.types import F32

_HEADER = struct.Struct("<2sBBBxHHHH2xI4xQqqqq")
_MAGIC = b"SC"
_FINAL, _INDEXED = 1, 2


@dataclass(frozen=True, slots=True)
class BinaryScores:
    """Decoded binary form. rows: (count, classes) float32; columns: label indexes into the pack, or None.

    stream, pack: indexes into the lists of `hello`. channel: as in `subscribed`.
    """

    stream: int
    pack: int
    channel: int
    seq: int
    first_frame: int
    final: bool
    captured_ns: int
    decided_ns: int
    sent_ns: int
    rows: F32
    columns: tuple[int, ...] | None = None


def encode_binary(scores: BinaryScores, encoding: Encoding) -> bytes:
    """The layout at the top of this module; `encoding` is `f16` or `u8`."""
    values: npt.NDArray[np.float16] | npt.NDArray[np.uint8]
    if encoding == "f16":
        code, values = 1, scores.rows.astype("<f2")
    else:
        code, values = 2, (scores.rows * 255).round().astype(np.uint8)
    count, classes = scores.rows.shape
    flags = (_FINAL if scores.final else 0) | (_INDEXED if scores.columns is not None else 0)
    header = _HEADER.pack(
        _MAGIC, 1, code, flags, count, classes, scores.stream, scores.pack, scores.channel, scores.seq,
        scores.first_frame, scores.captured_ns, scores.decided_ns, scores.sent_ns,
    )  # fmt: skip
    columns = b"" if scores.columns is None else np.asarray(scores.columns, dtype="<u2").tobytes()
    return header + columns + values.tobytes()


def decode_binary(data: bytes) -> BinaryScores:
    """Inverse of `encode_binary`. Raises `ServeError` where the data are not such a message."""
    if len(data) < _HEADER.size or data[:3] != _MAGIC + b"\x01" or data[3] not in (1, 2):
        raise ServeError(f"{len(data)} bytes are not a binary score message of {PROTOCOL}")
    _, _, code, flags, count, classes, stream, pack, channel, seq, first, captured, decided, sent = _HEADER.unpack_from(
        data
    )
    at = _HEADER.size
    columns: tuple[int, ...] | None = None
    width = 2 if code == 1 else 1
    extra = 2 * classes if flags & _INDEXED else 0
    if len(data) != at + extra + count * classes * width:
        raise ServeError(f"a binary score message of {count} x {classes} values cannot have {len(data)} bytes")
    if flags & _INDEXED:
        columns = tuple(np.frombuffer(data, "<u2", classes, at).tolist())
    raw = np.frombuffer(data, "<f2" if code == 1 else np.uint8, count * classes, at + extra)
    rows = raw.astype(np.float32).reshape(count, classes)
    if code == 2:
        rows /= np.float32(255)
    return BinaryScores(
        stream, pack, channel, seq, first, bool(flags & _FINAL), captured, decided, sent, rows, columns
    )  # fmt: skip
