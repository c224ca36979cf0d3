"""Heads from a few examples: which side a sound falls on, what a counterexample changes, where the threshold lies."""

import numpy as np
import pytest

from streamclf.engine.heads import Heads
from streamclf.model.activation import normalised
from streamclf.teach.fit import fit
from streamclf.types import F32

SIZE = 64


def around(centre: F32, count: int, *, spread: float = 0.15, seed: int = 0) -> F32:
    noise = np.random.default_rng(seed).standard_normal((count, SIZE)).astype(np.float32)
    return np.maximum(0, centre + spread * noise)


@pytest.fixture
def kettle() -> F32:
    return np.maximum(0, np.random.default_rng(1).standard_normal(SIZE)).astype(np.float32)


@pytest.fixture
def background() -> F32:
    rng = np.random.default_rng(2)
    kinds = np.maximum(0, rng.standard_normal((12, SIZE)))
    rows = [around(kinds[at % 12].astype(np.float32), 1, seed=at) for at in range(300)]
    return np.concatenate(rows)


def probability(weights: F32, rows: F32) -> F32:
    return Heads(["it"], weights[:, None])(rows)[:, 0]


def test_three_examples_part_a_sound_from_what_is_heard_otherwise(kettle: F32, background: F32) -> None:
    examples = [around(kettle, 4, seed=10 + at) for at in range(3)]

    fitted = fit(examples, [], background)

    assert fitted.margin > 0
    assert probability(fitted.weights, around(kettle, 50, seed=99)).min() > 0.5
    assert probability(fitted.weights, background).max() < 0.5


def test_the_threshold_is_over_what_this_place_sounds_like(kettle: F32, background: F32) -> None:
    """A sound that is half the kettle is heard here all the time: it must stay under the threshold."""
    near = around(0.6 * kettle + 0.4 * background[0], 40, seed=5)

    fitted = fit([around(kettle, 4, seed=10 + at) for at in range(3)], [], np.concatenate([background, near]))

    assert (probability(fitted.weights, near) < 0.5).mean() > 0.97


def test_what_was_said_not_to_be_it_is_under_the_threshold(kettle: F32, background: F32) -> None:
    examples = [around(kettle, 4, seed=10 + at) for at in range(3)]
    toy = around(0.75 * kettle + 0.25 * background[7], 5, seed=6)
    before = fit(examples, [], background)
    assert probability(before.weights, toy).max() > 0.5, "the case tests nothing"

    after = fit(examples, [toy], background)

    assert probability(after.weights, toy).max() <= 0.5 + 1e-3
    assert probability(after.weights, np.concatenate(examples)).mean() > 0.5


def test_long_examples_weigh_no_more_than_short_ones(kettle: F32, background: F32) -> None:
    other = np.roll(kettle, 17)
    many, few = around(kettle, 60, seed=3), around(other, 2, seed=4)

    fitted = fit([many, few], [], background)

    assert probability(fitted.weights, few).max() > 0.3
    assert abs(float((probability(fitted.weights, few) - probability(fitted.weights, many).mean()).max())) < 0.5


def test_heads_are_one_product_and_what_is_no_number_gives_nothing(kettle: F32) -> None:
    weights = np.random.default_rng(4).standard_normal((SIZE + 1, 5)).astype(np.float32)
    rows = around(kettle, 7)
    whole = Heads("abcde", weights)(rows)

    for at in range(5):
        np.testing.assert_allclose(whole[:, at], Heads("a", weights[:, at : at + 1])(rows)[:, 0], rtol=1e-5)
    rows[3, 2] = np.nan
    np.testing.assert_array_equal(Heads("abcde", weights)(rows)[3], 0.0)
    np.testing.assert_allclose(np.linalg.norm(normalised(rows[:3]), axis=1), 1.0, rtol=1e-5)
    assert Heads((), np.zeros((1, 0), dtype=np.float32))(rows).shape == (7, 0)
