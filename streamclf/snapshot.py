"""The last minutes of a stream, from a running daemon and by its protocol alone: rows, events, gaps, spectrum.

Theory of operation. Two readings of the replay ring. The first takes the best labels of each message and all events,
and so finds out which classes are worth a lane. The second takes all rows of these classes alone, so that a pack of
thousands of classes costs no more than one of ten. The spectrum is fetched at last, by HTTP. A daemon that draws only
while somebody looks takes the fetch for a look, so what is missing now is there next time.
"""

import asyncio
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamclf import __version__
from streamclf.alerts.sinks.body import plain
from streamclf.client import Client
from streamclf.clock import FRAMES_PER_SECOND, hop_of
from streamclf.draw.moments import Bar, Break, Key, Lane, Moments, Strip, choose
from streamclf.errors import ServeError, UsageError
from streamclf.features.picture import BANDS, HIGH_HZ
from streamclf.fetch import fetch
from streamclf.serve import wire
from streamclf.serve.picture import Columns, decode
from streamclf.serve.wire import ROWS_PER_BATCH
from streamclf.types import F32

MOST_LANES = 12
_BEST = 16  # labels of each message in the first reading
_QUIET_S = 2.0  # a stream that has ended sends nothing that would show that all was had
_BEHIND_FRAMES = 2 * FRAMES_PER_SECOND  # rows come so much later than the sound that they rest on, and no later
_LOOK_S = 1.0
_STALLED_S = 10.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was found. notes: sentences about what is not in it, and why."""

    moments: Moments
    notes: tuple[str, ...]


@dataclass(slots=True)
class _Reading:
    """What one reading of the replay ring brought. rows: (pack, labels, first frame, (count, labels) float32)."""

    entry: wire.StreamEntry
    hello: wire.Hello
    subscribed: wire.Subscribed | None = None
    rows: list[tuple[str, list[str], int, F32]] = field(default_factory=list)
    events: dict[str, wire.Event] = field(default_factory=dict)
    gaps: list[wire.Gap] = field(default_factory=list)

    @property
    def stream(self) -> str:
        return self.entry.name

    @property
    def end_frame(self) -> int:
        """One past the newest row."""
        return max((first + len(values) for _, _, first, values in self.rows), default=0)

    @property
    def keys(self) -> list[Key]:
        """All classes that were subscribed to."""
        assert self.subscribed is not None
        return [(pack.name, label) for pack in self.subscribed.packs for label in pack.labels]

    def take(self, message: wire.ServerMessage) -> bool:
        """Whether that was all that was held before the subscription."""
        if isinstance(message, wire.Subscribed):
            self.subscribed = message
            return False
        if getattr(message, "stream", "") == self.stream:
            if isinstance(message, wire.Scores) and message.labels:
                values = np.array(message.rows, dtype=np.float32)
                self.rows.append((message.pack, message.labels, message.first_frame, values))
            elif isinstance(message, wire.Event):
                self.events[message.id] = message
            elif isinstance(message, wire.Gap):
                self.gaps.append(message)
        return self.subscribed is not None and getattr(message, "seq", -1) >= self.subscribed.seq

    def likely(self, seconds: int) -> list[Key]:
        """The classes worth a lane in the last `seconds`."""
        first = self.end_frame - seconds * FRAMES_PER_SECOND
        best: dict[Key, float] = {}
        for pack, labels, frame, values in self.rows:
            if frame >= first:
                for label, value in zip(labels, values.max(axis=0).tolist(), strict=True):
                    best[pack, label] = max(value, best.get((pack, label), 0.0))
        active = {
            (event.pack, event.label)
            for event in self.events.values()
            if event.offset_frame is None or event.offset_frame > first
        }
        return choose(best | {key: best.get(key, 0.0) for key in active}, active, most=MOST_LANES)

    def lane(self, key: Key, pack: wire.PackEntry, first: int, end: int) -> Lane:
        """Of one class over frames [first, end)."""
        strip = Strip(first, end, width=1, empty=np.float32(np.nan))
        for name, labels, frame, values in self.rows:
            if name == key[0] and key[1] in labels:
                strip.put(frame, values[:, labels.index(key[1])][:, None])
        label = next(label for label in pack.labels if label.id == key[1])
        bars = [
            Bar(event.onset_frame, event.offset_frame, event.peak)
            for event in self.events.values()
            if (event.pack, event.label) == key
            and event.onset_frame < end
            and (event.offset_frame is None or event.offset_frame > first)
        ]
        return Lane(label.name, pack.name, label.enter, strip.values[:, 0], tuple(bars))


async def gather(
    url: str,
    *,
    token: str | None = None,
    stream: str | None = None,
    seconds: int = 60,
    labels: Sequence[str] = (),
    wait: Callable[[float], object] | None = None,
) -> Snapshot:
    """The last `seconds` of `stream` (None: the only one), or as much of them as the daemon holds.

    labels: ids and `group:NAME` that get a lane; none: those that had an event, and the likely ones. wait: first wait
    until the spectrum of `seconds` was drawn; called about once a second with how many are there.

    Raises `ServeError` (no daemon, no such stream, no sound yet) and `UsageError` (several streams, and none named).
    """
    if wait is not None:
        await _wait(_client(url, token, labels=labels), stream, seconds, wait)
    streams = None if stream is None else [stream]
    if labels:
        reading = await _read(_client(url, token, streams=streams, labels=labels), stream)
        keys = reading.keys
    else:
        survey = await _read(_client(url, token, streams=streams, top_k=_BEST), stream)
        keys = survey.likely(seconds)
        chosen = list(dict.fromkeys(label for _, label in keys))
        reading = await _read(_client(url, token, streams=[survey.stream], labels=chosen), survey.stream)
    columns = await _columns(_client(url, token), reading.stream, reading.end_frame - seconds * FRAMES_PER_SECOND)
    return _compose(reading, keys, columns, seconds)


def _client(url: str, token: str | None, **wish: Any) -> Client:
    return Client(url, token=token, reconnect=False, tier="batch", encoding="u8", since=0, **wish)


async def _read(client: Client, stream: str | None) -> _Reading:
    """All that the replay ring holds for the client's wish."""
    reading: _Reading | None = None
    async with aclosing(client.messages()) as messages:
        while True:
            try:
                async with asyncio.timeout(_QUIET_S):
                    message = await anext(messages, None)
            except TimeoutError:
                break
            if isinstance(message, wire.Hello):
                reading = _Reading(_entry(message, stream), message)
            if message is None or reading is None or reading.take(message):
                break
    if reading is None or reading.subscribed is None:
        raise ServeError(f"{client.url} ended the connection, or fell silent, before it sent anything; try again")
    if not reading.entry.epoch_ns:
        raise ServeError(f"there was no sound on stream '{plain(reading.stream, 80)}' yet; try again once there is")
    return reading


def _entry(hello: wire.Hello, stream: str | None) -> wire.StreamEntry:
    """Of the stream named, or of the only one that is no test."""
    if stream is not None:
        for entry in hello.streams:
            if entry.name == stream:
                return entry
        names = [entry.name for entry in hello.streams]
        hint = wire.nearest(stream, names) or f"; there are {', '.join(names[:8])}"
        raise ServeError(plain(f"there is no stream '{stream[:80]}' here{hint}"))
    entries = [entry for entry in hello.streams if not entry.test]
    if len(entries) != 1:
        names = [entry.name for entry in entries]
        raise UsageError(plain(f"there are {len(names)} streams ({', '.join(names[:8])}); name one with --stream"))
    return entries[0]


async def _columns(client: Client, stream: str, first_frame: int) -> list[Columns]:
    query = {"stream": stream, "from": str(max(0, first_frame))}
    body = await asyncio.to_thread(fetch, client.url, "picture", query, client.headers)
    try:
        return list(decode(body))
    except (ValueError, struct.error):
        raise ServeError(f"{client.url} sent a spectrum that cannot be read; is it of another version?") from None


async def _wait(client: Client, stream: str | None, seconds: int, tell: Callable[[float], object]) -> None:
    """Until the spectrum of `seconds` was drawn, or no more of it comes."""
    reading = await _read(client, stream)
    wanted, end, before, still_s = seconds * FRAMES_PER_SECOND, reading.end_frame, -1, 0.0
    while still_s < _STALLED_S:
        columns = await _columns(client, reading.stream, end - wanted)
        end = max([end, *(part.first_frame + len(part.values) for part in columns)])
        drawn = sum(len(part.values) for part in columns if part.first_frame >= end - wanted)
        tell(min(drawn, wanted) / FRAMES_PER_SECOND)
        if drawn >= wanted - ROWS_PER_BATCH:  # the first message may begin before
            return
        still_s = 0.0 if drawn > before else still_s + _LOOK_S
        before = drawn
        await asyncio.sleep(_LOOK_S)


def _compose(reading: _Reading, keys: Sequence[Key], columns: Sequence[Columns], seconds: int) -> Snapshot:
    """The last `seconds` of what came."""
    drawn_end = max((part.first_frame + len(part.values) for part in columns), default=0)
    # rows follow the sound by what the model needs; where they have ceased, the spectrum goes on
    end = reading.end_frame if drawn_end - reading.end_frame < _BEHIND_FRAMES else drawn_end
    held = [first for _, _, first, _ in reading.rows] + [part.first_frame for part in columns]
    if not held:
        raise ServeError(f"the daemon holds nothing of stream '{plain(reading.stream, 80)}' yet; try again in a moment")
    first = max(end - seconds * FRAMES_PER_SECOND, min(held), 0)
    picture = Strip(first, end, width=2 + BANDS, empty=np.uint8(0))
    for part in columns:
        picture.put(part.first_frame, part.values)
    entry, packs = reading.entry, {pack.name: pack for pack in reading.hello.packs}
    hop = hop_of(entry.rate)
    moments = Moments(
        stream=reading.stream,
        packs=tuple(f"{packs[name].name} {packs[name].version}" for name in entry.packs),
        product=f"streamclf {__version__}",
        first_frame=first,
        epoch_ns=entry.epoch_ns,
        high_hz=columns[-1].high_hz if columns else min(HIGH_HZ, entry.rate / 2),
        columns=picture.values,
        drawn=picture.there,
        lanes=tuple(reading.lane(key, packs[key[0]], first, end) for key in keys),
        breaks=tuple(
            Break(gap.first_sample // hop, -(-(gap.last_sample + 1) // hop), gap.reason) for gap in reading.gaps
        ),
    )
    return Snapshot(moments, tuple(_notes(moments, seconds)))


def _notes(moments: Moments, seconds: int) -> Iterator[str]:
    frames = len(moments.columns)
    if frames < seconds * FRAMES_PER_SECOND - ROWS_PER_BATCH:
        yield f"the daemon holds {frames / FRAMES_PER_SECOND:.1f} s; [server] replay_seconds says how many it may hold"
    sounding = np.ones(frames, dtype=np.bool_)
    for gap in moments.breaks:
        sounding[max(0, gap.first_frame - moments.first_frame) : max(0, gap.end_frame - moments.first_frame)] = False
    missing = int((sounding & ~moments.drawn).sum()) / FRAMES_PER_SECOND
    if missing > 0.5:
        yield (
            f'{missing:.1f} s have no spectrum: a daemon with [server] picture = "watched" draws while somebody looks; '
            "it does now, so try again in a while, or with --wait"
        )
