"""Kill PostgreSQL again and again while events and marks come, and now and then what delivers: is anything lost?

    python -m tools.lab.pgkills --times 100

Each turn puts events and marks into a store, while a server (a real one, in a temporary folder) is killed or stopped at
a random moment, and started again; every fifth turn the process that delivers is killed, too. At the end every event
and mark of the store has to be there once, in its newest stage.
"""

import argparse
import multiprocessing
import random
import tempfile
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from streamclf.config import PostgresConfig
from streamclf.daemon.central import Central
from streamclf.store.database import Store, reader
from streamclf.store.events import StoredEvent, put_events, query, set_mark
from tools.bench.history import event
from tools.lab.pgserver import PostgresServer

_LIMIT_S = 180.0
_BURST = 40


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """doubled: by id, or counted twice in `days`. differing: not in the stage, or with the mark, of the store."""

    kills: int
    events: int
    marks: int
    lost: int
    doubled: int
    differing: int


def deliver(url: str, folder: Path) -> None:
    """A process that delivers until it is killed; it looks fifty times a second, as commits would ring."""
    central = Central(PostgresConfig(url=url, site="lab"), folder)
    central.start()
    while True:
        time.sleep(0.02)
        central.committed()


def kill_servers(folder: Path, times: int, *, chance: random.Random) -> DeliveryReport:
    """So many kills and restarts of the server, and a fifth as many of what delivers."""
    server = PostgresServer()
    start = multiprocessing.get_context("spawn").Process
    worker = start(target=deliver, args=(server.url, folder), daemon=True)
    made = 0
    try:
        server.start(database=True)
        worker.start()
        with closing(Store.open(folder)) as store:
            for turn in range(times):
                cut = chance.randrange(4)
                for burst in range(4):
                    made = _write(store, made, chance)
                    time.sleep(chance.uniform(0.0, 0.05))  # the fault itself: any moment
                    if burst == cut:
                        (server.kill if turn % 3 else server.stop)()
                if turn % 5 == 4:
                    worker.kill()
                    worker.join()
                    worker = start(target=deliver, args=(server.url, folder), daemon=True)
                    worker.start()
                server.start()
        return _judged(server, folder, times)
    finally:
        if worker.pid is not None:
            worker.kill()
            worker.join()
        server.close()


def _write(store: Store, made: int, chance: random.Random) -> int:
    """New events, of which some last, an end of some that lasted, and a mark."""
    with store.transaction() as tx:
        put_events(tx, (_stage(number, number % 4 != 0) for number in range(made, made + _BURST)))
        if made:
            put_events(tx, (_stage(number, True) for number in range(made - _BURST, made, 8)))
            set_mark(tx, event(chance.randrange(made), 0).id, chance.choice(("right", "wrong")))
    return made + _BURST


def _stage(number: int, over: bool) -> StoredEvent:
    whole = event(number, 1_750_000_000_000_000_000 + number * 1_000_000_000)
    if over:
        return whole
    fields = {name: getattr(whole, name) for name in whole.__struct_fields__}
    return StoredEvent(**{**fields, "stage": "open", "offset_frame": None, "offset_ns": None, "ended_by": ""})


def _judged(server: PostgresServer, folder: Path, times: int) -> DeliveryReport:
    import psycopg

    with closing(reader(folder)) as near:
        wanted = {one.id: (one.stage, one.mark, one.seq) for one in query(near)}
    last = max(seq for _, _, seq in wanted.values())
    deadline = time.monotonic() + _LIMIT_S
    while True:
        with psycopg.connect(server.url) as far:
            arrived = far.execute("SELECT seq FROM streamclf.sites").fetchone()
            if (arrived and arrived[0] >= last) or time.monotonic() > deadline:
                rows = far.execute("SELECT id, stage, mark, seq FROM streamclf.events").fetchall()
                (counted,) = far.execute("SELECT coalesce(sum(events), 0)::bigint FROM streamclf.days").fetchone() or (
                    0,
                )
                break
        time.sleep(0.1)
    there = {row[0]: tuple(row[1:]) for row in rows}
    return DeliveryReport(
        kills=times,
        events=len(wanted),
        marks=sum(1 for _, mark, _ in wanted.values() if mark),
        lost=len(wanted.keys() - there.keys()),
        doubled=len(rows) - len(there) + abs(counted - len(there)),
        differing=sum(1 for key in wanted.keys() & there.keys() if wanted[key] != there[key]),
    )


def main() -> None:
    """One line; 1 where anything was lost, doubled or differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = kill_servers(Path(folder) / "store", given.times, chance=random.Random(given.seed))
    print(report)
    raise SystemExit(bool(report.lost or report.doubled or report.differing))


if __name__ == "__main__":
    main()
