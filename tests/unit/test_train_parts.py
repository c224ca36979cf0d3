"""Which recordings teach, which choose and which test: a source is never in two parts, folds stay as they are."""

import pytest

from streamclf.errors import StreamclfError, UsageError
from streamclf.train.data.tasks import split
from tests.support.recordings import clip


@pytest.mark.parametrize("seed", range(5))
def test_no_source_lies_in_two_parts(seed: int) -> None:
    recordings = [clip(f"{n}-{take}", f"c{n % 3}", source=str(n)) for n in range(30) for take in "ABC"]

    parts = split(recordings, validation=0.2, test=0.2, seed=seed)

    sources = [{recording.source for recording in part} for part in (parts.train, parts.validation, parts.test)]
    assert all(sources)
    assert not sources[0] & sources[1]
    assert not (sources[0] | sources[1]) & sources[2]
    assert sum(len(part) for part in (parts.train, parts.validation, parts.test)) == len(recordings)


def test_folds_are_kept_as_they_are() -> None:
    recordings = [clip(f"{n}{label}", label, fold=n % 4 + 1) for n in range(16) for label in ("x", "y")]

    parts = split(recordings, validation=0.0, test=0.3, train_folds=[1, 2], test_folds=[4])

    assert {r.fold for r in parts.train} == {1, 2}
    assert {r.fold for r in parts.test} == {4}
    assert parts.validation == []


@pytest.mark.parametrize(
    ("named", "parts"),
    [
        ({"validation_folds": [3]}, [{1, 2, 4}, {3}, set()]),
        ({"validation_folds": [3], "test_folds": [4]}, [{1, 2}, {3}, {4}]),
        ({"train_folds": [1], "validation_folds": [3]}, [{1}, {3}, {2, 4}]),
        ({"train_folds": [1], "validation_folds": [3], "test_folds": [4]}, [{1}, {3}, {4}]),
    ],
)
def test_folds_that_nobody_names_teach_or_are_held_out(named: dict[str, list[int]], parts: list[set[int]]) -> None:
    recordings = [clip(f"{n}{label}", label, fold=n % 4 + 1) for n in range(16) for label in ("x", "y")]

    found = split(recordings, validation=0.5, test=0.3, **named)  # type: ignore[arg-type]

    assert [{r.fold for r in part} for part in (found.train, found.validation, found.test)] == parts


@pytest.mark.parametrize(
    ("folds", "sentence"),
    [
        ({"test_folds": [9]}, "no fold 9; it has 1, 2"),
        ({"train_folds": [1], "test_folds": [1]}, "fold 1 is named more than once"),
        ({"validation_folds": [2], "test_folds": [2]}, "fold 2 is named more than once"),
        ({"test_folds": [1, 2]}, "name every fold"),
    ],
)
def test_folds_that_cannot_be_are_said(folds: dict[str, list[int]], sentence: str) -> None:
    recordings = [clip(f"{n}", "x", fold=1 + n % 2) for n in range(4)]

    with pytest.raises(UsageError, match=sentence):
        split(recordings, validation=0.0, test=0.0, **folds)  # type: ignore[arg-type]


def test_folds_without_folds_in_the_data_are_said() -> None:
    with pytest.raises(UsageError, match="belongs to no fold"):
        split([clip("a", "x")], validation=0.0, test=0.0, test_folds=[1])


def test_a_source_in_a_teaching_and_a_testing_fold_is_refused() -> None:
    recordings = [clip("a", "x", source="s", fold=1), clip("b", "x", source="s", fold=2)]

    with pytest.raises(StreamclfError, match=r"source s of .* is also in a fold of another part"):
        split(recordings, validation=0.0, test=0.0, test_folds=[2])


def test_a_label_that_nothing_would_teach_is_named() -> None:
    recordings = [clip("a", "x", fold=1), clip("b", "y", fold=2)]

    with pytest.raises(StreamclfError, match="no recording of 'y' is left to learn from"):
        split(recordings, validation=0.0, test=0.0, test_folds=[2])
