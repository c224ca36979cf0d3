"""The lines of a daemon: each source with the ring it writes, its clock, and the stream that is read from it."""

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from streamclf import metrics
from streamclf.audio.ring import Ring
from streamclf.audio.sources import (
    NoInputDeviceError,
    Pushed,
    Source,
    SourceSpec,
    name_sources,
    open_source,
    parse_source,
)
from streamclf.clock import StreamClock
from streamclf.config import Config
from streamclf.engine.engine import Engine
from streamclf.engine.runner import ModelThread
from streamclf.engine.stream import Stream
from streamclf.serve.info import StreamInfo
from streamclf.store import clips
from streamclf.types import Status, StreamState

log = logging.getLogger("streamclf")

RING_SECONDS = 10  # audio kept of each stream; a reader that falls further behind loses the oldest, told as a gap
_LEVEL_S = 0.2
_DRIFT_S = 60.0  # the clock follows by at most 2 ms in 10 s; before that the figure says nothing
_SILENCE_DBFS = -120.0
NO_MICROPHONE = "NO MICROPHONE FOUND: playing the built-in demo recording in a loop; what you see is not live sound"


@dataclass(slots=True)
class Line:
    """One source and the stream that is read from it."""

    spec: SourceSpec
    source: Source
    ring: Ring
    clock: StreamClock
    stream: Stream
    info: StreamInfo
    kept: int
    """Samples behind the reader that clips may still want; a source that can wait leaves them in the ring."""
    xruns_counted: int = 0
    bad_counted: int = 0


def open_lines(config: Config, engine: Engine) -> list[Line]:
    """Open every source and give each its stream; the default microphone, or aloud the demo, where none is named."""
    lines = []
    kept_s = clips.ring_seconds(config.clips) if config.clips.enabled else 0
    for spec, source in _open_sources(config):
        ring = Ring((RING_SECONDS + kept_s) * source.rate)
        normalise = (spec.gain or config.gain) == "normalise"
        stream = Stream(spec.name, rate=source.rate, ring=ring, normalise_gain=normalise, levels=config.store.enabled)
        engine.add(stream, priority=spec.priority)
        clock = StreamClock(source.rate)
        info = StreamInfo(
            name=spec.name,
            rate=source.rate,
            clock=clock,
            source=source.description,
            demo=spec.declared.demo,
            push=spec.declared.pushed,
            priority=spec.priority,
            packs=[track.manifest.name for track in engine.tracks[spec.name]],
        )
        lines.append(Line(spec, source, ring, clock, stream, info, kept_s * source.rate))
    return lines


def _open_sources(config: Config) -> list[tuple[SourceSpec, Source]]:
    if not config.source:
        spec = parse_source("device")
        source = open_source(spec, fast=config.fast)
        try:
            source.open()
        except NoInputDeviceError:
            log.warning(NO_MICROPHONE)
            spec = parse_source("demo")
            source = open_source(spec)
            source.open()
        return [(spec, source)]
    opened = []
    for spec in name_sources([parse_source(text) for text in config.source]):
        source = open_source(spec, fast=config.fast)
        source.open()
        opened.append((spec, source))
    return opened


def push_sinks(lines: Sequence[Line]) -> dict[str, Pushed]:
    """stream -> where a client's samples go."""
    return {line.spec.name: line.source for line in lines if isinstance(line.source, Pushed)}


def room(line: Line) -> int:
    """Samples that a source which can wait may write now."""
    return line.ring.capacity - line.kept - line.stream.waiting


def notify(
    state: StreamState,
    detail: str,
    *,
    model: ModelThread,
    line: Line,
    ended: set[str],
    total: int,
    all_ended: Callable[[], object],
) -> None:
    """A source speaks, from a thread of its own."""
    name = line.info.name
    log.log(logging.INFO if state.expected else logging.WARNING, "%s: %s: %s", name, state, detail)
    if state is StreamState.ENDED:

        def finished() -> None:
            ended.add(name)
            if len(ended) == total:
                all_ended()

        model.end(name, [Status(name, StreamState.ENDED, detail)], finished)
        return
    if detail == line.info.source:
        detail = ""  # the stream's entry says it already
    if state is StreamState.LIVE and line.info.demo:
        state = StreamState.DEMO
    model.call(lambda: [Status(name, state, detail)])


async def count(lines: Sequence[Line]) -> None:
    """Once a second: what the sources counted goes to the metrics."""
    while True:
        await asyncio.sleep(1.0)
        for line in lines:
            xruns, bad = line.source.xruns, line.source.bad_samples
            metrics.XRUNS.labels(line.info.name).inc(xruns - line.xruns_counted)
            metrics.BAD_SAMPLES.labels(line.info.name).inc(bad - line.bad_counted)
            line.xruns_counted, line.bad_counted = xruns, bad


def level(line: Line) -> tuple[float | None, float | None]:
    """RMS and peak of the newest samples (dBFS)."""
    end = line.ring.written
    start = end - round(_LEVEL_S * line.info.rate)
    if start < 0:
        return None, None
    heard = line.ring.view(start, end)
    rms, peak = float(np.sqrt(np.mean(np.square(heard)))), float(np.max(np.abs(heard)))
    return _dbfs(rms), _dbfs(peak)


def _dbfs(value: float) -> float:
    return round(max(_SILENCE_DBFS, 20 * math.log10(value)), 1) if value > 0 else _SILENCE_DBFS


def drift_ppm(line: Line) -> float | None:
    """How much faster the device's clock goes than ours; None before that is known, and for recordings."""
    captured_s = line.ring.written / line.info.rate
    if line.spec.declared.recorded or captured_s < _DRIFT_S:
        return None
    # a device that is fast has its samples early: the epoch moves back
    return round(-line.clock.drift_ns / captured_s / 1000, 1)
