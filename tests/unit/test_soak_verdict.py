"""What a soak calls a loss and a growth."""

import random

from tools.faults.watch import StreamRows
from tools.soak.verdict import ProcessSample, figures, slope_mib_h


def _samples(hours: float, *, mib_h: float = 0.0, noise_kib: int = 0, threads: int = 0) -> list[ProcessSample]:
    chance = random.Random(1)
    count = int(hours * 360)
    return [
        ProcessSample(
            at_s=10.0 * i,
            rss_kib=200_000 + int(mib_h * 1024 * i / 360) + chance.randint(-noise_kib, noise_kib),
            threads=8 + threads * i // count,
            descriptors=20,
            cpu_s=i * 1.0,
        )
        for i in range(count)
    ]


def test_the_slope_is_the_memorys_and_single_jumps_do_not_count() -> None:
    samples = _samples(2, mib_h=3.0, noise_kib=500)
    samples[300:305] = [ProcessSample(one.at_s, 10 * one.rss_kib, 8, 20, 0) for one in samples[300:305]]

    assert abs(slope_mib_h(samples) - 3.0) < 0.3


def test_memory_that_grows_and_threads_that_stay_are_violations() -> None:
    assert figures(_samples(2, noise_kib=500))[1] == []
    assert "memory grows" in figures(_samples(2, mib_h=1.5, noise_kib=500))[1][0]
    assert "threads more" in figures(_samples(2, threads=12))[1][0]


def test_a_short_run_says_that_it_cannot_judge_the_slope() -> None:
    said, wrong = figures(_samples(0.2, mib_h=50.0))

    assert wrong == []
    assert any("too short" in sentence for sentence in said)


def test_a_hole_is_explained_by_a_gap_alone() -> None:
    rows = StreamRows(holes=[(100, 150), (200, 210), (300, 400)])
    rows.gaps = [(100, 150, "lost"), (298, 350, "xrun"), (349, 401, "lost")]

    assert rows.unexplained() == [(200, 210)]
