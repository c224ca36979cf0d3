"""The head of everyday, as its recipe fits it."""

import numpy as np

from models.everyday.recipe import head
from tests.unit.test_everyday import truths


def heard(parts: np.ndarray) -> head.Windows:
    """parts: (recordings, windows of each, parts)."""
    count, each, size = parts.shape
    flat = parts.reshape(-1, size).astype(np.float32)
    held = np.repeat(np.arange(count * each), 10)
    return head.Windows(flat, np.full(count, each), held, np.zeros(size, np.float32), np.eye(size, dtype=np.float32))


def test_a_head_adds_what_the_sums_do_not_say() -> None:
    random = np.random.default_rng(0)
    right = np.arange(60)[:, None] < 20
    of = truths(right, ~right)
    sums = random.normal(size=(180, 1)).astype(np.float32)
    parts = random.normal(size=(60, 3, 4)) / 2
    # in one window of each that holds the class, where the sum is large, too
    parts[:20, 1, 2] += 1.5
    sums.reshape(60, 3)[:20, 1] = 3.0

    matrix, bias = head.weights([0], of, heard(parts), sums, of.hours > 0)
    assert np.abs(matrix[:, 0]).argmax() == 2
    added = (heard(parts).parts @ matrix + bias).reshape(60, 3)
    assert added[:20, 1].min() > np.quantile(added[20:], 0.9)
    assert abs(added[20:].mean()) < 0.3, "what does not hold the class stays where it was"


def test_a_head_does_not_know_the_sources_that_are_left_out() -> None:
    # the numbers tell the class in recordings of one source alone, which is the only one that has them
    right = np.arange(40)[:, None] % 2 == 0
    of = truths(right, ~right)
    parts = np.zeros((40, 1, 2))
    parts[:20:2, 0, 0] = 1.0
    groups = ["mine"] * 20 + [f"other{at}" for at in range(20)]
    sums = np.zeros((40, 1), dtype=np.float32)

    with_all, _ = head.weights([0], of, heard(parts), sums, of.hours > 0)
    added = head.left_out([0], of, heard(parts), sums, groups, 4)
    assert with_all[0, 0] > 0.5
    assert np.abs(added).max() < 0.01
