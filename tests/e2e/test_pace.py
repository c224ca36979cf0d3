"""Files at real time, against the real clock."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.audio.ring import Ring
from streamclf.audio.sources import open_source, parse_source
from streamclf.clock import NS_PER_FRAME
from streamclf.engine.batch import PackRunner
from streamclf.engine.calls import EngineCalls
from streamclf.engine.engine import Engine
from streamclf.engine.runner import ModelThread
from streamclf.engine.stream import Stream
from streamclf.model.loader import load_pack
from streamclf.model.session import Session
from streamclf.types import FrameScores, Gap, Output, Status
from tests.support.listening import Listening
from tools.lab.tinypack import RATE, stateful_pack

pytestmark = pytest.mark.e2e


def test_a_file_takes_as_long_as_it_lasts_and_is_stamped_so(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.ones(50_000) * 0.1, 16_000, subtype="FLOAT")
    before_ns = time.time_ns()
    listening = Listening(open_source(parse_source(f"file:{path}")))
    assert listening.source.live
    listening.until(lambda: listening.ring.written >= 16_000)
    heard_ns = time.time_ns()
    listening.until_ended()
    assert listening.ring.written == 50_000
    assert not listening.ring.holes
    assert before_ns <= listening.clock.ns_of_sample(0)
    # what was heard had been played by then: no file runs ahead of the clock
    assert listening.clock.ns_of_sample(16_000) <= heard_ns + NS_PER_FRAME


def test_the_demo_streams_and_stops_before_its_end() -> None:
    listening = Listening(open_source(parse_source("demo")))
    listening.until(lambda: listening.ring.written >= 6_400)
    listening.source.stop()
    assert "ended" not in listening.states
    assert np.abs(listening.samples).max() > 0


def test_two_freezes_pause_nothing_and_lose_no_row(tmp_path: Path) -> None:
    """The real clock and the real computing time of the thread: what it sleeps is not work."""
    engine = Engine([PackRunner(load_pack(stateful_pack(tmp_path / "p")), Session(load_pack(tmp_path / "p")))])
    rings = {name: Ring(RATE * 10) for name in ("mic", "yard")}
    for name, ring in rings.items():
        engine.add(Stream(name, rate=RATE, ring=ring))
    told: list[Output] = []
    calls = EngineCalls()
    model = ModelThread(engine, lambda outputs, decided_ns: told.extend(outputs), calls=calls, live=True)
    model.start()
    began_s, frames = time.monotonic(), 0
    while frames < 250:
        if frames in (60, 130):
            calls.call(freeze)
        for ring in rings.values():
            ring.write(np.zeros(RATE // 50, dtype=np.float32))
        frames += 1
        calls.wake.set()
        time.sleep(max(0.0, began_s + frames / 50 - time.monotonic()))
    ended = threading.Semaphore(0)
    for name in rings:
        calls.end(name, [], ended.release)
    assert all(ended.acquire(timeout=30) for _ in rings)
    assert model.stop(30)
    assert not [output for output in told if isinstance(output, Gap | Status)]
    for name in rings:
        rows = [o for o in told if isinstance(o, FrameScores) and o.stream == name]
        assert [o.first_frame + i for o in rows for i in range(len(o.rows))] == list(range(250))


def freeze() -> list[Output]:
    time.sleep(0.6)
    return []
