"""The pack that ships: it is what its manifest says, it runs where nothing is installed, and it hears a bird."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from models.default.recipe.classes import LABELS
from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.engine.verify import verify
from streamclf.model.loader import load_pack
from streamclf.model.pack import Pack
from tools.lab.daemon import run_cli

FOLDER = Path(__file__).resolve().parents[2] / "models" / "default"
RATE = 16_000


@pytest.fixture(scope="module")
def pack() -> Pack:
    return load_pack(FOLDER)


def heard(file: Path, home: Path) -> list[dict[str, object]]:
    """Events of a recording, by the program as it is installed, without a pack in the user's folder."""
    done = run_cli("classify", str(file), home=home)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_it_is_what_its_manifest_says(pack: Pack) -> None:
    report = verify(pack)

    assert report.problems == []
    assert report.golden is not None
    assert report.look_ahead_ms <= 100
    assert report.hop_ms == 20


def test_its_labels_are_the_classes_it_was_trained_on(pack: Pack) -> None:
    assert tuple(label.id for label in pack.labels) == LABELS
    # background says that nothing happens, which is not an event
    assert [label.id for label in pack.labels if label.hidden] == ["background"]
    assert pack.manifest.segmentation.enter == 0.5
    assert {label.enter for label in pack.labels} == {None}


def test_it_is_small() -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4_000_000


def test_without_a_model_named_it_hears_the_bird_of_the_demo(tmp_path: Path) -> None:
    events = heard(DEMO_FILE, tmp_path)

    assert {event["pack"] for event in events} == {"default"}
    assert "bird" in {event["label"] for event in events}
    assert {event["label"] for event in events} <= {"bird", "insect", "wind"}


def test_a_quiet_room_is_no_event(tmp_path: Path) -> None:
    hiss = np.random.default_rng(0).normal(scale=1e-4, size=20 * RATE)
    hiss[: 5 * RATE] = 0
    soundfile.write(tmp_path / "quiet.wav", hiss, RATE, subtype="FLOAT")

    assert heard(tmp_path / "quiet.wav", tmp_path) == []
