"""What spectra cost: a stream's columns at 50 a second, kept for whoever looks, and one picture of an alert.

    python tools/bench/picture.py

Thread-CPU. Columns: made, and laid by for a replay's length, against levels alone, which are always measured. Pictures:
20 s of noise with four lanes, drawn and packed as an alert has them.
"""

import streamclf.blas  # noqa: F401  one thread, as in the daemon; before numpy is imported

# isort: split
import statistics
import time
from collections.abc import Callable
from datetime import UTC

import numpy as np

from streamclf.daemon.pictures import SIZE
from streamclf.draw.canvas import png
from streamclf.draw.palette import THEMES
from streamclf.draw.passage import EventBar, Lane, Passage
from streamclf.draw.snapshot import draw
from streamclf.engine.scope import Scope
from streamclf.features.spectrum import BANDS
from streamclf.serve.gallery import Gallery
from streamclf.types import F32, Picture

FRAME_S = 0.02
ROUNDS, FRAMES = 20, 250
SHOWN = 1000


def main() -> None:
    """One line a rate, one for the picture."""
    for rate in (16_000, 32_000, 48_000):
        blocks = np.random.default_rng(0).normal(0, 0.1, (FRAMES, rate // 50)).astype(np.float32)
        without, drawn = (median_s(columns(rate, blocks, on)) / FRAMES for on in (False, True))
        more = drawn - without
        print(f"{rate} Hz: {more * 1e6:.0f} us a column, {more / FRAME_S:.2%} of a core for each stream")
    passage = noise()
    data = png(draw(passage, theme=THEMES["light"], zone=UTC, size=SIZE))
    took_s = median_s(lambda: png(draw(passage, theme=THEMES["light"], zone=UTC, size=SIZE)))
    print(f"picture of {SIZE[0]}x{SIZE[1]}: {took_s * 1000:.0f} ms, {len(data) / 1000:.0f} kB")


def columns(rate: int, blocks: F32, on: bool) -> Callable[[], None]:
    """Runs all blocks, 20 ms each, through a stream's scope."""
    scope, gallery = Scope("mic", rate, levels=True), Gallery(0, frames=4500)
    scope.draw(on, sample=0)

    def run() -> None:
        for block in blocks:
            for seen in scope.push(block):
                if isinstance(seen, Picture):
                    gallery.add(seen)

    return run


def noise() -> Passage:
    """20 s that compress as badly as any."""
    rng = np.random.default_rng(0)
    lanes = tuple(
        Lane(f"class {n}", "bench", 0.5, rng.random(SHOWN, dtype=np.float32), (EventBar(200 * n, 200 * n + 99, 0.9),))
        for n in range(4)
    )
    values = rng.integers(0, 256, (SHOWN, 2 + BANDS), dtype=np.uint8)
    return Passage("mic", ("bench 1",), "streamclf", 0, 0, 12_000.0, values, np.ones(SHOWN, np.bool_), lanes, ())


def median_s(run: Callable[[], object]) -> float:
    """CPU seconds of this thread for one run."""
    took = []
    for _ in range(ROUNDS):
        began = time.thread_time()
        run()
        took.append(time.thread_time() - began)
    return statistics.median(took)


if __name__ == "__main__":
    main()
