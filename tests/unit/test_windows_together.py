from pathlib import Path

import numpy as np
import pytest

from streamclf import metrics
from streamclf.audio.ring import Ring
from streamclf.engine.batch import PackRunner
from streamclf.engine.engine import Engine
from streamclf.engine.stream import Stream
from streamclf.model.loader import load_pack
from streamclf.model.session import Session
from tools.lab.tinypack import window_row_pack


def test_windows_of_a_large_net_are_run_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack = load_pack(window_row_pack(tmp_path / "pack"))
    counter = metrics.MODEL_RUNS.labels(pack.manifest.name)
    runs = {}
    for weights in (2 * len(pack.model), len(pack.model) // 2, 512 << 20):
        monkeypatch.setattr("streamclf.model.session._TOGETHER_BYTES", weights)
        session = Session(pack)
        engine = Engine([PackRunner(pack, session)])
        ring = Ring(64_000)
        engine.add(Stream("mic", rate=16_000, ring=ring))
        before = counter._value.get()
        ring.write(np.zeros(48_000, np.float32))
        engine.drain()
        runs[session.together] = counter._value.get() - before
    assert runs[1] == pytest.approx(2 * runs[2], abs=1)
    assert runs[64] < runs[2] / 4
