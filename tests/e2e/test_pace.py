"""Files at real time, against the real clock."""

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamclf.audio.sources import open_source, parse_source
from streamclf.clock import NS_PER_FRAME
from tests.support.listening import Listening

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
