"""What comes after a silence: late or lost, told by the pace at which it comes. Time is planted, nothing waits."""

import numpy as np
import pytest

from streamclf.audio.ring import Hole, Ring
from streamclf.audio.sources import base
from streamclf.audio.sources.arrival import Arrival
from streamclf.audio.sources.base import Intake
from streamclf.audio.wake import Wake
from streamclf.clock import NS_PER_SECOND, StreamClock

RATE = 16_000
WALL_NS = 1_700_000_000 * NS_PER_SECOND


class Sender:
    """Sends blocks at chosen times (s); both clocks go by them."""

    def __init__(self) -> None:
        self.now_s = 1.0
        self.intake = Intake(Ring(30 * RATE), StreamClock(RATE), Wake(), lambda state, detail: None)
        self.arrival = Arrival(self.intake)
        self.sent = 0

    def steady_ns(self) -> int:
        return round(self.now_s * NS_PER_SECOND)

    def send(self, seconds: float, *, block_s: float = 0.02) -> None:
        """Sound of so many seconds, as it is made."""
        for _ in range(round(seconds / block_s)):
            self.now_s += block_s
            self.block(block_s)

    def block(self, block_s: float) -> None:
        count = round(block_s * RATE)
        self.arrival.write(
            np.arange(self.sent, self.sent + count, dtype=np.float32) / 1e6, WALL_NS + round(self.now_s * 1e9)
        )
        self.sent += count

    @property
    def late_ms(self) -> float:
        """How far the clock places the newest sample behind the time at which it came."""
        at_ns = self.intake.clock.ns_of_sample(self.intake.ring.written)
        return (WALL_NS + round(self.now_s * 1e9) - at_ns) / 1e6

    @property
    def holes(self) -> list[Hole]:
        return list(self.intake.ring.holes)


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Sender:
    made = Sender()
    monkeypatch.setattr(base, "steady_ns", made.steady_ns)
    return made


@pytest.mark.parametrize("silence_s", [0.6, 3.0, 40.0])
@pytest.mark.parametrize("block_s", [0.02, 0.1])
def test_sound_that_a_frozen_sender_never_made_is_a_gap_and_the_clock_keeps_wall_time(
    sender: Sender, silence_s: float, block_s: float
) -> None:
    sender.send(2, block_s=block_s)
    sender.now_s += silence_s
    sender.send(2, block_s=block_s)

    (hole,) = sender.holes
    assert (hole.first, hole.reason) == (2 * RATE, "stalled")
    assert hole.end - hole.first == pytest.approx(silence_s * RATE, abs=1)
    assert abs(sender.late_ms) < 1
    after = sender.intake.ring.view(hole.end, sender.intake.ring.written)
    np.testing.assert_array_equal(after, np.arange(2 * RATE, 4 * RATE, dtype=np.float32) / 1e6)


@pytest.mark.parametrize("pace", [3.0, 50.0])
def test_sound_that_was_only_late_is_not_lost_and_leaves_no_gap(sender: Sender, pace: float) -> None:
    sender.send(2)
    sender.now_s += 3.0
    left_s = 3.0
    while left_s > 0:  # it catches up, while more sound is made
        sender.now_s += 0.02 / pace
        sender.block(0.02)
        left_s -= 0.02 - 0.02 / pace
    sender.send(2)

    assert sender.holes == []
    assert abs(sender.late_ms) < 30
    np.testing.assert_array_equal(
        sender.intake.ring.view(0, sender.intake.ring.written), np.arange(sender.sent, dtype=np.float32) / 1e6
    )


def test_of_a_silence_that_was_partly_late_the_rest_is_a_gap(sender: Sender) -> None:
    sender.send(2)
    sender.now_s += 3.0
    for _ in range(50):
        sender.block(0.02)  # one second was still in a buffer
    sender.send(2)

    (hole,) = sender.holes
    assert (hole.end - hole.first) / RATE == pytest.approx(2.0, abs=0.03)
    assert abs(sender.late_ms) < 30


@pytest.mark.parametrize("block_s", [0.02, 0.5, 2.0])
def test_blocks_of_any_usual_length_are_no_silence(sender: Sender, block_s: float) -> None:
    sender.send(20, block_s=block_s)
    assert sender.holes == []
    assert sender.arrival.held == 0


def test_what_is_held_when_it_stalls_again_is_kept(sender: Sender) -> None:
    sender.send(1)
    sender.now_s += 2.0
    sender.send(0.06)
    sender.now_s += 2.0
    sender.send(1)

    assert [(hole.end - hole.first) / RATE for hole in sender.holes] == [pytest.approx(2.0, abs=0.001)] * 2
    assert sender.intake.ring.written - sum(h.end - h.first for h in sender.holes) == sender.sent
