"""The audio callback and the supervisor, fed with the faults that no sound server makes on demand."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from streamclf.audio.ring import Ring
from streamclf.audio.sources.base import Intake
from streamclf.audio.sources.capture import FIRST_BLOCK_S, SILENT_S, Capture
from streamclf.audio.sources.lister import Lister
from streamclf.audio.sources.portaudio import DeviceInfo
from streamclf.audio.sources.supervisor import Supervisor, Use
from streamclf.audio.sources.worker import Worker
from streamclf.audio.wake import Wake
from streamclf.clock import StreamClock
from streamclf.errors import SourceError
from streamclf.types import F32

RATE = 16_000
HOP = 320


def make_capture(channel: int | None = None) -> Capture:
    line = Intake(Ring(RATE * 60), StreamClock(RATE), Wake(), lambda state, detail: None)
    return Capture(line, rate=RATE, channels=2, channel=channel)


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
    second = Capture(first.intake, rate=RATE, channels=2, channel=None)
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


@dataclass(eq=False)
class Device:
    """A source as the supervisor sees it. `back_after`: how often PortAudio must be started anew to bring it back.

    use: what a new list of devices would be to it.
    """

    log: list[str]
    name: str
    running: bool = True
    lost: bool = False
    next_try_s: float = 0.0
    back_after: int = 0
    use: Use = Use.NONE
    reason: str = ""

    def check(self, now_s: float) -> None:
        """Nothing changes by itself."""

    def lose(self, reason: str, now_s: float) -> None:
        self.log.append(f"lose {self.name}")
        self.lost = True

    def drop(self) -> None:
        self.log.append(f"drop {self.name}")
        self.running = False

    def bring_back(self) -> str:
        if self.log.count("anew") < self.back_after:
            self.log.append(f"fail {self.name}")
            return "it is not there"
        self.log.append(f"back {self.name}")
        self.lost, self.running = False, True
        return ""

    def put_off(self, reason: str) -> None:
        self.reason = reason

    def use_of_anew(self, there: Sequence[DeviceInfo]) -> Use:
        return self.use if there else Use.NONE


class FakeLister(Lister):
    """Lists one device, or as many as `there` says, at the first look after it was asked."""

    def __init__(self, there: int = 1) -> None:
        super().__init__()
        self.there = there
        self.asked = 0
        self._asked = False

    @property
    def busy(self) -> bool:
        return self._asked

    def ask(self) -> bool:
        self.asked += 1
        self._asked = True
        return True

    def answer(self) -> list[DeviceInfo] | None:
        self._asked = False
        return [DeviceInfo("mic", "ALSA", RATE, 1, True)] * self.there

    def close(self) -> None:
        self._asked = False


class AtOnce(Worker):
    """Runs what is submitted in place."""

    def submit(self, function: Callable[[], None]) -> None:
        function()


def look(supervisor: Supervisor, log: list[str], now_s: float = 1000.0) -> list[str]:
    """What one look at the sources does."""
    log_before = len(log)
    supervisor._look(list(supervisor._sources), now_s)
    return log[log_before:]


def make_supervisor(log: list[str], *devices: Device, lister: Lister | None = None) -> Supervisor:
    supervisor = Supervisor(AtOnce("test"), lambda: log.append("anew"), lister or FakeLister())
    supervisor._sources.extend(devices)
    return supervisor


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that the supervisor sees, and what it sees on the disk."""
    told = SimpleNamespace(s=1000.0, cards="one")
    monkeypatch.setattr("streamclf.audio.sources.supervisor.time.monotonic", lambda: told.s)
    monkeypatch.setattr("streamclf.audio.sources.supervisor.surroundings", lambda: told.cards)
    return told


def test_a_lone_lost_device_is_reopened_and_if_that_does_not_do_portaudio_is_started_anew(now: SimpleNamespace) -> None:
    log: list[str] = []
    supervisor = make_supervisor(log, Device(log, "a", lost=True, back_after=1))
    assert look(supervisor, log) == ["drop a", "fail a", "anew", "back a"]


def test_running_devices_are_left_alone_when_a_plain_reopening_does(now: SimpleNamespace) -> None:
    log: list[str] = []
    supervisor = make_supervisor(log, Device(log, "a", lost=True), Device(log, "b"))
    assert look(supervisor, log) == ["drop a", "back a"]


def test_a_device_that_is_not_there_disturbs_nobody_ever(now: SimpleNamespace) -> None:
    log: list[str] = []
    lister = FakeLister(there=0)
    gone = Device(log, "a", lost=True, back_after=1, use=Use.SURE)
    supervisor = make_supervisor(log, gone, Device(log, "b"), lister=lister)
    for _ in range(4000):
        look(supervisor, log, now.s)
        now.s += 0.25
    assert "anew" not in log
    assert "lose b" not in log
    assert gone.reason == "it is not there"
    assert 1000 / 5 <= lister.asked <= 1000 / 5 + 10


def test_running_devices_are_disturbed_once_where_another_process_has_listed_the_lost_one(now: SimpleNamespace) -> None:
    log: list[str] = []
    supervisor = make_supervisor(log, Device(log, "a", lost=True, back_after=1, use=Use.SURE), Device(log, "b"))
    assert look(supervisor, log) == ["drop a", "fail a"]
    assert look(supervisor, log) == ["drop a", "fail a", "lose b", "drop b", "anew", "back a", "back b"]
    assert supervisor._sources[1].running


def test_where_a_new_list_may_not_help_it_is_tried_ever_more_seldom(now: SimpleNamespace) -> None:
    log: list[str] = []
    gone = Device(log, "a", lost=True, back_after=4, use=Use.PERHAPS)
    supervisor = make_supervisor(log, gone, Device(log, "b"))
    disturbed = []
    while gone.lost and now.s < 3000:
        if "lose b" in look(supervisor, log, now.s):
            disturbed.append(round(now.s - 1000))
        now.s += 0.25
    assert len(disturbed) == 4
    gaps_s = [after - before for before, after in itertools.pairwise(disturbed)]
    assert gaps_s == pytest.approx([60, 120, 240], abs=6)


def test_a_sound_card_that_comes_makes_the_next_try_due_at_once(now: SimpleNamespace) -> None:
    log: list[str] = []
    lister = FakeLister(there=0)
    gone = Device(log, "a", lost=True, back_after=1, next_try_s=1e9)
    supervisor = make_supervisor(log, gone, Device(log, "b"), lister=lister)
    assert look(supervisor, log) == []
    now.cards = "two"
    assert look(supervisor, log) == ["drop a", "fail a"]
    assert lister.asked == 1


def test_portaudio_that_does_not_start_leaves_the_tries_to_tell_why(now: SimpleNamespace) -> None:
    log: list[str] = []

    def anew() -> None:
        raise SourceError("no")

    supervisor = Supervisor(AtOnce("test"), anew, FakeLister())
    gone = Device(log, "a", lost=True, back_after=1)
    supervisor._sources.append(gone)
    assert look(supervisor, log) == ["drop a", "fail a", "fail a"]
    assert gone.reason == "it is not there"


def test_a_device_of_another_rate_than_the_stream_is_resampled_to_it() -> None:
    line = Intake(Ring(48_000 * 60), StreamClock(48_000), Wake(), lambda state, detail: None)
    capture = Capture(line, rate=RATE, channels=1, channel=None)
    sound = np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE).astype(np.float32)
    for at in range(0, RATE, HOP):
        block = sound[at : at + HOP, None].copy()
        capture.callback(
            block, HOP, SimpleNamespace(inputBufferAdcTime=at / RATE), SimpleNamespace(input_overflow=False)
        )
    heard = line.ring.view(0, line.ring.written)
    assert 47_000 < len(heard) <= 48_000
    expected = np.sin(2 * np.pi * 440 * np.arange(len(heard)) / 48_000)
    np.testing.assert_allclose(heard[1000:], expected[1000:], atol=0.01)
