"""Arrays out of an npz that another has made: nothing in it can execute, and it takes no more room than it says."""

import io
import math
import zipfile
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from streamclf.text import clean

# of what is larger than _SMALL no more than this comes out of a byte: weights are noise, and hardly shrink at all
_MOST_SWELLING = 100
_SMALL = 16 << 20
# zipfile inflates the others as far as they go: a part of bzip2 to 5 GiB; LZMA takes whatever memory it states
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def arrays_of(
    content: bytes, most_bytes: int, *, only: Sequence[str] | None = None
) -> dict[str, npt.NDArray[np.generic]]:
    """By name; `only` those, all of which must be there. Raises a dozen unrelated types where it is no such file, and
    ValueError where all of them are more than `most_bytes`. No more memory is taken than the arrays have bytes.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist() if only is None else [archive.getinfo(f"{name}.npy") for name in only]
        if sum(member.file_size for member in members) > most_bytes:
            raise ValueError(f"it unpacks to more than {most_bytes >> 20} MiB")
        for member in members:
            check_swelling(member)
        return {member.filename.removesuffix(".npy"): _array(archive, member) for member in members}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> npt.NDArray[np.generic]:
    with archive.open(member) as file:
        version = npy.read_magic(file)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_column, dtype = read_header(file)
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or not 0 <= size <= member.file_size or min(shape, default=0) < 0:
            raise ValueError(f"{member.filename} states {size} bytes of {dtype}, and has {member.file_size}")
        values = np.frombuffer(file.read(size), dtype=dtype)
    return values.reshape(shape, order="F" if by_column else "C")


def check_swelling(member: zipfile.ZipInfo) -> None:
    """Raises ValueError where a member would take much more memory or room than anything that a pack has."""
    name = clean(member.filename, 100)
    if member.file_size > max(_SMALL, _MOST_SWELLING * member.compress_size):
        raise ValueError(
            f"{name} goes from {member.compress_size} bytes to {member.file_size}, and numbers never shrink so far"
        )
    if member.compress_type not in _METHODS:
        raise ValueError(f"{name} is packed by method {member.compress_type}")
