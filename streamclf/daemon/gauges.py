"""What `/metrics` says of each stream at the moment it is asked: is it heard and scored, and how old is the newest.

Ages are measured against the clock of the stream: of the newest sample that was captured, and of the newest sample that
a pack's rows rest on. They grow while nothing comes. Before the first one they are the age of the daemon.
"""

import math
import time
from collections.abc import Iterable, Sequence
from itertools import product
from typing import get_args

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from streamclf import metrics
from streamclf.alerts.service import AlertService
from streamclf.clock import NS_PER_SECOND
from streamclf.daemon.diagnosis import DaemonProblems
from streamclf.daemon.samples import LastMinute
from streamclf.daemon.sources import SourceStream
from streamclf.engine.batch import Failure
from streamclf.engine.loud import LEVELS
from streamclf.features.octaves import BAND_NAMES
from streamclf.protocol.status import Grade
from streamclf.serve.http.route import Query, Reply
from streamclf.serve.hub import Hub
from streamclf.serve.info import StreamInfo
from streamclf.types import GapReason, Shape, Stage


class Gauges(Collector):
    """All that a daemon counts, and what is measured as it is asked. Streams of the self-test are left out."""

    def __init__(
        self,
        hub: Hub,
        streams: Sequence[SourceStream],
        problems: DaemonProblems,
        minute: LastMinute,
        alerts: AlertService | None = None,
    ) -> None:
        self._hub = hub
        self._streams = {one.name: one for one in streams}
        self._problems = problems
        self._minute = minute
        self._alerts = alerts
        self._started_ns = time.time_ns()
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        self._begin()

    def answer(self, query: Query) -> Reply:
        """`GET /metrics`. On the loop's thread."""
        for sink in self._alerts.rules.file.sinks if self._alerts is not None else ():  # these may change
            for outcome in ("sent", "failed", "refused"):
                metrics.DELIVERIES.labels(sink, outcome)
        return Reply(metrics.exposition() + generate_latest(self._registry), metrics.CONTENT_TYPE)

    def collect(self) -> Iterable[Metric]:
        """Of all streams and packs, as they are now."""
        return [*self._of_streams(time.time_ns()), *self._of_packs(), *self._of_loudness(), self._of_problems()]

    def _begin(self) -> None:
        """Every series is there from the start, at 0: what grows from nothing is seen to grow."""
        for info in self._hub.streams.values():
            for metric in (metrics.XRUNS, metrics.BAD_SAMPLES, metrics.PAUSES, metrics.PAUSED, metrics.BORDER_ROWS):
                metric.labels(info.name)
            for counter, reason in product((metrics.GAPS, metrics.LOST_SAMPLES), GapReason):
                counter.labels(info.name, reason)
            for pack in info.packs:
                metrics.FRAMES.labels(info.name, pack)
                for stage in Stage:
                    metrics.EVENTS.labels(info.name, pack, stage.value)
        for name, pack_info in self._hub.packs.items():
            if pack_info.shape is Shape.DERIVED:
                continue  # it has no runs
            metrics.HOP_MS.labels(name).set(pack_info.hop_ms)
            for metric in (
                metrics.MODEL_RUNS,
                metrics.SPARED_RUNS,
                metrics.BAD_ROWS,
                metrics.PACKS_REBUILT,
                metrics.PACK_PROBLEM,
            ):
                metric.labels(name)
            metrics.RUN_SECONDS.labels(name)
            for failure in Failure:
                metrics.PACK_FAILURES.labels(name, failure)

    def _of_streams(self, now_ns: int) -> list[Metric]:
        up = _gauge("stream_up", "Whether the stream is heard and scored now (0 or 1)")
        problem = _gauge("stream_problem", "Whether the stream should be heard and scored and is not (0 or 1)")
        sample = _gauge("stream_last_sample_age_seconds", "Age of the newest sample that was captured")
        row = _gauge(
            "stream_last_row_age_seconds", "Age of the newest sample that a score row rests on", ["stream", "pack"]
        )
        backlog = _gauge("stream_backlog_seconds", "Sound that was captured and waits to be scored")
        captured = CounterMetricFamily(
            "streamclf_stream_captured_seconds", "Sound that came, with what was lost of it", labels=["stream"]
        )
        for info in list(self._hub.streams.values()):
            if info.test:
                continue
            one, state = self._streams.get(info.name), self._problems.state(info).state
            up.add_metric([info.name], state.heard)
            problem.add_metric([info.name], state.deaf)
            written = 0 if one is None else one.ring.written
            sample.add_metric([info.name], self._age_s(info, written, now_ns))
            captured.add_metric([info.name], written / info.rate)
            waits = 0 if one is None or state.unread else one.stream.backlog
            backlog.add_metric([info.name], waits / info.rate)
            for pack in info.packs:
                age_s = self._age_s(info, self._hub.overview.scored.get((info.name, pack), 0), now_ns)
                row.add_metric([info.name, pack], age_s)
        return [up, problem, sample, row, backlog, captured]

    def _of_packs(self) -> list[Metric]:
        minute = self._minute.now()
        rtf = _gauge("pack_rtf", "Time of a pack's runs over the time of the sound they heard, last minute", ["pack"])
        for info in list(self._hub.packs.values()):
            found = minute.pack(info, streams=0).rtf
            rtf.add_metric([info.name], math.nan if found is None else found)
        return [rtf]

    def _of_loudness(self) -> list[Metric]:
        levels = _gauge("loudness_decibels", "Level of the newest whole minute, with the stream's offset",
                        ["stream", "level"])  # fmt: skip
        bands = _gauge("loudness_band_decibels", "The same of each third octave (middle in Hz)", ["stream", "hz"])
        offset = _gauge("loudness_offset_decibels", "dB(A) of full scale, of streams that are calibrated")
        for name, minute in list(self._hub.overview.minutes.items()):
            added = minute.offset_db or 0.0
            for level in LEVELS:
                levels.add_metric([name, level], getattr(minute, level) + added)
            for hz, value in zip(BAND_NAMES, minute.bands, strict=False):
                bands.add_metric([name, hz], value + added)
            if minute.offset_db is not None:
                offset.add_metric([name], minute.offset_db)
        return [levels, bands, offset]

    def _of_problems(self) -> Metric:
        count = _gauge("problems", "Problems that there are now, as /healthz and /v1/status list them", ["grade"])
        found = [problem.grade for problem in self._problems.found()]
        for grade in get_args(Grade):
            count.add_metric([grade], found.count(grade))
        return count

    def _age_s(self, info: StreamInfo, sample: int, now_ns: int) -> float:
        """Of `sample`, one past the newest; 0 samples for none yet."""
        newest_ns = info.clock.ns_of_sample(sample) if sample and info.clock.started else self._started_ns
        return max(0.0, (now_ns - newest_ns) / NS_PER_SECOND)


def _gauge(name: str, text: str, labels: Sequence[str] = ("stream",)) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"streamclf_{name}", text, labels=labels)
