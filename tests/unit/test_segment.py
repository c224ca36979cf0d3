"""The segmenter's theory of operation, claim by claim."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamclf.engine.deciding import decide
from streamclf.engine.segment import Decision, Segmenter
from streamclf.sensitivity import SENSITIVITY_LOGITS, Sensitivity
from streamclf.types import Event, Label, Stage
from tests.support.laws import tries

SPEECH = Label("speech", "Speech", "voice")


def segmenter(**fields: object) -> Segmenter:
    return Segmenter("mic", "pack", [SPEECH], [Decision(**fields)])  # type: ignore[arg-type]


def push(target: Segmenter, values: list[float], first: int = 0) -> list[Event]:
    return target.push(first, np.array(values, dtype=np.float32)[:, None])


def told(events: list[Event]) -> list[tuple[Stage, int, int | None]]:
    return [(event.stage, event.onset_frame, event.offset_frame) for event in events]


def test_opens_once_confirmed_and_closes_after_min_off() -> None:
    events = push(segmenter(min_on=3, min_off=2), [0.1, 0.9, 0.8, 0.7, 0.6, 0.1, 0.1, 0.1])
    assert told(events) == [(Stage.OPEN, 1, None), (Stage.CLOSE, 1, 5)]
    assert events[-1].peak == pytest.approx(0.9)
    assert events[-1].mean == pytest.approx(0.75)
    assert events[0].id == events[1].id


def test_open_is_told_in_the_very_row_that_confirms_it() -> None:
    target = segmenter(min_on=3)
    assert push(target, [0.9, 0.9]) == []
    assert told(push(target, [0.9], first=2)) == [(Stage.OPEN, 0, None)]


def test_hysteresis_keeps_an_event_that_dips_between_the_thresholds() -> None:
    events = push(segmenter(enter=0.5, leave=0.3, min_on=1, min_off=1), [0.6, 0.4, 0.35, 0.45, 0.2])
    assert told(events) == [(Stage.OPEN, 0, None), (Stage.CLOSE, 0, 4)]


def test_too_short_is_never_told() -> None:
    assert push(segmenter(min_on=3), [0.9, 0.9, 0.1, 0.9, 0.1]) == []


def test_short_dip_belongs_to_the_event_and_to_its_mean() -> None:
    events = push(segmenter(min_on=1, min_off=3), [0.9, 0.1, 0.1, 0.9, 0.0, 0.0, 0.0])
    assert told(events) == [(Stage.OPEN, 0, None), (Stage.CLOSE, 0, 4)]
    assert events[-1].mean == pytest.approx(0.5)


def test_n_of_m_confirms_with_holes() -> None:
    values = [0.9, 0.1, 0.9, 0.1, 0.9]
    assert push(segmenter(min_on=1, n=3, m=5, min_off=9), values)[0].onset_frame == 0
    assert push(segmenter(min_on=1, n=4, m=5, min_off=9), values) == []


def test_updates_come_while_it_lasts() -> None:
    target = Segmenter("mic", "pack", [SPEECH], [Decision(min_on=1)], update_every=10)
    stages = [event.stage for event in push(target, [0.9] * 35)]
    assert stages == [Stage.OPEN, Stage.UPDATE, Stage.UPDATE, Stage.UPDATE]


def test_jump_of_the_frame_index_closes_what_is_open() -> None:
    target = segmenter(min_on=1)
    push(target, [0.9, 0.9])
    assert told(push(target, [0.9], first=100)) == [(Stage.CLOSE, 0, 2), (Stage.OPEN, 100, None)]


def test_median_removes_a_spike_and_keeps_the_onset_in_place() -> None:
    fields = {"min_on": 1, "min_off": 1, "smoothing": "median", "smoothing_frames": 5}
    assert push(segmenter(**fields), [0, 0, 0, 0, 0.9, 0, 0, 0, 0]) == []
    events = push(segmenter(**fields), [0.0] * 10 + [0.9] * 20 + [0.0] * 10)
    assert told([e for e in events if e.stage is not Stage.UPDATE]) == [(Stage.OPEN, 10, None), (Stage.CLOSE, 10, 30)]


def test_ema_smooths_each_column_by_itself() -> None:
    labels = [SPEECH, Label("dog", "Dog")]
    target = Segmenter(
        "mic", "pack", labels, [Decision(min_on=1), Decision(min_on=1, smoothing="ema", smoothing_frames=10)]
    )
    rows = np.array([[0.0, 0.0], [0.9, 0.9]], dtype=np.float32)
    assert [event.label for event in target.push(0, rows)] == ["speech"]


def test_an_onset_reaches_back_to_where_scores_rose_above_leave() -> None:
    values = [0.4, 0.1, 0.3, 0.4, 0.9, 0.9, 0.1, 0.1]
    fields = {"enter": 0.5, "leave": 0.3, "min_on": 2, "min_off": 2}
    assert told(push(segmenter(**fields), values)) == [(Stage.OPEN, 4, None), (Stage.CLOSE, 4, 6)]
    early = push(segmenter(**fields, reach_back=9), values)
    assert told(early) == [(Stage.OPEN, 2, None), (Stage.CLOSE, 2, 6)]
    assert told(push(segmenter(**fields, reach_back=1), values)) == [(Stage.OPEN, 3, None), (Stage.CLOSE, 3, 6)]
    # it is told no sooner, and as strong as before
    assert early[0].decided_frame == 6
    assert early[-1].mean == pytest.approx(0.9)


def test_an_onset_reaches_back_neither_over_a_gap_nor_before_the_stream() -> None:
    target = segmenter(enter=0.5, leave=0.3, min_on=1, min_off=1, reach_back=9)
    assert told(push(target, [0.9] * 20, first=100)) == [(Stage.OPEN, 100, None)]
    assert told(push(target, [0.4, 0.9], first=150)) == [(Stage.CLOSE, 100, 120), (Stage.OPEN, 150, None)]


def test_an_onset_reaches_back_by_what_another_model_says() -> None:
    decision = Decision(enter=0.5, leave=0.3, min_on=1, min_off=2, reach_back=9)
    labels = [Label("dog", "Dog"), SPEECH]
    target = Segmenter("mic", "pack", labels, [decision] * 2, known=np.array([1]))
    values = np.array([0.4, 0.1, 0.1, 0.9, 0.1, 0.1, 0.1, 0.1, 0.4, 0.9], dtype=np.float32)
    margins = np.array([-1.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1], dtype=np.float32)
    events = target.push(0, np.stack([values, values], axis=1), margins[:, None])
    # nor into the event before
    assert told([e for e in events if e.label == "speech"])[::2] == [(Stage.OPEN, 1, None), (Stage.OPEN, 4, None)]
    # the other label by its own rows
    assert told([e for e in events if e.label == "dog"])[::2] == [(Stage.OPEN, 3, None), (Stage.OPEN, 8, None)]


def test_decide_layers_pack_label_group_and_label() -> None:
    labels = [Label("robin", "Robin", "bird", enter=0.2), Label("dog", "Dog", "dog"), Label("any", "Any", hidden=True)]
    default = Decision(enter=0.5, leave=0.25)
    robin, dog, hidden = decide(labels, default, per_label={"*": {"min_on": 7}, "group:bird": {"enter": 0.4}})
    assert (robin.enter, robin.leave, robin.min_on) == (0.4, 0.2, 7)
    assert (dog.enter, dog.leave, dog.min_on) == (0.5, 0.25, 7)
    assert not hidden.enabled
    assert decide(labels, default, per_label={"any": {"enter": 0.3}})[2].enabled


def test_durations_of_a_label_take_the_place_of_the_packs_and_the_user_comes_first() -> None:
    labels = [
        Label("rain", "Rain", "weather", min_on_ms=500, min_off_ms=2000),
        Label("dog", "Dog", "dog", min_off_ms=0),
    ]
    default = Decision(enter=0.5, leave=0.25, min_on=5, min_off=15)
    rain, dog = decide(labels, default, per_label={})
    assert (rain.min_on, rain.min_off, dog.min_on, dog.min_off) == (25, 100, 5, 1)
    (rain, _) = decide(labels, default, per_label={"group:weather": {"min_off": 7}})
    assert (rain.min_on, rain.min_off) == (25, 7)


def test_sensitivity_takes_the_packs_own_thresholds_or_shifts_logits_and_the_user_comes_first() -> None:
    labels = [Label("owl", "Owl", "bird", enter=0.8, enter_low=0.95, enter_high=0.5), Label("dog", "Dog", "dog")]
    default = Decision(enter=0.5, leave=0.25)

    def at(sensitivity: Sensitivity, **per_label: dict[str, object]) -> list[Decision]:
        return decide(labels, default, per_label=per_label, sensitivity=sensitivity)

    normal = at(Sensitivity.NORMAL)
    assert normal == decide(labels, default, per_label={})
    low, high = at(Sensitivity.LOW), at(Sensitivity.HIGH)
    assert (low[0].enter, high[0].enter) == (0.95, 0.5)
    odds = [p / (1 - p) for p in (low[1].enter, low[1].leave, high[1].enter, high[1].leave)]
    e = math.exp(SENSITIVITY_LOGITS)
    assert odds == pytest.approx([e, e / 3, 1 / e, 1 / e / 3])
    # leave moves by as many logits as enter did: 0.8 -> 0.95 are odds of 4 -> 19
    assert low[0].leave / (1 - low[0].leave) == pytest.approx(0.4 / 0.6 * 19 / 4)
    assert all(more.leave < usual.leave < fewer.leave for more, usual, fewer in zip(high, normal, low, strict=True))
    told = at(Sensitivity.LOW, owl={"enter": 0.6})[0]
    assert (told.enter, told.leave) == (0.6, 0.3)


@pytest.mark.parametrize("sensitivity", Sensitivity)
def test_no_sensitivity_moves_a_threshold_of_certainty(sensitivity: Sensitivity) -> None:
    (decision,) = decide([Label("x", "X")], Decision(enter=1.0, leave=0.0), per_label={}, sensitivity=sensitivity)
    assert (decision.enter, decision.leave) == (1.0, 0.0)


@settings(max_examples=tries(200), deadline=None)
@given(
    rows=st.lists(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=2), min_size=1, max_size=80),
    cuts=st.lists(st.integers(1, 9), min_size=1, max_size=20),
    min_on=st.integers(1, 4),
    min_off=st.integers(1, 4),
    reach_back=st.integers(0, 6),
)
def test_any_cut_gives_the_same_events_and_stages_alternate(
    rows: list[list[float]], cuts: list[int], min_on: int, min_off: int, reach_back: int
) -> None:
    labels = [SPEECH, Label("dog", "Dog")]
    decision = Decision(min_on=min_on, min_off=min_off, reach_back=reach_back)
    data = np.array(rows, dtype=np.float32)
    one = Segmenter("s", "p", labels, [decision, decision])
    whole = one.push(0, data) + one.finish()
    other = Segmenter("s", "p", labels, [decision, decision])
    parts: list[Event] = []
    at = 0
    while at < len(data):
        size = cuts[at % len(cuts)]
        parts += other.push(at, data[at : at + size])
        at += size
    parts += other.finish()
    assert parts == whole
    for label in ("speech", "dog"):
        last_offset, is_open = 0, False
        for event in (e for e in whole if e.label == label and e.stage is not Stage.UPDATE):
            if event.stage is Stage.OPEN:
                assert not is_open
                assert event.onset_frame >= last_offset
            else:
                assert is_open
                assert event.offset_frame is not None
                assert event.onset_frame < event.offset_frame <= len(data)
                last_offset = event.offset_frame
            is_open = event.stage is Stage.OPEN
        assert not is_open


@settings(max_examples=tries(200), deadline=None)
@given(
    values=st.lists(st.sampled_from([0.0, 0.35, 0.4, 0.6, 0.9]), min_size=1, max_size=80),
    reach_back=st.integers(0, 12),
)
def test_reaching_back_moves_onsets_alone_and_never_into_the_event_before(values: list[float], reach_back: int) -> None:
    fields = {"enter": 0.5, "leave": 0.3, "min_on": 2, "min_off": 2}
    plain, moved = segmenter(**fields), segmenter(**fields, reach_back=reach_back)
    before, after = ([*push(target, values), *target.finish()] for target in (plain, moved))
    last_offset = 0
    for old, new in zip(before, after, strict=True):
        onset = old.onset_frame
        while onset > max(0, old.onset_frame - reach_back) and values[onset - 1] >= 0.3:
            onset -= 1
        assert new == replace(old, onset_frame=onset, id=new.id)
        assert new.onset_frame >= last_offset
        if new.offset_frame is not None:
            last_offset = new.offset_frame


def test_each_stage_says_how_much_had_to_be_heard_for_it() -> None:
    target = segmenter(enter=0.5, leave=0.3, min_on=3, min_off=2)
    events = push(target, [0.1, 0.9, 0.9, 0.9, 0.9, 0.1, 0.1, 0.1, 0.9, 0.9, 0.9])
    events += target.finish()

    assert [(event.stage, event.decided_frame) for event in events] == [
        (Stage.OPEN, 4),
        (Stage.CLOSE, 7),
        (Stage.OPEN, 11),
        (Stage.CLOSE, 11),
    ]


def test_other_thresholds_hold_from_the_next_row_and_what_is_open_goes_on() -> None:
    labels = [Label("a", "A"), Label("b", "B")]
    segmenter = Segmenter("mic", "pack", labels, [Decision(min_on=1, min_off=2)] * 2)
    row = np.array([[0.6, 0.6]], dtype=np.float32)
    opened = segmenter.push(0, row)
    closed = segmenter.redecide([Decision(enter=0.9, leave=0.5, min_on=1, min_off=2), Decision(enabled=False)])
    rest = segmenter.push(1, np.concatenate([row, np.full((2, 2), 0.45, dtype=np.float32), row]))

    assert [(event.label, event.stage) for event in opened] == [("a", Stage.OPEN), ("b", Stage.OPEN)]
    assert [(event.label, event.stage, event.offset_frame) for event in closed] == [("b", Stage.CLOSE, 1)]
    assert [event.ended_by for event in (*closed, *rest)] == ["changed", "quiet"]
    assert [(event.label, event.stage, event.offset_frame) for event in rest] == [("a", Stage.CLOSE, 2)]


def test_other_smoothing_closes_what_is_open_and_what_is_allowed_stays() -> None:
    labels = [Label("a", "A"), Label("b", "B")]
    segmenter = Segmenter("mic", "pack", labels, [Decision(min_on=1)] * 2)
    segmenter.allow({"a"})
    row = np.array([[0.9, 0.9]], dtype=np.float32)
    opened = segmenter.push(0, row)
    closed = segmenter.redecide([Decision(min_on=1, smoothing="median", smoothing_frames=3)] * 2)
    again = segmenter.push(1, np.repeat(row, 3, axis=0))

    assert [(event.label, event.stage) for event in opened + closed] == [("a", Stage.OPEN), ("a", Stage.CLOSE)]
    assert [event.ended_by for event in closed] == ["changed"]
    assert [(event.label, event.stage) for event in again] == [("a", Stage.OPEN)]
