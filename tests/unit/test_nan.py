"""A pack that gives NaN for one stream: told as long as it does, also where only some of its rows are; real graphs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from streamclf.audio.ring import Ring
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.mend import Mender
from streamclf.engine.stream import Stream
from streamclf.model.loader import load_pack
from streamclf.model.session import Session
from streamclf.types import Output, Status, StreamState
from tools.lab.sickpack import Sickness, sick_pack
from tools.lab.tinypack import RATE

BLOCK = RATE // 50
PROBLEM, BACK = StreamState.PACK_PROBLEM, StreamState.PACK_BACK
LOUD, QUIET = 0.9, 0.05


class Ward:
    """The model thread's work by hand, on a sick pack and one stream; time is what was heard."""

    def __init__(self, folder: Path) -> None:
        pack = load_pack(sick_pack(folder, Sickness.NAN))
        runner = PackRunner(pack, Session(pack))
        self.engine = Engine([runner])
        self.ring = Ring(RATE)
        self.engine.add(Stream("mic", rate=RATE, ring=self.ring))
        runner.strict = False
        self.mender = Mender(self.engine, stuck=lambda name: False, on_back=lambda runner: [])
        self.frames = 0

    def hear(self, *levels: float) -> list[StreamState]:
        """A frame of each level; what is told of the pack meanwhile."""
        told: list[Output] = []
        for level in levels:
            self.ring.write(np.tile(np.array([level, -level], np.float32), BLOCK // 2))
            self.frames += 1
            told += self.engine.tick()
            told += self.mender.keep(self.frames / 50)
        return states(told)


def states(told: Sequence[Output]) -> list[StreamState]:
    return [output.state for output in told if isinstance(output, Status) and output.state in (PROBLEM, BACK)]


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    return Ward(tmp_path / "sick")


def test_half_a_second_of_it_is_told_once_and_over_after_two_seconds_without(ward: Ward) -> None:
    assert ward.hear(*[QUIET] * 10, *[LOUD] * 20) == []
    assert ward.hear(*[LOUD] * 10) == [PROBLEM]
    assert ward.hear(*[LOUD] * 200) == [], "as long as it lasts"
    assert ward.hear(*[QUIET] * 95) == []
    assert ward.hear(*[QUIET] * 10) == [BACK]


def test_where_it_comes_and_goes_it_is_told_as_long_as_it_does(ward: Ward) -> None:
    assert ward.hear(*[QUIET, LOUD] * 30) == [PROBLEM]
    assert ward.hear(*[*[QUIET] * 40, LOUD] * 10) == [], "it gives NaN every second"
    assert ward.hear(*[QUIET] * 110) == [BACK]
    assert ward.hear(*[*[QUIET] * 150, LOUD] * 30) == [], "one row in three seconds is a metric's matter"


def test_of_a_stream_that_is_not_heard_any_more_it_is_over(ward: Ward) -> None:
    assert ward.hear(*[LOUD] * 40) == [PROBLEM]
    ward.mender.heed([Status("mic", StreamState.WAITING, "its client has left")])
    assert states(ward.mender.keep(2.0)) == [BACK]
