"""How bytes are made: a kept file, changed in a few places as damage changes files, and as those who mean harm do."""

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

CORPUS = Path(__file__).resolve().parents[2] / "tests" / "fuzz" / "corpus"
MOST_BYTES = 1 << 20

_WORD = re.compile(rb"[A-Za-z0-9_.+:-]+")
_LONG = 5000  # digits, more than Python reads
_HARMFUL: tuple[bytes, ...] = (
    b"",
    b"\0",
    b"\n",
    b"\r\n",
    b"\x1b[2J",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00\x00\x00\x80",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
    b"9" * _LONG,
    b"-" + b"9" * _LONG,
    b"0x" + b"f" * _LONG,
    b"1e999",
    b"1e-999",
    b"0." + b"1" * _LONG,
    b"nan",
    b"-inf",
    b"-1",
    b"1979-05-27T07:32:00+24:00",
    b"[" * 3000,
    b"{" * 3000,
    b"{a=" * 3000,
    b"[[" + b"a." * 400 + b"a]]\n",
    b"a." * 400 + b"a = 1\n",
    b'"' * 3001,
    b'"\\' * 3000,
    b"'''",
    b'"""',
    b"(" * 3000,
    b"#",
    b",",
    b";" * 3000,
    b"=" * 300,
    b"../../",
    b"~nobody-of-that-name/",
    b"{0.__class__}",
    b"%s%n",
    b"true",
    b"x" * 70_000,
)


def kept(target: str) -> list[bytes]:
    """The files of a target in the corpus, in the order of their names."""
    return [path.read_bytes() for path in sorted((CORPUS / target).iterdir())]


@st.composite
def changed(draw: Any, seeds: Sequence[bytes]) -> bytes:
    """One of `seeds`, changed in up to six places."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 6))):
        _change(draw, data, seeds)
        del data[MOST_BYTES:]
    return bytes(data)


def _change(draw: Any, data: bytearray, seeds: Sequence[bytes]) -> None:
    begin = draw(st.integers(0, len(data)))
    end = min(len(data), begin + draw(st.sampled_from((1, 1, 2, 4, 8, 40, 400))))
    match draw(st.integers(0, 9)):
        case 0:
            data[begin:end] = draw(st.binary(max_size=8))
        case 1:
            data[begin:begin] = draw(st.sampled_from(_HARMFUL))
        case 2:
            data[begin:end] = draw(st.sampled_from(_HARMFUL))
        case 3:
            del data[begin:end]
        case 4:
            data[begin:begin] = bytes(data[begin:end]) * draw(st.sampled_from((1, 2, 30, 2000)))
        case 5:
            other = draw(st.sampled_from(seeds))
            at = draw(st.integers(0, len(other)))
            data[begin:end] = other[at : at + 60]
        case 6:
            del data[begin:]
        case 7:  # in a header, where sizes and counts stand
            at = draw(st.integers(0, min(len(data), 96)))
            data[at : at + 4] = draw(st.sampled_from(_HARMFUL[6:9]) | st.binary(min_size=1, max_size=4))
        case _:  # a word or a number of a text
            words = [found.span() for found in islice(_WORD.finditer(data), 400)] or [(begin, end)]
            begin, end = draw(st.sampled_from(words))
            data[begin:end] = draw(st.sampled_from(_HARMFUL))
