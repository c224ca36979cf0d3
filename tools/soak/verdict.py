"""Figures of a soak: what is sampled, the slope of the memory, and what went wrong."""

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.faults.watch import RowWatch

WARM_UP_SHARE, WARM_UP_S = 0.3, 1200.0
_LEAST_S = 1200.0  # after the warm-up; what is shorter says nothing of a slope in MiB an hour
_MOST_POINTS = 400
MAX_SLOPE_MIB_H = 1.0
MAX_BEHIND_S = 8.0
STEADY, KEEP_TIME = "steady", ("pipe", "mica", "micb")
"""Whose holes are as long as time says, beside a stream without any: what both are late by is no sound glued together.

A push client counts as it likes, and so does a slow radio.
"""
MAX_MORE_THREADS, MAX_MORE_DESCRIPTORS = 4, 12


@dataclass(frozen=True, slots=True)
class ProcessSample:
    """Of the daemon's process, at_s after the start."""

    at_s: float
    rss_kib: int
    threads: int
    descriptors: int
    cpu_s: float

    @classmethod
    def take(cls, pid: int, at_s: float) -> "ProcessSample":
        """Raises `OSError` where the process is gone."""
        place = Path(f"/proc/{pid}")
        fields = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
        if "VmRSS" not in fields:
            raise ProcessLookupError(f"process {pid} has ended")
        times = (place / "stat").read_text().rpartition(")")[2].split()
        return cls(
            at_s=at_s,
            rss_kib=int(fields["VmRSS"].split()[0]),
            threads=int(fields["Threads"]),
            descriptors=len(list((place / "fd").iterdir())),
            cpu_s=(int(times[11]) + int(times[12])) / 100,
        )


def slope_mib_h(samples: Sequence[ProcessSample]) -> float:
    """Theil and Sen's: the median of the slopes of all pairs, so that single jumps do not count."""
    step = max(1, len(samples) // _MOST_POINTS)
    few = samples[::step]
    slopes = [
        (b.rss_kib - a.rss_kib) / 1024 / ((b.at_s - a.at_s) / 3600)
        for i, a in enumerate(few)
        for b in few[i + 1 :]
        if b.at_s > a.at_s
    ]
    return statistics.median(slopes) if slopes else 0.0


def settled(samples: Sequence[ProcessSample]) -> list[ProcessSample]:
    """Those after the warm-up: the first 20 minutes, or 30 % of a shorter run."""
    last_s = samples[-1].at_s if samples else 0.0
    begin_s = min(WARM_UP_S, WARM_UP_SHARE * last_s)
    return [one for one in samples if one.at_s >= begin_s]


def growth(samples: Sequence[ProcessSample], name: str) -> float:
    """Median of the last quarter less that of the first."""
    quarter = max(1, len(samples) // 4)
    values: list[int] = [getattr(one, name) for one in samples]
    return statistics.median(values[-quarter:]) - statistics.median(values[:quarter])


def figures(samples: Sequence[ProcessSample]) -> tuple[list[str], list[str]]:
    """(sentences, violations) of memory, threads and descriptors."""
    late = settled(samples)
    if len(late) < 4:
        return ["too short for figures"], []
    length_s = late[-1].at_s - late[0].at_s
    slope, threads, files = slope_mib_h(late), growth(late, "threads"), growth(late, "descriptors")
    cpu = (late[-1].cpu_s - late[0].cpu_s) / length_s
    said = [
        f"memory {late[0].rss_kib / 1024:.1f} MiB after warm-up, {late[-1].rss_kib / 1024:.1f} at the end, "
        f"slope {slope:+.2f} MiB/h over {length_s / 3600:.2f} h",
        f"threads {late[-1].threads} ({threads:+.0f}), descriptors {late[-1].descriptors} ({files:+.0f}), "
        f"{cpu:.1%} of a core",
    ]
    wrong = []
    if length_s < _LEAST_S:
        said.append(f"too short to judge the slope: {length_s / 60:.0f} of {_LEAST_S / 60:.0f} minutes after warm-up")
    elif slope >= MAX_SLOPE_MIB_H:
        wrong.append(f"memory grows by {slope:.2f} MiB/h, at most {MAX_SLOPE_MIB_H:g}")
    if threads > MAX_MORE_THREADS:
        wrong.append(f"{threads:.0f} threads more than at the beginning")
    if files > MAX_MORE_DESCRIPTORS:
        wrong.append(f"{files:.0f} descriptors more than at the beginning")
    return said, wrong


def heard(name: str, watch: RowWatch, *, busy: bool = False) -> tuple[list[str], list[str]]:
    """(sentences, violations) of a good subscriber: each stream's frames outside of its gaps.

    busy: others kept the machine from it. It may lag then, and be cut off; frames that nobody told of are lost even so.
    """
    said: list[str] = []
    wrong: list[str] = []
    late_words = said if busy else wrong
    for stream, rows in sorted(watch.streams.items()):
        reasons = Counter(reason for _, _, reason in rows.gaps)
        told = ", ".join(f"{count} {reason}" for reason, count in reasons.items()) or "none"
        states = Counter(state for _, state, _ in rows.states)
        late = sum(b - a for a, b in rows.lagged)
        said.append(f"{name}: {stream}: {rows.rows} rows; gaps: {told}; states: {dict(states)}; {late} rows lagged")
        if holes := rows.unexplained():
            frames = sum(b - a for a, b in holes)
            wrong.append(
                f"{name}: {stream} lost {frames} frames in {len(holes)} places without a gap, first {holes[0]}"
            )
        glued_s = rows.behind_s - watch.of(STEADY).behind_s
        if stream in KEEP_TIME and glued_s > MAX_BEHIND_S:
            wrong.append(f"{name}: {stream} counted {glued_s:.0f} s less than {STEADY}: sound was glued together")
    if watch.lagged:
        late_words.append(f"{name} was told {len(watch.lagged)} times that it lags: {watch.lagged[0]}")
    if watch.connections != 1:
        late_words.append(f"{name} was cut off {watch.connections - 1} times")
    return said, wrong
