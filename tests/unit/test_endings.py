"""Why an event ended is told with its end, and no event stays open where nobody scores the stream any more."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from streamclf.audio.ring import Ring
from streamclf.engine.batch import Failure, PackFault, PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.pacing import Pacer
from streamclf.engine.segment import Ending
from streamclf.engine.stream import Stream
from streamclf.model.loader import load_pack
from streamclf.model.session import Session
from streamclf.types import Event, Output, Stage, Status, StreamState
from tools.lab.tinypack import RATE, stateful_pack

BLOCK = RATE // 50
LOUD, QUIET = 0.9, 0.0


class Loud:
    """A stream on which an event lasts."""

    def __init__(self, folder: Path) -> None:
        pack = load_pack(stateful_pack(folder))
        self.runner = PackRunner(pack, Session(pack))
        self.engine = Engine([self.runner])
        self.pacer = Pacer(self.engine, live=True)
        self.ring = Ring(2 * RATE)
        self.engine.add(Stream("mic", rate=RATE, ring=self.ring))
        assert [event.ended_by for event in events(self.hear(LOUD)) if event.label == "loud"] == [""]

    def hear(self, level: float, frames: int = 25) -> list[Output]:
        self.ring.write(np.full(frames * BLOCK, level, dtype=np.float32))
        return self.engine.drain()

    def told(self, state: StreamState) -> list[Output]:
        self.pacer.heed([Status("mic", state, "")])
        return self.pacer.close_silent()

    def break_pack(self) -> list[Output]:
        self.runner.lose(PackFault(Failure.HUNG, "a run took too long"))
        self.engine.lose(self.runner)
        return self.engine.tick()

    def lose(self) -> list[Output]:
        self.ring.skip(RATE, "lost")
        return self.hear(QUIET)


def events(told: list[Output]) -> list[Event]:
    return [output for output in told if isinstance(output, Event)]


@pytest.mark.parametrize(
    ("ends", "ended_by"),
    [
        pytest.param(lambda loud: [*loud.hear(QUIET, 50), *loud.hear(QUIET, 50)], Ending.QUIET, id="silence"),
        pytest.param(lambda loud: loud.engine.pause("mic"), Ending.PAUSED, id="pause"),
        pytest.param(Loud.lose, Ending.GAP, id="lost samples"),
        pytest.param(Loud.break_pack, Ending.GAP, id="pack fails"),
        pytest.param(lambda loud: loud.told(StreamState.LOST), Ending.GAP, id="device is lost"),
        pytest.param(lambda loud: loud.told(StreamState.STALLED), Ending.GAP, id="device is frozen"),
        pytest.param(lambda loud: loud.told(StreamState.WAITING), Ending.GAP, id="client has left"),
        pytest.param(lambda loud: loud.told(StreamState.GONE), Ending.GAP, id="source is gone"),
        pytest.param(lambda loud: loud.engine.finish("mic"), Ending.END, id="recording ends"),
        pytest.param(lambda loud: loud.engine.remove("mic"), Ending.END, id="stream is removed"),
    ],
)
def test_an_event_is_closed_with_its_reason(
    tmp_path: Path, ends: Callable[[Loud], list[Output]], ended_by: Ending
) -> None:
    told = [event for event in events(ends(Loud(tmp_path / "pack"))) if event.label == "loud"]
    assert [event.ended_by for event in told if event.stage is Stage.CLOSE] == [ended_by]
    assert not any(event.ended_by for event in told if event.stage is not Stage.CLOSE)
