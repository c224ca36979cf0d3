"""How long the page waits for what is kept: an hour of events, a day's heat map, why, out of a year of events.

    python tools/bench/history.py [--events 2000000] [--hour 10000] [--store DIR]

Makes a store of so many events, spread evenly over a year, and so many more in one hour of it (two minutes of work;
--store keeps it for another run), serves it as the daemon does, and asks over real sockets one request after the other.
"""

import argparse
import asyncio
import http.client
import itertools
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode

from streamclf.alerts.rules.reload import RulesWatch
from streamclf.alerts.rules.rulefile import Vocabulary
from streamclf.clock import NS_PER_FRAME, NS_PER_SECOND
from streamclf.serve.http.server import Server, ServerSettings
from streamclf.serve.http.stored import stored_routes
from streamclf.serve.http.why import Live
from streamclf.serve.hub import Hub
from streamclf.store.database import FILE_NAME, Store
from streamclf.store.events import StoredEvent, put_events

START_NS = 1_735_689_600 * NS_PER_SECOND  # 2025-01-01
HOUR_NS = 3600 * NS_PER_SECOND
DAY_NS = 24 * HOUR_NS
BUSY_NS = START_NS + 200 * DAY_NS + 6 * HOUR_NS
PAGE = 1000
LABELS = 60


class Took(NamedTuple):
    """Seconds."""

    wall_s: float
    processor_s: float

    def __str__(self) -> str:
        return f"{self.wall_s:.3f} s, {self.processor_s:.3f} s of processor"


def main() -> None:
    """One line for each question: seconds on the clock, and of processor time for server and client together."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=2_000_000)
    parser.add_argument("--hour", type=int, default=10_000)
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.store or Path(temporary)
        if not (folder / FILE_NAME).exists():
            write(folder, given.events, given.hour)
        asyncio.run(measure(folder))


def write(folder: Path, year: int, hour: int) -> None:
    """A store of events that last two seconds each."""
    spread = (START_NS + n * (365 * DAY_NS // year) for n in range(year))
    onsets = itertools.chain(spread, (BUSY_NS + n * (HOUR_NS // hour) for n in range(hour)))
    events = (event(number, onset_ns) for number, onset_ns in enumerate(onsets))
    with closing(Store.open(folder)) as store:
        while some := list(itertools.islice(events, 50_000)):
            with store.transaction() as tx:
                put_events(tx, some)


def event(number: int, onset_ns: int) -> StoredEvent:
    """Every one of another label than the one before."""
    label = f"label_{number * number % LABELS}"
    return StoredEvent(
        id=f"0123456789abcdef/mic/birds/{label}/{number}", stream="mic", pack="birds", pack_hash="0" * 64, label=label,
        group="bird", stage="close", onset_frame=number * 100, offset_frame=number * 100 + 100, onset_ns=onset_ns,
        offset_ns=onset_ns + 100 * NS_PER_FRAME, decided_ns=onset_ns + 110 * NS_PER_FRAME, peak=0.9, mean=0.7,
        enter=0.5, leave=0.35, min_on_ms=100, min_off_ms=200, level_db=-30.0, ended_by="quiet",
    )  # fmt: skip


async def measure(folder: Path) -> None:
    """Serve the store and ask."""
    rules = RulesWatch(folder / "rules.toml", known=Vocabulary.of([]), required=False)
    hub = Hub(streams=[], packs=[])
    live = Live(hub, {}, rules, lambda pack, label, day: "")
    server = Server(hub, ServerSettings(port=0), routes=stored_routes(folder, live))
    await server.start()
    try:
        for line in await asyncio.to_thread(lambda: list(asked(server.port))):
            print(line)
    finally:
        await server.stop(2.0)


def asked(port: int) -> Iterator[str]:
    """What each question took."""
    get(port, "events", limit=1)  # what the first request of all costs is not meant
    took, events, kilobytes = hour(port)
    yield f"an hour of {events} events in pages of {PAGE}, {kilobytes} kB: {took}"
    day = {"since_ns": START_NS + 200 * DAY_NS, "until_ns": START_NS + 201 * DAY_NS}
    took, found = get(port, "hours", **day)
    yield f"hours of a day, {sum(entry['total'] for entry in found['labels'])} events: {took}"
    month = {"since_ns": START_NS + 180 * DAY_NS, "until_ns": START_NS + 211 * DAY_NS}
    took, found = get(port, "hours", **month)
    yield f"hours of 31 days, {sum(entry['total'] for entry in found['labels'])} events: {took}"
    _, page = get(port, "events", since_ns=BUSY_NS, until_ns=BUSY_NS + HOUR_NS, limit=1)
    took, _ = get(port, "why", event=page["events"][0]["id"])
    yield f"why, by event: {took}"
    took, found = get(port, "why", stream="mic", at_ns=BUSY_NS + HOUR_NS // 2, around_ms=5000)
    yield f"why, by moment, {len(found['events'])} events: {took}"


def hour(port: int) -> tuple[Took, int, int]:
    """The busy hour as the page loads it, newest first: time, events, kB."""
    seen: set[str] = set()
    took, size, until_ns = Took(0.0, 0.0), 0, BUSY_NS + HOUR_NS
    while True:
        page_took, page = get(port, "events", since_ns=BUSY_NS, until_ns=until_ns, limit=PAGE)
        took = Took(took.wall_s + page_took.wall_s, took.processor_s + page_took.processor_s)
        size += len(json.dumps(page))
        before = len(seen)
        seen |= {entry["id"] for entry in page["events"]}
        if len(page["events"]) < PAGE or len(seen) == before:
            return took, len(seen), size // 1000
        until_ns = page["events"][0]["onset_ns"] + 1


def get(port: int, path: str, **query: Any) -> tuple[Took, Any]:
    """From connecting to the last byte, and the JSON."""
    began_s, processor_s = time.perf_counter(), time.process_time()
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", f"/v1/{path}?{urlencode(query)}")
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    took = Took(time.perf_counter() - began_s, time.process_time() - processor_s)
    assert answer.status == 200, body
    return took, json.loads(body)


if __name__ == "__main__":
    main()
