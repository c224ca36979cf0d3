"""What a stream costs: packs in turn on the same sound, a block of 20 ms at a time, features and engine included."""

import time
from collections.abc import Sequence

import numpy as np

from streamclf.audio.ring import Ring
from streamclf.engine.engine import Engine
from streamclf.engine.stream import Stream
from streamclf.train.export.parity import signal

_RATE = 16_000
_HOP = _RATE // 50
_WARM = 100


def per_frame_ms(engines: Sequence[Engine], *, rounds: int = 20, frames: int = 50) -> list[list[float]]:
    """Thread-CPU milliseconds for 20 ms of one stream: for each round the mean over `frames`, for each engine.

    The engines take turns, so that whatever else the machine does falls on all of them.
    """
    audio = signal(_RATE, (_WARM + rounds * frames) * _HOP)
    rings = []
    for engine in engines:
        ring = Ring(4 * _RATE)
        engine.add(Stream("cost", rate=_RATE, ring=ring))
        rings.append(ring)
        _listen(engine, ring, audio[: _WARM * _HOP])
    taken = []
    for number in range(rounds):
        part = audio[(_WARM + number * frames) * _HOP :][: frames * _HOP]
        row = []
        for engine, ring in zip(engines, rings, strict=True):
            start = time.thread_time_ns()
            _listen(engine, ring, part)
            row.append((time.thread_time_ns() - start) / 1e6 / frames)
        taken.append(row)
    for engine in engines:
        engine.remove("cost")
    return taken


def _listen(engine: Engine, ring: Ring, audio: np.ndarray) -> None:
    for first in range(0, len(audio), _HOP):
        ring.write(audio[first : first + _HOP])
        engine.drain()
