"""A daemon that gets too little of the machine says so: its event loop is late, and with it health and all clients."""

import signal
import threading
import time
from pathlib import Path

import pytest

from tools.lab.daemon import clean_env, free_port, start_daemon
from tools.lab.kills import beeps
from tools.lab.tinypack import stateful_pack

pytestmark = pytest.mark.e2e

LIMIT_S = 60.0


def test_a_loop_that_comes_late_again_and_again_is_told_and_so_is_its_end(tmp_path: Path) -> None:
    words = ["--source", f"file:{beeps(tmp_path / 'a.wav')}#loop=yes&name=mic"]
    words += ["--model", str(stateful_pack(tmp_path / "pack"))]
    env = clean_env(tmp_path, {"STREAMCLF_STORE_PATH": str(tmp_path / "store")})
    running = start_daemon(words, port=free_port(), env=env, log=tmp_path / "daemon")
    enough = threading.Event()

    def starve() -> None:
        while not enough.is_set():
            running.process.send_signal(signal.SIGSTOP)
            time.sleep(0.4)
            running.process.send_signal(signal.SIGCONT)
            time.sleep(0.15)

    def problems() -> list[str]:
        return [problem["what"] for problem in running.get_json("/v1/status")["problems"]]

    def until(late: bool) -> None:
        deadline = time.monotonic() + LIMIT_S
        while any("the event loop is late" in what for what in problems()) is not late:
            assert time.monotonic() < deadline, (problems(), running.stderr)
            time.sleep(0.1)

    try:
        running.wait_for("listening on", LIMIT_S)
        thread = threading.Thread(target=starve)
        thread.start()
        try:
            until(late=True)
            health = running.get_json("/healthz")
        finally:
            enough.set()
            thread.join()
        until(late=False)
        at_ns = time.time_ns()
        counted = running.get("/metrics")[1].decode()
        running.wait_for("the event loop keeps up again", LIMIT_S)
        deadline = time.monotonic() + LIMIT_S
        less: list[str] = []
        while not less:
            assert time.monotonic() < deadline
            why = running.get_json(f"/v1/why?stream=mic&at_ns={at_ns}&around_ms=60000")
            less = [gap["reason"] for gap in why["less"]]
            time.sleep(0.1)
        assert running.stop() == 0
    finally:
        running.process.kill()
        running.process.wait()

    assert health["status"] != "ok"
    assert any("the event loop is late" in str(problem) for problem in health["problems"])
    assert float(counted.split("\nstreamclf_loop_late_spells_total ")[1].split()[0]) >= 1
    assert "late with health, pages and subscribers" in less[0]
    assert "the event loop is late, by up to" in running.stderr
