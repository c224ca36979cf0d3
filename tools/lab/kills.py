"""Kill it again and again, at random moments, with a receiver that fails half the time: is anything lost?

    python -m tools.lab.kills --times 1000            the writer of events with its rules, its outbox and its sinks
    python -m tools.lab.kills --times 200 --daemon    the whole daemon, on four recordings

A witness reads the database from outside, all the time: an event or an alert that it has seen there is a promise. After
every 50 kills (`--judge-every`) a last run is left alone until the outbox is empty; what was found so far is printed as
a line of JSON, and a new store begins. An event is lost where the store does not have it in that stage or a later one,
an alert where it never arrived. Ctrl-C and SIGTERM kill no more and judge what was killed.
"""

import argparse
import json
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile

from streamclf.alerts import outbox
from streamclf.store.database import FILE_NAME, reader
from tools.lab.daemon import clean_env, free_port, start_daemon
from tools.lab.load import patience
from tools.lab.receiver import WebhookReceiver, http_receiver
from tools.lab.tinypack import RATE, stateful_pack

COOLDOWN_S = 3
STREAMS = 4
_STAGES = {"open": 0, "update": 1, "close": 2}
_LIVES_S = 2.0  # a daemon lives so long at most once it is ready, on an idle machine
_WRITES_S = 1.0  # and a writer so long once it has written
_READY_S = 300.0  # a campaign goes on where the machine is busy
_ENDING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class KillReport:
    """What a campaign found. Promised: seen on the disk before a kill. twice: arrived more than once, with one id."""

    kills: int
    events_promised: int
    events_lost: int
    alerts_promised: int
    alerts_lost: int
    alerts_twice: int
    faults: list[str]
    """All else that is not as it was promised, a sentence each."""

    @property
    def fine(self) -> bool:
        """Whether nothing was lost, nor anything else wrong."""
        return not (self.events_lost or self.alerts_lost or self.faults)

    def __add__(self, more: "KillReport") -> "KillReport":
        return KillReport(*(getattr(self, one.name) + getattr(more, one.name) for one in fields(self)))


class Witness(threading.Thread):
    """Reads what is committed, from outside. events: id -> furthest stage that was seen on the disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.events: dict[str, str] = {}
        self.alerts: set[str] = set()
        self.faults: list[str] = []
        self._folder = folder
        self._seq = 0
        self._row = 0
        self._stop_now = threading.Event()

    def run(self) -> None:
        """Look fifty times a second."""
        try:
            while not self._stop_now.wait(0.02):
                if (self._folder / FILE_NAME).exists():
                    self._look()
        except Exception as fault:
            self.faults.append(f"the witness failed: {fault!r}")

    def stop(self) -> None:
        """Look no more."""
        self._stop_now.set()
        self.join()

    def _look(self) -> None:
        try:
            with closing(sqlite3.connect(f"file:{self._folder / FILE_NAME}?mode=ro", uri=True, timeout=10)) as look:
                look.execute("BEGIN")
                events = "SELECT seq, id, stage FROM events WHERE seq > ? ORDER BY seq"
                for seq, event_id, stage in look.execute(events, (self._seq,)):
                    self._seq = seq
                    if _STAGES[stage] >= _STAGES[self.events.get(event_id, "open")]:
                        self.events[event_id] = stage
                alerts = "SELECT rowid, id FROM alerts WHERE rowid > ? ORDER BY rowid"
                for row, alert_id in look.execute(alerts, (self._row,)):
                    self._row = row
                    self.alerts.add(alert_id)
        except sqlite3.OperationalError as fault:
            if "no such table" not in str(fault) and "unable to open" not in str(fault):
                raise


def kill_daemons(folder: Path, times: int, *, seed: int = 7, ended: threading.Event | None = None) -> KillReport:
    """Daemons on four recordings, each killed within seconds after it is ready. ended: set where it is enough."""
    sound, pack, store = beeps(folder / "beeps.wav"), stateful_pack(folder / "pack"), folder / "store"
    env = clean_env(folder, {"STREAMCLF_RULES": str(folder / "rules.toml"), "STREAMCLF_STORE_PATH": str(store)})
    sources = [word for i in range(STREAMS) for word in ("--source", f"file:{sound}#loop=yes&name=mic{i}")]

    def live(chance: random.Random, number: int) -> None:
        daemon = start_daemon(
            [*sources, "--model", str(pack)], port=free_port(), env=env, log=folder / f"daemon-{number % 2}"
        )
        try:
            daemon.wait_ready(_READY_S)
            # the fault itself: any moment, of which there are enough also on a machine that hardly lets it run
            time.sleep(chance.uniform(0.0, _LIVES_S * patience()))
        finally:
            daemon.kill()
        assert "Traceback" not in daemon.stderr, daemon.stderr

    def finish() -> None:
        quiet = ["--source", "push:quiet,16000", "--model", str(pack)]
        daemon = start_daemon(quiet, port=free_port(), env=env, log=folder / "last")
        try:
            daemon.wait_ready(_READY_S)
            _until_empty(store, times)
        finally:
            daemon.stop()

    return _campaign(folder, times, live, finish, seed, ended or threading.Event())


def kill_writers(folder: Path, times: int, *, seed: int = 7, ended: threading.Event | None = None) -> KillReport:
    """Writers without ears (tools/lab/killed.py), each killed within a second after it has written. ended: as above."""
    store = folder / "store"

    def start(*more: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tools.lab.killed", str(store), str(folder / "rules.toml"), *more]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], start_new_session=True
        )
        assert process.stdout is not None
        assert process.stdout.readline(), "the writer ended before it wrote anything"
        return process

    def live(chance: random.Random, number: int) -> None:
        process = start()
        time.sleep(chance.uniform(0.0, _WRITES_S))  # the fault itself: any moment
        process.kill()
        process.communicate()

    def finish() -> None:
        process = start("--quiet")
        try:
            _until_empty(store, times)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()

    return _campaign(folder, times, live, finish, seed, ended or threading.Event())


def _campaign(
    folder: Path,
    times: int,
    live: Callable[[random.Random, int], None],
    finish: Callable[[], None],
    seed: int,
    ended: threading.Event,
) -> KillReport:
    chance, witness = random.Random(seed), Witness(folder / "store")
    with http_receiver() as receiver:
        _write_rules(folder / "rules.toml", receiver)
        receiver.answers = [(503 if chance.random() < 0.5 else 204, {}, b"") for _ in range(100_000)]
        witness.start()
        kills = 0
        try:
            while kills < times and not (kills and ended.is_set()):
                live(chance, kills)
                kills += 1
        finally:
            witness.stop()
        receiver.answers = [(204, {}, b"")]
        finish()
    return _judge(folder / "store", kills, witness, receiver)


@contextmanager
def _until_ended() -> Iterator[threading.Event]:
    """Set once Ctrl-C was pressed or SIGTERM came."""
    ended = threading.Event()
    before = [signal.signal(number, lambda *_: ended.set()) for number in _ENDING]
    try:
        yield ended
    finally:
        for number, handler in zip(_ENDING, before, strict=True):
            signal.signal(number, handler)


def _judge(store: Path, times: int, witness: Witness, receiver: WebhookReceiver) -> KillReport:
    faults = list(witness.faults)
    with closing(reader(store)) as connection:
        (integrity,) = connection.execute("PRAGMA integrity_check").fetchone()
        events = dict(connection.execute("SELECT id, stage FROM events").fetchall())
        alerts = connection.execute("SELECT id, rule, at_ns, event_id FROM alerts ORDER BY at_ns").fetchall()
    received = [request.data["id"] for request in receiver.requests]
    bodies = {request.data["id"]: request.body for request in receiver.requests}
    promised = witness.alerts | {row[0] for row in alerts}
    each = [event_id for _, rule, _, event_id in alerts if rule == "each"]
    cool = [at_ns for _, rule, at_ns, _ in alerts if rule == "cool"]
    for wrong, what in (
        (integrity != "ok", f"the database is damaged: {integrity}"),
        (witness.alerts > {row[0] for row in alerts}, "an alert that was on the disk is there no more"),
        (set(received) > promised, "an alert arrived that was never on the disk"),
        (any(request.body != bodies[request.data["id"]] for request in receiver.requests), "one id has two alerts"),
        (len(each) != len(set(each)), "an event was told twice under two ids"),
        ({event_id for event_id in events if "/loud/" in event_id} != set(each), "an event is kept without its alert"),
        (any(b - a < COOLDOWN_S * 1e9 for a, b in pairwise(cool)), "a cool-down was forgotten"),
        (len(witness.events) < times, "too little happened to show anything"),
    ):
        if wrong:
            faults.append(what)
    return KillReport(
        kills=times,
        events_promised=len(witness.events),
        events_lost=sum(_STAGES.get(events.get(name, ""), -1) < _STAGES[at] for name, at in witness.events.items()),
        alerts_promised=len(promised),
        alerts_lost=len(promised - set(received)),
        alerts_twice=len(received) - len(set(received)),
        faults=faults,
    )


def _until_empty(store: Path, times: int) -> None:
    """Returns once the outbox is empty and no visit is open."""
    deadline = time.monotonic() + 120 + 2 * times
    with closing(reader(store)) as connection:
        while (
            outbox.waiting(connection) or connection.execute("SELECT 1 FROM memory WHERE kind = 'waiting'").fetchall()
        ):
            assert time.monotonic() < deadline, outbox.waiting(connection)
            with closing(sqlite3.connect(store / FILE_NAME, timeout=10)) as writer, writer, suppress(sqlite3.Error):
                # the receiver takes all now: nobody has to wait for the next try
                writer.execute("UPDATE deliveries SET next_ns = 0 WHERE state = 'pending' AND next_ns > first_ns")
            time.sleep(0.5)


def _write_rules(path: Path, receiver: WebhookReceiver) -> None:
    path.write_text(
        f'[sink.hook]\ntype = "webhook"\nurl = "{receiver.url}"\nprivate = true\n'
        '[[rule]]\nname = "each"\nlabels = ["loud"]\nsinks = ["hook"]\n'
        f'[[rule]]\nname = "cool"\nlabels = ["loud"]\ncooldown_s = {COOLDOWN_S}\nper = "rule"\nsinks = ["hook"]\n'
        '[[rule]]\nname = "visit"\nlabels = ["loud"]\nmerge_ms = 200\nstage = "close"\nsinks = ["hook"]\n'
    )


def beeps(path: Path) -> Path:
    """A second and a half in which a tone comes and goes twice."""
    samples = np.zeros(3 * RATE // 2, dtype=np.float32)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE // 4) / RATE)
    for at in (RATE // 10, RATE * 8 // 10):
        samples[at : at + len(tone)] = tone
    soundfile.write(path, samples, RATE)
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was found so far as JSON, after each part; 1 where anything was lost or wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=1000, help="how often it is killed (1000)")
    parser.add_argument("--judge-every", type=int, default=50, help="kills of one store, after which it is judged (50)")
    parser.add_argument("--seed", type=int, default=7, help="of chance (7)")
    parser.add_argument("--daemon", action="store_true", help="the whole daemon, not its writer alone")
    asked = parser.parse_args(arguments)
    kill = kill_daemons if asked.daemon else kill_writers
    found = KillReport(0, 0, 0, 0, 0, 0, [])
    with _until_ended() as ended:
        while found.kills < asked.times and not ended.is_set():
            part = min(asked.judge_every, asked.times - found.kills)
            with tempfile.TemporaryDirectory(prefix="streamclf-kills-") as folder:
                found += kill(Path(folder), part, seed=asked.seed + found.kills, ended=ended)
            print(json.dumps(asdict(found)), flush=True)
    return 0 if found.fine else 1


if __name__ == "__main__":
    sys.exit(main())
