"""A process that captures and reports: `python -m tests.support.listener SPEC...`, for tests of sources.

It writes one JSON object a line to standard output (`stream`, `state`, `detail`, `written`, `wall_ns`; once
`state = "ready"`, and `state = "saved"` as the answer to a command), and reads commands from standard input:
`save FOLDER` writes NAME.npz with `samples`, `first`, `holes`, `epoch_ns`, `rate`; `stop` ends it.
"""

import json
import sys
import threading
import time
from pathlib import Path

import numpy as np

from streamclf.audio.ring import Ring
from streamclf.audio.sources import Source, name_sources, open_source, parse_source
from streamclf.audio.wake import Wake
from streamclf.clock import StreamClock

HELD_S = 60
_lock = threading.Lock()


def tell(stream: str, state: str, detail: str, written: int = 0) -> None:
    with _lock:
        line = {"stream": stream, "state": state, "detail": detail, "written": written, "wall_ns": time.time_ns()}
        print(json.dumps(line), flush=True)


def save(folder: Path, name: str, ring: Ring, clock: StreamClock, source: Source) -> None:
    stop = ring.written
    first = ring.first_valid
    holes = np.array([(hole.first, hole.end) for hole in tuple(ring.holes)], dtype=np.int64).reshape(-1, 2)
    np.savez(
        folder / f"{name}.npz",
        samples=ring.view(first, stop).copy(),
        first=first,
        holes=holes,
        reasons=np.array([hole.reason for hole in tuple(ring.holes)]),
        epoch_ns=clock.epoch_ns,
        rate=source.rate,
        xruns=source.xruns,
        bad_samples=source.bad_samples,
    )


def main() -> None:
    """Capture until told to stop."""
    streams: list[tuple[str, Source, Ring, StreamClock]] = []
    for spec in name_sources([parse_source(text) for text in sys.argv[1:]]):
        source = open_source(spec)
        source.open()
        ring, clock = Ring(source.rate * HELD_S), StreamClock(source.rate)
        streams.append((spec.name, source, ring, clock))
    for name, source, ring, clock in streams:
        source.start(ring, clock, Wake(), lambda s, d, name=name, ring=ring: tell(name, s, d, ring.written))  # type: ignore[misc]
    tell("", "ready", "; ".join(source.description for _, source, _, _ in streams))
    for command in sys.stdin:
        word, _, argument = command.strip().partition(" ")
        if word == "stop":
            break
        for name, source, ring, clock in streams:
            save(Path(argument), name, ring, clock, source)
        tell("", "saved", argument)
    for _, source, _, _ in streams:
        source.stop()
        tell("", "stopped", "")


if __name__ == "__main__":
    main()
