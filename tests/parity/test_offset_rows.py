"""Rows and events of the pack that ships do not know whether a constant offset lay under the sound."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.config import Config
from streamclf.engine.build import build_engine
from streamclf.engine.offline import run_blocks
from streamclf.types import F32, Event, FrameScores, Stage

DEMO = Path(__file__).parents[2] / "streamclf/audio/demo/birds_10s.flac"
Hear = Callable[[F32], tuple[F32, list[tuple[str, int]]]]
SECONDS = 3


@pytest.fixture(scope="module", params=["off", "normalise", "+20dB"])
def hear(request: pytest.FixtureRequest) -> Hear:
    engine = build_engine(Config(model=("default",)))
    rate = soundfile.info(DEMO).samplerate

    def heard(sound: F32) -> tuple[F32, list[tuple[str, int]]]:
        told = [o for each in run_blocks(engine, "a", rate=rate, blocks=[sound], gain=request.param) for o in each]
        events = [o for o in told if isinstance(o, Event) and o.stage is Stage.CLOSE]
        rows = np.concatenate([o.rows for o in told if isinstance(o, FrameScores)])
        return rows, [(event.label, event.onset_frame) for event in events]

    return heard


def test_an_offset_changes_neither_rows_nor_events(hear: Hear) -> None:
    sound, _ = soundfile.read(DEMO, dtype="float32", frames=SECONDS * soundfile.info(DEMO).samplerate)
    quiet = (sound * 0.05).astype(np.float32)
    rows, events = hear(quiet)
    assert events, "nothing is told, so that events prove nothing"
    for offset in (0.02, -0.3):
        altered, told = hear(quiet + np.float32(offset))
        assert np.abs(altered - rows).max() < 2e-3  # 0.4 where it is not removed from the first frame on
        assert told == events
