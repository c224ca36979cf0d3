"""The sources of a daemon: each with the ring it writes, its clock, and the stream that is read from it."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

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
from streamclf.daemon.parts import in_thread
from streamclf.engine.calls import EngineCalls
from streamclf.engine.engine import Engine
from streamclf.engine.stream import Stream
from streamclf.errors import StreamclfError
from streamclf.serve.info import StreamInfo
from streamclf.store import clips
from streamclf.types import Status, StreamState

log = logging.getLogger("streamclf")

STOP_S = 2.2  # each source promises 2 s
RING_SECONDS = 10  # audio kept of each stream; a reader that falls further behind loses the oldest, told as a gap
NO_MICROPHONE = "NO MICROPHONE FOUND: playing the built-in demo recording in a loop; what you see is not live sound"


@dataclass(slots=True)
class SourceStream:
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

    @property
    def name(self) -> str:
        """Of the stream."""
        return self.info.name

    def room(self) -> int:
        """Samples that a source which can wait may write now."""
        return self.ring.capacity - self.kept - self.stream.waiting


class OpenSources:
    """A part: every source of the configuration, opened, with its stream in `engine`; they do not run yet.

    Where none is named it is the default microphone, or aloud the demo where there is no microphone.
    """

    name = "the open sources"
    stop_s = 0.5

    def __init__(self, config: Config, engine: Engine) -> None:
        self.streams: list[SourceStream] = []
        self._config = config
        self._engine = engine
        self._opened: list[tuple[SourceSpec, Source]] = []
        self._lock = threading.Lock()
        self._closing = False

    @property
    def closing(self) -> bool:
        """Whether `stop` was called. Any thread may ask."""
        return self._closing

    @property
    def live(self) -> bool:
        """Whether the world sets the pace of any."""
        return any(one.source.live for one in self.streams)

    @property
    def push_sinks(self) -> dict[str, Pushed]:
        """stream -> where a client's samples go."""
        return {one.name: one.source for one in self.streams if isinstance(one.source, Pushed)}

    async def start(self) -> None:
        """Find them, which may take seconds. Raises what `Source.open` raises."""
        await in_thread("opening of sources", self._open)

    async def stop(self, limit_s: float) -> bool:
        """Close them, running or not, side by side: one that hangs (a frozen sound server) delays no other."""
        with self._lock:
            self._closing = True
            opened, self._opened = self._opened, []
        if not opened:
            return True
        stops = [in_thread(f"stop of {spec.name}", source.stop) for spec, source in opened]
        done, pending = await asyncio.wait(stops, timeout=min(limit_s, STOP_S))
        for fault in (stop.exception() for stop in done):
            if fault is not None:
                log.error("a source could not be stopped", exc_info=fault)
        return not pending

    def _open(self) -> None:
        if self._config.source:
            for spec in name_sources([parse_source(text) for text in self._config.source]):
                self._add(spec, open_source(spec, fast=self._config.fast))
            return
        spec = parse_source("device")
        try:
            self._add(spec, open_source(spec, fast=self._config.fast))
        except NoInputDeviceError:
            log.warning(NO_MICROPHONE)
            spec = parse_source("demo")
            self._add(spec, open_source(spec))

    def _add(self, spec: SourceSpec, source: Source) -> None:
        source.open()
        with self._lock:
            closing = self._closing
            self._opened.append((spec, source))
        if closing:  # the end came while it was being opened
            source.stop()
            raise StreamclfError("the daemon is stopping")
        self.streams.append(self._stream_of(spec, source))

    def _stream_of(self, spec: SourceSpec, source: Source) -> SourceStream:
        config, engine = self._config, self._engine
        kept_s = clips.ring_seconds(config.clips) if config.clips.enabled else 0
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
        return SourceStream(spec, source, ring, clock, stream, info, kept_s * source.rate)


class RunningSources:
    """A part: the sources run, and what they say goes to the log and to the model thread.

    on_end: called on the model thread once every stream has ended and its last rows are out.
    """

    name = "the sources"
    stop_s = STOP_S

    def __init__(self, sources: OpenSources, calls: EngineCalls, *, on_end: Callable[[], object]) -> None:
        self._sources = sources
        self._calls = calls
        self._on_end = on_end
        self._running = {one.name for one in sources.streams}

    async def start(self) -> None:
        """Start one after the other. Raises `SourceError` where one cannot be."""
        await in_thread("start of sources", self._start)

    async def stop(self, limit_s: float) -> bool:
        """No sample comes any more."""
        return await self._sources.stop(limit_s)

    def _start(self) -> None:
        for one in self._sources.streams:
            if self._sources.closing:
                return
            room = None if one.source.live else one.room
            try:
                one.source.start(one.ring, one.clock, self._calls.wake, partial(self._heard, one), room=room)
            except StreamclfError as fault:
                log.error("%s: problem: %s", one.name, fault)
                raise

    def _heard(self, one: SourceStream, state: StreamState, detail: str) -> None:
        """A source speaks, from a thread of its own."""
        log.log(logging.INFO if state.expected else logging.WARNING, "%s: %s: %s", one.name, state, detail)
        if state.over:
            self._calls.end(one.name, [Status(one.name, state, detail)], partial(self._ended, one.name))
            return
        if detail == one.info.source:
            detail = ""  # the stream's entry says it already
        if state is StreamState.LIVE and one.info.demo:
            state = StreamState.DEMO
        self._calls.call(lambda: [Status(one.name, state, detail)])

    def _ended(self, name: str) -> None:
        self._running.discard(name)
        if not self._running:
            self._on_end()


async def count(streams: Sequence[SourceStream]) -> None:
    """Once a second: what the sources counted goes to the metrics."""
    while True:
        await asyncio.sleep(1.0)
        for one in streams:
            xruns, bad = one.source.xruns, one.source.bad_samples
            metrics.XRUNS.labels(one.name).inc(xruns - one.xruns_counted)
            metrics.BAD_SAMPLES.labels(one.name).inc(bad - one.bad_counted)
            one.xruns_counted, one.bad_counted = xruns, bad
