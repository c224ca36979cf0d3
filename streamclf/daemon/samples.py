"""Samples of what was done: a few sums every five seconds, so that health can tell of the last minute."""

import math
import os
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from prometheus_client import Counter, Gauge

from streamclf import __version__, metrics
from streamclf.daemon.diagnosis import rung
from streamclf.daemon.sources import SourceStream
from streamclf.metrics import NO_TIMES, Times
from streamclf.protocol.status import PaceStatus, PackStatus, ProcessStatus
from streamclf.serve.info import PackInfo

_SAMPLES = 13
_SAMPLE_S = 5.0  # together the last minute
_LEVEL_S = 0.2
_DRIFT_S = 60.0  # the clock follows by at most 2 ms in 10 s; before that the figure says nothing
_SILENCE_DBFS = -120.0


class Sample(NamedTuple):
    """Sums since the start. runs: of each pack. heard_s: seconds of sound that each pack was given."""

    at_s: float
    cpu_s: float
    runs: dict[str, Times]
    ticks: Times
    heard_s: dict[str, float]


class LastMinute:
    """What was done in the last minute: from the oldest sample that is held to now."""

    def __init__(self, streams: Sequence[SourceStream]) -> None:
        self._streams = streams
        self._started_s = time.monotonic()
        self._samples: deque[Sample] = deque([self._sample()], maxlen=_SAMPLES)  # the oldest goes

    def note(self) -> None:
        """Take a sample where one is due."""
        if time.monotonic() >= self._samples[-1].at_s + _SAMPLE_S:
            self._samples.append(self._sample())

    def now(self) -> "Interval":
        """From the oldest sample that is held to this moment."""
        return Interval(self._samples[0], self._sample(), self._started_s)

    def _sample(self) -> Sample:
        heard_s: dict[str, float] = {}
        for one in self._streams:
            for pack in one.info.packs:
                heard_s[pack] = heard_s.get(pack, 0.0) + one.ring.written / one.info.rate
        return Sample(
            time.monotonic(),
            time.process_time(),
            metrics.times(metrics.RUN_SECONDS, "pack"),
            metrics.times(metrics.TICK_SECONDS)[""],
            heard_s,
        )


class Interval(NamedTuple):
    """What lies between two samples."""

    then: Sample
    now: Sample
    started_s: float

    def pack(self, info: PackInfo, *, streams: int) -> PackStatus:
        """streams: how many the pack listens to."""
        runs = self.now.runs.get(info.name, NO_TIMES)
        minute = runs.since(self.then.runs[info.name]) if info.name in self.then.runs else runs
        heard_s = self.now.heard_s.get(info.name, 0.0) - self.then.heard_s.get(info.name, 0.0)
        return PackStatus(
            name=info.name,
            version=info.version,
            provider=info.provider,
            hop_ms=info.hop_ms,
            streams=streams,
            runs=int(runs.number),
            run_ms_p50=_rounded(minute.quantile_ms(0.5)),
            run_ms_p99=_rounded(minute.quantile_ms(0.99)),
            rtf=_rounded(minute.total_s / heard_s if heard_s > 0 and minute.number else None),
            problem=info.problem,
            sensitivity=info.sensitivity.value,
        )

    def pace(self) -> PaceStatus:
        """How long ticks take, and what the ladder says."""
        minute = self.now.ticks.since(self.then.ticks)
        return PaceStatus(
            rung=rung(),
            name=rung().name.lower(),
            tick_ms_p50=_rounded(minute.quantile_ms(0.5)),
            tick_ms_p99=_rounded(minute.quantile_ms(0.99)),
        )

    def process(self, instance: str) -> ProcessStatus:
        """This process, and how much of a core it took."""
        span_s = self.now.at_s - self.then.at_s
        return ProcessStatus(
            version=__version__,
            instance=instance,
            uptime_s=round(self.now.at_s - self.started_s, 1),
            cores=os.cpu_count() or 1,
            cpu=round((self.now.cpu_s - self.then.cpu_s) / span_s, 3) if span_s > 1 else None,
            memory_bytes=_memory_bytes(),
        )


def level(one: SourceStream) -> tuple[float | None, float | None]:
    """RMS and peak of the newest samples, without a constant offset (dBFS)."""
    end = one.ring.written
    start = end - round(_LEVEL_S * one.info.rate)
    if start < 0:
        return None, None
    heard = one.ring.view(start, end) - np.float32(one.stream.offset)
    rms, peak = float(np.sqrt(np.mean(np.square(heard)))), float(np.max(np.abs(heard)))
    return _dbfs(rms), _dbfs(peak)


def drift_ppm(one: SourceStream) -> float | None:
    """How much faster the device's clock goes than ours; None before that is known, and for recordings."""
    captured_s = one.ring.written / one.info.rate
    if one.spec.declared.recorded or captured_s < _DRIFT_S:
        return None
    # a device that is fast has its samples early: the epoch moves back
    return round(-one.clock.drift_ns / captured_s / 1000, 1)


def total(metric: Counter | Gauge) -> int:
    """Of all its labels together."""
    return int(sum(metrics.sums(metric).values()))


def _dbfs(value: float) -> float:
    return round(max(_SILENCE_DBFS, 20 * math.log10(value)), 1) if value > 0 else _SILENCE_DBFS


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _memory_bytes() -> int | None:
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):  # no Linux
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
