"""What a wheel takes along of the page and the models."""

from pathlib import Path

import pytest

builders = pytest.importorskip("hatchling.builders.wheel", reason="hatchling, which builds the wheel, is not installed")
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def taken() -> set[str]:
    return {file.distribution_path for file in builders.WheelBuilder(str(ROOT)).recurse_included_files()}


def test_of_the_page_it_takes_what_was_built_and_no_source(taken: set[str]) -> None:
    page = {name.removeprefix("streamclf/web/") for name in taken if name.startswith("streamclf/web/")}
    built = {f"dist/{file.name}" for file in (ROOT / "streamclf" / "web" / "dist").iterdir()}

    assert "dist/index.html" in built
    assert page == built


def test_of_a_model_it_takes_the_pack_and_no_recipe(taken: set[str]) -> None:
    default = {name for name in taken if name.startswith("streamclf/models/")}
    files = ("pack.toml", "model.onnx", "labels.csv", "golden.npz", "CARD.md")

    assert default == {f"streamclf/models/default/{name}" for name in files}


def test_of_the_client_it_takes_the_python_modules_alone(taken: set[str]) -> None:
    client = {Path(name) for name in taken if name.startswith("streamclf/client/")}

    assert Path("streamclf/client/client.py") in client
    assert {file.suffix for file in client} == {".py"}
    assert {file.parent for file in client} == {Path("streamclf/client")}
