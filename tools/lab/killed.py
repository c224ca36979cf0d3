"""What tools/lab/kills.py kills: a writer of events with its rules, its outbox and its sinks, as the daemon has them.

    python -m tools.lab.killed FOLDER RULES [--quiet]

It hears events on four streams all the time (with --quiet none), says "written" once some are on the disk, and ends on
SIGTERM.
"""

import asyncio
import itertools
import signal
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from streamclf.alerts.rules.book import RuleBook
from streamclf.alerts.rules.memory import load
from streamclf.alerts.service import AlertService, read_rules
from streamclf.clock import NS_PER_FRAME, StreamClock
from streamclf.engine.segment import Decision
from streamclf.store.database import Store
from streamclf.store.events import StoredEvent
from streamclf.store.ledger import Ledger
from streamclf.store.packfacts import PackFacts
from streamclf.types import Event, Label, Stage
from streamclf.writer.inbox import Inbox
from streamclf.writer.writer import Writer

_LABEL = Label("loud", "Loud")
_FACTS = {"levels": PackFacts.of("ab" * 32, [_LABEL], [Decision(enter=0.5, min_on=5, min_off=5)])}
_STREAMS = [f"mic{number}" for number in range(4)]
_FRAMES = 10  # from one stage to the next, 5 times a second


def _stages(turn: int, now_frame: int) -> list[Event]:
    """What is heard in one turn: on each stream an event opens, goes on, or ends, one after the other."""
    heard = []
    for number, stream in enumerate(_STREAMS):
        stage = (Stage.OPEN, Stage.UPDATE, Stage.CLOSE)[(turn + number) % 3]
        onset = now_frame - _FRAMES * ((turn + number) % 3) - 5
        began = turn - (turn + number) % 3
        if began < 0:
            continue  # it would not have opened
        heard.append(
            Event(stream, "levels", f"{stream}/levels/loud/{began}", "loud", stage, onset,
                  now_frame if stage is Stage.CLOSE else None, 0.9, 0.7, now_frame)
        )  # fmt: skip
    return heard


async def _keep(folder: Path, rules: Path, *, quiet: bool) -> None:
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    store, inbox = Store.open(folder), Inbox()
    watch = read_rules(rules, {stream: [_LABEL] for stream in _STREAMS}, required=True)
    alerts = AlertService(folder, inbox, watch, {stream: [_LABEL] for stream in _STREAMS})
    began_ns = time.time_ns()
    clocks = {stream: StreamClock(16_000, began_ns) for stream in _STREAMS}

    said = False

    def committed(events: Sequence[StoredEvent]) -> None:
        nonlocal said
        if not said and (quiet or events):
            print("written", flush=True)
            said = True
        loop.call_soon_threadsafe(alerts.committed, events)

    book = RuleBook(watch.file.rules, place=watch.file.place, memory=load(store.connection))
    writer = Writer(store, Ledger(uuid.uuid4().hex, _FACTS), clocks, book, inbox, on_commit=committed)
    writer.start()
    alerts.start()
    for turn in itertools.count():
        await asyncio.sleep(0.02)
        if ended.is_set():
            break
        if not quiet:
            inbox.put(_stages(turn, (time.time_ns() - began_ns) // NS_PER_FRAME))
    await alerts.stop()
    writer.stop(10.0)
    store.close()


if __name__ == "__main__":
    asyncio.run(_keep(Path(sys.argv[1]), Path(sys.argv[2]), quiet="--quiet" in sys.argv))
