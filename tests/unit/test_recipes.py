import zipfile
from pathlib import Path

import msgspec
import pytest

from streamclf.errors import PackError
from streamclf.model.loader import load_pack
from streamclf.model.packwriter import write_pack
from streamclf.model.recipes import RECIPES
from streamclf.model.recipes.wheel import Wheel, member
from streamclf.model.recipes.yamnet import labels as yamnet_labels
from streamclf.types import Label
from tests.support.modelscommand import call, fault, own_folder
from tools.lab.tinypack import stateful_pack


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return own_folder(tmp_path, monkeypatch)


def test_a_wheel_is_not_opened_when_its_hash_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "x.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/model.onnx", "weights")

    assert "was not opened" in fault("add", "silero-vad", "--from", str(path))
    assert "cannot be read" in fault("add", "silero-vad", "--from", str(tmp_path / "absent.whl"))
    assert "cannot be read" in fault("add", "silero-vad", "--from", str(tmp_path))


def test_a_member_must_be_the_pinned_one(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as archive:
        archive.writestr("a/model.onnx", "weights")
    archive_bytes = (tmp_path / "x.whl").read_bytes()
    right = "0f9c0c7be7adcc8d6dc27cc5f8f6a7aeeb6ed0d9c8f0f0f5a2b9e5a0f7b6a6f1"
    for name, size in (("a/model.onnx", 7), ("a/model.onnx", 3), ("a/absent", 7)):
        with pytest.raises(PackError, match="pinned"):
            member(archive_bytes, name, sha256=right, size=size)


@pytest.mark.parametrize(
    ("script", "what"),
    [
        ("import sys; sys.exit('/usr/bin/python: No module named pip')", "this Python has no pip"),
        ("import sys; sys.exit('ERROR: No matching distribution found for x==1')", "No matching distribution found"),
        ('import sys; sys.exit("WARNING: Failed: Connection refused\\nERROR: none")', "connection refused; "),
        ("", "could not fetch"),
    ],
)
def test_a_download_that_fails_says_why_and_what_else_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, what: str
) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/usr/bin/env python3\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(python))
    with pytest.raises(PackError) as caught:
        Wheel("x", "1", "x-1.whl", "0" * 64).fetch()

    assert what in str(caught.value)
    assert "--from" in str(caught.value)


def test_a_recipe_that_is_installed_needs_no_network(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = RECIPES["silero-vad"]
    pack = load_pack(stateful_pack(tmp_path / "source"))
    manifest = msgspec.structs.replace(pack.manifest, name=recipe.name, version=recipe.version)
    write_pack(folder / recipe.name, manifest, model=pack.model, labels=pack.labels, card="")
    monkeypatch.setattr("sys.executable", "/bin/false")

    again = call("add", "silero-vad")

    assert again.exit_code == 0
    assert "is already in" in again.output


def test_yamnet_s_labels_are_curated() -> None:
    labels = yamnet_labels()
    by_name = {label.name: label for label in labels}

    assert len(labels) == len({label.id for label in labels}) == 521
    assert all(label.group for label in labels)
    assert 25 <= sum(label.hidden for label in labels) <= 35
    assert by_name["Animal"].hidden
    assert by_name["Inside, small room"].hidden
    assert not by_name["Silence"].hidden
    birds = {"Bird", "Chirp, tweet", "Owl", "Crow", "Pigeon, dove", "Crowing, cock-a-doodle-doo", "Duck", "Goose"}
    assert {by_name[name].group for name in birds} == {"bird"}
    assert by_name["Dog"] == Label("dog", "Dog", "dog")
