"""What the headers of a recording say of its length, and whether that is all of it.

Files are joined one behind the other (`cat`, dumps of radio), and recorders that lose their power never fill a length
in. A header then tells of a part, and a reader that believes it loses the rest without a word.
"""

import mmap
import struct
from pathlib import Path

_OGG_PAGE = 65_307
"""Bytes of the largest page there is."""
_OGG_FIRST, _OGG_LAST = 2, 4  # bits of a page's kind: it begins a stream, it ends one
_MP3_HEAD = 4096  # bytes behind the tags in which the first frame, with the length, lies
_MP3_BYTES_AT = {b"Xing": 12, b"Info": 12, b"VBRI": 10}
"""Where behind its mark the number of bytes stands; of the first two only where bits 0 and 1 of the flags say so."""
_SLACK = 4096
"""Bytes behind the stated ones that are padding or small tags."""


def mp3_states_length(path: Path) -> bool:
    """Whether the first frame of an mp3 says how many there are, and no others follow them."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(10)
        tagged = head[:3] == b"ID3" and len(head) == 10  # its length: four times seven bits
        begin = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]) if tagged else 0
        file.seek(begin)
        first = file.read(_MP3_HEAD)
        file.seek(max(0, size - 160))
        tail = file.read()
    mark = next((mark for mark in _MP3_BYTES_AT if mark in first), None)
    if mark is None:
        return False
    at = first.index(mark)
    flags = 3 if mark == b"VBRI" else int.from_bytes(first[at + 4 : at + 8], "big")
    if flags & 3 != 3:
        return True
    stated = int.from_bytes(first[at + _MP3_BYTES_AT[mark] :][:4], "big")
    return not stated or size - begin - _tags_behind(tail) <= stated + _SLACK


def _tags_behind(tail: bytes) -> int:
    """Bytes of an ID3v1 and of an APE tag at the end of a file; tail: its last 160."""
    old = 128 if tail[-128:-125] == b"TAG" else 0
    footer = tail[: len(tail) - old][-32:]
    if footer[:8] != b"APETAGEX" or len(footer) < 32:
        return old
    size, _, flags = struct.unpack("<III", footer[12:24])
    return int(old + size + (32 if flags & 0x8000_0000 else 0))


def ogg_is_chained(path: Path) -> bool:
    """Whether a second recording follows in an Ogg file: a page that begins a stream behind one of sound."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as pages:
        at, begun = pages.find(b"OggS"), False
        while 0 <= at <= len(pages) - 27:
            if pages[at + 5] & _OGG_FIRST and begun:
                return True
            begun = begun or not pages[at + 5] & _OGG_FIRST
            behind = at + 27 + pages[at + 26]
            after = behind + sum(pages[at + 27 : behind])
            at = after if pages[after : after + 4] == b"OggS" else pages.find(b"OggS", at + 4)
    return False


def ogg_ends(path: Path) -> bool:
    """Whether the last page of an Ogg file says that it is the last, and is whole."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _OGG_PAGE))
        tail = file.read(_OGG_PAGE)
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page[5] & _OGG_LAST:
        return False
    return len(page) == 27 + page[26] + sum(page[27 : 27 + page[26]])


def wav_is_unfinished(path: Path) -> bool:
    """Whether the sound of a wav is there, and its header says that there is none, as a recorder writes it first."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"WAVE":
            return False
        while len(head := file.read(8)) == 8:
            length = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                return length == 0 and size - file.tell() > 8 and not _is_chunk(file.read(8), size - file.tell())
            file.seek(length + length % 2, 1)
    return False


def _is_chunk(head: bytes, rest: int) -> bool:
    """Whether a chunk begins there; rest: bytes behind its head."""
    return head[:4].isalnum() and head[:4].isascii() and int.from_bytes(head[4:8], "little") <= rest
