"""What the default model is taught by: YAMNet behind a level control, the model as it was, and Silero for voices."""

from pathlib import Path

import numpy as np
import pytest

from models.default.recipe.classes import COLUMN, LABELS
from models.default.recipe.corpus import RATE
from models.default.recipe.features import HOP
from models.default.recipe.speaking import Silero
from models.default.recipe.teacher import STEP_ROWS, Teacher
from streamclf.audio.sources.demo import DEMO_FILE
from streamclf.train.data.asheard import read_sound

BIRD = COLUMN["bird"]


@pytest.fixture(scope="module")
def birds() -> np.ndarray:
    return read_sound(DEMO_FILE, RATE)[: 5 * RATE]


def test_the_teacher_hears_the_same_at_any_loudness(packs_dir: Path, birds: np.ndarray) -> None:
    teacher = Teacher(packs_dir)

    loud, quiet = teacher.logits(birds), teacher.logits(birds * np.float32(0.02))

    assert loud.shape == quiet.shape == (5, 521)
    assert np.abs(loud - quiet).max() < 0.5
    assert teacher.heard(loud).max(axis=0)[:-1].argmax() == BIRD


def test_what_it_says_of_a_class_is_fused_with_the_model_that_there_was(packs_dir: Path, birds: np.ndarray) -> None:
    def before(samples: np.ndarray) -> np.ndarray:
        odds = np.full((len(samples) // HOP, len(LABELS)), -10.0, dtype=np.float32)
        # the model hears a bird in the third second alone
        odds[2 * STEP_ROWS + 10, BIRD] = 10.0
        return odds

    odds, said = Teacher(packs_dir, before).told(birds, asked=True)
    _, alone = Teacher(packs_dir).told(birds, asked=True)

    assert odds.shape == (5, 521)
    moved = np.log(said / (1 - said)) - np.log(alone / (1 - alone))
    raised = moved > 0
    assert raised[2, BIRD]
    assert raised.sum() == 1


def test_a_voice_sounds_where_silero_hears_speech(packs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    noise = (0.01 * rng.standard_normal(2 * RATE)).astype(np.float32)
    silero = Silero(packs_dir)

    # nothing that it would call speech: what was there before stays
    assert silero.stretches(noise, ((100, 20_000),)) == ((100, 20_000),)
    said = np.repeat([0.0, 0.9, 0.1, 0.9, 0.0, 0.9], [10, 20, 4, 10, 30, 10])
    monkeypatch.setattr(silero, "rows", lambda samples: said)
    assert silero.stretches(noise, ((0, 20 * HOP), (30 * HOP, 2 * RATE))) == (
        (10 * HOP, 20 * HOP),
        (30 * HOP, 44 * HOP),
        (74 * HOP, 84 * HOP),
    )
