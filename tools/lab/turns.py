"""Two ways to the same rows, measured in turns: other programs only ever add to a time, and they add to both."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Case:
    """streaming: one call serves `frames` frames of 20 ms. again: what each frame costs without it.

    target: what the ratio must reach at least, 0 where nothing was promised. difference: of the rows of the two.
    """

    name: str
    streaming: Callable[[], object]
    again: Callable[[], object]
    difference: float
    target: float
    frames: int = 1


def measure(cases: Sequence[Case], rounds: int) -> list[tuple[float, float]]:
    """Thread-CPU microseconds for 20 ms, streaming and again, of each case: the least of the rounds."""
    taken = np.zeros((rounds, len(cases), 2))
    for number in range(rounds):
        for at, case in enumerate(cases):
            taken[number, at, 0] = microseconds(case.streaming) / case.frames
            taken[number, at, 1] = microseconds(case.again)
    return [(float(a), float(b)) for a, b in taken.min(axis=0)]


def microseconds(way: Callable[[], object]) -> float:
    """Thread-CPU time of one call, from as many as take about 10 ms, after one that is not counted."""
    start = time.thread_time_ns()
    way()
    count = max(1, int(10e6 / max(1, time.thread_time_ns() - start)))
    start = time.thread_time_ns()
    for _ in range(count):
        way()
    return (time.thread_time_ns() - start) / 1000 / count


def report(cases: Sequence[Case], taken: Sequence[tuple[float, float]], *, tolerance: float) -> bool:
    """Print one line a case. Whether every target is met, and rows differ by less than `tolerance`."""
    print(f"{'us for each 20 ms':62} {'streaming':>9} {'again':>9} {'ratio':>7} {'target':>7} {'difference':>11}")
    missed = False
    for case, (streaming, again) in zip(cases, taken, strict=True):
        ratio = again / streaming
        bad = ratio < case.target or not case.difference < tolerance
        missed |= bad
        target = f"{case.target:.0f}x" if case.target else ""
        print(
            f"{case.name:62} {streaming:9.1f} {again:9.0f} {ratio:6.1f}x {target:>7} {case.difference:11.1e}"
            + ("  MISSED" if bad else "")
        )
    return not missed
