"""What the live view of `streamclf listen` knows: levels of labels, events, states. No I/O, no clock, no drawing.

Theory of operation. A `Meter` is one pack on one stream. A label's level rises at once and falls slowly, so that a
short call can be seen. Which labels have a line, and in which order, changes only where the difference is clear: a
view whose lines jump ten times a second cannot be read.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from streamclf.clock import FRAMES_PER_SECOND, NS_PER_FRAME
from streamclf.protocol import wire
from streamclf.text import plain
from streamclf.types import F32, StreamState

MAX_ENTRIES = 200  # events and notes kept; the oldest is forgotten, nothing is counted: the daemon has them all
RELEASE_S = 0.4  # half-life of a falling level
SLOW_S = 2.0  # time constant of the mean by which labels are ranked

_ENTER, _LEAVE = 0.10, 0.03  # a label gets a line at the one and loses it below the other, for the slow mean too
_CLEARLY = 1.5  # how many times better a label has to be to take another's line or place
_A_BIT = 0.03
STALE_S = 3.0  # a stream that gives no rows for so long shows no levels


class Bar(NamedTuple):
    """One line of a meter. level: in [0, 1]. active: an event of this label is open."""

    name: str
    level: float
    active: bool


@dataclass(slots=True)
class BoardEntry:
    """One line of the list: an event, or (without an id) a note. seconds: None where a note has no length."""

    wall_ns: int
    title: str
    stream: str
    detail: str = ""
    id: str = ""
    open: bool = False
    seconds: float | None = None
    peak: float = 0.0


class Meter:
    """Levels of one pack's labels on one stream. names: of the labels that may be shown, by id, in the pack's order."""

    def __init__(self, names: Mapping[str, str], *, min_prob: float = 0.0) -> None:
        self.names = dict(names)
        self.min_prob = min_prob
        self.age_ms: float | None = None
        """From the sound to its rows here, renewed once a second so that it can be read."""
        self.active: set[str] = set()
        self._ids = list(self.names)
        self._level: F32 = np.zeros(len(self.names), np.float32)
        self._slow: F32 = np.zeros(len(self.names), np.float32)
        self._lines: list[int] = []
        self._age_ms = 0.0
        self._age_frames = 0

    def take(self, labels: Sequence[str], rows: F32, *, age_ms: float) -> None:
        """rows: (frames, labels) of consecutive frames. age_ms: from the newest sound in them to now."""
        columns = [index for index, label in enumerate(labels) if label in self.names]
        if (ids := [labels[index] for index in columns]) != self._ids:
            self._ids = ids
            self._level = np.zeros(len(columns), np.float32)
            self._slow = np.zeros(len(columns), np.float32)
            self._lines = []
        if not columns or not len(rows):
            return
        rows = rows[:, columns]
        seconds = len(rows) / FRAMES_PER_SECOND
        self._level = np.maximum(rows.max(axis=0), self._level * np.float32(0.5 ** (seconds / RELEASE_S)))
        self._slow += (rows.mean(axis=0) - self._slow) * np.float32(1 - np.exp(-seconds / SLOW_S))
        self._age_ms += (age_ms - self._age_ms) * (1.0 if self.age_ms is None else 0.1)
        self._age_frames -= len(rows)
        if self.age_ms is None or self._age_frames <= 0:
            self.age_ms, self._age_frames = self._age_ms, FRAMES_PER_SECOND

    def silence(self) -> None:
        """Nothing is known any more: levels of the past must not stand there as if they were of now."""
        self._level[:] = 0
        self._slow[:] = 0
        self._lines = []
        self.active.clear()
        self.age_ms = None

    def bars(self, count: int) -> list[Bar]:
        """At most `count` lines. A pack with no more labels than that has all of them, always."""
        if len(self._ids) <= count:
            lines = list(range(len(self._ids)))
        else:
            lines = self._lines = self._choose(count)
        bars = [self._bar(line) for line in lines]
        return [bar for bar in bars if bar.active or bar.level >= self.min_prob]

    def _bar(self, line: int) -> Bar:
        label = self._ids[line]
        return Bar(self.names[label], float(self._level[line]), label in self.active)

    def _choose(self, count: int) -> list[int]:
        open_events = np.array([label in self.active for label in self._ids], np.float32)
        rank = 0.5 * self._level + 0.5 * self._slow + open_events
        stays = np.maximum(self._level, self._slow) >= _LEAVE
        lines = [k for k in self._lines if stays[k]]
        loud = np.flatnonzero((self._level >= _ENTER) | (open_events > 0)).tolist()
        for k in sorted(loud, key=lambda line: -rank[line])[: 2 * count]:
            if k not in lines and len(lines) < count:
                lines.append(k)
            elif k not in lines:
                worst = min(lines, key=lambda line: rank[line])
                if rank[k] > _CLEARLY * rank[worst] + _A_BIT:
                    lines[lines.index(worst)] = k
        lines = sorted(lines, key=lambda line: -rank[line])[:count] if len(lines) > count else lines
        for at in range(len(lines) - 1, 0, -1):
            above, below = lines[at - 1], lines[at]
            if rank[below] > _CLEARLY * rank[above] + _A_BIT:
                lines[at - 1], lines[at] = below, above
        return lines


@dataclass(slots=True)
class StreamView:
    """One stream as it is shown."""

    entry: wire.StreamEntry
    state: str
    detail: str
    meters: dict[str, Meter] = field(default_factory=dict)
    captured_ns: int = 0
    """Wall time of the newest sound that anything shown rests on."""
    rows_s: float = 0.0
    """When the last score rows came."""

    @property
    def hearing(self) -> bool:
        """Whether rows are to be expected."""
        return _hears(self.state)

    def silence(self) -> None:
        """Nothing is known any more."""
        for meter in self.meters.values():
            meter.silence()


class Board:
    """Takes messages, in order; holds what there is to show.

    named: labels or groups were asked for by name, and then none of them is too generic to show. bars: whether score
    rows come at all.
    """

    def __init__(self, *, named: bool = False, min_prob: float = 0.0, bars: bool = True) -> None:
        self.streams: dict[str, StreamView] = {}
        self._unseen: set[str] = set()  # streams of a self-test
        self.packs: dict[str, wire.PackEntry] = {}
        self.hops: dict[str, str] = {}
        self.entries: deque[BoardEntry] = deque(maxlen=MAX_ENTRIES)
        """Newest first."""
        self.waiting = ""
        """Why there is no connection; empty while there is one."""
        self.version = ""
        self.bars = bars
        self._instance = ""
        self._named = named
        self._min_prob = min_prob
        self._open: dict[str, BoardEntry] = {}

    @property
    def demos(self) -> list[str]:
        """Streams that are a recording which ships with the project."""
        return [view.entry.name for view in self.streams.values() if view.entry.demo]

    def wait(self, why: str) -> None:
        """The connection is gone, or did not come."""
        self.waiting = why
        for view in self.streams.values():
            view.silence()

    def silent_s(self, view: StreamView, now_s: float) -> float:
        """For how long a stream that should have given rows gave none; its levels are forgotten then. Else 0."""
        if not self.bars or self.waiting or not view.hearing or now_s - view.rows_s <= STALE_S:
            return 0.0
        view.silence()
        return now_s - view.rows_s

    def take(self, message: wire.ServerMessage, *, now_ns: int, now_s: float) -> None:
        """now_ns: wall time. now_s: any steady clock."""
        match message:
            case wire.Hello():
                self._hello(message, now_ns)
            case wire.Subscribed():
                self._subscribed(message, now_s)
            case wire.Scores():
                self._scores(message, now_ns, now_s)
            case wire.Event():
                self._event(message)
            case wire.Gap():
                self._gap(message, now_ns)
            case wire.Status():
                self._status(message, now_ns)
            case wire.Lagged() if message.reason == "mailbox":
                self._note(now_ns, "missed", f"{message.dropped} score rows: they came faster than they were read")
            case wire.Lagged() if message.reason == "replay":
                self._note(now_ns, "missed", f"{message.dropped} messages: the daemon no longer holds them")
            case wire.Error():
                self._note(now_ns, "error", message.message)
            case _:
                pass  # a restart shows itself in `hello`; answers to what is never asked here

    def _hello(self, hello: wire.Hello, now_ns: int) -> None:
        self.waiting = ""
        if self._instance and hello.instance != self._instance:
            self._note(now_ns, "restarted", "the daemon; events that were open then have no end here")
            for entry in self._open.values():
                entry.open = False
            self._open.clear()
            self.streams.clear()
            self.hops.clear()
        self._instance, self.version = hello.instance, plain(hello.version)
        self.packs = {pack.name: pack for pack in hello.packs}
        known = self.streams
        self.streams = {}
        for stream in hello.streams:
            view = known.get(stream.name) or StreamView(stream, "", "")
            view.entry, view.state, view.detail = stream, stream.state, stream.detail
            self.streams[stream.name] = view

    def _subscribed(self, subscribed: wire.Subscribed, now_s: float) -> None:
        wanted = {channel.name: set(channel.labels) for channel in subscribed.packs}
        # what the self-test hears takes no room, unless that alone was asked for
        tests = {name for name, view in self.streams.items() if view.entry.test}
        self._unseen = tests if set(subscribed.streams) - tests else set()
        wanted_streams = set(subscribed.streams) - self._unseen
        self.streams = {name: view for name, view in self.streams.items() if name in wanted_streams}
        for view in self.streams.values():
            view.rows_s = now_s
            # the pack that tells most apart stands first
            for name in sorted(view.entry.packs, key=lambda name: -len(wanted.get(name, ()))):
                if self.bars and name in wanted and name in self.packs and name not in view.meters:
                    labels = self.packs[name].labels
                    shown = [i for i in labels if i.id in wanted[name] and (self._named or not i.hidden)]
                    view.meters[name] = Meter({i.id: plain(i.name) for i in shown}, min_prob=self._min_prob)

    def _scores(self, scores: wire.Scores, now_ns: int, now_s: float) -> None:
        view = self.streams.get(scores.stream)
        meter = view.meters.get(scores.pack) if view is not None else None
        if view is None or meter is None:
            return
        rows = np.array(scores.rows, np.float32).reshape(scores.count, len(scores.labels))
        meter.take(scores.labels, rows, age_ms=(now_ns - scores.captured_ns) / 1e6)
        view.captured_ns, view.rows_s = max(view.captured_ns, scores.captured_ns), now_s
        for entry in self._open.values():
            if entry.stream == scores.stream:
                entry.seconds = max(0.0, (view.captured_ns - entry.wall_ns) / 1e9)

    def _event(self, event: wire.Event) -> None:
        if event.stream in self._unseen:
            return
        view = self.streams.get(event.stream)
        entry = self._open.get(event.id)
        if entry is None:
            entry = BoardEntry(
                event.onset_ns, self._name(event.pack, event.label), event.stream, id=event.id, open=True
            )
            self._open[event.id] = entry
            self.entries.appendleft(entry)
        entry.peak = event.peak
        if event.offset_frame is not None:
            entry.seconds = (event.offset_frame - event.onset_frame) * NS_PER_FRAME / 1e9
        else:
            entry.seconds = max(entry.seconds or 0.0, (event.captured_ns - event.onset_ns) / 1e9)
        if event.stage == "close":
            entry.open = False
            del self._open[event.id]
        meter = view.meters.get(event.pack) if view is not None else None
        if meter is not None and event.stage == "close":
            meter.active.discard(event.label)
        elif meter is not None:
            meter.active.add(event.label)

    def _gap(self, gap: wire.Gap, now_ns: int) -> None:
        if gap.stream in self._unseen:
            return
        view = self.streams.get(gap.stream)
        samples = gap.last_sample - gap.first_sample + 1
        seconds = samples / view.entry.rate if view is not None else None
        newest = self.entries[0] if self.entries else None
        # a device that stutters leaves many gaps in a row: one line that grows
        if newest is not None and (newest.title, newest.stream, newest.detail) == ("gap", gap.stream, gap.reason):
            newest.seconds = (newest.seconds or 0.0) + (seconds or 0.0)
            newest.wall_ns = now_ns
            return
        self.entries.appendleft(BoardEntry(now_ns, "gap", gap.stream, gap.reason, seconds=seconds))

    def _status(self, status: wire.Status, now_ns: int) -> None:
        state = StreamState.read(status.state)
        if state is StreamState.HOP:
            self.hops[status.pack] = plain(status.detail)
            return
        view = self.streams.get(status.stream)
        before = "" if view is None else view.state
        if view is not None and not status.pack and state is not None and state.of_stream:
            view.state = state.settled
            view.detail = status.detail
            if not view.hearing:
                view.silence()
        if view is not None and _hears(before) and _hears(status.state):
            return
        detail = " ".join(part for part in (status.pack, status.detail) if part)
        self._note(now_ns, status.state, detail, stream=status.stream)

    def _name(self, pack: str, label: str) -> str:
        entry = self.packs.get(pack)
        names = {} if entry is None else {i.id: i.name for i in entry.labels}
        return plain(names.get(label, label))

    def _note(self, now_ns: int, title: str, detail: str, *, stream: str = "") -> None:
        self.entries.appendleft(BoardEntry(now_ns, plain(title), stream, plain(detail)))


def _hears(word: str) -> bool:
    """Whether rows are to be expected of a stream in a state that a daemon tells; some newer ones we do not know."""
    state = StreamState.read(word)
    return state is not None and state.heard
