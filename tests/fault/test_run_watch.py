"""When a run counts as hung, and who may go on where it is given up: real threads, real clocks."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from streamclf.engine.guard import Abandoned, Guard, RunNote
from streamclf.engine.making import clock_of_thread
from streamclf.engine.watch import LOOK_S, RunWatch
from streamclf.model.session import Brake

LIMIT_S = 0.3
_WALL = 10

# a run that waits for something, for less than it may, in a process that is stopped for longer than that
_STOPPED_IN_A_RUN = f"""
import sys
from streamclf.engine.guard import Guard, RunNote
from streamclf.engine.making import clock_of_thread
from streamclf.engine.watch import RunWatch
from streamclf.model.session import Brake

guard, brake, faults = Guard(), Brake(), []
guard.clock = clock_of_thread()
watch = RunWatch(lambda number: guard.give_up(number), on_fault=faults.append)
watch.follow(guard)
watch.start()
guard.enter(RunNote("pack", brake, {LIMIT_S}))
print("in it", flush=True)
sys.stdin.readline()
guard.leave()
print("broken off" if brake.pulled else "whole", flush=True)
"""


def watched(guard: Guard, given_up: list[int]) -> RunWatch:
    def give_up(number: int) -> None:
        if guard.give_up(number):
            given_up.append(number)

    watch = RunWatch(give_up, on_fault=lambda fault: given_up.append(-1))
    watch.follow(guard)
    watch.start()
    return watch


def compute(seconds: float) -> None:
    end_s = time.thread_time() + seconds
    while time.thread_time() < end_s:
        sum(range(1000))


def test_what_computes_for_too_long_is_asked_to_end_and_then_given_up() -> None:
    guard, brake, given_up = Guard(), Brake(), list[int]()
    guard.clock = clock_of_thread()
    watch = watched(guard, given_up)
    try:
        for _ in range(20):  # many short runs are no long one
            guard.enter(RunNote("pack", brake, LIMIT_S))
            compute(LIMIT_S / 10)
            guard.leave()
        assert not brake.pulled
        guard.enter(RunNote("pack", brake, LIMIT_S))
        deadline = time.monotonic() + 60
        while not given_up and time.monotonic() < deadline:
            compute(LIMIT_S / 10)
        assert brake.pulled
        assert given_up == [21]
        with pytest.raises(Abandoned):
            guard.leave()
    finally:
        watch.stop()


def test_a_run_that_computes_nothing_may_wait_for_longer() -> None:
    guard, brake, given_up = Guard(), Brake(), list[int]()
    guard.clock = clock_of_thread()
    watch = watched(guard, given_up)
    try:
        guard.enter(RunNote("pack", brake, LIMIT_S))
        time.sleep(3 * LIMIT_S)
        assert not brake.pulled
        deadline = time.monotonic() + 60
        while not given_up and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        assert given_up == [1]
    finally:
        watch.stop()


def test_a_process_that_was_stopped_has_not_hung() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _STOPPED_IN_A_RUN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "in it\n"
        child.send_signal(signal.SIGSTOP)
        time.sleep(1.5 * _WALL * LIMIT_S)
        child.send_signal(signal.SIGCONT)
        time.sleep(4 * LOOK_S)
        said, _ = child.communicate("\n", timeout=60)
        assert said == "whole\n"
    finally:
        child.kill()
        child.wait()


def test_of_the_two_that_end_a_run_only_one_finds_it() -> None:
    guard, note = Guard(), RunNote("pack", Brake(), 1.0)
    given_up: list[int] = []
    over = threading.Event()

    def give_up() -> None:
        while not over.is_set():
            present = guard.present()
            if present is not None and guard.give_up(present[0]):
                given_up.append(present[0])

    other = threading.Thread(target=give_up)
    kept = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    other.start()
    abandoned: list[int] = []
    try:
        for _ in range(20_000):
            guard.enter(note)
            try:
                guard.leave()
            except Abandoned:
                abandoned.append(guard.number)
    finally:
        over.set()
        other.join()
        sys.setswitchinterval(kept)
    assert abandoned == given_up
