"""A daemon that is killed again and again, at random moments, under load, with a receiver that fails half the time.

No event that was on the disk is lost, every alert arrives at least once with one id, and no cool-down is forgotten.
STREAMCLF_TEST_KILLS says how often (6; 200 take a quarter of an hour).
"""

import os
import random
import sqlite3
import threading
import time
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.alerts import outbox
from streamclf.store.database import FILE_NAME, reader
from tests.support.alerts import Receiver, http_receiver
from tools.lab.daemon import clean_env, free_port, start_daemon
from tools.lab.tinypack import RATE, stateful_pack

KILLS = int(os.environ.get("STREAMCLF_TEST_KILLS", "6"))
COOLDOWN_S = 3
STREAMS = 4
STAGES = {"open": 0, "update": 1, "close": 2}

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240 + 15 * KILLS)]

pytest.importorskip("httpx", reason="httpx is absent (pip install streamclf[alerts])")


def beeps(path: Path) -> Path:
    """A second and a half in which a tone comes and goes twice."""
    samples = np.zeros(3 * RATE // 2, dtype=np.float32)
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE // 4) / RATE)
    for at in (RATE // 10, RATE * 8 // 10):
        samples[at : at + len(tone)] = tone
    soundfile.write(path, samples, RATE)
    return path


def fails_half_the_time(receiver: Receiver, chance: random.Random) -> None:
    receiver.answers = [(503 if chance.random() < 0.5 else 204, {}, b"") for _ in range(100_000)]


class Witness(threading.Thread):
    """Reads what is committed, from outside, all the time. events: id -> furthest stage that was seen on the disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.events: dict[str, str] = {}
        self.alerts: set[str] = set()
        self.faults: list[BaseException] = []
        self._folder = folder
        self._stop_now = threading.Event()

    def run(self) -> None:
        try:
            while not self._stop_now.wait(0.02):
                if (self._folder / FILE_NAME).exists():
                    self._look()
        except BaseException as fault:
            self.faults.append(fault)

    def stop(self) -> None:
        self._stop_now.set()
        self.join()

    def _look(self) -> None:
        try:
            with closing(sqlite3.connect(f"file:{self._folder / FILE_NAME}?mode=ro", uri=True, timeout=10)) as look:
                for event_id, stage in look.execute("SELECT id, stage FROM events"):
                    if STAGES[stage] >= STAGES.get(self.events.get(event_id, "open"), 0):
                        self.events[event_id] = stage
                self.alerts |= {row[0] for row in look.execute("SELECT id FROM alerts")}
        except sqlite3.OperationalError as fault:
            if "no such table" not in str(fault) and "unable to open" not in str(fault):
                raise


def test_nothing_is_lost_or_told_wrongly_however_often_it_is_killed(tmp_path: Path) -> None:
    chance = random.Random(7)
    sound, pack, store = beeps(tmp_path / "beeps.wav"), stateful_pack(tmp_path / "pack"), tmp_path / "store"
    sources = [word for i in range(STREAMS) for word in ("--source", f"file:{sound}#loop=yes&name=mic{i}")]
    env = clean_env(tmp_path, {"STREAMCLF_RULES": str(tmp_path / "rules.toml"), "STREAMCLF_STORE_PATH": str(store)})
    witness = Witness(store)
    witness.start()
    with http_receiver() as receiver:
        (tmp_path / "rules.toml").write_text(
            f'[sink.hook]\ntype = "webhook"\nurl = "{receiver.url}"\nprivate = true\n'
            '[[rule]]\nname = "each"\nlabels = ["loud"]\nsinks = ["hook"]\n'
            f'[[rule]]\nname = "cool"\nlabels = ["loud"]\ncooldown_s = {COOLDOWN_S}\nper = "rule"\nsinks = ["hook"]\n'
            '[[rule]]\nname = "visit"\nlabels = ["loud"]\nmerge_ms = 200\nstage = "close"\nsinks = ["hook"]\n'
        )
        fails_half_the_time(receiver, chance)
        for number in range(KILLS):
            daemon = start_daemon(
                [*sources, "--model", str(pack)], port=free_port(), env=env, log=tmp_path / f"daemon-{number}"
            )
            try:
                daemon.wait_ready()
                time.sleep(chance.uniform(0.0, 2.0))
            finally:
                daemon.kill()
            assert "Traceback" not in daemon.stderr, daemon.stderr
        witness.stop()
        receiver.answers = [(204, {}, b"")]
        send_the_rest(tmp_path, pack, env, store)

    assert not witness.faults
    with closing(reader(store)) as connection:
        events = dict(connection.execute("SELECT id, stage FROM events").fetchall())
        alerts = connection.execute("SELECT id, rule, at_ns, event_id FROM alerts ORDER BY at_ns").fetchall()
    assert len(witness.events) >= KILLS, "too little happened to show anything"
    gone = [event_id for event_id, stage in witness.events.items() if STAGES[events[event_id]] < STAGES[stage]]
    assert not gone
    assert witness.alerts <= {row[0] for row in alerts}
    received = [request.data["id"] for request in receiver.requests]
    assert set(received) == {row[0] for row in alerts}
    bodies = {request.data["id"]: request.body for request in receiver.requests}
    assert all(request.body == bodies[request.data["id"]] for request in receiver.requests)
    cool = [at_ns for _, rule, at_ns, _ in alerts if rule == "cool"]
    assert len(cool) > 1
    assert min(b - a for a, b in pairwise(cool)) >= COOLDOWN_S * 1e9
    each = [event_id for _, rule, _, event_id in alerts if rule == "each"]
    assert len(each) == len(set(each)), "an event was told twice under two ids"
    assert {event_id for event_id in events if "/loud/" in event_id} == set(each), "an event is kept whose alert is not"


def send_the_rest(tmp_path: Path, pack: Path, env: dict[str, str], store: Path) -> None:
    """A last run that hears nothing and is left alone until the outbox is empty."""
    daemon = start_daemon(
        ["--source", "push:quiet,16000", "--model", str(pack)], port=free_port(), env=env, log=tmp_path / "last"
    )
    try:
        daemon.wait_ready()
        deadline = time.monotonic() + 90 + 2 * KILLS
        with closing(reader(store)) as connection:
            while (
                outbox.waiting(connection)
                or connection.execute("SELECT 1 FROM memory WHERE kind = 'waiting'").fetchall()
            ):
                assert time.monotonic() < deadline, outbox.waiting(connection)
                time.sleep(0.1)
    finally:
        daemon.stop()
