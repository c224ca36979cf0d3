"""The audio callback and the supervisor, fed with the faults that no sound server makes on demand."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from streamclf.audio.ring import Ring
from streamclf.audio.sources.base import Intake
from streamclf.audio.sources.capture import FIRST_BLOCK_S, SILENT_S, Capture
from streamclf.audio.sources.supervisor import Supervisor
from streamclf.audio.sources.worker import Worker
from streamclf.audio.wake import Wake
from streamclf.clock import StreamClock
from streamclf.errors import SourceError
from streamclf.types import F32

RATE = 16_000
HOP = 320


def make_capture(channel: int | None = None) -> Capture:
    line = Intake(Ring(RATE * 60), StreamClock(RATE), Wake(), lambda state, detail: None)
    return Capture(line, rate=RATE, channels=2, channel=channel, block=HOP)


def deliver(capture: Capture, value: float, *, adc_s: float, overflow: bool = False) -> F32:
    block = np.full((HOP, 2), value, dtype=np.float32)
    block[:, 1] *= 3
    capture.callback(block, HOP, SimpleNamespace(inputBufferAdcTime=adc_s), SimpleNamespace(input_overflow=overflow))
    return block


def test_a_block_is_mixed_and_copied() -> None:
    capture = make_capture()
    block = deliver(capture, 0.25, adc_s=1.0)
    block[:] = 9
    np.testing.assert_array_equal(capture.intake.ring.view(0, HOP), np.full(HOP, 0.5))
    assert capture.intake.wake.wait(0)
    assert capture.blocks == 1


@pytest.mark.parametrize(
    ("adc_s", "lost"),
    [
        (1.52, 8000),  # half a second between the end of one block and the begin of the next
        (1.02, 1),  # the device says that nothing is missing, and yet that it lost something
        (0.0, 1),  # a host interface without times
        (1e9, 10 * RATE),  # a time that cannot be
    ],
)
def test_an_overflow_becomes_a_bounded_hole(adc_s: float, lost: int) -> None:
    capture = make_capture(channel=0)
    deliver(capture, 1, adc_s=1.0)
    deliver(capture, 2, adc_s=adc_s, overflow=True)
    assert capture.xruns == 1
    hole = capture.intake.ring.holes[0]
    assert (hole.first, hole.reason) == (HOP, "xrun")
    assert hole.end - hole.first == pytest.approx(lost, abs=1)
    assert capture.intake.ring.view(hole.end, hole.end + 1)[0] == 2


def test_a_retired_capture_writes_nothing() -> None:
    capture = make_capture()
    capture.retired = True
    deliver(capture, 1, adc_s=1.0)
    assert capture.intake.ring.written == 0
    assert capture.blocks == 0


def test_the_next_capture_of_a_line_declares_what_was_missed() -> None:
    first = make_capture()
    deliver(first, 1, adc_s=1.0)
    first.retired = True
    second = Capture(first.intake, rate=RATE, channels=2, channel=None, block=HOP)
    deliver(second, 1, adc_s=5.0)
    ring = first.intake.ring
    assert [(hole.first, hole.reason) for hole in ring.holes] == [(HOP, "lost")]
    assert ring.written == HOP + ring.lost + HOP


def test_silence_of_the_callback_is_a_fault_later_for_the_first_block() -> None:
    capture = make_capture()
    now_s = capture._progress_s
    assert capture.fault(now_s + FIRST_BLOCK_S) == ""
    assert "no samples came for 5 s" in capture.fault(now_s + FIRST_BLOCK_S + 0.1)
    deliver(capture, 1, adc_s=1.0)
    assert capture.fault(now_s + 100) == ""
    assert capture.fault(now_s + 100 + SILENT_S) == ""
    assert "no samples came for 1 s" in capture.fault(now_s + 100.1 + SILENT_S)
    capture.finished = True
    assert "ended its stream" in capture.fault(now_s + 100)


@dataclass
class Device:
    """A source as the supervisor sees it. `back_after`: how often PortAudio must be started anew to bring it back."""

    log: list[str]
    name: str
    running: bool = True
    lost: bool = False
    next_try_s: float = 0.0
    back_after: int = 0

    def check(self, now_s: float) -> None:
        raise AssertionError("not asked for here")

    def lose(self, reason: str, now_s: float) -> None:
        self.log.append(f"lose {self.name}")
        self.lost = True

    def drop(self) -> None:
        self.log.append(f"drop {self.name}")
        self.running = False

    def bring_back(self) -> None:
        if self.log.count("anew") < self.back_after:
            self.log.append(f"fail {self.name}")
            return
        self.log.append(f"back {self.name}")
        self.lost, self.running = False, True


def recover(supervisor: Supervisor, log: list[str]) -> list[str]:
    log_before = len(log)
    supervisor._recover()
    return log[log_before:]


def make_supervisor(log: list[str], *devices: Device) -> Supervisor:
    supervisor = Supervisor(Worker("test"), lambda: log.append("anew"))
    supervisor._sources.extend(devices)
    return supervisor


def test_a_lone_lost_device_gets_portaudio_started_anew() -> None:
    log: list[str] = []
    supervisor = make_supervisor(log, Device(log, "a", lost=True, back_after=1))
    assert recover(supervisor, log) == ["drop a", "anew", "back a"]


def test_running_devices_are_left_alone_when_a_plain_reopening_does() -> None:
    log: list[str] = []
    supervisor = make_supervisor(log, Device(log, "a", lost=True), Device(log, "b"))
    assert recover(supervisor, log) == ["drop a", "back a"]


def test_running_devices_are_disturbed_seldom_and_ever_more_seldom(monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []
    now_s = 1000.0
    monkeypatch.setattr("streamclf.audio.sources.supervisor.time.monotonic", lambda: now_s)
    supervisor = make_supervisor(log, Device(log, "a", lost=True, back_after=3), Device(log, "b"))
    disturbed = []
    for _ in range(1000):
        if "lose b" in recover(supervisor, log):
            disturbed.append(now_s)
        if not supervisor._sources[0].lost:
            break
        now_s += 5
    assert disturbed == [1060, 1180, 1420]
    assert log[-6:] == ["fail a", "lose b", "drop b", "anew", "back b", "back a"]
    assert supervisor._sources[1].running


def test_portaudio_that_does_not_start_leaves_the_tries_to_tell_why() -> None:
    log: list[str] = []

    def anew() -> None:
        raise SourceError("no")

    supervisor = Supervisor(Worker("test"), anew)
    supervisor._sources.append(Device(log, "a", lost=True, back_after=1))
    assert recover(supervisor, log) == ["drop a", "fail a"]
