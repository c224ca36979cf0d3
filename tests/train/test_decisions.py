"""Thresholds are chosen where a pack's scores part what is drawn from what is not."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.model.loader import load_pack
from streamclf.model.pack import Segmentation
from streamclf.train.data.annotations import Recording, Span
from streamclf.train.data.tasks import Task
from streamclf.train.evaluate.decisions import choose
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = pytest.mark.skipif(find_spec("torch") is None, reason="the extra `train` is not installed")

TASK = Task(("loud",), exclusive=False)
# the pack's score of `loud` for a tone of that amplitude
SCORES = {0.04: 0.03, 0.08: 0.29, 0.12: 0.84, 0.3: 1.0}


def heard(folder: Path, amplitude: float, *, beside: float) -> Recording:
    """Tones of `amplitude` with a span each, and one of `beside` without."""
    time = np.arange(4 * RATE) / RATE
    level = np.zeros(len(time))
    spans = ((0.5, 1.0), (2.5, 3.0))
    for onset, offset in spans:
        level[(time >= onset) & (time < offset)] = amplitude
    level[(time >= 1.5) & (time < 2.0)] = beside
    path = folder / f"{amplitude}-{beside}.wav"
    soundfile.write(path, level * np.sin(2 * np.pi * 400 * time), RATE, subtype="FLOAT")
    return Recording(path, path.stem, ("loud",), tuple(Span(*span, "loud") for span in spans))


@pytest.mark.parametrize(("amplitude", "beside"), [(0.08, 0.04), (0.12, 0.08), (0.3, 0.12)])
def test_thresholds_lie_between_what_is_meant_and_what_is_not(tmp_path: Path, amplitude: float, beside: float) -> None:
    pack = stateful_pack(tmp_path / "pack", classes=1)

    own = choose(pack, [heard(tmp_path, amplitude, beside=beside)], TASK)

    assert SCORES[beside] < own.enter <= SCORES[amplitude]
    assert own.leave <= own.enter


def test_what_serves_already_is_left_alone(tmp_path: Path) -> None:
    before = Segmentation(enter=0.5, leave=0.35, min_on_ms=60, min_off_ms=40)
    pack = stateful_pack(tmp_path / "pack", classes=1, segmentation=before)

    assert choose(pack, [heard(tmp_path, 0.3, beside=0.04)], TASK) == before


def test_durations_stay(tmp_path: Path) -> None:
    pack = stateful_pack(tmp_path / "pack", classes=1)
    before = load_pack(pack).manifest.segmentation

    own = choose(pack, [heard(tmp_path, 0.08, beside=0.04)], TASK)

    assert (own.min_on_ms, own.min_off_ms) == (before.min_on_ms, before.min_off_ms)
    assert own.enter != before.enter
