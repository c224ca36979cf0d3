"""Figures of merit against cases worked by hand and against plain counting."""

from functools import partial
from importlib.util import find_spec
from itertools import permutations

import numpy as np
import pytest

from streamclf.train.data.annotations import Span
from streamclf.train.evaluate.merit import (
    ONSET_REACH_S,
    clip_metrics,
    event_metrics,
    frame_metrics,
    frame_span,
    frame_truth,
    merged,
    onset_metrics,
    speaker_metrics,
)
from streamclf.types import F32

EXTRA = ("sklearn", "scipy", "sed_eval", "dcase_util", "pkg_resources", "pyannote")
pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in EXTRA), reason="the extra `train` is not installed"
)

A, B = (partial(Span, label=label) for label in "ab")


def rows(*values: list[float]) -> F32:
    return np.array(values, dtype=np.float32)


def truth_of(answers: list[int | None], classes: int) -> np.ndarray:
    """One-hot rows; None is a row of nothing."""
    truth = np.zeros((len(answers), classes), dtype=bool)
    for at, answer in enumerate(answers):
        if answer is not None:
            truth[at, answer] = True
    return truth


CLIPS = rows([0.9, 0.1, 0.2], [0.3, 0.6, 0.1], [0.2, 0.7, 0.1], [0.1, 0.2, 0.8], [0.5, 0.1, 0.1])


def test_clips_worked_by_hand() -> None:
    found = clip_metrics(("a", "b", "c"), CLIPS, truth_of([0, 0, 1, 2, None], 3))

    assert (found.clips, found.judged, found.accuracy) == (5, 4, 0.75)
    assert found.confusion is not None
    assert found.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    a, b, _ = found.per_class
    # of the 2 x 3 pairs of a clip with `a` and one without, 0.3 against 0.5 alone is the wrong way round
    assert a.auc == pytest.approx(5 / 6)
    # by falling score: with, without, with
    assert a.ap == pytest.approx((1 / 1 + 2 / 3) / 2)
    assert (a.positives, a.recall) == (2, 0.5)
    assert (b.positives, b.auc, b.ap, b.recall) == (1, 1.0, 1.0, 1.0)
    assert found.auc == pytest.approx((5 / 6 + 2) / 3)
    assert found.mean_ap == pytest.approx((5 / 6 + 2) / 3)


def test_a_clip_of_two_labels_counts_in_the_ranking_but_has_no_one_answer() -> None:
    truth = truth_of([0, 1, 0], 2)
    truth[2, 1] = True

    found = clip_metrics(("a", "b"), rows([0.9, 0.1], [0.2, 0.8], [0.1, 0.05]), truth)

    assert (found.judged, found.accuracy) == (2, 1.0)
    assert found.per_class[0].auc == pytest.approx(0.5)


def test_one_class_against_others_has_a_ranking_but_no_accuracy() -> None:
    found = clip_metrics(("a",), rows([0.9], [0.1], [0.2]), truth_of([0, None, None], 1))

    assert (found.accuracy, found.confusion, found.judged) == (None, None, 0)
    assert found.auc == 1.0
    assert found.per_class[0].recall is None


def test_a_class_without_negatives_or_positives_has_no_ranking() -> None:
    found = clip_metrics(("a", "b"), rows([0.9, 0.1], [0.8, 0.1]), truth_of([0, 0], 2))

    assert [(score.auc, score.ap) for score in found.per_class] == [(None, None), (None, None)]
    assert (found.auc, found.mean_ap, found.accuracy) == (None, None, None)


def test_rankings_agree_with_counting_pairs() -> None:
    rng = np.random.default_rng(1)
    # coarse scores, so that there are ties
    scores = (rng.integers(0, 8, size=(60, 2)) / 8).astype(np.float32)
    truth = rng.random((60, 2)) < 0.3

    found = frame_metrics(("a", "b"), scores, truth)

    for at, score in enumerate(found.per_class):
        own, other = scores[truth[:, at], at], scores[~truth[:, at], at]
        pairs = (own[:, None] > other).mean() + 0.5 * (own[:, None] == other).mean()
        assert score.auc == pytest.approx(pairs)
        levels = sorted({float(s) for s in own}, reverse=True)
        area = sum((own == level).sum() * (own >= level).sum() / (scores[:, at] >= level).sum() for level in levels)
        assert score.ap == pytest.approx(area / len(own))


def test_a_frame_has_a_label_where_a_span_covers_its_middle() -> None:
    truth = frame_truth([A(0.029, 0.071), A(0.069, 0.1), B(0.95, 7.0), Span(0, 1, "other")], ("a", "b"), 50)

    assert np.flatnonzero(truth[:, 0]).tolist() == [1, 2, 3, 4]
    assert np.flatnonzero(truth[:, 1]).tolist() == [47, 48, 49]


def test_frame_accuracy_is_over_frames_with_one_label() -> None:
    scores = rows([0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.9, 0.9])
    truth = truth_of([0, 0, 1, None], 2)

    found = frame_metrics(("a", "b"), scores, truth)

    assert (found.frames, found.judged) == (4, 3)
    assert found.accuracy == pytest.approx(2 / 3)


def test_events_worked_by_hand() -> None:
    # a: onset 0.1 late, offset 0.1 late: right. b: onset 0.5 late: wrong for the collar, right by segments.
    reference = [[A(1.0, 2.0), B(1.0, 3.0)], [A(0.5, 4.5)]]
    # second recording: offset 1.5 s early is within half of the length of 4 s; one event too many
    estimated = [[A(1.1, 2.1), B(1.5, 3.0)], [A(0.6, 3.0), B(8.0, 8.5)]]

    found = event_metrics(("a", "b"), reference, estimated, [4.0, 10.0])

    assert (found.reference, found.estimated) == (3, 4)
    assert (found.event.precision, found.event.recall) == pytest.approx((2 / 4, 2 / 3))
    assert found.event.f1 == pytest.approx(2 * 2 / (4 + 3))
    assert found.onset_only.f1 == pytest.approx(found.event.f1)
    assert found.event_per_class["a"].f1 == 1.0
    assert found.event_per_class["b"].f1 == 0.0
    # segments of 1 s with a: truth 1 and 0..4, answer 1, 2 and 0..2; with b: truth 1, 2, answer 1, 2 and 8
    assert found.segment.recall == pytest.approx((1 + 3 + 2) / (1 + 5 + 2))
    assert found.segment.precision == pytest.approx((1 + 3 + 2) / (2 + 3 + 3))


@pytest.mark.parametrize(
    ("late", "early", "whole", "onset"),
    [(0.19, 0.0, 1.0, 1.0), (0.21, 0.0, 0.0, 0.0), (0.0, 0.49, 1.0, 1.0), (0.0, 0.51, 0.0, 1.0)],
)
def test_the_collar_is_200_ms_at_the_onset_and_half_the_length_at_the_offset(
    late: float, early: float, whole: float, onset: float
) -> None:
    found = event_metrics(("a",), [[A(1.0, 2.0)]], [[A(1.0 + late, 2.0 - early)]], [3.0])

    assert (found.event.f1, found.onset_only.f1) == (whole, onset)


def test_events_where_nothing_was_said_and_where_nothing_was_to_be_found() -> None:
    silent = event_metrics(("a",), [[A(1.0, 2.0)]], [[]], [3.0])
    empty = event_metrics(("a",), [[]], [[]], [3.0])
    false = event_metrics(("a",), [[]], [[A(1.0, 2.0)]], [3.0])

    assert (silent.event.f1, silent.event.precision, silent.event.recall) == (0.0, None, 0.0)
    assert (empty.event.f1, empty.segment.f1) == (None, None)
    assert (false.event.precision, false.event.recall) == (0.0, None)


def test_onset_errors_worked_by_hand() -> None:
    reference = [[A(1.0, 2.0), A(3.0, 4.0), A(8.0, 9.0)], [B(1.0, 2.0)]]
    # 40 ms late, 100 ms early, nothing near the third; of two answers to b the nearer one counts
    estimated = [[A(1.04, 1.5), A(2.9, 4.0), A(5.5, 6.0)], [B(0.5, 0.6), B(1.3, 1.9), A(1.0, 2.0)]]

    found = onset_metrics(reference, estimated)

    assert (found.found, found.missed) == (3, 1)
    assert found.median_ms == pytest.approx(100)
    assert found.p95_ms == pytest.approx(100 + 0.9 * 200)
    assert found.bias_ms == pytest.approx(40)


def test_an_answer_out_of_reach_of_one_onset_does_not_cost_another_its_own() -> None:
    # paired by distance alone, the first would take the answer of the second, and leave it one that is too far off
    found = onset_metrics([[A(0.0, 0.1), A(1.05, 1.1)]], [[A(1.0, 1.1), A(2.5, 2.6)]])

    assert (found.found, found.missed) == (1, 1)
    assert found.median_ms == pytest.approx(50)


def test_no_onset_error_without_an_answer() -> None:
    found = onset_metrics([[A(1.0, 2.0)], []], [[A(3.5, 4.0)], [A(1.0, 2.0)]])

    assert (found.found, found.missed, found.median_ms, found.p95_ms) == (0, 1, None, None)


def best_by_trying(wanted: list[Span], given: list[Span]) -> tuple[int, float]:
    """(most pairs in reach, least sum of errors with so many) over all ways to pair."""
    best = (0, 0.0)
    size = max(len(wanted), len(given))
    for order in permutations(range(size), len(wanted)):
        errors = [
            abs(given[j].onset_s - want.onset_s)
            for want, j in zip(wanted, order, strict=True)
            if j < len(given)
            and given[j].onset_s <= want.offset_s + ONSET_REACH_S
            and want.onset_s <= given[j].offset_s + ONSET_REACH_S
        ]
        best = min(best, (-len(errors), sum(errors)))
    return -best[0], best[1]


@pytest.mark.parametrize("seed", range(12))
def test_onsets_are_matched_as_well_as_they_can_be(seed: int) -> None:
    rng = np.random.default_rng(seed)
    wanted, given = (
        [A(onset, onset + 0.5) for onset in sorted(rng.uniform(0, 8, size=rng.integers(1, 6)))] for _ in range(2)
    )

    found = onset_metrics([wanted], [given])

    pairs, least = best_by_trying(wanted, given)
    assert (found.found, found.missed) == (pairs, len(wanted) - pairs)
    if pairs in (1, 2):  # the median of two is their mean
        assert found.median_ms == pytest.approx(least * 1000 / pairs)


def test_speakers_worked_by_hand() -> None:
    # of 4 s: 1 s missed (2-3), 1 s of b called a (3-4), 0.5 s said beyond the end (4-4.5)
    reference = [[A(0.0, 2.0), B(2.0, 4.0)]]
    estimated = [[A(0.0, 2.0), A(3.0, 4.5)]]

    found = speaker_metrics(reference, estimated, [5.0])

    assert found.seconds == pytest.approx(4.0)
    assert (found.missed, found.confusion) == pytest.approx((0.25, 0.25))
    assert found.false_alarm == pytest.approx(0.125)
    assert found.der == pytest.approx(0.625)
    assert found.named_error == pytest.approx(0.625)


def test_names_that_are_swapped_throughout_cost_the_named_error_alone() -> None:
    found = speaker_metrics([[A(0.0, 2.0), B(2.0, 4.0)]], [[B(0.0, 2.0), A(2.0, 4.0)]], [4.0])

    assert found.der == pytest.approx(0.0)
    assert found.named_error == pytest.approx(1.0)


def test_speakers_of_several_recordings_are_summed_by_time() -> None:
    found = speaker_metrics([[A(0.0, 1.0)], [A(0.0, 3.0)], []], [[], [A(0.0, 3.0)], []], [1.0, 3.0, 2.0])

    assert (found.der, found.missed) == pytest.approx((0.25, 0.25))


def test_no_speech_at_all_has_no_error_rate() -> None:
    assert speaker_metrics([[]], [[A(0.0, 1.0)]], [2.0]).der is None


def test_spans_of_one_label_are_united_where_they_overlap_or_touch() -> None:
    spans = [A(2.0, 3.0), A(0.0, 1.0), A(0.5, 0.8), A(1.0, 1.5), B(0.2, 2.5)]

    assert merged(spans) == [A(0.0, 1.5), B(0.2, 2.5), A(2.0, 3.0)]
    assert merged([]) == []


def test_a_span_of_frames() -> None:
    assert frame_span(25, 62, "a") == A(0.5, 1.24)
