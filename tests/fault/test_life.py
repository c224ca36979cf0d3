"""The life of the daemon, as a real process: whatever fails, it says so, ends with the right code, and leaves nothing.

The faults are planted by tests/support/faulty.py; all else is the program itself.
"""

import re
import signal
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.store.database import FILE_NAME, obstacle, reader
from streamclf.store.events import query
from tests.support.faulty import HANGING, start_faulty, survivors
from tools.lab.daemon import READY_S, STOP_S, Daemon, free_port
from tools.lab.load import patience
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

SENTENCE = "streamclf: error: "
RULES = (
    '[[rule]]\nname = "noise"\nlabels = "loud"\nsinks = ["here"]\n[sink.here]\ntype = "command"\nargv = ["/bin/true"]\n'
)


class House:
    """Starts daemons with a fault, on two looping recordings; what is left of them at the end is killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.started: list[Daemon] = []
        noise = np.random.default_rng(0).uniform(-0.6, 0.6, RATE).astype(np.float32)
        soundfile.write(folder / "noise.wav", noise, RATE)
        (folder / "rules.toml").write_text(RULES)
        self.args = ["--model", str(stateful_pack(folder / "pack")), "--rules", str(folder / "rules.toml")]
        for name in ("first", "second"):
            self.args += ["--source", f"file:{folder}/noise.wav#loop=yes&name={name}"]

    def start(self, fault: str, *more: str) -> Daemon:
        running = start_faulty(fault, [*self.args, *more], port=self.port, home=self.folder)
        self.started.append(running)
        return running

    def left(self, running: Daemon) -> list[str]:
        """What is not as if it had never run."""
        found = [f"process {pid}" for pid in survivors(running)]
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                found.append("the port")
        return found + [reason for reason in [obstacle(self.folder / "store")] if reason]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    for running in made.started:
        running.kill()


def hangs(running: Daemon) -> None:
    """Returns once the planted fault hangs."""
    running.wait_for(HANGING, READY_S * patience())


def last_line(running: Daemon) -> str:
    return running.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("source-fails", "the recording has gone"),
        ("source-bug", "ValueError('planted')"),
        ("task-dies", "ValueError('planted')"),
        ("sweep-dies", "ValueError('planted')"),
        ("sink-dies", "ValueError('planted')"),
        ("hub-dies", "ValueError('planted')"),
        ("model-dies", "ValueError('planted')"),
        ("writer-dies", "ValueError('planted')"),
        ("source-exits", "something asked the process to end, with code 3"),
        ("task-exits", "something asked the process to end, with code 3"),
        ("task-cancelled", "health has ended, and not by the end"),
    ],
)
def test_what_fails_while_it_runs_is_told_and_everything_is_stopped(house: House, fault: str, told: str) -> None:
    running = house.start(fault)

    code = running.wait(READY_S * patience())

    assert code == 1, running.stderr
    *log, last = running.stderr.splitlines()
    assert last.startswith(SENTENCE)
    assert told in last
    said = told.removeprefix("ValueError('").removesuffix("')")
    assert any(said in line for line in log), "the log tells it, too"
    assert "left behind" not in running.stderr
    assert "Fatal Python error" not in running.stderr
    assert house.left(running) == []


def test_a_port_that_is_taken_is_told_after_the_sources_were_opened(house: House) -> None:
    with socket.create_server(("127.0.0.1", house.port)):
        running = house.start("none")
        code = running.wait(READY_S * patience())

    assert code == 75
    (line,) = running.stderr.splitlines()
    assert line.startswith(f"{SENTENCE}port {house.port} on 127.0.0.1 is in use")
    assert house.left(running) == []


def test_a_mistake_in_the_rules_is_a_mistake_of_the_configuration(house: House) -> None:
    (house.folder / "rules.toml").write_text("[[rule]]\n")
    running = house.start("none")

    assert running.wait(READY_S * patience()) == 78
    assert len(running.stderr.splitlines()) == 1
    assert house.left(running) == []


def test_rules_that_everybody_can_write_are_refused_at_the_start(house: House) -> None:
    (house.folder / "rules.toml").chmod(0o666)
    running = house.start("none")

    assert running.wait(READY_S * patience()) == 78
    (line,) = running.stderr.splitlines()
    assert line.startswith(f"{SENTENCE}rules file ")
    assert "has mode 0666" in line
    assert house.left(running) == []


@pytest.mark.parametrize("fault", ["packs-hang", "source-hangs-opening"])
def test_a_signal_in_the_middle_of_the_start_ends_it_at_once(house: House, fault: str) -> None:
    running = house.start(fault)
    hangs(running)

    assert running.stop(signal.SIGTERM) == 0
    assert "stopping" in running.stderr
    assert SENTENCE not in running.stderr
    assert house.left(running) == []


def test_a_second_signal_ends_it_without_waiting(house: House) -> None:
    running = house.start("server-hangs-stopping")
    running.wait_ready(READY_S * patience())
    running.process.send_signal(signal.SIGTERM)
    hangs(running)
    running.process.send_signal(signal.SIGTERM)

    assert running.wait(STOP_S * patience()) == 1
    assert last_line(running).startswith(f"{SENTENCE}SIGTERM came again: ended at once")
    assert house.left(running) == []


@pytest.mark.parametrize(
    ("fault", "left"), [("source-hangs-stopping", "the sources"), ("server-hangs-stopping", "the server")]
)
def test_a_part_that_hangs_as_it_stops_is_left_behind_in_its_time(house: House, fault: str, left: str) -> None:
    running = house.start(fault)
    running.wait_for("second: live", READY_S * patience())

    assert running.stop(signal.SIGTERM) == 0
    assert f"left behind, for it did not stop in time: {left}" in running.stderr
    assert house.left(running) == []


def test_a_source_that_fails_as_it_stops_is_a_failure(house: House) -> None:
    running = house.start("source-bug-stopping")
    running.wait_for("second: live", READY_S * patience())

    assert running.stop(signal.SIGTERM) == 1
    assert last_line(running).startswith(f"{SENTENCE}the daemon failed (ValueError('planted'))")
    assert house.left(running) == []


@pytest.mark.parametrize("again", [False, True])
def test_a_part_that_holds_the_event_loop_as_it_stops_holds_up_no_end(house: House, again: bool) -> None:
    """Nothing that runs on the loop could end it, a second signal included."""
    running = house.start("server-holds-the-loop")
    running.wait_for("second: live", READY_S * patience())
    running.process.send_signal(signal.SIGTERM)
    hangs(running)
    if again:
        running.process.send_signal(signal.SIGTERM)

    assert running.wait(2 * STOP_S * patience()) == 1
    expected = "SIGTERM came again" if again else "what was stopping holds the event loop (faulty.py, line "
    assert last_line(running).startswith(f"{SENTENCE}{expected}")
    assert house.left(running) == []


def test_a_request_that_hangs_in_its_thread_holds_up_no_end(house: House) -> None:
    """As one does whose disk does not answer."""
    running = house.start("request-hangs")
    running.wait_for("second: live", READY_S * patience())
    with socket.create_connection(("127.0.0.1", house.port)) as asking:
        asking.sendall(b"GET /v1/status HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        hangs(running)

        assert running.stop(signal.SIGTERM) == 0
    assert "left behind, for it did not stop in time: the pool of threads" in running.stderr
    assert house.left(running) == []


def test_a_model_run_that_lasts_is_left_behind_and_events_are_still_written(house: House) -> None:
    running = house.start("model-busy")

    assert running.wait((READY_S + STOP_S) * patience()) == 0
    assert "left behind, for it did not stop in time: the model thread" in running.stderr
    assert "Fatal Python error" not in running.stderr
    assert house.left(running) == []
    with closing(reader(house.folder / "store")) as connection:
        found = query(connection)
    assert {event.stream for event in found} == {"first", "second"}
    assert {(event.stage, event.ended_by) for event in found} == {("close", "stop")}


def test_an_end_that_leaves_events_unwritten_says_so_and_is_a_failure(house: House) -> None:
    """Another program holds the lock of the database for as long as the daemon has to stop."""
    running = house.start("none")
    running.wait_for("second: live", READY_S * patience())
    with closing(sqlite3.connect(house.folder / "store" / FILE_NAME, timeout=60, isolation_level=None)) as other:
        while not other.execute("SELECT count(*) FROM events WHERE stage = 'open'").fetchone()[0]:
            assert running.process.poll() is None
            time.sleep(0.05)
        other.execute("BEGIN IMMEDIATE")
        code = running.stop(signal.SIGTERM)
        other.execute("ROLLBACK")

    assert code == 1
    assert re.match(rf"{SENTENCE}\d+ events? could not be written to .* before the end: ", last_line(running))
    assert house.left(running) == []


def test_without_a_fault_it_starts_and_stops(house: House) -> None:
    running = house.start("none")
    running.wait_for("second: live", READY_S * patience())
    running.wait_ready()

    assert running.stop(signal.SIGINT) == 0
    assert "stopping" in running.stderr
    assert "left behind" not in running.stderr
    assert SENTENCE not in running.stderr
    assert house.left(running) == []
