"""A finite signal through the engine that the daemon runs: blocks into a ring, ticks until it is empty.

There is no second path: what differs from the daemon is only who calls `tick`, and that nobody waits for a clock.
"""

from collections.abc import Iterable, Iterator, Sequence

from streamclf.audio.ring import Ring
from streamclf.engine.engine import Engine
from streamclf.engine.stream import Stream
from streamclf.types import F32, Output

_RING_SECONDS = 4


def run_blocks(
    engine: Engine,
    name: str,
    *,
    rate: int,
    blocks: Iterable[F32],
    packs: Sequence[str] | None = None,
    gain: str = "off",
    keep: bool = False,
) -> Iterator[list[Output]]:
    """Outputs of `engine` on a signal given as blocks of (n, ) float32 at `rate` (Hz), any n; the last list ends it.

    keep: leave the stream in the engine afterwards (its tracks hold native rows); the caller removes it.
    """
    ring = Ring(_RING_SECONDS * rate)
    engine.add(Stream(name, rate=rate, ring=ring, gain=gain), packs=packs)
    try:
        for block in blocks:
            for start in range(0, len(block), rate):
                ring.write(block[start : start + rate])
                yield engine.drain()
        yield engine.finish(name)
    finally:
        if not keep:
            engine.remove(name)
