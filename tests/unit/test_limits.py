"""Allowances, and how fast pushed sound may come; the time is ours."""

import resource
import struct
import subprocess
import sys

import numpy as np

from streamclf.protocol import wire
from streamclf.serve.http.door import reserved_from
from streamclf.serve.limits import Allowance
from streamclf.serve.push import AHEAD_S, BEHIND_S, CATCH_UP, PIECE_S, PushDesk
from streamclf.types import F32

RATE = 16_000


class Sink:
    rate = RATE

    def __init__(self) -> None:
        self.samples = 0
        self.firsts: list[int] = []

    def connect(self, *, again: bool) -> None: ...

    def feed(self, first_sample: int, samples: F32) -> None:
        self.firsts.append(first_sample)
        self.samples += len(samples)

    def disconnect(self, *, left: bool) -> None: ...


def block(at: int, seconds: float) -> bytes:
    return struct.pack("<Q", at) + np.zeros(int(seconds * RATE), "<i2").tobytes()


def push_for(seconds: float, speed: float, *, quiet_first_s: float = 0.0) -> float:
    """Seconds that it took to send that much sound in blocks of 20 ms, as fast as we may and at most at that speed."""
    session = PushDesk({"mic": Sink()}).open(wire.Push(stream="mic", rate=RATE, format="s16le"), 0.0)
    now_s = quiet_first_s
    for number in range(int(50 * seconds)):
        now_s += session.feed(block(number * 320, 0.02), now_s) + 0.02 / speed
    return now_s - quiet_first_s


def test_an_allowance_is_spent_and_comes_back_with_time() -> None:
    allowance = Allowance(10.0, 20.0, now_s=0.0)

    assert [allowance.take(1, 0.0) for _ in range(21)] == [True] * 20 + [False]
    assert allowance.take(10, 1.0)
    assert not allowance.take(1, 1.0)
    assert allowance.owe(5, 1.0) == 0.5
    assert not allowance.take(1, 1.5)
    assert allowance.take(20, 1000.0)
    assert not allowance.take(1, 1000.0)


def test_sound_in_real_time_is_never_held_back_and_faster_sound_comes_as_time_goes_by() -> None:
    assert abs(push_for(120.0, 1.0) - 120.0) < 0.1
    assert abs(push_for(120.0, 1000.0) - (120.0 - AHEAD_S)) < 1.0


def test_what_waited_while_the_network_stood_still_comes_after_it_at_a_bounded_speed() -> None:
    took_s = push_for(20.0, 1000.0, quiet_first_s=20.0)

    assert 20.0 / CATCH_UP - 1.0 < took_s < 20.0 / CATCH_UP + 1.0
    # but not without end: a client that was quiet for a day does not bring a day
    assert push_for(2 * BEHIND_S, 1000.0, quiet_first_s=86_400.0) > BEHIND_S - 1.0


def test_a_share_of_the_files_is_not_for_clients() -> None:
    assert (reserved_from(128), reserved_from(1024), reserved_from(65_536)) == (86, 896, 65_408)


def test_a_process_may_open_as_many_files_as_it_is_let() -> None:
    program = (
        "import resource\n"
        "from streamclf.serve.http.door import allow_many_files\n"
        "print(allow_many_files(), *resource.getrlimit(resource.RLIMIT_NOFILE))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (100, 300)),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert done.stdout.split() == ["300", "300", "300"]


def test_of_a_long_message_a_piece_is_handed_over_at_a_time_and_nothing_is_lost() -> None:
    sink = Sink()
    session = PushDesk({"mic": sink}).open(wire.Push(stream="mic", rate=RATE, format="s16le"), 0.0)
    session.feed(block(0, 6.1), 0.0)
    at_once = sink.samples
    while session.has_more:
        session.more(0.0)

    assert at_once == PIECE_S * RATE
    assert sink.samples == 6.1 * RATE
    assert sink.firsts == [int(PIECE_S * RATE) * number for number in range(len(sink.firsts))]
