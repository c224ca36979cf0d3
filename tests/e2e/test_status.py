"""`v1/status` of a real daemon: what its streams, packs, store, sinks and self are measured to be."""

import time
from pathlib import Path

import msgspec
import pytest

from streamclf.protocol.status import DaemonStatus
from tests.conftest import StartDaemon
from tools.lab.daemon import Daemon
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e

LIMIT_S = 120.0


def told(daemon: Daemon) -> DaemonStatus:
    return msgspec.convert(daemon.get_json("/v1/status"), DaemonStatus)


def test_a_daemon_tells_how_its_streams_models_disk_and_sinks_are(tmp_path: Path, daemon: StartDaemon) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[sink.hook]\ntype = "webhook"\nurl = "http://127.0.0.1:9/"\n'
        '[[rule]]\nname = "loud"\nlabels = ["loud"]\nmin_mean = 1.0\nsinks = ["hook"]\n'
    )
    env = {
        "STREAMCLF_RULES": str(rules),
        "STREAMCLF_CLIPS_ENABLED": "true",
        # no event of the demo has this label: however long this takes, there is no clip yet
        "STREAMCLF_CLIPS_LABELS": "group:none",
    }
    pack = str(stateful_pack(tmp_path / "pack"))
    running = daemon("--source", "demo", "--source", "push:phone", "--model", pack, env=env)
    deadline = time.monotonic() + LIMIT_S
    # runs are counted where they are made, rows where they are sent: a moment later
    while (
        (status := told(running)).packs[0].runs < 10
        or sum(status.streams[0].rows.values()) < 10
        or status.process is None
        or status.process.cpu is None
        # a busy machine may pause a stream, which is told and no fault here; and it goes on
        or status.streams[0].state != "demo"
    ):
        assert time.monotonic() < deadline, f"nothing was captured: {status}"
        time.sleep(0.2)

    demo, phone = status.streams
    (model,) = status.packs
    assert (demo.demo, demo.xruns, demo.drift_ppm) == (True, 0, None)
    assert demo.rms_dbfs is not None
    assert demo.peak_dbfs is not None
    assert -120 <= demo.rms_dbfs <= demo.peak_dbfs <= 0
    assert sum(demo.rows.values()) >= 10
    assert (phone.push, phone.rms_dbfs, phone.captured_s, sum(phone.rows.values())) == (True, None, 0, 0)
    assert (model.streams, model.runs >= 10) == (2, True)
    assert model.rtf is not None
    assert model.rtf > 0
    assert model.run_ms_p50 is not None
    assert status.store is not None
    assert status.store.database_bytes > 4096
    assert (status.store.clips, status.store.scores_bytes) == (0, None)
    assert status.alerts is not None
    assert [(sink.name, sink.type, sink.pending, sink.failing) for sink in status.alerts.sinks] == [
        ("hook", "webhook", 0, "")
    ]
    assert (status.alerts.file, status.alerts.rules) == (str(rules), 1)
    assert status.process.memory_bytes is not None
    assert status.process.memory_bytes > 10_000_000

    rules.write_text("nonsense")
    while not (problems := [problem for problem in told(running).problems if problem.what.startswith("the rules")]):
        assert time.monotonic() < deadline, "a rules file with a mistake was not told"
        time.sleep(0.2)
    assert problems[-1].what.startswith("the rules that were read before hold, for ")
    assert problems[-1].to_do == "mend the file, and try it with `streamclf rules check`"
    running.stop()
