"""The metronome: every recording gets each sample when it is due, and one waking serves them all."""

import threading
from typing import Any

import numpy as np
import pytest

from streamclf.audio.ring import Ring
from streamclf.audio.sources.base import Intake
from streamclf.audio.sources.metronome import Metronome, Playing
from streamclf.audio.wake import Halt, Wake
from streamclf.clock import NS_PER_FRAME, StreamClock
from streamclf.types import F32

START = 5 * NS_PER_FRAME


class Bell(Wake):
    """Counts how often it was rung."""

    def __init__(self) -> None:
        super().__init__()
        self.rung = 0

    def set(self) -> None:
        self.rung += 1
        super().set()


class Played:
    """A recording of `rate` Hz that begins at `START`, in a metronome whose thread does not run."""

    def __init__(self, metronome: Metronome, rate: int, bell: Wake) -> None:
        self.ring = Ring(rate * 4)
        self.clock = StreamClock(rate)
        self.intake = Intake(self.ring, self.clock, bell, lambda state, detail: None)
        self.intake.begin(0)
        self.playing = Playing(self.intake, rate, start_ns=START)
        self.reading = threading.Thread(target=lambda: None)
        metronome._playing.append(self.playing)

    def give(self, *blocks: F32, stop: Halt | None = None) -> None:
        """By a thread of its own, as a recording does; it comes back when all of that was played."""

        def read() -> None:
            for block in blocks:
                self.playing.give(block, stop or Halt())
            self.playing.finish(stop or Halt())

        self.reading = threading.Thread(target=read, daemon=True)
        self.reading.start()
        while not self.playing._waiting:
            pass

    @property
    def written(self) -> int:
        return self.ring.written


def samples(count: int) -> F32:
    return np.arange(count, dtype=np.float32) / np.float32(count)


def test_one_beat_serves_all_recordings_and_rings_once() -> None:
    metronome, bell = Metronome(), Bell()
    one, other = Played(metronome, 16_000, bell), Played(metronome, 48_000, bell)
    one.give(samples(3200))
    other.give(samples(9600))

    metronome.beat(START + NS_PER_FRAME - 1)
    assert (one.written, other.written, bell.rung) == (0, 0, 0)
    metronome.beat(START + NS_PER_FRAME)
    assert (one.written, other.written, bell.rung) == (320, 960, 1)
    metronome.beat(START + 2 * NS_PER_FRAME)
    assert (one.written, other.written, bell.rung) == (640, 1920, 2)
    for beat in range(3, 11):
        metronome.beat(START + beat * NS_PER_FRAME)
    one.reading.join(20)
    other.reading.join(20)
    np.testing.assert_array_equal(one.ring.view(0, 3200), samples(3200))


def test_a_late_beat_writes_all_that_was_due_and_the_next_one_is_no_later() -> None:
    metronome, bell = Metronome(), Bell()
    played = Played(metronome, 16_000, bell)
    played.give(samples(16_000))

    metronome.beat(START + 7 * NS_PER_FRAME + 3_000_000)
    assert (played.written, bell.rung) == (7 * 320, 1)
    metronome.beat(START + 8 * NS_PER_FRAME)
    assert played.written == 8 * 320
    metronome.beat(START + 50 * NS_PER_FRAME)
    played.reading.join(20)
    assert played.written == 16_000


def test_blocks_of_any_length_come_whole_and_in_order() -> None:
    metronome = Metronome()
    played = Played(metronome, 16_000, Bell())
    whole = samples(5000)
    played.give(whole[:7], whole[7:1000], whole[1000:1001], whole[1001:])

    beat = 0
    while played.reading.is_alive() and beat < 1_000_000:
        beat += 1
        metronome.beat(START + beat * NS_PER_FRAME)

    np.testing.assert_array_equal(played.ring.view(0, 5000), whole)


def test_what_waits_is_bounded_and_a_stop_is_heard_while_waiting() -> None:
    metronome, stop = Metronome(), Halt()
    played = Played(metronome, 16_000, Bell())
    played.give(*[samples(8000)] * 10, stop=stop)
    for beat in range(1, 11):
        metronome.beat(START + beat * NS_PER_FRAME)

    assert len(played.playing._waiting) <= 12 + 25
    stop.set()
    played.playing.interrupt()
    played.reading.join(20)
    assert not played.reading.is_alive()


def test_a_write_that_fails_ends_its_own_recording_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    metronome = Metronome()
    sick, well = Played(metronome, 16_000, Bell()), Played(metronome, 16_000, Bell())

    def fail(*args: Any, **kwargs: Any) -> None:
        raise ValueError("planted")

    monkeypatch.setattr(sick.intake, "write", fail)
    told: list[BaseException] = []

    def read() -> None:
        try:
            sick.playing.give(samples(6400), Halt())
        except ValueError as fault:
            told.append(fault)

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    well.give(samples(640))
    while not sick.playing._waiting:
        pass
    metronome.beat(START + 2 * NS_PER_FRAME)
    reading.join(20)
    well.reading.join(20)

    assert [str(fault) for fault in told] == ["planted"]
    assert well.written == 640
