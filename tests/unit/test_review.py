"""What to ask about first: what stands for many, what is new, what lies where right and wrong part; what answers do."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streamclf.alerts.review import Doubtful, Parting, cut, ordered
from streamclf.serve.http.review import ReviewQuery, review_of
from streamclf.serve.http.route import Query, from_store
from streamclf.serve.roles import Role
from streamclf.store.database import Store
from streamclf.store.events import put_events
from streamclf.store.moments import Moment, put_moments
from streamclf.types import F32
from tests.support.storing import stored


def sound(*numbers: float) -> F32:
    return np.array(numbers, dtype=np.float32)


def test_one_of_the_many_that_are_alike_is_asked_first_and_then_the_other_kind() -> None:
    often, seldom = sound(1, 0, 0), sound(0, 1, 0)
    events = [Doubtful("a", 0.6, seldom), *[Doubtful("a", 0.6, often) for _ in range(8)]]
    chosen = [index for index, _ in ordered(events, most=2)]

    assert chosen[0] > 0
    assert chosen[1] == 0


def test_a_no_to_the_stronger_one_says_more_for_what_lies_below_goes_with_it() -> None:
    events = [Doubtful("a", 0.51), Doubtful("a", 0.99)]

    assert [index for index, _ in ordered(events, most=2)] == [1, 0]


def test_what_sounds_as_the_class_was_shown_is_hardly_asked_for_it_is_right() -> None:
    shown = Doubtful("a", 1.0, sound(1, 0, 0), right=True, shown=True)
    events = [shown, Doubtful("a", 0.9, sound(1, 0, 0)), Doubtful("a", 0.6, sound(0, 1, 0))]

    assert ordered(events, most=1) == [(2, True)]


def test_what_is_unlike_all_answers_goes_before_what_is_known_and_is_called_new() -> None:
    answered = [Doubtful("a", 0.6, sound(1, 0), right=False) for _ in range(5)]
    events = [*answered, Doubtful("a", 0.6, sound(1, 0)), Doubtful("a", 0.6, sound(0, 1))]

    assert ordered(events, most=5) == [(6, True), (5, False)]


def test_events_of_another_label_say_nothing_of_it_and_the_answered_are_not_asked_again() -> None:
    events = [Doubtful("a", 0.6, right=True), Doubtful("b", 0.6), Doubtful("a", 0.6)]

    assert [index for index, _ in ordered(events, most=9)] == [1, 2]


@pytest.mark.parametrize(
    ("right", "wrong", "wanted"),
    [
        ([0.9, 0.95], [0.55, 0.7], Parting(0.8, 2, 0)),
        ([0.6, 0.9], [0.55, 0.7, 0.72], Parting(0.81, 3, 1)),
        ([], [0.6], Parting(0.61, 1, 0)),
        ([0.9], [], None),
        ([0.55], [0.95], None),
        ([], [], None),
    ],
)
def test_the_threshold_parts_right_from_wrong_and_misses_as_little_as_possible(
    right: list[float], wrong: list[float], wanted: Parting | None
) -> None:
    events = [Doubtful("a", peak, right=True) for peak in right] + [Doubtful("a", peak, right=False) for peak in wrong]

    assert cut(events, 0.5) == wanted


def test_the_queue_is_of_the_last_week_and_learns_from_marks(tmp_path: Path) -> None:
    now_ns = time.time_ns()
    store = Store.open(tmp_path)
    at: dict[str, Any] = {
        "onset_ns": now_ns - 10**12,
        "offset_ns": now_ns - 10**12 + 10**9,
        "decided_ns": now_ns - 10**12 + 10**9,
    }
    with store.transaction() as tx:
        put_events(
            tx,
            [
                stored(1, **at, peak=0.6),
                stored(2, **at, peak=0.61),
                stored(3, **at, peak=0.62, mark="wrong"),
                stored(4, **at, peak=0.9, mark="right"),
                stored(5, peak=0.6),  # long ago
                stored(6, stage="open", **{**at, "offset_ns": None}),
            ],
        )
        put_moments(tx, [Moment(0, "mic", stored(1).id, "robin", "x", sound(1, 0)),
                         Moment(0, "mic", stored(3).id, "robin", "x", sound(1, 0)),
                         Moment(0, "mic", stored(2).id, "robin", "x", sound(0, 1))])  # fmt: skip
    store.close()
    answer = json.loads(from_store(tmp_path, ReviewQuery, review_of)(Query({}, Role.ADMIN)).body)

    why = {one["event"]["id"]: one["why"] for one in answer["questions"]}
    assert why == {stored(1).id: "many", stored(2).id: "new"}
    assert answer["waiting"] == 2
    (learnt,) = answer["learnt"]
    assert (learnt["right"], learnt["wrong"], learnt["dropped"], learnt["lost"]) == (1, 1, 1, 0)
    assert learnt["proposed"] == {"enter": 0.76, "leave": 0.532, "min_on_ms": 100}
