"""What is seen of a stream from outside: no sample, no row, one value. Time and samples are planted."""

from dataclasses import dataclass, field

import pytest

from streamclf.daemon.hearing import LOOK_S, SCORED_S, Ear, Glance, Word
from streamclf.serve.info import PackInfo
from streamclf.types import Status, StreamState
from tests.support.serving import LABELS, RATE, pack_info


@dataclass
class Line:
    """A stream as the hub and its ring have it, looked at five times a second; what is told takes effect in it."""

    ear: Ear
    hangs: bool = False
    """Whether what goes by the model thread is stuck there."""
    state: StreamState = StreamState.LIVE
    now_s: float = 100.0
    written: int = 0
    lost: int = 0
    gaps: int = 0
    scored: dict[str, int] = field(default_factory=dict)
    backlog: int = 0
    muted: str = ""
    kept: float | None = None
    """How much of the time this process is kept waiting for a core; None: nobody knows."""
    told: list[tuple[float, StreamState]] = field(default_factory=list)

    def go(self, seconds: float, *, sound: bool = True, rows: bool = True, block_s: float = LOOK_S) -> None:
        """So much time goes by, with or without sound and rows."""
        end_s, due_s = self.now_s + seconds, self.now_s + block_s
        while self.now_s < end_s - 1e-9:
            self.now_s += LOOK_S
            if sound and self.now_s >= due_s - 1e-9:
                self.written += round(block_s * RATE)
                due_s += block_s
            if sound and rows:
                self.scored = dict.fromkeys(self.ear.packs, self.written)
            self.look()

    def look(self) -> None:
        at = Glance(
            self.now_s, self.state, self.written, self.lost, self.gaps, dict(self.scored), self.backlog, self.muted,
            None if self.kept is None else self.kept * LOOK_S,
        )  # fmt: skip
        word = self.ear.look(at)
        if word is not None:
            self.told.append((self.now_s, word.status.state))
            if word.aside or not self.hangs:
                self.state = word.status.state

    @property
    def states(self) -> list[StreamState]:
        return [state for _, state in self.told]


def line(**packs: PackInfo) -> Line:
    return Line(Ear("mic", RATE, packs or {"big": pack_info("big", LABELS)}))


def test_a_stream_that_is_heard_and_scored_is_left_alone() -> None:
    mic = line()
    mic.go(60)
    assert mic.told == []
    assert mic.ear.first


@pytest.mark.parametrize("hangs", [False, True])
def test_a_source_that_stops_is_stalled_within_a_second_once_and_live_again_at_once(hangs: bool) -> None:
    mic = line()
    mic.go(10)
    stopped_s, mic.hangs = mic.now_s, hangs

    mic.go(20, sound=False)
    assert mic.states[-1] is StreamState.STALLED
    assert mic.told[0][0] - stopped_s <= 1.0
    assert set(mic.states) == {StreamState.STALLED}
    assert len(mic.told) == (2 if hangs else 1), "past the model thread where that does not take it"
    mic.hangs = False
    mic.go(LOOK_S)
    assert mic.state is StreamState.LIVE


def test_a_client_that_connects_and_sends_nothing_is_stalled_and_one_that_has_not_connected_is_left_alone() -> None:
    mic = line()
    mic.state = StreamState.WAITING
    mic.go(30, sound=False)
    assert mic.told == []
    mic.state = StreamState.LIVE
    mic.go(1, sound=False)
    assert mic.states == [StreamState.STALLED]


def test_what_gathered_before_it_could_be_read_does_not_hide_that_nothing_comes() -> None:
    mic = line()
    mic.written = round(3.3 * RATE)  # a station sends seconds at once
    mic.go(LOOK_S)
    stopped_s = mic.now_s
    mic.go(5, sound=False)
    assert mic.states == [StreamState.STALLED]
    assert mic.told[0][0] - stopped_s <= 1.0


@pytest.mark.parametrize("block_s", [LOOK_S, 1.0, 2.0])
def test_sound_that_comes_more_slowly_than_time_goes_by_is_told_as_long_as_it_does(block_s: float) -> None:
    mic = line()
    mic.go(20, block_s=block_s)
    assert not mic.ear.slow
    for _ in range(int(10 / block_s)):  # half of the pace
        mic.go(block_s, block_s=block_s)
        mic.go(block_s, sound=False)
    assert mic.ear.slow
    mic.go(20, block_s=block_s)
    assert not mic.ear.slow


def test_a_hole_that_is_told_is_no_slowness() -> None:
    mic = line()
    mic.go(20)
    for _ in range(5):
        mic.go(0.4, sound=False)
        mic.written += round(0.4 * RATE)
        mic.lost += round(0.4 * RATE)
        mic.go(4)
        assert not mic.ear.slow


@pytest.mark.parametrize("block_s", [0.5, 1.0, 2.0])
def test_long_blocks_are_no_stall(block_s: float) -> None:
    mic = line()
    mic.go(4 * block_s, block_s=block_s)  # the first few tell how long they are
    learned = len(mic.told)
    mic.go(40, block_s=block_s)
    assert mic.told[learned:] == []


@pytest.mark.parametrize("state", [StreamState.LOST, StreamState.PAUSED, StreamState.PROBLEM, StreamState.ENDED])
def test_what_its_source_says_goes_before(state: StreamState) -> None:
    mic = line()
    mic.go(5)
    mic.go(2, sound=False)
    mic.state = state
    mic.go(10, sound=False)
    assert mic.states == [StreamState.STALLED]
    assert mic.state is state
    mic.state = StreamState.LIVE
    mic.go(5)
    assert mic.states == [StreamState.STALLED]


def test_a_source_that_says_live_and_still_sends_nothing_is_stalled_again() -> None:
    mic = line()
    mic.go(5)
    mic.go(2, sound=False)
    mic.state = StreamState.LIVE
    mic.go(1, sound=False)
    assert mic.states == [StreamState.STALLED, StreamState.STALLED]


def test_a_model_that_hangs_is_late_within_a_second_and_unscored_soon_past_the_model_thread() -> None:
    mic = line()
    mic.go(10)
    hung_s, mic.hangs = mic.now_s, True

    mic.go(1, rows=False)
    assert mic.ear.late == {"big"}
    assert mic.told == []
    mic.go(10, rows=False)
    assert mic.states == [StreamState.UNSCORED]
    assert SCORED_S <= mic.told[0][0] - hung_s <= SCORED_S + 2 * LOOK_S
    mic.go(1)
    assert (mic.state, mic.ear.late) == (StreamState.LIVE, set())


@pytest.mark.parametrize("block_s", [LOOK_S, 1.0])
def test_where_nobody_was_kept_waiting_a_model_that_hangs_is_unscored_within_a_second(block_s: float) -> None:
    mic = line()
    mic.kept = 0.0
    mic.go(10, block_s=block_s)
    mic.told.clear()
    hung_s = mic.now_s
    mic.go(5, rows=False, block_s=block_s)
    assert mic.states[:1] == [StreamState.UNSCORED]
    assert mic.told[0][0] - hung_s <= max(1.0, 2 * block_s)


@pytest.mark.parametrize("kept", [0.3, 5.0])
def test_on_a_busy_machine_rows_that_come_late_are_late_and_no_more(kept: float) -> None:
    mic = line()
    mic.kept = kept
    mic.go(10)
    for _ in range(5):
        mic.go(1.6, rows=False)
        mic.go(0.4)
    assert mic.told == []


def test_a_long_block_is_scored_in_its_time() -> None:
    mic = line()
    mic.kept = 0.0
    mic.go(8, block_s=2.0)
    for _ in range(5):
        mic.go(2.0, rows=False, block_s=2.0)  # its rows come a look after it
        mic.scored = dict.fromkeys(mic.ear.packs, mic.written)
    assert StreamState.UNSCORED not in mic.states


def test_a_pack_that_needs_a_long_window_first_gets_its_time_after_the_start_and_after_a_gap() -> None:
    slow = pack_info("big", LABELS)
    slow.window_ms, slow.algorithmic_latency_ms, slow.hop_ms = 10_000, 5_000, 1_000
    mic = line(big=slow)
    mic.go(15, rows=False)
    assert (mic.told, mic.ear.first) == ([], False)
    mic.go(10)
    mic.lost = 8_000
    mic.gaps = 1
    mic.written += 8_000
    mic.go(15, rows=False)
    assert mic.told == []
    mic.go(5, rows=False)
    assert mic.states == [StreamState.UNSCORED]


def test_a_stream_that_one_pack_scores_is_heard_and_the_other_is_told_by_name() -> None:
    big, vad = pack_info("big", LABELS), pack_info("vad", LABELS)
    mic = line(big=big, vad=vad)
    mic.go(5)
    for _ in range(20):
        mic.go(LOOK_S, rows=False)
        mic.scored["vad"] = mic.written
    assert mic.told == []
    assert mic.ear.late == {"big"}
    vad.problem = "put aside"
    mic.go(1, rows=False)
    assert mic.states == [StreamState.UNSCORED]


def test_rows_that_come_far_too_late_are_as_good_as_none() -> None:
    mic = line()
    mic.go(5)
    mic.backlog = 4 * RATE
    mic.go(1)
    assert mic.states == [StreamState.UNSCORED]
    mic.backlog = 0
    mic.go(1)
    assert mic.state is StreamState.LIVE


def test_one_value_is_muted_until_another_comes() -> None:
    mic = line()
    mic.go(5)
    mic.muted = "every sample is 0, digital silence"
    mic.go(5)
    mic.muted = ""
    mic.go(1)
    assert mic.states == [StreamState.MUTED, StreamState.LIVE]


def test_a_demo_is_a_demo_again() -> None:
    mic = line()
    mic.ear.resting = mic.state = StreamState.DEMO
    mic.go(5)
    mic.go(1, sound=False)
    mic.go(1)
    assert mic.states == [StreamState.STALLED, StreamState.DEMO]


def test_what_is_told_says_why() -> None:
    mic = line()
    mic.go(5)
    at = Glance(mic.now_s + 5, mic.state, mic.written, 0, 0, mic.scored, 0)
    assert mic.ear.look(at) == Word(
        Status("mic", StreamState.STALLED, "its source is open, but no sample comes"), aside=False
    )
