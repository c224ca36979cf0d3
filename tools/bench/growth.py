#!/usr/bin/env python3
"""Does anything cost more the more of it there is? Streams, labels, rules, events, and a month of uptime.

    python tools/bench/growth.py [streams labels rules events month] [--most-events 1000000] [--json FILE]

Each series prints what one unit costs at each size, in thread-CPU time (of several turns the least; sizes take turns).
Its slope is asserted: where a unit of the largest size costs more than 1.5 times the dearest of those before it, the
command ends with 1. `labels`: a row of a pack to one subscription that says nothing of its size; a unit is a row,
whatever the number of labels, and twice the cost is allowed (a row of 26 kB is copied and compared once). `month`: 30
days of one stream given to the hub, five rows and an event for every ten seconds of it, so that every index is as large
as it will be; its memory must not grow after the second day.
"""

import streamclf.blas  # noqa: F401  one thread, as in the daemon; before numpy is imported

# isort: split
import argparse
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np

from streamclf.alerts.rules.book import RuleBook
from streamclf.alerts.rules.memory import RuleMemory
from streamclf.alerts.rules.rulefile import load_rules
from streamclf.clock import NS_PER_SECOND
from streamclf.protocol import wire
from streamclf.serve.mailbox import Outgoing
from streamclf.serve.subscription import Channel
from streamclf.store.database import Store
from streamclf.store.events import put_events, query
from streamclf.types import Event, FrameScores, Stage
from tools.bench.fanout import HOP, make_hub, rss_kib
from tools.bench.history import START_NS, event
from tools.bench.streams import Crowd

MOST_SLOPE = {"labels": 2.0}
MOST = 1.5
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Size:
    """What a unit costs where there are so many. more: what else was seen."""

    count: int
    us: float
    more: str = ""


class Nobody:
    """A subscriber that takes everything and keeps nothing."""

    def deliver(self, message: Outgoing) -> None:
        """Gone."""

    def control(self, message: wire.Message) -> None:
        """Gone."""

    def moved(self, channel: Channel, answer: wire.Subscribed) -> None:
        """Stays."""

    def show(self, frame: bytes) -> bool:
        """Gone."""
        return True


def least(ways: Mapping[int, Callable[[], object]], units: Callable[[int], int], turns: int = 7) -> list[Size]:
    """The least thread-CPU time of a unit at each size. units: done by one call of a size's way."""
    found = dict.fromkeys(ways, float("inf"))
    for _ in range(turns):
        for count, way in ways.items():
            began = time.thread_time_ns()
            way()
            found[count] = min(found[count], (time.thread_time_ns() - began) / 1000 / units(count))
    return [Size(count, us) for count, us in found.items()]


def streams(_: argparse.Namespace) -> list[Size]:
    """Engine with the default pack; a unit is 20 ms of one stream."""
    crowds = {count: Crowd(ROOT / "models" / "default", count) for count in (1, 4, 16, 64, 256)}
    ways = {count: partial(one.turns, 10) for count, one in crowds.items()}
    return least(ways, lambda count: 10 * count, 5)


def labels(_: argparse.Namespace) -> list[Size]:
    """One row to a subscription of its own, in JSON; a dozen labels are heard, as of YAMNet on a street."""
    ways: dict[int, Callable[[], object]] = {}
    for count in (100, 521, 1000, 6522):
        hub = make_hub(count)
        hub.subscribe(Nobody(), wire.Subscribe(tier="frame"))
        row = np.full((1, count), 0.001, np.float32)
        row[0, :: max(1, count // 12)] = 0.3
        ways[count] = lambda hub=hub, row=row: [  # type: ignore[misc]
            hub.publish([FrameScores("mic", "bench", frame, row, True, (frame + 1) * HOP)], decided_ns=0, sent_ns=0)
            for frame in range(hub.seq, hub.seq + 200)
        ]
    return least(ways, lambda count: 200)


def rules(_: argparse.Namespace) -> list[Size]:
    """Events judged by so many rules of one label each; a unit is one event and one rule."""
    events = [event(number, START_NS + number * NS_PER_SECOND) for number in range(200)]
    ways: dict[int, Callable[[], object]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for count in (10, 100, 1000):
            path = Path(folder) / "rules.toml"
            path.write_text("".join(f'[[rule]]\nname = "r{n}"\nlabels = ["label_{n}"]\n' for n in range(count)))
            file = load_rules(path)
            book = RuleBook(file.rules, place=file.place, memory=RuleMemory())
            ways[count] = lambda book=book: book.step(events[-1].decided_ns, events)  # type: ignore[misc]
        return least(ways, lambda count: count * len(events))


def events(given: argparse.Namespace) -> list[Size]:
    """A store that grows; a unit is one event written, 1,000 in a transaction. more: the newest 100, and an hour."""
    sizes = [10**power for power in range(4, 8) if 10**power <= given.most_events]
    found = []
    with tempfile.TemporaryDirectory() as folder, closing(Store.open(Path(folder))) as store:
        number = 0
        for size in sizes:
            while number < size - 2000:
                number = _written(store, number, min(20_000, size - 2000 - number))
            took = []
            for _ in range(2):
                began = time.thread_time_ns()
                number = _written(store, number, 1000)
                took.append((time.thread_time_ns() - began) / 1e6)
            asked = [_asked_ms(store, number) for _ in range(3)]
            newest, hour = (min(each) for each in zip(*asked, strict=True))
            found.append(Size(size, min(took), f"the newest 100 in {newest:.1f} ms, the last hour in {hour:.1f} ms"))
    return found


def _written(store: Store, first: int, count: int) -> int:
    with store.transaction() as tx:
        put_events(tx, (event(n, START_NS + n * 3 * NS_PER_SECOND) for n in range(first, first + count)))
    return first + count


def _asked_ms(store: Store, number: int) -> tuple[float, float]:
    until_ns, times = START_NS + number * 3 * NS_PER_SECOND, []
    for wish in ({"limit": 100}, {"since_ns": until_ns - 3600 * NS_PER_SECOND, "until_ns": until_ns}):
        began = time.thread_time_ns()
        query(store.connection, **wish)  # type: ignore[arg-type]
        times.append((time.thread_time_ns() - began) / 1e6)
    return times[0], times[1]


def month(_: argparse.Namespace) -> list[Size]:
    """A unit is one row, of which the hub gets five, and an event, for every ten seconds of the stream."""
    hub = make_hub(23)
    for tier in ("batch", "frame", "events"):
        hub.subscribe(Nobody(), wire.Subscribe(tier=tier))
    rows = np.random.default_rng(0).random((5, 23), dtype=np.float32)
    found, memory = [], {}
    for day in range(1, 31):
        began = time.thread_time_ns()
        for at in _frames_of(day):
            now_ns = START_NS + at * 20_000_000
            end = at + len(rows)
            outputs = [FrameScores("mic", "bench", at, rows, True, end * HOP)]
            told = [
                Event(
                    "mic", "bench", f"e{at}", "label_3", stage, at, None if stage is Stage.OPEN else end, 0.9, 0.7, end
                )
                for stage in (Stage.OPEN, Stage.CLOSE)
            ]
            hub.publish([*outputs, *told], decided_ns=now_ns, sent_ns=now_ns)
        us = (time.thread_time_ns() - began) / 1000 / 8640 / len(rows)
        gc.collect()
        memory[day] = rss_kib()
        found.append(Size(day, us, f"{memory[day] / 1024:.1f} MiB"))
    if memory[30] - memory[2] > 2048:
        raise SystemExit(f"growth: {memory[30] - memory[2]} KiB more after 30 days than after two; memory grows")
    # neighbours of a shared machine come and go within a day: five days at a time, the least of them
    return [Size(n + 4, min(each.us for each in found[n - 1 : n + 4]), found[n + 3].more) for n in range(1, 31, 5)]


def _frames_of(day: int) -> Iterator[int]:
    frames = 24 * 3600 * 50
    return iter(range((day - 1) * frames, day * frames, 500))


SERIES: dict[str, tuple[Callable[[argparse.Namespace], list[Size]], str, str]] = {
    "streams": (streams, "streams", "20 ms of a stream, engine"),
    "labels": (labels, "labels", "a row, hub to JSON"),
    "rules": (rules, "rules", "an event and rule"),
    "events": (events, "events kept", "an event written"),
    "month": (month, "days up", "a row, hub, with events"),
}


def main() -> int:
    """The tables. Returns 1 where a slope is not flat."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("series", nargs="*", choices=[*SERIES, []], help="default: all")
    parser.add_argument("--most-events", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    steep, kept = [], {}
    for name in given.series or SERIES:
        measure, what, unit = SERIES[name]
        sizes = measure(given)
        print(f"| {what} | us: {unit} | |", "|---|---|---|", sep="\n")
        for size in sizes:
            print(f"| {size.count:,} | {size.us:.2f} | {size.more} |")
        slope = sizes[-1].us / max(size.us for size in sizes[:-1])
        flat = slope <= MOST_SLOPE.get(name, MOST)
        print(f"\nthe last against the dearest before it: {slope:.2f}, {'flat' if flat else 'not flat'}\n", flush=True)
        steep += [] if flat else [name]
        kept[name] = {"unit": unit, "slope": slope, "sizes": [asdict(size) for size in sizes]}
    if given.json:
        given.json.write_text(json.dumps(kept, indent=1) + "\n")
    if steep:
        print(f"growth: not flat: {', '.join(steep)}", file=sys.stderr)
    return 1 if steep else 0


if __name__ == "__main__":
    sys.exit(main())
