"""A writer that runs, on a real store."""

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from streamclf.alerts.rules.book import RuleBook
from streamclf.alerts.rules.memory import RuleMemory
from streamclf.alerts.rules.place import Location
from streamclf.clock import StreamClock
from streamclf.store.database import Store
from streamclf.store.ledger import Ledger
from streamclf.writer.inbox import Inbox
from streamclf.writer.writer import Writer
from tests.support.storing import FACTS

LIMIT_S = 20.0


def no_rules() -> RuleBook:
    return RuleBook((), place=Location(), memory=RuleMemory())


@contextmanager
def writing(
    folder: Path,
    book: RuleBook | None = None,
    *,
    faults: list[BaseException] | None = None,
    missed: tuple[int, int] | None = None,
) -> Iterator[tuple[Inbox, threading.Semaphore, Writer]]:
    """The inbox of a writer that runs; the semaphore counts its commits. faults: gathers them, else there are none."""
    committed = threading.Semaphore(0)
    found: list[BaseException] = [] if faults is None else faults
    inbox = Inbox()
    with closing(Store.open(folder)) as store:
        writer = Writer(
            store,
            Ledger("run1", FACTS),
            {"mic": StreamClock(16_000)},
            book or no_rules(),
            inbox,
            missed=missed,
            on_commit=lambda events: committed.release(),
            on_fault=found.append,
        )
        writer.start()
        assert committed.acquire(timeout=LIMIT_S)
        try:
            yield inbox, committed, writer
        finally:
            assert writer.stop(LIMIT_S)
    assert faults is not None or not found
