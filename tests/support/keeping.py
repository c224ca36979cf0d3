"""A keeper that runs, on a real store."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from streamclf.alerts.keeper import Keeper
from streamclf.alerts.memory import Memory
from streamclf.alerts.place import Place
from streamclf.alerts.rules import RuleBook
from streamclf.clock import StreamClock
from streamclf.store.database import Store
from streamclf.store.recorder import Recorder
from tests.support.storing import FACTS

LIMIT_S = 20.0


def no_rules() -> RuleBook:
    return RuleBook((), place=Place(), memory=Memory())


@contextmanager
def keeping(folder: Path, book: RuleBook | None = None) -> Iterator[tuple[Keeper, threading.Semaphore]]:
    """A keeper that runs; the semaphore counts its commits."""
    committed = threading.Semaphore(0)
    faults: list[BaseException] = []
    running = Keeper(
        Store.open(folder),
        Recorder("run1", FACTS),
        {"mic": StreamClock(16_000)},
        book or no_rules(),
        on_commit=lambda events: committed.release(),
        on_fault=faults.append,
    )
    running.start()
    assert committed.acquire(timeout=LIMIT_S)
    try:
        yield running, committed
    finally:
        assert running.stop(LIMIT_S)
    assert not faults
