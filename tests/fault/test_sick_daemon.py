"""Packs that fail, in the real daemon: it starts with those that work, says what does not, and hears on."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

from streamclf.types import StreamState
from tests.conftest import StartDaemon
from tools.lab.daemon import Daemon
from tools.lab.sickpack import Sickness, sick_pack
from tools.lab.tinypack import RATE, stateful_pack

LIMIT_S = 120.0


def sound(path: Path, *, loud_from_s: float, loud_s: float, seconds: float) -> str:
    """A source: quiet, but for the loud stretch, which sick packs do not bear."""
    samples = np.full(round(seconds * RATE), 0.05, dtype=np.float32)
    samples[round(loud_from_s * RATE) : round((loud_from_s + loud_s) * RATE)] = 0.9
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    return f"file:{path}"


def until(running: Daemon, done: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not done():
        assert running.process.poll() is None, running.stderr
        assert time.monotonic() < deadline, f"{what}\n{running.stderr}"
        time.sleep(0.02)


def rows(running: Daemon, pack: str) -> int:
    return int(running.get_json("/v1/status")["streams"][0]["rows"].get(pack, 0))


def state(running: Daemon) -> str:
    return str(running.get_json("/v1/status")["streams"][0]["state"])


def test_a_model_that_raises_ends_nothing_but_its_own_rows(tmp_path: Path, daemon: StartDaemon) -> None:
    sick, healthy = sick_pack(tmp_path / "s", Sickness.RAISES), stateful_pack(tmp_path / "h", name="healthy")
    source = sound(tmp_path / "a.wav", loud_from_s=2, loud_s=0.3, seconds=8)
    running = daemon("--source", source, "--model", str(sick), "--model", str(healthy), ready=False)
    running.wait_for("pack sick: problem: a run failed", LIMIT_S)
    running.wait_for("pack sick: it works again", LIMIT_S)
    until(running, lambda: rows(running, "healthy") == 400, "rows of the healthy pack are missing")
    assert 0 < rows(running, "sick") < 400
    assert running.get_json("/v1/status")["streams"][0]["gaps"] == 0
    assert running.stop() == 0


def test_health_says_that_nothing_is_scored_while_a_model_hangs(tmp_path: Path, daemon: StartDaemon) -> None:
    source = sound(tmp_path / "a.wav", loud_from_s=1, loud_s=0.1, seconds=120)
    running = daemon("--source", source, "--model", str(sick_pack(tmp_path / "s", Sickness.STICKS)))
    until(running, lambda: running.get("/healthz")[0] == 503, "health is well although the model hangs")
    until(running, lambda: state(running) == StreamState.UNSCORED, "the stream does not say that nothing scores it")
    until(running, lambda: running.get("/healthz")[0] == 200, "health is not well again")
    until(running, lambda: running.get_json("/v1/status")["streams"][0]["gaps"] >= 1, "what was not scored is no gap")
    assert running.stop() == 0


def test_a_pack_whose_first_run_never_ends_does_not_hold_the_start(tmp_path: Path, daemon: StartDaemon) -> None:
    sick = sick_pack(tmp_path / "s", Sickness.LOOPS, above=-1)
    healthy = stateful_pack(tmp_path / "h", name="healthy")
    running = daemon("--source", "demo", "--model", str(sick), "--model", str(healthy), ready=False)
    running.wait_for("pack sick: its first run has not ended after 5 s of computing: starting without it", LIMIT_S)
    running.wait_for("listening on", LIMIT_S)
    until(running, lambda: rows(running, "healthy") > 20, "the pack that works gives no rows")
    assert rows(running, "sick") == 0
    assert running.stop() == 0


def test_a_daemon_without_any_pack_that_works_starts_and_says_so(tmp_path: Path, daemon: StartDaemon) -> None:
    sick = sick_pack(tmp_path / "s", Sickness.LOOPS, above=-1)
    running = daemon("--source", "demo", "--model", str(sick), ready=False)
    running.wait_for("listening on", LIMIT_S)
    until(running, lambda: running.get("/healthz")[0] == 503, "health is well although nothing is scored")
    until(running, lambda: state(running) == StreamState.UNSCORED, "the stream does not say that nothing scores it")
    assert running.stop() == 0
