"""What somebody wants who has models, done with the documents alone."""

import csv
import io
import re
import shutil
from pathlib import Path

import pytest

from streamclf.audio.sources.demo import DEMO_FILE
from tests.support.home import Home, doing
from tools.lab.tinypack import window_row_pack

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]
needs_torch = pytest.mark.usefixtures("torch")


@pytest.fixture(scope="module")
def torch() -> None:
    for name in ("torch", "transformers"):
        pytest.importorskip(name, reason=f"{name} is absent (pip install streamclf[train])")


def packs(home: Home) -> set[str]:
    """The packs that run, besides that of loudness, which every daemon has."""
    return {pack["name"] for pack in home.daemons[0].get_json("/v1/status")["packs"]} - {"loudness"}


def test_an_onnx_file_of_somebodys(home: Home, tmp_path: Path) -> None:
    pack = window_row_pack(tmp_path / "pack")
    shutil.copy(pack / "model.onnx", home.folder / "BirdNET.onnx")
    shutil.copy(DEMO_FILE, home.folder / "night.flac")
    names = ["Turdus merula_Blackbird", "Erithacus rubecula_Robin", "Strix aluco_Owl", "Apus apus_Swift"]
    classes = len((pack / "labels.csv").read_text().splitlines()) - 1
    (home.folder / "BirdNET_labels.txt").write_text("\n".join(names[:classes]) + "\n")
    with doing("onnx", home) as script:
        assert "birdnet" in script.next()
        assert "birdnet" in script.next()
        rows = list(csv.DictReader(io.StringIO(script.next())))
    assert {row["pack"] for row in rows} <= {"birdnet"}


def test_two_models_on_one_stream(home: Home, packs_dir: Path) -> None:
    home.env |= {"STREAMCLF_MODELS": str(packs_dir), "STREAMCLF_SOURCE": "demo"}
    with doing("two", home) as script:
        script.next()
    assert packs(home) == {"default", "yamnet"}


@needs_torch
def test_a_checkpoint_of_my_own(home: Home) -> None:
    from tools.lab.checkpoints import save_checkpoint

    save_checkpoint("Wav2Vec2ForAudioFrameClassification", home.folder / "my-checkpoint")
    home.env["STREAMCLF_SOURCE"] = "demo"
    with doing("checkpoint", home) as script:
        assert "streamclf run --model packs/mine" in script.next()
        assert "streaming equals offline" in script.next()
        script.next()
    assert packs(home) == {"my-checkpoint"}


@needs_torch
def test_train_on_recordings_of_my_own_and_compare(home: Home, shared: Path) -> None:
    for label in ("bird", "dog"):
        folder = home.folder / "data" / label
        folder.mkdir(parents=True)
        clips = sorted((shared / "data" / "more" / label).iterdir(), key=lambda path: path.stat().st_size)[:4]
        for clip in clips:
            shutil.copy(clip, folder)
    home.env["STREAMCLF_SOURCE"] = "demo"
    with doing("train", home) as script:
        script.next()
        script.next()
    assert packs(home) == {"mine"}
    home.leave()
    with doing("compare", home) as script:
        said = script.next()
    assert re.search(r"FIGURE +default +mine", said)
    assert re.search(r"clip accuracy +\d", said)
    assert (home.folder / "report").is_dir()
