"""golden.npz of a pack: a recording, and the native rows that must come out of it."""

import io
import math
import zipfile

import numpy as np
import numpy.typing as npt
from numpy.lib import format as npy

from streamclf.errors import PackError
from streamclf.model.archive import check_swelling
from streamclf.text import one_line
from streamclf.types import F32

_MOST_BYTES = 1 << 30  # of both arrays


def read_golden(content: bytes, name: str, *, classes: int) -> tuple[F32, F32]:
    """(samples of the recording at the pack's rate, native rows of (rows, classes)). name: of the pack, for messages.

    Raises `PackError`, whatever the bytes are; no more memory is taken than the arrays have bytes.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [archive.getinfo(f"{name}.npy") for name in ("audio", "native")]
            if sum(member.file_size for member in members) > _MOST_BYTES:
                raise ValueError(f"it unpacks to more than {_MOST_BYTES >> 20} MiB")
            for member in members:
                check_swelling(member)
            audio, native = (_array(archive, member) for member in members)
        return audio.astype(np.float32).reshape(-1), native.astype(np.float32).reshape(-1, classes)
    except Exception as fault:  # numpy and what unpacks for it raise a dozen unrelated types
        why = one_line(str(fault)) or type(fault).__name__
        raise PackError(
            f"golden.npz of pack {name} cannot be used ({why}); it must hold `audio` and `native`"
        ) from None


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
