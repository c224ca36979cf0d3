"""Scenes that the default model learns from: the truth is where the sound is, and nothing leaks between splits."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models.default.recipe import corpus
from models.default.recipe.classes import BACKGROUND, COLUMN
from models.default.recipe.corpus import CorpusClip, Split
from models.default.recipe.pool import Mixture, Part, source
from models.default.recipe.scenes import FRAMES, HOP, SAMPLES, TRAINING, FramedScenes
from tests.support.soundset import wanted

SILENT = replace(
    TRAINING, beds=(1.0, 0.0, 0.0, 0.0), events=(1, 1), whole=0.0, response=0.0, band=0.0, scene_band=0.0, speed=0.0,
    clip=0.0, floor_db=(-120.0, -110.0), loud_db=(-20.0, -20.0),
)  # fmt: skip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[CorpusClip]:
    work = tmp_path_factory.mktemp("corpus")
    corpus.build(work, wanted(work / "in"))
    return corpus.load(work)


def only(clips: list[CorpusClip], *labels: str | None) -> list[CorpusClip]:
    return [clip for clip in clips if clip.label in labels and clip.kind in ("event", "speech")]


def test_a_scene_is_a_function_of_its_number(clips: list[CorpusClip]) -> None:
    one, same, other = (FramedScenes(clips, "train", seed=seed) for seed in (1, 1, 2))
    same.scene(7)

    for number in range(4):
        assert all(np.array_equal(a, b) for a, b in zip(one.scene(number), same.scene(number), strict=True))
    assert not np.array_equal(one.scene(3).samples, one.scene(4).samples)
    assert not np.array_equal(one.scene(3).samples, other.scene(3).samples)


def test_every_kind_of_sound_of_no_class_is_heard_and_is_none(clips: list[CorpusClip]) -> None:
    (thud,) = [clip for clip in only(clips, None) if clip.split == "train"]
    many = [replace(thud, name="footsteps", source=f"step-{n}") for n in range(9)]
    cat = [replace(clip, label=None, name="cat") for clip in only(clips, "bird") if clip.split == "train"]
    scenes = FramedScenes([*many, *cat], "train", replace(SILENT, floor_db=(-200.0, -190.0)))

    heard = 0
    for number in range(20):
        samples, strong, known = scenes.scene(number)
        assert not np.delete(strong, BACKGROUND, axis=1).any()
        assert np.delete(known, BACKGROUND).all()
        assert not known[BACKGROUND]
        heard += int(np.abs(np.fft.rfft(samples)).argmax() / len(samples) * corpus.RATE > 2000)
    # the one recording of a cat is as often there as the nine of footsteps
    assert 5 <= heard <= 15


def test_a_scene_has_the_shape_that_is_promised(clips: list[CorpusClip]) -> None:
    scenes = FramedScenes(clips, "train")

    for number in range(20):
        samples, strong, known = scenes.scene(number)
        assert samples.shape == (SAMPLES,)
        assert samples.dtype == np.float32
        assert np.isfinite(samples).all()
        assert np.abs(samples).max() <= 1.0
        assert strong.shape == (FRAMES, len(known))
        assert np.array_equal(strong[:, BACKGROUND], ~np.delete(strong, BACKGROUND, axis=1).any(axis=1))


@pytest.mark.parametrize("label", ["bird", "speech"])
def test_the_truth_is_where_the_sound_is(clips: list[CorpusClip], label: str) -> None:
    scenes = FramedScenes(only(clips, label), "train", SILENT)

    for number in range(6):
        samples, strong, known = scenes.scene(number)
        loud = np.square(samples.reshape(FRAMES, HOP)).mean(axis=1) > 1e-5
        assert strong[:, COLUMN[label]].any()
        # an edge may fall into the middle of a frame
        own = strong[:, COLUMN[label]]
        assert np.sum(own != loud) <= np.sum(own[1:] != own[:-1])
        assert known.all()


def test_a_rooster_is_a_bird(clips: list[CorpusClip]) -> None:
    strong = FramedScenes(only(clips, "rooster"), "train", SILENT).scene(0).strong

    assert strong[:, COLUMN["rooster"]].any()
    assert np.array_equal(strong[:, COLUMN["bird"]], strong[:, COLUMN["rooster"]])


def test_what_nobody_has_labelled_is_not_known(clips: list[CorpusClip]) -> None:
    birds = only(clips, "bird")
    forest = [clip for clip in clips if clip.kind == "unlabelled"]
    behind = replace(SILENT, beds=(0.0, 0.0, 0.0, 1.0))

    known = FramedScenes(birds + forest, "train", behind).scene(0).known

    assert not known[COLUMN["bird"]]
    assert not known[BACKGROUND]
    assert known[COLUMN["dog"]]


def test_a_sound_of_no_class_is_no_background(clips: list[CorpusClip]) -> None:
    scene = FramedScenes(only(clips, None), "train", SILENT).scene(0)

    assert not np.delete(scene.strong, BACKGROUND, axis=1).any()
    assert not scene.known[BACKGROUND]


def test_nothing_of_another_split_is_heard(clips: list[CorpusClip]) -> None:
    """All recordings of the other splits are louder than everything; their audio is not even opened."""
    gone = [replace(clip, path=Path("nowhere")) if clip.split != "test" else clip for clip in clips]

    assert np.array_equal(FramedScenes(gone, "test").scene(5).samples, FramedScenes(clips, "test").scene(5).samples)


def test_loudness_is_drawn_over_the_whole_range(clips: list[CorpusClip]) -> None:
    scenes = FramedScenes(only(clips, "bird"), "train", replace(SILENT, loud_db=(-60.0, -10.0)))

    levels = [20 * np.log10(np.abs(scenes.scene(number).samples).max()) for number in range(40)]

    assert min(levels) < -45.0
    assert max(levels) > -20.0
    assert max(levels) < -10.0 + 4.0


def test_dialogues_are_speech_and_what_lies_behind_it_is_not_known(clips: list[CorpusClip]) -> None:
    mixture = Mixture(clips, "train")
    talks = [mixture.scene(number) for number in range(60) if number % 10 in (4, 5)]

    spoken = [scene for scene in talks if scene.strong[:, COLUMN["speech"]].any()]
    assert len(spoken) == len(talks)
    others = [at for label, at in COLUMN.items() if label not in ("speech", "background")]
    assert not any(scene.strong[:, others].any() for scene in talks)
    assert {bool(scene.known[COLUMN["rain"]]) for scene in talks} == {True, False}


def test_the_recordings_of_the_test_are_not_learnt_from(clips: list[CorpusClip]) -> None:
    dogs = [replace(clip, label="dog") if clip.label is None and clip.kind == "event" else clip for clip in clips]

    def heard(part: Part, split: Split) -> bool:
        scenes = source(part, [clip for clip in dogs if clip.label != "dog" or clip.split == split])
        return any(scenes.scene(number).strong[:, COLUMN["dog"]].any() for number in range(100))

    assert [heard("train", split) for split in ("train", "test", "choose")] == [True, False, False]
