"""golden.npz of a pack: a recording, and the native rows that must come out of it."""

import numpy as np

from streamclf.errors import PackError
from streamclf.model.npz import arrays_of
from streamclf.text import one_line
from streamclf.types import F32

_MOST_BYTES = 1 << 30  # of both arrays


def read_golden(content: bytes, name: str, *, classes: int) -> tuple[F32, F32]:
    """(samples of the recording at the pack's rate, native rows of (rows, classes)). name: of the pack, for messages.

    Raises `PackError`, whatever the bytes are; no more memory is taken than the arrays have bytes.
    """
    try:
        arrays = arrays_of(content, _MOST_BYTES, only=("audio", "native"))
        audio, native = arrays["audio"], arrays["native"]
        return audio.astype(np.float32).reshape(-1), native.astype(np.float32).reshape(-1, classes)
    except Exception as fault:  # numpy and what unpacks for it raise a dozen unrelated types
        why = one_line(str(fault)) or type(fault).__name__
        raise PackError(
            f"golden.npz of pack {name} cannot be used ({why}); it must hold `audio` and `native`"
        ) from None
