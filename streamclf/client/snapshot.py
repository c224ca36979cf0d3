"""The last minutes of a stream, from a running daemon and by its protocol alone: rows, events, gaps, spectrum.

Theory of operation. Two readings of the replay ring. The first takes the best labels of each message and all events,
and so finds out which classes are worth a lane. The second takes all rows of these classes alone, so that a pack of
thousands of classes costs no more than one of ten. The spectrum is fetched at last, by HTTP. A daemon that draws only
while somebody looks takes the fetch for a look, so what is missing now is there next time.
"""

import asyncio
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamclf.client.client import Client
from streamclf.client.fetch import fetch
from streamclf.client.streamhistory import StreamHistory
from streamclf.clock import FRAMES_PER_SECOND
from streamclf.draw.passage import Key, Passage
from streamclf.errors import ServeError, UsageError
from streamclf.protocol import wire
from streamclf.protocol.spectrum import Columns, decode
from streamclf.protocol.wire import ROWS_PER_BATCH
from streamclf.text import one_line

MOST_LANES = 12
_BEST = 16  # labels of each message in the first reading
_ANSWER_S = 10.0  # to be connected and subscribed: a daemon under load takes its time
_QUIET_S = 2.0  # a stream that has ended sends nothing that would show that all was had
_BEHIND_FRAMES = 2 * FRAMES_PER_SECOND  # rows come so much later than the sound that they rest on, and no later
_LOOK_S = 1.0
_STALLED_S = 10.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was found. notes: sentences about what is not in it, and why."""

    passage: Passage
    notes: tuple[str, ...]


class _Reading:
    """What one reading of the replay ring brought."""

    def __init__(self, hello: wire.Hello, entry: wire.StreamEntry) -> None:
        self.heard = StreamHistory(entry, {pack.name: pack for pack in hello.packs})
        self.stream = entry.name
        self.subscribed: wire.Subscribed | None = None

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
        if isinstance(message, wire.Scores):
            if message.stream == self.stream and message.labels:
                values = np.array(message.rows, dtype=np.float32)
                self.heard.rows(message.pack, message.labels, message.first_frame, values)
        else:
            self.heard.message(message)
        return self.subscribed is not None and getattr(message, "seq", -1) >= self.subscribed.seq


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
        end = survey.heard.end_frame
        keys = survey.heard.likely(end - seconds * FRAMES_PER_SECOND, end, most=MOST_LANES)
        chosen = list(dict.fromkeys(label for _, label in keys))
        reading = await _read(_client(url, token, streams=[survey.stream], labels=chosen), survey.stream)
    begin = reading.heard.end_frame - seconds * FRAMES_PER_SECOND
    columns = await _columns(_client(url, token), reading.stream, begin)
    return _compose(reading.heard, keys, columns, seconds)


def _client(url: str, token: str | None, **wish: Any) -> Client:
    return Client(url, token=token, reconnect=False, tier="batch", encoding="u8", since=0, min_prob=0.0, **wish)


async def _read(client: Client, stream: str | None) -> _Reading:
    """All that the replay ring holds for the client's wish."""
    reading: _Reading | None = None
    async with client.messages() as messages:
        while True:
            try:
                async with asyncio.timeout(_QUIET_S if reading is not None and reading.subscribed else _ANSWER_S):
                    message = await anext(messages, None)
            except TimeoutError:
                break
            if isinstance(message, wire.Hello):
                reading = _Reading(message, _entry(message, stream))
            if message is None or reading is None or reading.take(message):
                break
    if reading is None or reading.subscribed is None:
        raise ServeError(f"{client.url} ended the connection, or fell silent, before it sent anything; try again")
    if not reading.heard.entry.epoch_ns:
        raise ServeError(f"there was no sound on stream '{one_line(reading.stream, 80)}' yet; try again once there is")
    return reading


def _entry(hello: wire.Hello, stream: str | None) -> wire.StreamEntry:
    """Of the stream named, or of the only one that is not a test."""
    if stream is not None:
        for entry in hello.streams:
            if entry.name == stream:
                return entry
        names = [entry.name for entry in hello.streams]
        hint = wire.nearest(stream, names) or f"; there are {', '.join(names[:8])}"
        raise ServeError(one_line(f"there is no stream '{stream[:80]}' here{hint}"))
    entries = [entry for entry in hello.streams if not entry.test]
    if len(entries) != 1:
        names = [entry.name for entry in entries]
        raise UsageError(one_line(f"there are {len(names)} streams ({', '.join(names[:8])}); name one with --stream"))
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
    wanted, end, before, still_s = seconds * FRAMES_PER_SECOND, reading.heard.end_frame, -1, 0.0
    enough = wanted + 2 * ROWS_PER_BATCH  # rows, whose last `seconds` are taken, come after their spectrum
    while still_s < _STALLED_S:
        columns = await _columns(client, reading.stream, end - enough)
        end = max([end, *(part.first_frame + len(part.values) for part in columns)])
        ends = [(len(part.values), part.first_frame + len(part.values) - (end - enough)) for part in columns]
        drawn = sum(max(0, min(count, within)) for count, within in ends)
        tell(min(drawn, wanted) / FRAMES_PER_SECOND)
        if drawn >= enough or wanted <= drawn == before:
            return
        still_s = 0.0 if drawn > before else still_s + _LOOK_S
        before = drawn
        await asyncio.sleep(_LOOK_S)


def _compose(heard: StreamHistory, keys: Sequence[Key], columns: Sequence[Columns], seconds: int) -> Snapshot:
    """The last `seconds` of what came."""
    drawn_end = max((part.first_frame + len(part.values) for part in columns), default=0)
    # rows follow the sound by what the model needs; where they have ceased, the spectrum goes on
    end = heard.end_frame if drawn_end - heard.end_frame < _BEHIND_FRAMES else drawn_end
    held = [part.first_frame for part in columns] + ([] if heard.first_frame is None else [heard.first_frame])
    if not held:
        raise ServeError(
            f"the daemon holds nothing of stream '{one_line(heard.entry.name, 80)}' yet; try again in a moment"
        )
    passage = heard.passage(keys, columns, max(end - seconds * FRAMES_PER_SECOND, min(held), 0), end)
    return Snapshot(passage, tuple(_notes(passage, seconds)))


def _notes(passage: Passage, seconds: int) -> Iterator[str]:
    frames = len(passage.columns)
    if frames < seconds * FRAMES_PER_SECOND - ROWS_PER_BATCH:
        yield f"the daemon holds {frames / FRAMES_PER_SECOND:.1f} s; [server] replay_seconds says how many it may hold"
    sounding = np.ones(frames, dtype=np.bool_)
    for gap in passage.breaks:
        sounding[max(0, gap.first_frame - passage.first_frame) : max(0, gap.end_frame - passage.first_frame)] = False
    missing = int((sounding & ~passage.drawn).sum()) / FRAMES_PER_SECOND
    if missing > 0.5:
        yield (
            f'{missing:.1f} s have no spectrum: a daemon with [server] picture = "watched" draws while somebody looks; '
            "it does now, so try again in a while, or with --wait"
        )
