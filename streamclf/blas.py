"""One thread for BLAS, in every process of ours: import this before numpy, which reads it once.

Products here are small. Left alone, OpenBLAS sets 40 MiB of address space aside for each core, and from some size on it
divides a product among its threads, which takes longer than the product: log-mel of 64 frames a call 119 us a frame
instead of 3. Processes started from here inherit it. Whoever has set OPENBLAS_NUM_THREADS keeps it.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
