"""The table of measures of the default model: what is put to the pack, and what is made of its answers."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from models.default.recipe import corpus, costs, testset
from models.default.recipe.corpus import HEARD_ALL, HELD_OUT, RATE, CorpusClip
from models.default.recipe.judge import Judge, Measure, table
from streamclf.config import Config
from streamclf.train.data.annotations import read_data
from streamclf.train.data.asheard import read_sound
from streamclf.train.evaluate import inputs
from tests.support.soundset import noise, recording, wanted
from tools.lab.tinypack import put_file, stateful_pack

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def test_clips(tmp_path_factory: pytest.TempPathFactory) -> list[CorpusClip]:
    work = tmp_path_factory.mktemp("corpus")
    corpus.build(work, wanted(work / "in"))
    return [clip for clip in corpus.load(work) if clip.split == "test"]


@pytest.fixture(scope="module")
def hears_loudness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack whose `speech` is whatever is loud."""
    folder = tmp_path_factory.mktemp("packs") / "tiny"
    stateful_pack(folder)
    put_file(
        folder, "labels.csv", b"id,name,group,enter,hidden\nspeech,Speech,,,false\nbird,B,,,false\nrain,R,,,false\n"
    )
    return folder


def test_dialogues_are_of_speech_alone_and_can_be_read_from_their_folder(
    tmp_path: Path, test_clips: list[CorpusClip]
) -> None:
    made = testset.dialogues(test_clips, tmp_path / "d", 2)

    assert len(made) == 2
    assert all(recording.labels == ("speech",) and recording.spans for recording in made)
    found, problems = read_data(tmp_path / "d")
    assert not problems
    assert [[(round(s.onset_s, 4), s.label) for s in r.spans or ()] for r in found] == [
        [(round(s.onset_s, 4), s.label) for s in r.spans or ()] for r in made
    ]
    assert len(read_sound(made[0].path, RATE)) == 30 * RATE


def test_mixed_scenes_say_what_is_implied(tmp_path: Path, test_clips: list[CorpusClip]) -> None:
    made = testset.mixed(test_clips, tmp_path / "m", 12)

    spans = [span for recording in made for span in recording.spans or ()]
    assert {span.label for span in spans} == {"speech", "bird", "rooster", "rain"}
    roosters = [(s.onset_s, s.offset_s) for s in spans if s.label == "rooster"]
    birds = [(s.onset_s, s.offset_s) for s in spans if s.label == "bird"]
    assert roosters
    assert all(any(a <= first and end <= b for a, b in birds) for first, end in roosters)


def test_backgrounds_bear_all_that_may_be_in_them(tmp_path: Path, test_clips: list[CorpusClip]) -> None:
    made = testset.backgrounds(test_clips, tmp_path / "b", 0.1)

    assert len(made.recordings) == 12
    assert {r.labels for r in made.recordings} <= {("noise",), ("rain",), ("noise", "wind"), ("bird", "noise")}
    assert sum(r.labels == ("noise",) for r in made.recordings) == 4
    assert made.real_s == 9.0
    assert all(len(read_sound(r.path, RATE)) == 30 * RATE for r in made.recordings[:3])


def test_a_row_is_met_or_not_by_the_first_pack() -> None:
    ours, theirs = {"ours": 89.0, "theirs": 20.0}, {"ours": 80.0, "theirs": 99.0}

    assert Measure("x", ">= 88 %", ours, lambda v: v >= 88, "%").met is True
    assert Measure("x", ">= 88 %", theirs, lambda v: v >= 88, "%").met is False
    assert Measure("x", "", ours).met is None
    assert Measure("x", ">= 88 %", {"ours": None}, lambda v: v >= 88, "%").met is None


def test_rows_come_from_the_live_engine(
    tmp_path: Path, hears_loudness: Path, test_clips: list[CorpusClip], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.default.recipe.judge.DIALOGUES", 3)
    judge = Judge([str(hears_loudness)])

    judge.speech(test_clips, tmp_path / "dialogues")
    judge.false(test_clips, tmp_path / "backgrounds", 0.05)
    judge.cost()

    speech, worst, over, cost = judge.rows
    assert (speech.by_pack["tiny-stateful"] or 0.0) > 0.6
    assert cost.unit == "ms"
    assert 0 < (cost.by_pack["tiny-stateful"] or 0.0) < 20
    assert worst.by_pack["tiny-stateful"] is not None
    assert over.target == "0"
    text = table(judge)
    assert "| what | target | tiny-stateful | met |" in text
    assert "false events and the hours without the class: " in text


def test_clips_are_judged_at_every_level(tmp_path: Path, hears_loudness: Path) -> None:
    for at, folder in enumerate(("rain", "dog_bark")):
        for fold in (3, 4):
            recording(tmp_path / f"esc10/{folder}/{fold}-{fold}{at}-A.wav", noise(1.0, seed=at), None, "test")
    judge = Judge([str(hears_loudness)])

    judge.clips(tmp_path)

    assert [row.target for row in judge.rows] == [">= 88 %", "within 3 points", "within 8 points", "costs little"]


def test_weights_that_have_heard_the_test_are_known_by_their_pack(tmp_path: Path) -> None:
    stateful_pack(tmp_path / "all", source=f"{HEARD_ALL}; CARD.md names the recordings")
    stateful_pack(tmp_path / "held-out", source=f"{HELD_OUT}; CARD.md names the recordings")
    stateful_pack(tmp_path / "other")

    assert [Judge([str(tmp_path / name)]).has_heard_the_test for name in ("all", "held-out", "other")] == [
        True, False, False
    ]  # fmt: skip


def test_a_pack_that_has_heard_the_test_is_judged_by_its_cost_alone(tmp_path: Path) -> None:
    stateful_pack(tmp_path / "all", source=HEARD_ALL)
    tool = [sys.executable, str(ROOT / "tools/evaluate_default.py"), "--data", str(tmp_path), "--work", str(tmp_path)]

    def said(*options: str) -> tuple[int, str]:
        done = subprocess.run([*tool, *options], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    assert said()[0] == 2
    assert "has no corpus; run tools/train_default first" in said()[1]
    corpus.build(tmp_path, [])
    code, text = said("--pack", str(tmp_path / "all"))
    assert code == 2
    assert "has learnt from the recordings of the test; give --only cost" in text
    cost = subprocess.run(
        [*tool[:2], "--only", "cost", "--pack", str(tmp_path / "all")], capture_output=True, text=True, check=False
    )
    assert cost.returncode == 0
    assert "| one stream, one thread, CPU per 20 ms | <= 0.3 ms |" in cost.stdout


def test_costs_are_measured_in_turns(hears_loudness: Path) -> None:
    engines, _ = inputs.make_engines([str(hears_loudness)], Config())

    taken = costs.per_frame_ms(engines, rounds=3, frames=5)

    assert np.shape(taken) == (3, 1)
    assert np.min(taken) > 0
    assert not engines[0].streams
