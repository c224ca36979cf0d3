"""Which providers `auto` tries before the CPU, told before any of their libraries is loaded."""

import ctypes
import sys

from streamclf.types import Provider


def worth_trying() -> tuple[Provider, ...]:
    """CUDA where NVIDIA's driver is; its library takes 340 MiB of address space only to find out that there is none.

    TensorRT builds engines for minutes, so it is taken on demand only.
    """
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return ()
    return (Provider.CUDA,)
