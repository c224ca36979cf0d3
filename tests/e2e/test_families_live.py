"""Every architecture of the table, exported from a checkpoint, running live: one daemon, a file, a subscriber."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

pytest.importorskip("torch", reason="the extra `train` is not installed")
pytest.importorskip("transformers", reason="the extra `train` is not installed")

from streamclf.engine.offline import run_blocks
from streamclf.model.loader import load_pack
from streamclf.types import FrameScores
from tests.conftest import StartDaemon
from tests.e2e.test_pipeline import ended, grid, listening, receive
from tests.parity.test_engine import make
from tests.support.checkpoints import RATE, classes, exported

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]


def test_every_class_runs_live_from_a_file_to_a_subscriber(
    daemon: StartDaemon, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.getbasetemp() / "exported"
    base.mkdir(exist_ok=True)
    packs = [exported(architecture, base)[1] for architecture in classes()]
    path = tmp_path / "song.wav"
    rng = np.random.default_rng(1)
    time_s = np.arange(3 * RATE) / RATE
    audio = 0.2 * np.sin(2 * np.pi * (300 + 200 * time_s) * time_s) + 0.02 * rng.standard_normal(len(time_s))
    soundfile.write(path, audio.astype(np.float32), RATE, subtype="FLOAT")
    models = [word for pack in packs for word in ("--model", str(pack))]
    running = daemon("--source", f"file:{path}", "--fast", "--latency-ms", "0", *models)
    with listening(running, "tier=batch&since=0") as connection:
        messages: list[dict[str, Any]] = receive(connection, until=ended, limit_s=300)
    heard, _ = soundfile.read(path, dtype="float32")
    for folder in packs:
        pack = load_pack(folder)
        rows = grid(messages, pack.manifest.name)
        offline = [
            o
            for part in run_blocks(make(folder), "s", rate=RATE, blocks=[heard])
            for o in part
            if isinstance(o, FrameScores) and o.final
        ]
        expected = np.concatenate([o.rows for o in offline])
        first = offline[0].first_frame
        assert sorted(rows) == list(range(first, first + len(expected))), pack.manifest.name
        live = np.array([rows[k] for k in sorted(rows)])
        assert live.shape == (len(rows), len(pack.labels))
        assert np.abs(live - expected).max() < 1e-5, pack.manifest.name
