"""The pack everyday, made of the recipes' packs and the shipped one."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from streamclf.audio.sources.file import open_blocks
from streamclf.config import Config
from streamclf.engine.build import build_engine
from streamclf.engine.offline import run_blocks
from streamclf.model.recipes import silero, yamnet
from streamclf.model.recipes.everyday import EVERYDAY
from streamclf.types import Event, Stage

_BIRDS = Path(__file__).resolve().parents[2] / "streamclf" / "audio" / "demo" / "birds_10s.flac"


def copied(source: Path) -> Callable[[Path, Path | None], None]:
    """What stands in for a recipe's download."""

    def build(folder: Path, given: Path | None) -> None:
        shutil.copytree(source, folder)

    return build


@pytest.mark.parametrize("gain", [1.0, 0.02])
def test_it_hears_birds_at_any_loudness(
    packs_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gain: float
) -> None:
    monkeypatch.setattr(yamnet, "YAMNET", replace(yamnet.YAMNET, build=copied(packs_dir / "yamnet")))
    monkeypatch.setattr(silero, "SILERO_VAD", replace(silero.SILERO_VAD, build=copied(packs_dir / "silero-vad")))
    pack = tmp_path / "everyday"
    EVERYDAY.build(pack, None)
    rate, _, blocks = open_blocks(_BIRDS)
    engine = build_engine(Config(model=(str(pack),)))
    quiet = (block * np.float32(gain) for block in blocks)
    told = [one for outputs in run_blocks(engine, "a", rate=rate, blocks=quiet) for one in outputs]

    events = [one for one in told if isinstance(one, Event) and one.stage is Stage.CLOSE]
    assert [event.label for event in events].count("bird") >= 2
    assert {event.label for event in events} == {"bird"}
