"""The sources of a daemon: each with the ring it writes, its clock, and the stream that is read from it."""

import asyncio
import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from streamclf import metrics
from streamclf.audio.gain import read_gain
from streamclf.audio.ring import Ring
from streamclf.audio.sources import (
    Awaited,
    Pushed,
    Source,
    SourceSpec,
    name_sources,
    not_there,
    open_source,
    parse_source,
)
from streamclf.clock import StreamClock
from streamclf.config import Config
from streamclf.daemon.parts import in_thread
from streamclf.engine.calls import EngineCalls
from streamclf.engine.engine import Engine
from streamclf.engine.stream import Stream
from streamclf.errors import AbsentError, ConfigError, SourceError, StreamclfError, UsageError
from streamclf.serve.info import StreamInfo
from streamclf.store import clips
from streamclf.types import Status, StreamState

log = logging.getLogger("streamclf")

STOP_S = 2.2  # each source promises 2 s
OPEN_S = 4.0  # a source that can be waited for and has not answered by then is waited for, and the others start
RING_SECONDS = 10  # audio kept of each stream; a reader that falls further behind loses the oldest, told as a gap
SPARE_BYTES = 64 << 20  # of memory that all streams may take, so that clips can be switched on while they run
_BYTES_OF_SAMPLE = 8  # a ring holds each float32 twice
NO_MICROPHONE = (
    "NO MICROPHONE FOUND: playing the built-in demo recording in a loop until there is one; "
    "what you see is not live sound, and none of it is kept"
)


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
    stands_in_for: str = ""
    """Name of the stream in whose place it is heard, and to which it gives way."""
    xruns_counted: int = 0
    bad_counted: int = 0

    @property
    def name(self) -> str:
        """Of the stream."""
        return self.info.name

    @property
    def stored(self) -> bool:
        """Whether events and the like of it are kept and told by alerts: not of a demo that was not asked for it."""
        return is_stored(self.spec)

    def room(self) -> int:
        """Samples that a source which can wait may write now."""
        return self.ring.capacity - self.kept - self.stream.waiting


def is_stored(spec: SourceSpec) -> bool:
    """See `SourceStream.stored`."""
    return not spec.declared.demo or bool(spec.options.get("store"))


class OpenSources:
    """A part: every source of the configuration, with its stream in `engine`; they do not run yet.

    What is not there and may come is waited for, with its stream lost from the start. Where no source is named it is
    the default microphone, and aloud the demo besides where that is not there.
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
    def unstored(self) -> frozenset[str]:
        """Streams of which nothing is kept."""
        return frozenset(one.name for one in self.streams if not one.stored)

    @property
    def push_sinks(self) -> dict[str, Pushed]:
        """stream -> where a client's samples go."""
        return {one.name: one.source for one in self.streams if isinstance(one.source, Pushed)}

    async def start(self) -> None:
        """Find them, side by side, which may take seconds. Raises what `Source.open` raises, but for `AbsentError`."""
        specs = self._specs()
        found = await asyncio.gather(*(self._find(spec) for spec in specs))
        stand_in = None
        if not self._config.source and found[0][1]:
            log.warning("%s (%s)", NO_MICROPHONE, found[0][1])
            stand_in = parse_source("demo")
            specs, found = [stand_in, *specs], [await self._find(stand_in), *found]
        for spec, (source, absent) in zip(specs, found, strict=True):
            one = await in_thread(f"stream of {spec.name}", partial(self._stream_of, spec, source))
            if absent:
                one.info.state, one.info.detail = StreamState.LOST, not_there("soon", absent)
            if spec is stand_in:
                one.stands_in_for = specs[1].name
            self.streams.append(one)

    async def stop(self, limit_s: float) -> bool:
        """Close them, running or not, side by side: one that hangs (a frozen sound server) delays no other."""
        with self._lock:
            self._closing = True
            opened, self._opened = self._opened, []
        if not opened:
            return True
        stops = [in_thread(f"stop of {spec.name}", source.stop) for spec, source in opened]
        done, pending = await asyncio.wait(stops, timeout=min(limit_s, STOP_S))
        faults = [fault for stop in done if (fault := stop.exception()) is not None]
        for fault in faults:
            log.error("a source could not be stopped", exc_info=fault)
        if faults:
            raise faults[0]
        return not pending

    def _specs(self) -> list[SourceSpec]:
        """Raises `ConfigError`; those of the command line were read there."""
        try:
            return name_sources([parse_source(text) for text in self._config.source or ("device",)])
        except UsageError as fault:
            raise ConfigError(f"source: {fault}") from None

    async def _find(self, spec: SourceSpec) -> tuple[Source, str]:
        """The source that `spec` describes; and why it is not there, "" where it is open."""
        source = await in_thread(f"source of {spec.name}", partial(self._made, spec))
        opening = in_thread(f"opening of {spec.name}", partial(self._open, spec, source))
        # with --fast nothing is waited for: somebody wants a result, and then the end
        patient = isinstance(source, Awaited) and not self._config.fast
        try:
            await asyncio.wait_for(asyncio.shield(opening), OPEN_S if patient else None)
        except TimeoutError:
            opening.add_done_callback(partial(_close_late, source))
            # another one, since the first is still being opened
            source = await in_thread(f"source of {spec.name}", partial(self._made, spec))
            return self._expecting(spec, source, f"it has not answered within {OPEN_S:g} s")
        except SourceError as fault:
            # where nobody has named a source, the demo is heard in its place, whatever the reason is
            if not patient or (self._config.source and not isinstance(fault, AbsentError)):
                raise
            return self._expecting(spec, source, str(fault))
        return source, ""

    def _made(self, spec: SourceSpec) -> Source:
        return open_source(spec, fast=self._config.fast)

    def _open(self, spec: SourceSpec, source: Source) -> None:
        source.open()
        self._hold(spec, source)

    def _expecting(self, spec: SourceSpec, source: Source, reason: str) -> tuple[Source, str]:
        assert isinstance(source, Awaited)
        source.expect(reason)
        self._hold(spec, source)
        return source, reason

    def _hold(self, spec: SourceSpec, source: Source) -> None:
        """Have `stop` close it."""
        with self._lock:
            closing = self._closing
            self._opened.append((spec, source))
        if closing:  # the end came while it was being opened
            source.stop()
            raise StreamclfError("the daemon is stopping")

    def _stream_of(self, spec: SourceSpec, source: Source) -> SourceStream:
        config, engine = self._config, self._engine
        stored = is_stored(spec)
        kept_s = clips.ring_seconds(config.clips) if config.clips.enabled and stored else 0
        spare_s = clips.ring_seconds(config.clips) if config.store.enabled and stored else 0
        if spare_s * source.rate * _BYTES_OF_SAMPLE * max(1, len(config.source)) > SPARE_BYTES:
            spare_s = 0
        ring = Ring((RING_SECONDS + max(kept_s, spare_s)) * source.rate)
        levels = config.store.enabled and stored
        stream = Stream(spec.name, rate=source.rate, ring=ring, gain=read_gain(spec.gain or config.gain), levels=levels)
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


def _close_late(source: Source, opening: "asyncio.Future[None]") -> None:
    """What was given up came to be open after all, when another had taken its place."""
    if not opening.cancelled() and opening.exception() is None:
        in_thread("late stop", source.stop)


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
        if state is StreamState.LIVE:
            one.info.source = one.source.description  # known since it came, where it was not there at the start
            self._give_way(one)
            if one.info.demo:
                state = StreamState.DEMO
        self._calls.call(lambda: [Status(one.name, state, detail)])

    def _give_way(self, came: SourceStream) -> None:
        """End what was heard in its place, aloud, and without holding up the thread that brings microphones back."""
        for one in self._sources.streams:
            if one.stands_in_for == came.name:
                one.stands_in_for = ""
                threading.Thread(target=self._end, args=(one, came), name=f"end of {one.name}", daemon=True).start()

    def _end(self, one: SourceStream, came: SourceStream) -> None:
        one.source.stop()
        told = f"gave way to {came.name}: {came.source.description}"
        log.warning("%s: %s: %s", one.name, StreamState.ENDED, told)
        self._calls.end(one.name, [Status(one.name, StreamState.ENDED, told)], partial(self._ended, one.name))

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
